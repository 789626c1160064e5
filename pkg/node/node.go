// Package node puts a query node together. The program, the demo and the tests start it the same way:
//
//	feed.Conn -> feed.Reader -> replica.Replica -> view -> render -> httpapi -> clients
//	             \__ replica.Follower keeps one _/
//
// Invariants (cited by the tests as N1...):
//
//	N1 A node answers /healthz from its first moment, and queries from the moment it is ready.
//	N2 A node that is told to stop finishes what is on the way within the drain time, ends its streams and leaves no goroutine.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/accuracy"
	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/httpapi"
	"github.com/yupiao/yupiao/pkg/metrics"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/replica"
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
	// Refused, if set, says why changed settings are not in force, for the metrics.
	Refused func() error
}

// Node is a query node that listens. Run it.
type Node struct {
	settings config.Node
	options  Options
	conn     *feed.Conn
	follower *replica.Follower
	public   net.Listener
	admin    net.Listener // nil if it is turned off
	keys     offer.Keys
	accuracy accuracy.Record
	answers  *answer.Cache
	pilot    *pilot
	policy   atomic.Pointer[policy.Policy]
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
	n := &Node{settings: settings, options: o}
	if err := n.open(); err != nil {
		n.close()
		return nil, err
	}
	n.follower = replica.NewFollower(n.conn, replica.Options{Clock: o.Clock, OnFault: n.logFault, Between: o.Between})
	return n, nil
}

func (n *Node) open() (err error) {
	if n.keys, err = n.settings.Offers.Load(); err != nil {
		return err
	}
	n.conn, err = feed.Connect(feed.Options{
		URL: n.settings.Feed.URL, InProcess: n.options.InProcess, Name: n.settings.Feed.Name, Credentials: n.settings.Feed.Credentials,
		OnState: func(err error) { n.options.Log.Warn("connection to the feed", "lost", err != nil, "error", err) },
	})
	if err != nil {
		return err
	}
	n.pilot = newPilot(n.options.Log)
	n.policy.Store(n.settings.Policy())
	n.answers, err = answer.New(answer.Options{Memory: int64(n.settings.Answers.Memory) << 20, Policy: n.policy.Load, Auto: n.pilot.ttl})
	if err != nil {
		return err
	}
	if n.public, err = net.Listen("tcp", n.settings.HTTP.Address); err != nil {
		return fmt.Errorf("http.address: %w", err)
	}
	if n.settings.Admin.Address == "" {
		return nil
	}
	if n.admin, err = net.Listen("tcp", n.settings.Admin.Address); err != nil {
		return fmt.Errorf("admin.address: %w", err)
	}
	return nil
}

func (n *Node) close() {
	if n.conn != nil {
		n.conn.Close()
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

// Follow takes what can change while the node runs from settings that have changed. It holds for the next request. Safe for concurrent use.
func (n *Node) Follow(settings *config.Node) {
	n.policy.Store(settings.Policy())
	n.pilot.forget()
	n.options.Log.Info("settings", "ttl", settings.Freshness.TTL, "rules", len(settings.Rules))
}

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
	streams, endStreams := context.WithCancel(context.Background())
	defer endStreams()
	handler, err := n.handler(streams)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.follower.Run(ctx) })
	group.Go(func() error { return feed.Outcomes(ctx, n.conn, n.accuracy.Add, n.brokenOutcome) })
	group.Go(func() error { return n.logLoading(ctx) })
	group.Go(func() error { return n.pilot.run(ctx) })
	group.Go(func() error { return n.serve(ctx, n.public, handler, endStreams) })
	if n.admin != nil {
		group.Go(func() error { return n.serve(ctx, n.admin, n.adminHandler(), func() {}) })
	}
	return group.Wait()
}

func (n *Node) handler(streams context.Context) (http.Handler, error) {
	settings := n.settings
	page, err := web.Handler(web.Options{Booking: settings.Page.Booking})
	if err != nil {
		return nil, fmt.Errorf("page.booking: %w", err)
	}
	return httpapi.New(streams, httpapi.Options{
		Source: n.follower, Answers: n.answers, Clock: n.options.Clock, Log: n.options.Log, Page: page,
		Documents: map[string][]byte{"/openapi.yaml": api.OpenAPI, "/asyncapi.yaml": api.AsyncAPI, "/yupiao/v1/feed.proto": api.Schema},
		Settings: httpapi.Settings{
			PositionWait: settings.Answers.PositionWait,
			MaxStreams:   settings.Streams.Max, MaxStreamsPerClient: settings.Streams.MaxPerClient, TrustedProxies: settings.HTTP.TrustedProxies,
			OfferKeys: n.keys,
		},
	})
}

func (n *Node) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler(n.follower, &n.accuracy, n.answers.Stats, n.options.Refused, n.options.Clock))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// serve serves a listener until ctx ends. Its streams are ended first, since they would never end by themselves.
func (n *Node) serve(ctx context.Context, l net.Listener, h http.Handler, endStreams func()) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(n.options.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		endStreams()
		drain, cancel := context.WithTimeout(context.Background(), n.settings.HTTP.Drain)
		defer cancel()
		stopped <- server.Shutdown(drain)
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

func (n *Node) logFault(f replica.Fault) {
	attrs := []any{"kind", f.Kind, "error", f.Err}
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
