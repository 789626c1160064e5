package httpapi

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/replica"
)

// headerPosition carries the position of an answer, and back that of an answer which the next must not be older than.
const headerPosition = "Yupiao-Position"

// position is the one that the request hands back; nil if it hands back none. False if the request was answered with a problem.
func position(c *gin.Context) (*replica.Position, bool) {
	text := c.Request.Header.Get(headerPosition)
	if text == "" {
		return nil, true
	}
	p, err := replica.ParsePosition(text)
	if err != nil {
		fail(c, &Problem{Kind: invalidHeader, Parameter: headerPosition, Value: clip(text), Detail: err.Error()})
		return nil, false
	}
	return p, true
}

// awaitEvery is how often a position is looked at: events come in batches of about that distance.
const awaitEvery = 2 * time.Millisecond

// await waits until something holds, for as long as the settings let a position wait.
func (s *Server) await(c *gin.Context, holds func() bool) bool {
	if holds() {
		return true
	}
	idle(c)
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.settings.Load().PositionWait)
	defer cancel()
	ticker := time.NewTicker(awaitEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
			if holds() {
				return true
			}
		}
	}
}

// serveFrom serves an answer that is not older than one at a position. It waits for the replica to come as far; an answer that lacks a change may be older all the
// same (replica.Reached).
func (s *Server) serveFrom(c *gin.Context, e *answer.Entry, r *replica.Replica, p *replica.Position, d answer.Demand) {
	d.Look = true
	var a answer.Served
	if !s.await(c, func() bool {
		if !r.Reached(p) {
			return false
		}
		a = e.Serve(r, s.clock(), d)
		return !a.Lagging
	}) {
		fail(c, s.notReached())
		return
	}
	s.serve(c, a)
}

func (s *Server) notReached() *Problem {
	return &Problem{Kind: notReached, Parameter: headerPosition, RetryAfter: time.Second,
		Detail: fmt.Sprintf("within %s this node has not come as far as the answer that you have; ask again, or without the header for one that may be older", s.settings.Load().PositionWait)}
}

// cacheDemand reads the Cache-Control of a request (RFC 9111, 5.2.1). A browser's reload sends no-cache or max-age=0, which demands a look but no age: no data are
// of this very moment. What makes no sense is passed over, as the standard wants.
func cacheDemand(header string) (d answer.Demand) {
	for header != "" {
		var directive string
		directive, header, _ = strings.Cut(header, ",")
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-cache":
			d.Look = true
		case "max-age":
			if n, err := strconv.Atoi(value); err == nil && n == 0 {
				d.Look = true
			} else if err == nil && n > 0 {
				d.MaxAge, d.Limited = n, true
			}
		}
	}
	return d
}

// codingOf is the best coding that an Accept-Encoding takes.
func codingOf(header string) answer.Coding {
	best := answer.Plain
	for header != "" {
		var item string
		item, header, _ = strings.Cut(header, ",")
		name, weight, _ := strings.Cut(strings.TrimSpace(item), ";")
		weight = strings.ReplaceAll(weight, " ", "")
		if weight == "q=0" || strings.HasPrefix(weight, "q=0.0") && strings.Trim(weight[len("q=0."):], "0") == "" {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "zstd":
			return answer.Zstd
		case "gzip":
			best = answer.Gzip
		}
	}
	return best
}
