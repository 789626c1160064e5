package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// Problem is an answer that is none (RFC 9457).
type Problem struct {
	Kind      problemKind `json:"-"`
	Detail    string
	Parameter string
	Value     string
	// Candidates are what may have been meant, at most five.
	Candidates []candidate
	RetryAfter time.Duration
}

type candidate struct {
	Code string `json:"code"`
	Name string `json:"name"`
	City bool   `json:"city"`
}

type problemKind struct {
	slug, title string
	status      int
}

// The problems: one table from kind to status.
var (
	missingParameter = problemKind{"missing-parameter", "A parameter is missing", http.StatusBadRequest}
	repeatedParam    = problemKind{"repeated-parameter", "A parameter is given twice", http.StatusBadRequest}
	invalidParameter = problemKind{"invalid-parameter", "A parameter has a bad value", http.StatusBadRequest}
	unknownParameter = problemKind{"unknown-parameter", "A parameter is not known", http.StatusBadRequest}
	unknownPlace     = problemKind{"unknown-place", "A place is not known", http.StatusBadRequest}
	ambiguousPlace   = problemKind{"ambiguous-place", "Several places are called so", http.StatusBadRequest}
	samePlace        = problemKind{"same-place", "From and to are the same place", http.StatusBadRequest}
	dateOutsideSale  = problemKind{"date-outside-sale", "The date is not on sale", http.StatusBadRequest}
	notFound         = problemKind{"not-found", "Not found", http.StatusNotFound}
	methodNotAllowed = problemKind{"method-not-allowed", "Method not allowed", http.StatusMethodNotAllowed}
	notReady         = problemKind{"not-ready", "The node is still loading", http.StatusServiceUnavailable}
	tooOld           = problemKind{"too-old", "The data are too old", http.StatusServiceUnavailable}
	notFresh         = problemKind{"not-fresh-enough", "The answer is older than demanded", http.StatusServiceUnavailable}
	notReached       = problemKind{"position-not-reached", "This node is not as far as your last answer", http.StatusServiceUnavailable}
	invalidHeader    = problemKind{"invalid-header", "A header has a bad value", http.StatusBadRequest}
	tooManyStreams   = problemKind{"too-many-streams", "Too many open streams", http.StatusTooManyRequests}
	rateLimited      = problemKind{"rate-limited", "You ask too often", http.StatusTooManyRequests}
	tooMuch          = problemKind{"overloaded", "This node is overloaded", http.StatusServiceUnavailable}
	leaving          = problemKind{"draining", "This node is being drained", http.StatusServiceUnavailable}
	internal         = problemKind{"internal", "Internal error", http.StatusInternalServerError}
)

// MarshalJSON writes the members in the order of RFC 9457, absent ones left out.
func (p *Problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type       string      `json:"type"`
		Title      string      `json:"title"`
		Status     int         `json:"status"`
		Detail     string      `json:"detail"`
		Parameter  string      `json:"parameter,omitempty"`
		Value      string      `json:"value,omitempty"`
		Candidates []candidate `json:"candidates,omitempty"`
	}{"/problems/" + p.Kind.slug, p.Kind.title, p.Kind.status, p.Detail, p.Parameter, p.Value, p.Candidates})
}

const problemType = "application/problem+json"

// wholeSeconds are not less than a time.
func wholeSeconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// fail answers with a problem and ends the request.
func fail(c *gin.Context, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"about:blank"}`)
	}
	if p.RetryAfter > 0 {
		c.Header("Retry-After", wholeSeconds(p.RetryAfter))
	}
	c.Set(problemKey, p.Kind.slug)
	c.Header("Cache-Control", "no-store")
	c.Data(p.Kind.status, problemType, body)
	c.Abort()
}

// clip makes hostile text fit to be shown: valid UTF-8 of at most 64 bytes.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
