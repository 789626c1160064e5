package httpapi

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/latency"
	"github.com/yupiao/yupiao/pkg/limit"
	"github.com/yupiao/yupiao/pkg/trace"
)

// route is what was asked for, and outcome what came of it.
type (
	route   uint8
	outcome uint8
)

const (
	toAvailability route = iota
	toRun
	toStations
	toStream
	toReady
	toOther
	routes
)

const (
	ok outcome = iota
	notModified
	badRequest
	unready
	stale
	limited
	shed
	failed
	outcomes
)

// Names, as metrics tell them.
var (
	routeNames   = [routes]string{"availability", "run", "stations", "stream", "ready", "other"}
	outcomeNames = [outcomes]string{"ok", "not_modified", "bad_request", "not_ready", "not_fresh", "limited", "shed", "error"}
	routesByPath = map[string]route{HotPath: toAvailability, "/v1/runs/:run": toRun, "/v1/stations": toStations, "/v1/stream": toStream, "/readyz": toReady}
)

// traffic counts and times all requests. A table instead of names and maps: each hot request passes here. Safe for concurrent use.
type traffic struct {
	took   [routes][outcomes]latency.Histogram
	ages   latency.Histogram // of the data, when a seat search was answered
	events atomic.Uint64     // that went to streams
}

// Traffic is what has come of the requests of a route since the start.
type Traffic struct {
	Route, Outcome string
	// Took is the time from the request until its answer is there, and of a stream until its first event; not until the client has read it.
	Took latency.Snapshot
}

// Traffic tells of all routes that were asked, and of seat searches and our errors at any time: a series that begins at 1 hides its first one from whoever looks at rates.
func (s *Server) Traffic() (all []Traffic) {
	for r := range routes {
		for o := range outcomes {
			if took := s.traffic.took[r][o].Snapshot(); took.Count > 0 || r == toAvailability || o == failed {
				all = append(all, Traffic{routeNames[r], outcomeNames[o], took})
			}
		}
	}
	return all
}

// Searches is how long all seat searches took, and how many of them an error of ours ended.
func (s *Server) Searches() (took latency.Snapshot, errors uint64) {
	for o := range outcomes {
		snapshot := s.traffic.took[toAvailability][o].Snapshot()
		took.Add(&snapshot)
		if o == failed {
			errors = snapshot.Count
		}
	}
	return took, errors
}

// Ages is how old the data were when seat searches were answered, as far as that could be proved.
func (s *Server) Ages() latency.Snapshot { return s.traffic.ages.Snapshot() }

// Streams is how many are open, and how many events they were sent.
func (s *Server) Streams() (open int, events uint64) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.hub.streams, s.traffic.events.Load()
}

// Limits tells of the gate, and of clients that were forgotten for want of room.
func (s *Server) Limits() (gate limit.GateStats, forgotten uint64) {
	return s.gate.Stats(), s.buckets.Lost()
}

// Client is whom an address belongs to, as limits tell clients apart.
func (s *Server) Client(a netip.Addr) netip.Addr { return s.buckets.Whole(a) }

// measure counts and times a request that gin answers.
func (s *Server) measure(c *gin.Context) {
	began := time.Now()
	c.Next()
	r, known := routesByPath[c.FullPath()]
	if !known {
		r = toOther
	}
	o, took := outcomeOf(c), time.Since(began)
	if r != toStream || o != ok { // a stream counts when it begins
		s.traffic.took[r][o].Record(took)
	}
	if s.trace != nil {
		s.tell(c.GetHeader("traceparent"), c.Request.Method, r, o, c.Writer.Status(), began, took)
	}
	if s.logged() {
		s.access(c.Request.Method, c.Request.URL.Path, c.Request.URL.RawQuery, c.ClientIP(), o, c.Writer.Status(), max(c.Writer.Size(), 0), took)
	}
}

// tell tells the collector of a request.
func (s *Server) tell(parent, method string, r route, o outcome, status int, began time.Time, took time.Duration) {
	s.trace.Tell(&trace.Request{Parent: parent, Method: method, Route: routeNames[r], Outcome: outcomeNames[o], Status: status, Began: began, Took: took})
}

// logged reports whether a request is one of those that are to be logged.
func (s *Server) logged() bool {
	share := s.settings.Load().AccessLog
	return share > 0 && rand.Float64() < share
}

// access logs a request. What a client sent is cut, and the log's handler makes it fit.
func (s *Server) access(method, path, query, client string, o outcome, status, bytes int, took time.Duration) {
	s.log.Info("request", "method", method, "path", clip(path), "query", cut(query), "client", client, "outcome", outcomeNames[o], "status", status, "bytes", bytes, "seconds", took.Seconds())
}

// longestQuery is as much of a query as is logged: more than any that is understood.
const longestQuery = 512

func cut(query string) string {
	if len(query) > longestQuery {
		query = query[:longestQuery]
	}
	return strings.ToValidUTF8(query, "?")
}

// problemKey is where fail leaves the kind of its problem for measure.
const problemKey = "problem"

func outcomeOf(c *gin.Context) outcome {
	switch status := c.Writer.Status(); {
	case status == http.StatusNotModified:
		return notModified
	case status == http.StatusTooManyRequests:
		return limited
	case status == http.StatusServiceUnavailable:
		if kind := c.GetString(problemKey); kind == tooOld.slug || kind == notFresh.slug || kind == notReached.slug {
			return stale
		} else if kind == tooMuch.slug {
			return shed
		}
		return unready
	case status >= http.StatusInternalServerError:
		return failed
	case status >= http.StatusBadRequest:
		return badRequest
	default:
		return ok
	}
}
