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
	"embed"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strings"
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
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
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

// Handler answers GET and HEAD of "/" with the page and of "/static/..." with its files, each with an ETag. Any other path gets 404, any
// other method 405. It is safe for concurrent use; make it once, since it hashes every file. The error is an ErrBooking.
func Handler(o Options) (http.Handler, error) {
	origin, err := originOf(o.Booking)
	if err != nil {
		return nil, err
	}
	policy := policyBefore + origin + policyBehind
	assets := load(files)
	assets["/"] = tellBooking(assets["/"], o.Booking)
	return serve(assets, policy), nil
}

// Files answers like Handler with other files: those of a folder "static" with an index.html, and some of this page's own that they share. The page may speak to nobody but its origin.
func Files(of fs.FS, shared ...string) http.Handler {
	assets, own := load(of), load(files)
	for _, name := range shared {
		assets["/"+root+"/"+name] = own["/"+root+"/"+name]
	}
	return serve(assets, policyBefore+policyBehind)
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
