// Package httpapi answers over HTTP. It is the only package that knows gin.
//
// Invariants (cited by the tests as H1...):
//
//	H1 Bad input gets a problem (RFC 9457) that names the parameter, the value and what would be right; nothing panics.
//	H2 A number is live or says that it is not: every answer carries Yupiao-As-Of, Age and Yupiao-State, and none is given before the
//	   replica is ready.
//	H3 The tag is of the bytes; an equal If-None-Match gets 304 and no body.
//	H4 A stream's client that applies every event holds the bytes' content of the whole answer under the last event's id. One that
//	   is too slow is told to start anew; nothing is buffered without end.
//	H5 An answer is as fresh as its caller demands: not older than max_age, and not older than the answer whose Yupiao-Position is handed
//	   back, from whichever node that was. Otherwise there is none, and the problem says why.
//	H6 The lane answers each request with the bytes that gin would answer with.
//	H7 Who asks more often than the settings let him is told so at less cost than an answer, and it costs nobody else anything. Health and readiness are always told.
//	H8 Of more than the node can do, hits are answered, work that is no hit waits for its turn as long as that helps, and the rest is refused at once. A client that is slow to
//	   read, watches, or waits for a position holds no turn.
//	H9 No answer is taken for another kind than it is, and no page of another origin can read one unless the settings name its origin.
package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/accuracy"
	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/limit"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/trace"
)

// Source is where answers come from: a replica.Follower, or a fixed replica in tests.
type Source interface {
	// Replica to answer from; nil before the first is ready.
	Replica() *replica.Replica
	// Degraded says why the replica is known not to advance; empty if it does.
	Degraded() string
	// Progress of loading.
	Progress() feed.Progress
}

// Settings of the API; zero values take the defaults.
type Settings struct {
	// PositionWait is how long a request that hands back a position waits for the replica to reach it. Default 1 s.
	PositionWait time.Duration
	// MaxStreams and MaxStreamsPerClient bound the open streams. Defaults 20,000 and 32.
	MaxStreams, MaxStreamsPerClient int
	// TrustedProxies may tell a client's address in X-Forwarded-For; addresses or CIDR ranges. Default none.
	TrustedProxies []string
	// AllowedOrigins are those whose pages may read answers (CORS), such as https://tickets.example. Default none.
	AllowedOrigins []string
	// AccessLog is the share of requests that are logged, 0 to 1. Default none.
	AccessLog float64
	// Rate is how often a client may ask; none by default.
	Rate limit.Rate
	// KeyHeader, if set, is the header in which trusted proxies tell a client's key: clients are told apart by it, and by their addresses where it is absent. The lane must know it too.
	KeyHeader string
	// QueueWait is how long work that is no hit may wait for its turn, where there is more than the node can do; 0: all is done at once.
	QueueWait time.Duration
	// OfferKeys sign the offer tokens of answers to those who ask for them; none: no tokens.
	OfferKeys offer.Keys
}

func (s Settings) orDefault() Settings {
	if s.PositionWait <= 0 {
		s.PositionWait = time.Second
	}
	if s.MaxStreams <= 0 {
		s.MaxStreams = 20000
	}
	if s.MaxStreamsPerClient <= 0 {
		s.MaxStreamsPerClient = 32
	}
	return s
}

// Options of a Server.
type Options struct {
	Source Source
	// Answers keeps them, and knows the policy in force.
	Answers *answer.Cache
	// Accuracy is what came of the fleet's offers; nil for none.
	Accuracy *accuracy.Record
	Settings Settings
	// Documents are served as they are, by path ("/openapi.yaml").
	Documents map[string][]byte
	// Page, if set, answers "/" and "/static/".
	Page http.Handler
	// Clock is the time; default time.Now.
	Clock func() time.Time
	Log   *slog.Logger
	// Trace is told of all requests; nil: nobody is.
	Trace *trace.Tracer
}

// Server answers queries. It is an http.Handler, safe for concurrent use.
type Server struct {
	engine   *gin.Engine
	source   Source
	answers  *answer.Cache
	settings atomic.Pointer[Settings]
	proxies  []netip.Prefix
	buckets  *limit.Buckets
	tooOften atomic.Pointer[refusal]
	origins  atomic.Pointer[origins]
	gate     *limit.Gate
	clock    func() time.Time
	log      *slog.Logger
	hub      *hub
	asOf     asOfText
	traffic  traffic
	trace    *trace.Tracer
	draining atomic.Bool

	keyHeader string

	mu     sync.Mutex         // guards settle, and the order of Drain and Return
	settle context.CancelFunc // ends the restarts of streams; nil if there are none
}

// New makes a server. Streams end when ctx does.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{source: o.Source, answers: o.Answers, clock: o.Clock, log: o.Log, trace: o.Trace}
	s.buckets, s.keyHeader = limit.NewBuckets(o.Settings.Rate), o.Settings.KeyHeader
	s.gate = limit.NewGate(limit.GateOptions{Wait: o.Settings.QueueWait})
	s.Follow(o.Settings)
	var err error
	if s.proxies, err = parseProxies(o.Settings.TrustedProxies); err != nil {
		return nil, err
	}
	s.hub = newHub(ctx, s)
	gin.SetMode(gin.ReleaseMode)
	s.engine = gin.New()
	s.engine.HandleMethodNotAllowed = true
	// A redirection would pass by what is used below.
	s.engine.RedirectTrailingSlash = false
	if err = s.engine.SetTrustedProxies(o.Settings.TrustedProxies); err != nil { // nil trusts nobody; gin's own default is everybody
		return nil, err
	}
	s.engine.Use(s.measure, s.recover, s.last, s.share, s.admit)
	s.routes(o)
	return s, nil
}

// Follow takes other settings, but for the trusted proxies and the header of keys. They hold for the next request.
func (s *Server) Follow(settings Settings) {
	settings = settings.orDefault()
	s.settings.Store(&settings)
	s.tooOften.Store(tooOften(settings.Rate))
	origins := newOrigins(settings.AllowedOrigins)
	s.origins.Store(&origins)
	s.buckets.Follow(settings.Rate)
	s.gate.Follow(settings.QueueWait)
}

func (s *Server) routes(o Options) {
	get := func(path string, h gin.HandlerFunc) {
		s.engine.GET(path, h)
		s.engine.HEAD(path, h)
	}
	get(HotPath, s.availability)
	get("/v1/stations", s.stations)
	get("/v1/runs/:run", s.run)
	get("/v1/accuracy", s.accuracy(cmp.Or(o.Accuracy, &accuracy.Record{})))
	s.engine.GET("/v1/stream", s.stream)
	get("/healthz", s.healthz)
	get("/readyz", s.readyz)
	for path, body := range o.Documents {
		kind := "text/plain; charset=utf-8"
		if strings.HasSuffix(path, ".yaml") {
			kind = "application/yaml; charset=utf-8"
		}
		get(path, func(c *gin.Context) { c.Data(http.StatusOK, kind, body) })
	}
	if o.Page != nil {
		get("/", gin.WrapH(o.Page))
		get("/static/*path", gin.WrapH(o.Page))
	}
	s.engine.NoRoute(func(c *gin.Context) {
		fail(c, &Problem{Kind: notFound, Detail: "there is nothing at this path; see /openapi.yaml", Value: clip(c.Request.URL.Path)})
	})
	s.engine.NoMethod(func(c *gin.Context) {
		if preflight(c) {
			return
		}
		fail(c, &Problem{Kind: methodNotAllowed, Detail: "this path takes GET and HEAD", Value: clip(c.Request.Method)})
	})
}

// restartOver is the time over which streams are told to begin anew elsewhere.
const restartOver = 3 * time.Second

// Drain makes each response from now on its connection's last, the server not ready, and its streams begin anew: clients and balancers go elsewhere. It goes on answering those who
// come all the same.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Swap(true) {
		return
	}
	ctx, cancel := context.WithCancel(s.hub.ctx)
	s.settle = cancel
	go s.hub.restart(ctx, restartOver)
}

// Return undoes Drain. Streams that were not told yet to begin anew stay.
func (s *Server) Return() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Swap(false) {
		s.settle()
	}
}

// Draining reports whether the server is drained.
func (s *Server) Draining() bool { return s.draining.Load() }

func (s *Server) last(c *gin.Context) {
	if s.draining.Load() {
		c.Header("Connection", "close")
	}
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["X-Content-Type-Options"] = nosniff
	s.engine.ServeHTTP(w, r)
}

// recover turns a bug into a logged 500 that tells nothing of the inside.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic while answering", "path", c.Request.URL.Path, "panic", v, "stack", string(debug.Stack()))
			fail(c, &Problem{Kind: internal, Detail: "an error of ours; it was logged"})
		}
	}()
	c.Next()
}
