package web

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(method, path, ifNoneMatch string) *httptest.ResponseRecorder {
	return askWith(Options{}, method, path, ifNoneMatch)
}

func askWith(o Options, method, path, ifNoneMatch string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if ifNoneMatch != "" {
		r.Header.Set("If-None-Match", ifNoneMatch)
	}
	w := httptest.NewRecorder()
	h, err := Handler(o)
	if err != nil {
		panic(err) // no caller gives a bad option
	}
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	page := ask(http.MethodGet, "/", "").Header().Get("ETag")
	for _, c := range []struct {
		name, method, path, tag string
		status                  int
		contentType             string
		body                    bool
	}{
		{"page", "GET", "/", "", 200, "text/html; charset=utf-8", true},
		{"page with a query", "GET", "/?from=BJP", "", 200, "text/html; charset=utf-8", true},
		{"style", "GET", "/static/style.css", "", 200, "text/css; charset=utf-8", true},
		{"module", "GET", "/static/app.js", "", 200, "text/javascript; charset=utf-8", true},
		{"icon", "GET", "/static/icon.svg", "", 200, "image/svg+xml", true},
		{"head", "HEAD", "/", "", 200, "text/html; charset=utf-8", false},
		{"B3: unchanged", "GET", "/", page, 304, "", false},
		{"B3: unchanged, among others", "GET", "/", `"x", W/` + page, 304, "", false},
		{"B3: changed", "GET", "/", `"0123"`, 200, "text/html; charset=utf-8", true},
		{"B3: another file's tag", "GET", "/static/app.js", page, 200, "text/javascript; charset=utf-8", true},
		{"unknown file", "GET", "/static/none.js", "", 404, "text/plain; charset=utf-8", true},
		{"folder", "GET", "/static/", "", 404, "text/plain; charset=utf-8", true},
		{"page by its file's name", "GET", "/static/index.html", "", 404, "text/plain; charset=utf-8", true},
		{"way out", "GET", "/static/../web.go", "", 404, "text/plain; charset=utf-8", true},
		{"other path", "GET", "/v1/stations", "", 404, "text/plain; charset=utf-8", true},
		{"post", "POST", "/", "", 405, "text/plain; charset=utf-8", true},
		{"delete", "DELETE", "/static/app.js", "", 405, "text/plain; charset=utf-8", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(c.method, c.path, c.tag)
			if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || (w.Body.Len() > 0) != c.body {
				t.Errorf("%d %q, %d bytes; want %d %q, body %v", w.Code, w.Header().Get("Content-Type"), w.Body.Len(), c.status, c.contentType, c.body)
			}
			if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (c.status == 405) {
				t.Errorf("Allow %q with status %d", allow, c.status)
			}
		})
	}
}

// TestHeadersOnEveryAnswer, errors included (B1).
func TestHeadersOnEveryAnswer(t *testing.T) {
	for _, w := range []*httptest.ResponseRecorder{ask("GET", "/", ""), ask("GET", "/static/app.js", ""), ask("GET", "/none", ""), ask("PUT", "/", "")} {
		policy := w.Header().Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:", "manifest-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy+";", part+";") {
				t.Errorf("%d: policy %q lacks %q", w.Code, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%d: policy %q lets too much through", w.Code, policy)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-cache"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", w.Code, name, got, want)
			}
		}
	}
}

// TestEveryFileIsServed with its own tag and a content type that is in the table (B1, B3).
func TestEveryFileIsServed(t *testing.T) {
	tags := map[string]string{}
	err := fs.WalkDir(files, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		w := ask(http.MethodGet, pathOf(name), "")
		tag := w.Header().Get("ETag")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" || w.Body.Len() == 0 {
			t.Errorf("%s: %d %q, %d bytes; want it served", name, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		if other, taken := tags[tag]; taken {
			t.Errorf("%s and %s have the tag %s", name, other, tag)
		}
		tags[tag] = name
		return nil
	})
	if err != nil || len(tags) == 0 {
		t.Fatalf("%d files: %v", len(tags), err)
	}
}

// TestBooking: with a backend the page names it, and the policy lets the browser speak to its origin and to no third (B1).
func TestBooking(t *testing.T) {
	for _, c := range []struct{ booking, connect, named string }{
		{"", "'self'", ""},
		{"http://127.0.0.1:8082", "'self' http://127.0.0.1:8082", "http://127.0.0.1:8082"},
		{"http://127.0.0.1:8082/", "'self' http://127.0.0.1:8082", "http://127.0.0.1:8082"},
		{"https://booking.example/a&amp;\"b/", "'self' https://booking.example", "https://booking.example/a&amp;amp;&#34;b"},
	} {
		o := Options{Booking: c.booking}
		for _, path := range []string{"/", "/static/app.js", "/none"} {
			if policy := askWith(o, "GET", path, "").Header().Get("Content-Security-Policy"); !strings.Contains(policy, "; connect-src "+c.connect+";") {
				t.Errorf("%q %s: policy %q", c.booking, path, policy)
			}
		}
		page := askWith(o, "GET", "/", "")
		if has := strings.Contains(page.Body.String(), `<html data-booking="`+c.named+`" lang="en">`); has != (c.booking != "") {
			t.Errorf("%q: the page begins %.120q", c.booking, page.Body)
		}
		if w := askWith(o, "GET", "/", page.Header().Get("ETag")); w.Code != http.StatusNotModified {
			t.Errorf("%q: %d for the page's own tag", c.booking, w.Code)
		}
		if same := ask("GET", "/", "").Header().Get("ETag") == page.Header().Get("ETag"); same != (c.booking == "") { // B3
			t.Errorf("%q: the tag is that of the page without booking: %v", c.booking, same)
		}
	}
}

// TestBadBooking: what a policy cannot name, or paths cannot follow, is refused; nothing gets into the policy by way of a host (B1).
func TestBadBooking(t *testing.T) {
	for _, booking := range []string{
		"127.0.0.1:8082", "//here", "ftp://here", "http://", "http:///v1", "http://here/?a=b", "http://here?", "http://here#top", "http://me:secret@here",
		"http://*", "http://*.here", "http://here;script-src", "http://here,there", "http://a b", "http://[::1]:80", "http://here:", "javascript:alert(1)", "\n",
	} {
		if h, err := Handler(Options{Booking: booking}); !errors.Is(err, ErrBooking) || h != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", booking, err)
		}
	}
}
