package web

import (
	"io/fs"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// read returns the embedded files with this ending, by the paths under which they are asked for.
func read(t *testing.T, ending string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for p, a := range load(files) {
		if p == "/" && ending == ".html" || path.Ext(p) == ending {
			out[p] = string(a.body)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no %s files", ending)
	}
	return out
}

// groups returns the n-th group of every match.
func groups(pattern, text string, n int) (out []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, m[n])
	}
	return out
}

const (
	importPattern = `(?m)^(?:import|export) .*from "([^"]+)"`
	linkPattern   = `\b(?:src|href)="([^"#]+)"`
)

// imports follows the modules from one, as a browser does.
func imports(modules map[string]string, at string, seen map[string]bool) {
	if seen[at] {
		return
	}
	seen[at] = true
	for _, name := range groups(importPattern, modules[at], 1) {
		imports(modules, path.Join(path.Dir(at), name), seen)
	}
}

// TestReferences: what the page and its modules name exists, and every module is named and fetched at once (B1).
func TestReferences(t *testing.T) {
	page, modules := read(t, ".html")["/"], read(t, ".js")
	for _, link := range groups(linkPattern, page, 1) {
		if w := ask(http.MethodGet, link, ""); w.Code != http.StatusOK {
			t.Errorf("the page names %s: %d", link, w.Code)
		}
	}
	reached := map[string]bool{}
	imports(modules, "/static/app.js", reached)
	if got, want := slices.Sorted(maps.Keys(reached)), slices.Sorted(maps.Keys(modules)); !slices.Equal(got, want) {
		t.Errorf("app.js reaches %v\nthere are      %v", got, want)
	}
	preloaded := append(groups(`rel="modulepreload" href="([^"]+)"`, page, 1), "/static/app.js")
	if slices.Sort(preloaded); !slices.Equal(preloaded, slices.Sorted(maps.Keys(reached))) {
		t.Errorf("preloaded %v\nimported  %v", preloaded, slices.Sorted(maps.Keys(reached)))
	}
	for _, id := range groups(`(?:byId|getElementById)\("([^"]+)"\)`, modules["/static/app.js"], 1) {
		if !strings.Contains(page, ` id="`+id+`"`) {
			t.Errorf("app.js uses the element %q, which the page lacks", id)
		}
	}
}

// TestNothingInline: no code in the HTML, no HTML from code (B2), no other origin (B1).
func TestNothingInline(t *testing.T) {
	for _, c := range []struct{ ending, why, pattern string }{
		{".html", "script in the HTML", `<script(?:[^>]*)>[^<]`},
		{".html", "script without src", `<script [^>]*\btype="[^"]*"\s*>`},
		{".html", "style in the HTML", `<style|\sstyle=`},
		{".html", "handler in the HTML", `(?i)\son\w+=`},
		{".html", "script address", `(?i)javascript:`},
		{".js", "text made HTML", `innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML`},
		{".js", "text made code", `\beval\(|new Function|import\(`},
		{".js", "style attribute", `setAttribute\("style"|cssText`},
		{".js", "other origin", `https?://|"//`},
		{".css", "other origin or file", `https?://|url\(|@import`},
		{".html", "other origin", `https?://|="//`},
	} {
		for name, text := range read(t, c.ending) {
			if found := regexp.MustCompile(c.pattern).FindString(text); found != "" {
				t.Errorf("%s: %s: %q", name, c.why, found)
			}
		}
	}
}

var languages = []string{"en", "zh", "ko"}

// table reads a language's texts.
func table(t *testing.T, lang string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  "?([\w-]+)"?: "(.*)",$`).FindAllStringSubmatch(read(t, ".js")["/static/lang/"+lang+".js"], -1) {
		if _, twice := out[m[1]]; twice || strings.TrimSpace(m[2]) == "" {
			t.Errorf("%s: %q is empty or given twice", lang, m[1])
		}
		out[m[1]] = m[2]
	}
	return out
}

// TestLanguages have equal keys and places for values (B4).
func TestLanguages(t *testing.T) {
	places := func(text string) []string {
		found := groups(`\{\w+\}`, text, 0)
		slices.Sort(found)
		return found
	}
	english := table(t, languages[0])
	for _, lang := range languages[1:] {
		other := table(t, lang)
		if got, want := slices.Sorted(maps.Keys(other)), slices.Sorted(maps.Keys(english)); !slices.Equal(got, want) {
			t.Errorf("%s has the keys %v\nenglish has %v", lang, got, want)
		}
		for key, text := range other {
			if !slices.Equal(places(text), places(english[key])) {
				t.Errorf("%s %s: %q has other places than %q", lang, key, text, english[key])
			}
		}
	}
}

// TestTextsAreThere: each key that the page or a module names is in the tables, and no key is left over (B4).
func TestTextsAreThere(t *testing.T) {
	texts := table(t, languages[0])
	named := groups(`data-t(?:-\w+)?="([^"]+)"`, read(t, ".html")["/"], 1)
	for name, text := range read(t, ".js") {
		if !strings.HasPrefix(name, "/static/lang/") {
			named = append(named, groups(`\bt\("(\w+)"`, text, 1)...)
		}
	}
	for _, key := range named {
		if texts[key] == "" {
			t.Errorf("the page names %q, which has no text", key)
		}
	}
	// Keys that are put together or handed on: of states, orders, problems, facts of a reservation, the filters' groups and the levels of freshness.
	handedOn := regexp.MustCompile(`^(state|sort|problem|fact|wish|kind|order|payment|behaviour)_|^(types|depart|arrive|classes|live|connecting|aging|degraded|lost|left|trains|oneTrain)$`)
	for key := range texts {
		if !slices.Contains(named, key) && !handedOn.MatchString(key) {
			t.Errorf("nothing names the text %q", key)
		}
	}
}

// TestModules runs testdata/modules.mjs, which tries the modules that need no page (B5).
func TestModules(t *testing.T) {
	static, err := fs.Sub(files, root)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Modules(t, root, static)
}
