package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/limit"
)

const (
	friend   = "https://tickets.example"
	stranger = "https://evil.example"
)

func friends(o *Options) { o.Settings.AllowedOrigins = []string{friend, "http://localhost:3000"} }

// paths of a server are all that it has been given, as somebody asks for them, and some that it has not.
func paths(s *Server) (all []string) {
	for _, r := range s.engine.Routes() {
		path := strings.NewReplacer(":run", "20261201.G11", "*path", "x.js").Replace(r.Path)
		switch path {
		case HotPath, "/v1/stream":
			path += "?from=BJP&to=SHH&date=2026-12-01"
		case "/v1/stations":
			path += "?q=bei"
		}
		all = append(all, r.Method+" "+path)
	}
	return append(all, "GET "+HotPath, "GET "+pair+"&offers=true", "GET /v1/runs/20261201.none", "GET /none", "GET /v1/stations/", "POST /v1/stations", "OPTIONS "+HotPath, "TRACE /")
}

// H9: every answer, whatever came of it, says that it is what it says; none tells what serves it; and a page of another origin reads it only if its origin is allowed to.
func TestEveryAnswerIsGuarded(t *testing.T) {
	page := func(o *Options) {
		o.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	}
	for name, c := range map[string]struct {
		change func(*Options)
		origin string
		on, in bool
	}{
		"closed":           {func(*Options) {}, friend, false, false},
		"no origin":        {friends, "", true, false},
		"a friend":         {friends, friend, true, true},
		"a stranger":       {friends, stranger, true, false},
		"null":             {friends, "null", true, false},
		"a longer one":     {friends, friend + ".evil", true, false},
		"with a slash":     {friends, friend + "/", true, false},
		"another scheme":   {friends, strings.Replace(friend, "https", "http", 1), true, false},
		"a refused friend": {func(o *Options) { friends(o); o.Settings.Rate = limit.Rate{PerSecond: 0.001, Burst: 1} }, friend, true, true},
	} {
		g := newRig(t, func(o *Options) { page(o); c.change(o) })
		all := paths(g.Server)
		if len(all) < 20 {
			t.Fatalf("%d paths", len(all))
		}
		for _, one := range all {
			method, target, _ := strings.Cut(one, " ")
			h := g.head(method, target, "Origin", c.origin)
			want := map[string]string{"X-Content-Type-Options": "nosniff", "Server": "", "X-Powered-By": "", allowOrigin: "", exposeHeaders: ""}
			if c.in {
				want[allowOrigin], want[exposeHeaders] = c.origin, exposed
			}
			for header, value := range want {
				if got := strings.Join(h.Values(header), "|"); got != value {
					t.Errorf("%s: %s: %s is %q; want %q", name, one, header, got, value)
				}
			}
			if vary := h.Get("Vary"); strings.Contains(vary, "Origin") != c.on {
				t.Errorf("%s: %s: Vary is %q", name, one, vary)
			}
			if len(h.Values("Vary")) > 1 || len(h.Values("Access-Control-Allow-Credentials")) > 0 {
				t.Errorf("%s: %s: %v", name, one, h)
			}
		}
	}
}

// head asks and gives the headers of what comes back; a stream is ended at its first event.
func (g *rig) head(method, target string, headers ...string) http.Header {
	g.t.Helper()
	server := httptest.NewServer(g)
	defer server.Close()
	r, err := http.NewRequestWithContext(g.t.Context(), method, server.URL+target, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = response.Body.Close() // of no interest
	return response.Header
}

// H9: a browser that asks before it asks is told what an allowed origin may send, and nothing to any other.
func TestPreflight(t *testing.T) {
	g := newRig(t, friends)
	for _, c := range []struct {
		target, origin, method string
		status                 int
	}{
		{HotPath, friend, "GET", 204}, {"/v1/runs/20261201.G11", "http://localhost:3000", "GET", 204}, {"/none", friend, "GET", 404},
		{HotPath, stranger, "GET", 405}, {HotPath, "", "GET", 405}, {HotPath, friend, "", 405},
	} {
		headers := []string{"Origin", c.origin, "Access-Control-Request-Method", c.method, "Access-Control-Request-Headers", "if-none-match"}
		r := httptest.NewRequest(http.MethodOptions, c.target, http.NoBody)
		for i := 0; i < len(headers); i += 2 {
			if headers[i+1] != "" {
				r.Header.Set(headers[i], headers[i+1])
			}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		h := w.Header()
		told := h.Get("Access-Control-Allow-Methods") == "GET, HEAD" && strings.Contains(h.Get("Access-Control-Allow-Headers"), "If-None-Match") &&
			strings.Contains(h.Get("Access-Control-Allow-Headers"), headerPosition) && h.Get("Access-Control-Max-Age") == "600" && h.Get(allowOrigin) == c.origin && w.Body.Len() == 0
		if w.Code != c.status || told != (c.status == 204) || h.Get("Vary") != "Origin" {
			t.Errorf("%+v: %d %v %s", c, w.Code, h, w.Body)
		}
	}
	g.Follow(Settings{})
	if w := g.get(pair, "Origin", friend); w.Header().Get(allowOrigin) != "" || strings.Contains(w.Header().Get("Vary"), "Origin") {
		t.Errorf("when no origin is allowed any more: %v", w.Header())
	}
}

// H6 and H9: in the lane as by gin, refusals and answers without a body too.
func TestLaneIsGinForOrigins(t *testing.T) {
	const preflight = "OPTIONS " + HotPath + " HTTP/1.1\r\nHost: a\r\nOrigin: " + friend + "\r\nAccess-Control-Request-Method: GET\r\n\r\n"
	for name, change := range map[string]func(*Options){
		"closed": func(*Options) {}, "open": friends, "limited": func(o *Options) { friends(o); rate(1)(o) },
		"one name": func(o *Options) { friends(o); o.Settings.AllowedOrigins[0] = strings.ToUpper(friend) },
	} {
		fast, plain := open(t, true, change), open(t, false, change)
		for _, headers := range []string{"", "Origin: " + friend, "origin:  " + friend + "\t", "ORIGIN: " + stranger, "Origin: null", "Origin:", "Origin: " + friend + "\r\nOrigin: " + friend,
			"Origin: " + friend + "\r\nIf-None-Match: *", "Origin: " + strings.ToUpper(friend)} {
			request := strings.Repeat(hotLine+strings.TrimPrefix(headers+"\r\n\r\n", "\r\n"), 2) + preflight
			want, got := plain.say(t, []byte(request)), fast.say(t, []byte(request))
			if got != want {
				t.Errorf("%s: %q\nin the lane:\n%.1500s\nby gin:\n%.1500s", name, headers, got, want)
			}
			if told := strings.Contains(want, allowOrigin+": "+friend); name == "open" && strings.Contains(headers, friend) != (strings.Count(want, allowOrigin) > 1) || name == "closed" && told {
				t.Errorf("%s: %q: %.1500s", name, headers, want)
			}
		}
		if err := errors.Join(fast.end(), plain.end()); err != nil {
			t.Error(err)
		}
	}
}
