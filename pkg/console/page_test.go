package console_test

import (
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/yupiao/yupiao/pkg/console"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/web"
)

func ask(method, path, ifNoneMatch string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if ifNoneMatch != "" {
		r.Header.Set("If-None-Match", ifNoneMatch)
	}
	w := httptest.NewRecorder()
	console.Handler().ServeHTTP(w, r)
	return w
}

// Q1: the page and its files tell nothing, let the browser speak to their origin alone, and have tags.
func TestHandler(t *testing.T) {
	page := ask("GET", "/", "").Header().Get("ETag")
	for _, c := range []struct {
		name, method, path, tag string
		status                  int
		contentType             string
		body                    bool
	}{
		{"page", "GET", "/", "", 200, "text/html; charset=utf-8", true},
		{"head", "HEAD", "/", "", 200, "text/html; charset=utf-8", false},
		{"style", "GET", "/static/style.css", "", 200, "text/css; charset=utf-8", true},
		{"module", "GET", "/static/app.js", "", 200, "text/javascript; charset=utf-8", true},
		{"shared module", "GET", "/static/dom.js", "", 200, "text/javascript; charset=utf-8", true},
		{"shared icon", "GET", "/static/icon.svg", "", 200, "image/svg+xml", true},
		{"unchanged", "GET", "/", page, 304, "", false},
		{"unchanged, head", "HEAD", "/", page, 304, "", false},
		{"changed", "GET", "/", `"0123"`, 200, "text/html; charset=utf-8", true},
		{"another file's tag", "GET", "/static/app.js", page, 200, "text/javascript; charset=utf-8", true},
		{"unknown file", "GET", "/static/none.js", "", 404, "text/plain; charset=utf-8", true},
		{"the travellers' file", "GET", "/static/panel.js", "", 404, "text/plain; charset=utf-8", true},
		{"way out", "GET", "/static/../console.go", "", 404, "text/plain; charset=utf-8", true},
		{"post", "POST", "/", "", 405, "text/plain; charset=utf-8", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(c.method, c.path, c.tag)
			if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || (w.Body.Len() > 0) != c.body {
				t.Errorf("%d %q, %d bytes; want %d %q, body %v", w.Code, w.Header().Get("Content-Type"), w.Body.Len(), c.status, c.contentType, c.body)
			}
			policy := w.Header().Get("Content-Security-Policy") + ";"
			for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
				if !strings.Contains(policy, part+";") {
					t.Errorf("policy %q lacks %q", policy, part)
				}
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-cache"} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// static reads the files of the page by name, with those that it shares with the travellers' page.
func static(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"dom.js": ask("GET", "/static/dom.js", "").Body.String()}
	err := fs.WalkDir(os.DirFS("static"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join("static", name))
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// groups returns the first group of every match.
func groups(pattern, text string) (out []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// TestReferences: every module is reached from app.js and fetched at once, and every element that a module names is there.
func TestReferences(t *testing.T) {
	all := static(t)
	reached := map[string]bool{}
	var follow func(name string)
	follow = func(name string) {
		if reached[name] {
			return
		}
		reached[name] = true
		for _, next := range groups(`(?m)^import .*from "\./([^"]+)"`, all[name]) {
			follow(next)
		}
	}
	follow("app.js")
	modules := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return path.Ext(name) != ".js" })
	if got := slices.Sorted(maps.Keys(reached)); !slices.Equal(got, modules) {
		t.Errorf("app.js reaches %v\nthere are      %v", got, modules)
	}
	page := all["index.html"]
	preloaded := append(groups(`rel="modulepreload" href="/static/([^"]+)"`, page), "app.js")
	if slices.Sort(preloaded); !slices.Equal(preloaded, modules) {
		t.Errorf("preloaded %v\nimported  %v", preloaded, modules)
	}
	for _, link := range groups(`\b(?:src|href)="([^"#]+)"`, page) {
		if w := ask(http.MethodGet, link, ""); w.Code != http.StatusOK {
			t.Errorf("the page names %s: %d", link, w.Code)
		}
	}
	named := groups(`byId\("([^"]+)"\)`, all["app.js"])
	for _, list := range groups(`parts: \["([^\]]+)"\]`, all["app.js"]) {
		named = append(named, strings.Split(list, `", "`)...)
	}
	for _, id := range named {
		if !strings.Contains(page, ` id="`+id+`"`) {
			t.Errorf("app.js uses the element %q, which the page lacks", id)
		}
	}
}

// TestNothingInline: no code in the HTML, no HTML from code, no other origin (Q1).
func TestNothingInline(t *testing.T) {
	for _, c := range []struct{ ending, why, pattern string }{
		{".html", "script in the HTML", `<script(?:[^>]*)>[^<]`},
		{".html", "style in the HTML", `<style|\sstyle=`},
		{".html", "handler in the HTML", `(?i)\son\w+=`},
		{".html", "other origin or script address", `(?i)https?://|="//|javascript:`},
		{".js", "text made HTML", `innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML`},
		{".js", "text made code", `\beval\(|new Function|import\(`},
		{".js", "style attribute", `setAttribute\("style"|cssText`},
		{".js", "token kept beyond its tab", `localStorage\.setItem\((?:key|rollKey|"yupiao-token")`},
		{".js", "other origin", `https?://[^w]|"//`},
		{".css", "other origin or file", `https?://|url\(|@import`},
	} {
		for name, text := range static(t) {
			text = strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "") // a name, never fetched
			if found := regexp.MustCompile(c.pattern).FindString(text); path.Ext(name) == c.ending && found != "" {
				t.Errorf("%s: %s: %q", name, c.why, found)
			}
		}
	}
}

// TestColours are those of the travellers' page, light and dark: what is red there is red here.
func TestColours(t *testing.T) {
	travellers, err := web.Handler(web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	travellers.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/static/style.css", nil))
	colours := func(css string) map[string][]string {
		all := map[string][]string{}
		for _, m := range regexp.MustCompile(`(?m)^ +--([\w-]+): (#[0-9a-f]+);`).FindAllStringSubmatch(css, -1) {
			all[m[1]] = append(all[m[1]], m[2])
		}
		return all
	}
	theirs, own, shared := colours(w.Body.String()), colours(static(t)["style.css"]), 0
	for name, values := range own {
		if len(values) != 2 {
			t.Errorf("--%s has the values %v; want one for light and one for dark", name, values)
		}
		if theirs[name] != nil {
			if shared++; !slices.Equal(values, theirs[name]) {
				t.Errorf("--%s is %v, on the travellers' page %v", name, values, theirs[name])
			}
		}
	}
	if shared < 10 {
		t.Errorf("only %d colours are shared", shared)
	}
}

// TestModules runs testdata/modules.mjs, which tries the modules that need no page.
func TestModules(t *testing.T) {
	shared := fstest.MapFS{"dom.js": {Data: ask("GET", "/static/dom.js", "").Body.Bytes(), Mode: 0o600}}
	testkit.Modules(t, "static", os.DirFS("static"), shared)
}
