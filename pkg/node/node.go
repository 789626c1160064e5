// Package node puts a query node together. The program, the demo and the tests start it the same way:
//
//	feed.Conn -> feed.Reader -> replica.Replica -> view -> render -> answer -> httpapi -> lane -> clients
//	             \__ replica.Follower keeps one _/
//
// Invariants (cited by the tests as N1...):
//
//	N1 A node answers /healthz from its first moment, and queries from the moment it is ready.
//	N2 A node that is told to stop finishes what is on the way within the drain time, ends its streams and leaves no goroutine.
//	N3 A node that is drained by an operator goes on following and answering, but says that it is not ready; it can be taken back.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/accuracy"
	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/console"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/httpapi"
	"github.com/yupiao/yupiao/pkg/lane"
	"github.com/yupiao/yupiao/pkg/limit"
	"github.com/yupiao/yupiao/pkg/metrics"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/trace"
	"github.com/yupiao/yupiao/pkg/web"
)

// Options of a node beside its settings; zero values take the defaults.
type Options struct {
	// InProcess, if set, is the NATS server to use instead of the settings' URL.
	InProcess feed.InProcess
	// Clock is the time; default time.Now.
	Clock func() time.Time
	// Log; default silent.
	Log *slog.Logger
	// Between, if set, stands between the feed and the replica (see replica.Options).
	Between func(feed.Sink) feed.Sink
	// Level, if set, is that of the log, for operators to change.
	Level *slog.LevelVar
	// Refused, if set, says why changed settings are not in force, for the metrics.
	Refused func() error
}

// Node is a query node that listens. Run it.
type Node struct {
	settings atomic.Pointer[config.Node] // in the file, whether shared ones lie over them or not
	options  Options
	started  time.Time
	conn     *feed.Conn
	acts     *feed.Conn // of operators; conn if they have none of their own
	follower *replica.Follower
	quiet    sync.Map // *quiet by kind of fault
	public   net.Listener
	// connections bounds those of public.
	connections *limit.Listener
	admin       net.Listener // nil if it is turned off
	holds       replica.Holds
	accuracy    accuracy.Record
	answers     *answer.Cache
	server      *httpapi.Server
	// streams of live answers end with it.
	streams    context.Context
	endStreams context.CancelFunc
	page       atomic.Pointer[http.Handler]
	layers     *fleet.Layers
	member     *fleet.Member
	pilot      *pilot
	meter      *meter
	history    history
	tracer     *trace.Tracer

	drains  sync.Mutex // guards leaving, and that the server and its lane are drained alike
	leaving bool
}

// New connects to the feed and opens the listeners, so that what cannot work is known at once.
func New(settings config.Node, o Options) (*Node, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Refused == nil {
		o.Refused = func() error { return nil }
	}
	n := &Node{options: o, started: o.Clock()}
	n.streams, n.endStreams = context.WithCancel(context.Background())
	n.settings.Store(&settings)
	if err := n.open(&settings); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *Node) open(s *config.Node) (err error) {
	keys, err := s.Offers.Load()
	if err != nil {
		return err
	}
	if err := n.connect(s); err != nil {
		return err
	}
	n.follower = replica.NewFollower(n.conn, replica.Options{Clock: n.options.Clock, OnFault: n.logFault, Holds: &n.holds, Between: n.options.Between, Limits: s.Feed.Limits()})
	n.layers, n.pilot = fleet.NewLayers(s), newPilot(n.options.Log)
	n.member = fleet.NewMember(fleet.MemberOptions{
		Conn: n.conn, Layers: n.layers, Name: s.Feed.Name, Program: program(), Status: n.status, Try: n.try, Replica: n.follower.Replica, Holds: &n.holds, Drain: n.drain,
		Changed: n.steer, Log: n.options.Log,
	})
	n.answers, err = answer.New(answer.Options{
		Memory: memory(s), Policy: n.layers.Policy, Auto: n.pilot.ttl, Replica: n.follower.Replica, Clock: n.options.Clock,
	})
	if err != nil {
		return err
	}
	if n.tracer, err = trace.New(n.streams, trace.Options{
		Endpoint: s.Trace.Endpoint, Sample: s.Trace.Sample, Service: "yupiaod", Instance: s.Feed.Name, Version: program(), Log: n.options.Log,
	}); err != nil {
		return err
	}
	if err := n.handle(s, keys); err != nil {
		return err
	}
	n.meter = newMeter(n.answers.Stats, n.server.Searches)
	return n.listen(s)
}

// connect connects to the feed, and as an operator if there is one.
func (n *Node) connect(s *config.Node) (err error) {
	o := s.Feed.Options()
	o.InProcess = n.options.InProcess
	o.OnState = func(err error) { n.options.Log.Warn("connection to the feed", "lost", err != nil, "error", err) }
	o.OnTrouble = func(err error) { n.options.Log.Warn("trouble with the feed", "error", err) }
	if n.conn, err = feed.Connect(o); err != nil {
		return err
	}
	n.acts = n.conn
	if o, apart := s.ActOptions(); apart {
		o.InProcess = n.options.InProcess
		if n.acts, err = feed.Connect(o); err != nil {
			return fmt.Errorf("admin.nats_user: %w", err)
		}
	}
	return nil
}

func (n *Node) listen(s *config.Node) (err error) {
	plain := net.ListenConfig{KeepAlive: -1} // whoever is silent too long is closed anyway, and to ask for it takes four calls of the kernel for each connection
	if n.public, err = plain.Listen(n.streams, "tcp", s.HTTP.Address); err != nil {
		return fmt.Errorf("http.address: %w", err)
	}
	n.connections = limit.Listen(n.public, connections(s), limit.ListenerOptions{Client: n.server.Client, Exempt: n.server.Trusted, Always: httpapi.Always, Refusal: httpapi.Refusal()})
	n.public = n.connections
	if s.HTTP.FastLane {
		n.public = lane.Listen(n.public, lane.Options{Path: httpapi.HotPath, Handler: n.server, KeyHeader: s.Limits.KeyHeader})
	}
	if s.Admin.Address == "" {
		return nil
	}
	if n.admin, err = net.Listen("tcp", s.Admin.Address); err != nil {
		return fmt.Errorf("admin.address: %w", err)
	}
	return nil
}

func connections(s *config.Node) limit.Connections {
	return limit.Connections{Total: s.Limits.Connections, PerClient: s.Limits.ConnectionsPerClient, Wait: s.Limits.QueueWait}
}

// memory for answers, in bytes.
func memory(s *config.Node) int64 { return int64(s.Answers.Memory) << 20 }

// program is the version of the program, as it was built.
func program() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func (n *Node) close() {
	n.endStreams()
	telling, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = n.tracer.Close(telling) // what could not be told by now is not waited for
	for _, c := range []*feed.Conn{n.conn, n.acts} {
		if c != nil {
			c.Close()
		}
	}
	if n.answers != nil {
		n.answers.Close()
	}
	for _, l := range []net.Listener{n.public, n.admin} {
		if l != nil {
			_ = l.Close() // a served one is closed already
		}
	}
}

// Follow takes what can change while the node runs from its own settings, which have changed. It holds for the next request. Safe for concurrent use.
func (n *Node) Follow(settings *config.Node) {
	keys, err := settings.Offers.Load()
	if err != nil { // the file of keys has changed again since it was validated
		n.options.Log.Error("settings refused, the last good ones stay in force", "error", err)
		return
	}
	n.settings.Store(settings)
	n.answers.Resize(memory(settings))
	n.server.Follow(limits(settings, keys))
	n.connections.Follow(connections(settings))
	if page, err := web.Handler(web.Options{Booking: settings.Page.Booking}); err == nil { // validated
		n.page.Store(&page)
	}
	if err := n.layers.Base(settings); err != nil {
		n.options.Log.Error("settings refused, the last good ones stay in force", "error", err)
		return
	}
	n.steer()
	n.options.Log.Info("settings", "ttl", settings.Freshness.TTL, "rules", len(settings.Rules))
}

// steer lets go of TTLs that no rule leaves to the node any more.
func (n *Node) steer() { n.pilot.keep(n.layers.Policy()) }

// Address is where queries are answered.
func (n *Node) Address() string { return n.public.Addr().String() }

// AdminAddress is where metrics are served; empty if that is turned off.
func (n *Node) AdminAddress() string {
	if n.admin == nil {
		return ""
	}
	return n.admin.Addr().String()
}

// Follower is the node's replica keeper.
func (n *Node) Follower() *replica.Follower { return n.follower }

// Accuracy is how the offers of the whole fleet have held since the node started. Safe for concurrent use.
func (n *Node) Accuracy() accuracy.Snapshot { return n.accuracy.Snapshot() }

// Run serves until ctx ends, then drains (N2).
func (n *Node) Run(ctx context.Context) error {
	defer n.close()
	n.member.Look(ctx) // before anybody is answered
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.follower.Run(ctx) })
	group.Go(func() error { return feed.Outcomes(ctx, n.conn, n.accuracy.Add, n.brokenOutcome) })
	group.Go(func() error { return n.logLoading(ctx) })
	group.Go(func() error { return n.member.Run(ctx) })
	group.Go(func() error { n.answers.Tend(ctx); return nil })
	group.Go(func() error { return n.meter.run(ctx, n.pilot.steer) })
	group.Go(func() error { return n.history.keep(ctx, n.point) })
	group.Go(func() error { return n.serve(ctx, n.public, n.server, 30*time.Second, n.leave) })
	if n.admin != nil {
		group.Go(func() error {
			return n.serve(ctx, n.admin, n.adminHandler(), admin.WriteTimeout, func(context.Context) error { return nil })
		})
	}
	return group.Wait()
}

// handle makes what answers the public.
func (n *Node) handle(s *config.Node, keys offer.Keys) error {
	page, err := web.Handler(web.Options{Booking: s.Page.Booking})
	if err != nil {
		return fmt.Errorf("page.booking: %w", err)
	}
	n.page.Store(&page)
	n.server, err = httpapi.New(n.streams, httpapi.Options{
		Source: n.follower, Answers: n.answers, Accuracy: &n.accuracy, Clock: n.options.Clock, Log: n.options.Log, Trace: n.tracer, Settings: limits(s, keys),
		Page:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*n.page.Load()).ServeHTTP(w, r) }),
		Documents: map[string][]byte{"/openapi.yaml": api.OpenAPI, "/asyncapi.yaml": api.AsyncAPI, "/yupiao/v1/feed.proto": api.Schema},
	})
	return err
}

func limits(s *config.Node, keys offer.Keys) httpapi.Settings {
	return httpapi.Settings{
		PositionWait: s.Answers.PositionWait, MaxStreams: s.Streams.Max, MaxStreamsPerClient: s.Streams.MaxPerClient,
		Rate:      limit.Rate{PerSecond: s.Limits.RequestsPerSecond, Burst: s.Limits.Burst, IPv6Prefix: s.Limits.IPv6Prefix, Clients: s.Limits.Clients},
		KeyHeader: s.Limits.KeyHeader, QueueWait: s.Limits.QueueWait, TrustedProxies: s.HTTP.TrustedProxies, AllowedOrigins: s.HTTP.AllowedOrigins, OfferKeys: keys, AccessLog: s.HTTP.AccessLog,
	}
}

func (n *Node) adminHandler() http.Handler {
	return admin.Handler(admin.Options{
		Fleet: fleet.NewOperator(n.acts), Node: local{n}, Console: console.Handler(), Document: api.AdminAPI, Token: bearer.New(n.settings.Load().Admin.Token),
		Metrics: metrics.Handler(metrics.Options{
			Source: n.follower, Accuracy: &n.accuracy, Answers: n.answers.Stats, Clock: n.options.Clock,
			Settings: func() (uint64, bool) { return n.layers.Version(), n.refused() != nil },
			Traffic:  n.server.Traffic, Ages: n.server.Ages, Streams: n.server.Streams, Draining: n.server.Draining, Holds: n.holds.Table, Program: program(),
			Limits: metrics.Limits{Gate: n.server.Limits, Connections: n.connections.Stats},
		}),
	})
}

// linger is how long connections stay open when the node stops, so that whoever asks on and on is told with an answer to go elsewhere.
const linger = 250 * time.Millisecond

// leave lets the public go (N2). Streams are ended first, since they would never end by themselves.
func (n *Node) leave(ctx context.Context) error {
	n.drains.Lock()
	n.leaving = true
	n.drains.Unlock()
	n.drain(true)
	n.endStreams()
	select {
	case <-time.After(linger):
	case <-ctx.Done():
	}
	if l := n.lane(); l != nil {
		return l.Drain(ctx)
	}
	return nil
}

// lane in front of net/http; nil if it is turned off.
func (n *Node) lane() *lane.Listener {
	l, _ := n.public.(*lane.Listener)
	return l
}

// serve serves a listener until ctx ends, and then what is on the way, within the drain time.
func (n *Node) serve(ctx context.Context, l net.Listener, h http.Handler, write time.Duration, leave func(context.Context) error) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: write, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(n.options.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.Background(), n.settings.Load().HTTP.Drain)
		defer cancel()
		stopped <- errors.Join(leave(drain), server.Shutdown(drain))
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("drain %s: %w", l.Addr(), err)
	}
	return nil
}

// logLoading shows progress until the first replica is ready.
func (n *Node) logLoading(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	start := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.follower.Ready():
			debug.FreeOSMemory() // what loading has left behind
			s := n.follower.Replica().Stats()
			n.options.Log.Info("ready", "runs", s.Runs, "events", s.Received, "seconds", time.Since(start).Seconds())
			return nil
		case <-ticker.C:
			p := n.follower.Progress()
			rate := float64(p.States) / max(time.Since(p.Started).Seconds(), 0.001)
			n.options.Log.Info("loading", "states", p.States, "expected", p.Expected, "percent", 100*p.States/max(p.Expected, 1),
				"per_second", int(rate), "eta_seconds", int(float64(max(p.Expected, p.States)-p.States)/max(rate, 1)))
		}
	}
}

// faults of a kind that are logged: so many at once, and then so many a second. A publisher that has gone mad makes millions.
const (
	faultsAtOnce    = 20
	faultsPerSecond = 1
)

// quiet is how many faults of a kind have not been logged. Safe for concurrent use.
type quiet struct {
	limit  *rate.Limiter
	unsaid atomic.Uint64
}

// say reports whether the next one may be logged, and how many were not since the last that was.
func (q *quiet) say(now time.Time) (unsaid uint64, ok bool) {
	if !q.limit.AllowN(now, 1) {
		q.unsaid.Add(1)
		return 0, false
	}
	return q.unsaid.Swap(0), true
}

func (n *Node) logFault(f replica.Fault) {
	kind, _ := n.quiet.LoadOrStore(f.Kind, &quiet{limit: rate.NewLimiter(faultsPerSecond, faultsAtOnce)})
	unsaid, ok := kind.(*quiet).say(time.Now())
	if !ok {
		return
	}
	attrs := []any{"kind", f.Kind, "error", f.Err}
	if unsaid > 0 {
		attrs = append(attrs, "more_of_its_kind", unsaid)
	}
	if f.Run.Trip != "" {
		attrs = append(attrs, "run", f.Run.String())
	}
	if f.Where.Subject != "" {
		attrs = append(attrs, "subject", f.Where.Subject, "sequence", f.Where.Sequence)
	}
	n.options.Log.Warn("fault", attrs...)
}

func (n *Node) brokenOutcome(where feed.Position, err error) {
	n.accuracy.Broken()
	n.options.Log.Warn("fault", "kind", "outcome", "error", err, "subject", where.Subject)
}
