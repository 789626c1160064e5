package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// asset is an embedded file as it is answered. Shared, do not modify.
type asset struct {
	body             []byte
	contentType, tag string
}

func serve(assets map[string]*asset, policy string) http.Handler {
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
	})
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("ETag", a.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body)) // it knows If-None-Match, HEAD and ranges
}

// load reads embedded files by the paths under which they are asked for. The page itself is at "/" only.
func load(of fs.FS) map[string]*asset {
	assets := map[string]*asset{}
	// The walk cannot fail: the files are part of the program, and a test reads them all.
	_ = fs.WalkDir(of, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(of, name)
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
