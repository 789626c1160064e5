package testkit

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Contract is an OpenAPI document as a judge of answers.
type Contract struct{ router routers.Router }

// NewContract reads a document, which must be valid.
func NewContract(t testing.TB, document []byte) *Contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &Contract{router}
}

// unread are kinds of bodies that the library cannot read; of them the status and the headers are held to the document.
var unread = []string{"text/event-stream", "text/html", "application/yaml"}

// Check holds an answer to the document. Paths that the document does not know must not be answered but by a refusal.
func (c *Contract) Check(t testing.TB, r *http.Request, status int, header http.Header, body []byte) {
	t.Helper()
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		if status != http.StatusNotFound && status != http.StatusMethodNotAllowed && status != http.StatusUnauthorized && r.Method != http.MethodOptions {
			t.Errorf("%s %s is not in the document, but was answered with %d", r.Method, r.URL.Path, status)
		}
		return
	}
	excluded := false
	for _, kind := range unread {
		excluded = excluded || strings.HasPrefix(header.Get("Content-Type"), kind)
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: excluded},
	})
	if err != nil {
		t.Errorf("%s %s: %d is not what the document says: %v", r.Method, r.URL, status, err)
	}
}
