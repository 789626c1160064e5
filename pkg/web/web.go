// Package web is the page of the query node: plain HTML, CSS and ES modules, embedded, without a build step.
//
// The page asks for a route's whole answer and filters it itself, so that everybody who looks at a route on a day shares one stream.
//
// Invariants (cited by the tests as B1...):
//
//	B1 The page needs nothing but this handler and the API of the same origin, and its policy lets the browser fetch nothing else; with a booking
//	   backend it lets the page speak to that origin, too, and to no third.
//	B2 No script, style or handler stands in the HTML, and no module turns text into HTML: a name from a feed can never run.
//	B3 A file's tag is of its bytes: an unchanged file is answered with 304, a changed one is never taken for the old.
//	B4 Every text of the page exists in every language, with the same places for values.
//	B5 A page that has applied every event of a stream shows what the whole answer would show.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
)

//go:embed static
var files embed.FS

const (
	root  = "static"
	index = root + "/index.html"
)

// ErrBooking marks the address of a booking backend that a page cannot use.
var ErrBooking = errors.New("unusable address of the booking backend")

// Options of a page.
type Options struct {
	// Booking is the base URL of the booking backend's API; empty: the page shows seats and books none.
	Booking string
}

// policyBefore and policyBehind stand around the origin of the booking backend, if there is one. The policy has no default, so what it does not
// name the browser refuses (B1).
const (
	policyBefore = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"
	policyBehind = "; img-src 'self' data:; manifest-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// headers stand on every answer beside the policy, errors included.
var headers = [...][2]string{
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cache-Control", "no-cache"},
}

// contentTypes are those of the embedded files. The system's own table is not asked: it differs between machines.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// asset is an embedded file as it is answered. Shared, do not modify.
type asset struct {
	body             []byte
	contentType, tag string
}

// Handler answers GET and HEAD of "/" with the page and of "/static/..." with its files, each with an ETag. Any other path gets 404, any
// other method 405. It is safe for concurrent use; make it once, since it hashes every file. The error is an ErrBooking.
func Handler(o Options) (http.Handler, error) {
	origin, err := originOf(o.Booking)
	if err != nil {
		return nil, err
	}
	policy := policyBefore + origin + policyBehind
	assets := load()
	assets["/"] = tellBooking(assets["/"], o.Booking)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		for _, h := range headers {
			w.Header().Set(h[0], h[1])
		}
		a, ok := assets[r.URL.Path]
		switch {
		case !ok:
			http.Error(w, "there is nothing at this path; the page is at /", http.StatusNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this path takes GET and HEAD", http.StatusMethodNotAllowed)
		default:
			a.serve(w, r)
		}
	}), nil
}

// hostPattern is what a policy can name. A URL may have more in its host, a semicolon for example, which would begin another directive, and a policy
// knows no IPv6 addresses.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)

// originOf is the origin of a base URL behind a space, as it follows 'self' in the policy; empty if there is none.
func originOf(base string) (string, error) {
	if base == "" {
		return "", nil
	}
	u, err := url.Parse(base)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", !hostPattern.MatchString(u.Host):
		return "", fmt.Errorf("%w: %q; want http://host:port or https://host, the host a name or an IPv4 address", ErrBooking, base)
	case u.User != nil:
		return "", fmt.Errorf("%w: it holds a user; want none, since every reader of the page would see it", ErrBooking) // nor does a log show it
	case strings.ContainsAny(base, "?#"):
		return "", fmt.Errorf("%w: %q; want no query and no fragment, since paths are put behind it", ErrBooking, base)
	}
	return " " + u.Scheme + "://" + u.Host, nil
}

// tellBooking writes the backend's base URL into the page, where its modules read it without a request. Without a backend the page stays as it is.
func tellBooking(page *asset, base string) *asset {
	if base == "" {
		return page
	}
	attribute := ` data-booking="` + html.EscapeString(strings.TrimRight(base, "/")) + `"`
	return newAsset(index, bytes.Replace(page.body, []byte("<html"), []byte("<html"+attribute), 1))
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("ETag", a.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body)) // it knows If-None-Match, HEAD and ranges
}

// load reads the embedded files by the paths under which they are asked for. The page itself is at "/" only.
func load() map[string]*asset {
	assets := map[string]*asset{}
	// The walk cannot fail: the files are part of the program, and a test reads them all.
	_ = fs.WalkDir(files, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		assets[pathOf(name)] = newAsset(name, body)
		return err
	})
	return assets
}

func pathOf(name string) string {
	if name == index {
		return "/"
	}
	return "/" + name
}

// tagBytes of a SHA-256 make a tag: 128 bits, so that no two versions of a file share one.
const tagBytes = 16

func newAsset(name string, body []byte) *asset {
	sum := sha256.Sum256(body)
	kind := contentTypes[strings.ToLower(path.Ext(name))]
	return &asset{body: body, contentType: kind, tag: `"` + hex.EncodeToString(sum[:tagBytes]) + `"`}
}
