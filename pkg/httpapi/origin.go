package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// nosniff stands on every answer: a browser takes it for what it says that it is. Shared, do not modify.
var nosniff = []string{"nosniff"}

const (
	allowOrigin   = "Access-Control-Allow-Origin"
	exposeHeaders = "Access-Control-Expose-Headers"
	// exposed is what a page of another origin may read of an answer beside what any may.
	exposed = "Age, Etag, Retry-After, Yupiao-As-Of, " + headerPosition + ", Yupiao-State"
)

// origins are those whose pages may read answers (CORS); nil for none: then no browser shows an answer to a page of another origin. It does not keep anybody else from asking.
type origins map[string]*grant

// grant is what an origin's pages are told. Shared, do not modify.
type grant struct {
	origin []string
	// lines are the headers as the lane writes them, before all others in the order of net/http.
	lines string
}

var exposedValues = []string{exposed}

func newOrigins(all []string) origins {
	if len(all) == 0 {
		return nil
	}
	o := origins{}
	for _, origin := range all {
		o[origin] = &grant{[]string{origin}, "\r\n" + allowOrigin + ": " + origin + "\r\n" + exposeHeaders + ": " + exposed}
	}
	return o
}

// vary is what an answer that is told differently by more than the origin says of that: caches must not give one origin's answer to another.
func (o origins) vary() string {
	if o == nil {
		return varies
	}
	return varies + ", Origin"
}

// lines are the headers for an origin in the lane.
func (o origins) lines(origin string) string {
	if g := o[origin]; g != nil {
		return g.lines
	}
	return ""
}

// share tells a page of another origin whether it may read the answer.
func (s *Server) share(c *gin.Context) {
	o := *s.origins.Load()
	if o == nil {
		return
	}
	h := c.Writer.Header()
	h.Set("Vary", "Origin")
	if g := o[c.Request.Header.Get("Origin")]; g != nil {
		h[allowOrigin], h[exposeHeaders] = g.origin, exposedValues
	}
}

// preflight answers what a browser asks before a page of another origin may send more than a plain GET; false if the request is something else.
func preflight(c *gin.Context) bool {
	h := c.Writer.Header()
	if c.Request.Method != http.MethodOptions || h.Get(allowOrigin) == "" || c.GetHeader("Access-Control-Request-Method") == "" {
		return false
	}
	h.Del(exposeHeaders)
	h.Set("Access-Control-Allow-Methods", "GET, HEAD")
	h.Set("Access-Control-Allow-Headers", "Cache-Control, If-None-Match, Last-Event-ID, "+headerPosition)
	h.Set("Access-Control-Max-Age", "600")
	h.Del("Allow")
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return true
}
