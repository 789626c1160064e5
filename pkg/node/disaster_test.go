package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// troubled stands between the feed and a node. While it withholds, a run's second change does not come through, nor a later state of it, nor any state of stateless, nor a list of versions. While
// its dam is locked, no deltas come through, as in a node that is too slow for them.
type troubled struct {
	feed.Sink
	withholds *atomic.Bool
	dam       *sync.RWMutex
	run       rail.RunID
}

// stateless is the train of a run of which only changes come.
const stateless = "G99"

// roomFor is how many runs a node has room for.
const roomFor = 20

func (s *troubled) Deltas(p rail.Partition, b *event.DeltaBatch, sequence uint64) {
	s.dam.RLock()
	defer s.dam.RUnlock()
	if b = b.Clone(); s.withholds.Load() {
		b.Deltas = slices.DeleteFunc(b.Deltas, func(d event.RunDelta) bool { return d.Run == s.run && d.Version.Revision == 2 })
	}
	s.Sink.Deltas(p, b, sequence)
}

func (s *troubled) State(p rail.Partition, r *event.RunState) {
	if !s.withholds.Load() || r.Run.Trip != stateless && (r.Run != s.run || r.Version.Revision == 1) {
		s.Sink.State(p, r)
	}
}

func (s *troubled) Versions(p rail.Partition, date rail.Date, v *event.Versions) {
	if !s.withholds.Load() {
		s.Sink.Versions(p, date, v)
	}
}

// cable is a way to a server that can be cut for good.
type cable struct {
	host *testkit.Host
	mu   sync.Mutex // guards what follows
	cut  bool
	ends []net.Conn
}

// InProcessConn is feed.InProcess.
func (c *cable) InProcessConn() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.New("the cable is cut")
	}
	end, err := c.host.InProcessConn()
	c.ends = append(c.ends, end)
	return end, err
}

func (c *cable) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for _, end := range c.ends {
		_ = end.Close() // that is what is meant
	}
}

// disaster is one or two nodes with their feed, to which something happens.
type disaster struct {
	t         *testing.T
	host      *testkit.Host
	ledger    *testkit.Ledger
	publisher *feed.Publisher
	runs      []rail.RunID
	nodes     []*node.Node
	stopNode  func()          // of the last one
	feed      context.Context // ends with stopFeed
	stopFeed  context.CancelFunc
	// What befalls the first node.
	withholds, faulty atomic.Bool
	dam               sync.RWMutex
	stories           []story
	excused           [2]bool // who cannot be young
}

func newDisaster(t *testing.T) *disaster {
	t.Helper()
	d := &disaster{t: t, host: testkit.Broker(t)}
	ctx, cancel := context.WithCancel(t.Context())
	d.feed, d.stopFeed = ctx, cancel
	t.Cleanup(cancel)
	d.ledger, d.publisher, d.runs = publishBy(ctx, t, d.host, 5, feed.PublisherOptions{DigestEvery: 100 * time.Millisecond})
	go d.complete()
	d.start(d.host)
	return d
}

// start starts a node, and waits until it is well.
func (d *disaster) start(host feed.InProcess) {
	d.t.Helper()
	d.add(host)
	i := len(d.nodes) - 1
	var m moment
	testkit.Eventually(d.t, "a live node", func() bool {
		m = d.look(i)
		return m.series[`yupiao_age_seconds{}`] > 0 && m.series[`yupiao_age_seconds{}`] < 1
	})
	d.stories = append(d.stories, story{before: m})
}

func (d *disaster) add(host feed.InProcess) {
	d.t.Helper()
	s, o := settings(), node.Options{InProcess: host}
	s.Admin.Token, s.Feed.MaxRuns = token32, roomFor
	if s.Feed.Name = "node-2"; len(d.nodes) == 0 {
		s.Feed.Name, o.Clock = "node-1", d.clock
		o.Between = func(s feed.Sink) feed.Sink { return &troubled{s, &d.withholds, &d.dam, d.runs[0]} }
	}
	n, err := node.New(s, o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.nodes, d.stopNode = append(d.nodes, n), testkit.Run(d.t, n.Run)
}

// replace has another node stand in the first one's place, on an empty server to which somebody may publish something before.
func (d *disaster) replace(publish func(*testing.T, *testkit.Host)) {
	d.t.Helper()
	host := testkit.Broker(d.t)
	publish(d.t, host)
	d.nodes = nil
	d.add(host)
}

// clock is the first node's time. While the node is faulty, what answers travellers panics when it asks for it, as a program with a bug does.
func (d *disaster) clock() time.Time {
	if d.faulty.Load() {
		callers := make([]uintptr, 8)
		for frames, more := runtime.CallersFrames(callers[:runtime.Callers(1, callers)]), true; more; {
			var f runtime.Frame
			if f, more = frames.Next(); strings.Contains(f.Function, "httpapi.(*Server)") {
				panic("a bug")
			}
		}
	}
	return time.Now()
}

func (d *disaster) look(i int) moment { return moment{time.Now(), samples(scrape(d.t, d.nodes[i]))} }

// ask asks a node for what there is, with a header if that has a value.
func (d *disaster) ask(i int, header, value string) http.Header {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+d.nodes[i].Address()+"/v1/availability?from=BJP&to=SHH&date="+d.runs[0].Date.String(), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if value != "" {
		r.Header.Set(header, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.Header
}

func (d *disaster) sell(run rail.RunID, places rail.SeatCount) {
	d.t.Helper()
	if err := d.publisher.Publish(d.t.Context(), []feed.Change{d.ledger.Sell(run, places)}); err != nil {
		d.t.Fatal(err)
	}
}

// complete says on and on that all is published, as a backend does: the age would grow from the first time on.
func (d *disaster) complete() {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-d.feed.Done():
			return
		case now := <-ticker.C:
			d.publisher.Complete(now)
		}
	}
}

// until waits until a node shows something, which stays so. It takes a moment at which a machine that has too much to do is no fault of its own: as long as the feed lives and is not held up, all ages
// are young.
func (d *disaster) until(series string, holds func(float64) bool) {
	d.t.Helper()
	testkit.Eventually(d.t, series, func() bool {
		return d.see() && slices.ContainsFunc(d.stories, func(s story) bool { return holds(s.now.series[series]) })
	})
}

// goesOn does something over and over until what all of it does within a moment is that a rate of the first node is beyond a bound: that goes on. The moment is short, so that there is one in which
// the machine has nothing else to do.
func (d *disaster) goesOn(what string, does func(), holds func(rate func(series string) float64) bool) {
	d.t.Helper()
	for deadline := time.Now().Add(2 * testkit.Patience); ; {
		for i := range d.nodes {
			d.stories[i].then = d.look(i)
		}
		for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
			does()
		}
		s := &d.stories[0]
		if d.see() && holds(func(series string) float64 { return s.now.rate(&s.then, series) }) {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("not within %s: %s", 2*testkit.Patience, what)
		}
	}
}

// see looks at all nodes, and reports whether each is as young as it should be.
func (d *disaster) see() bool {
	young := true
	for i := range d.nodes {
		s := &d.stories[i]
		s.now = d.look(i)
		young = young && (d.feed.Err() != nil || d.excused[i] || s.now.series["yupiao_age_seconds{}"] < 1)
	}
	return young
}

func above(bound float64) func(float64) bool { return func(v float64) bool { return v > bound } }

// search is the series of all seat searches that ended so.
func searches(outcome string) string {
	return `yupiao_http_request_duration_seconds_count{outcome="` + outcome + `",route="availability"}`
}

// faults are what happens to a railway, with the alerts that it should raise.
var faults = []struct {
	name  string
	fault func(d *disaster)
	want  []string
	after time.Duration // 0: four minutes
}{
	{"none, under load", func(d *disaster) {
		for i := range 200 {
			d.sell(d.runs[i%5], 1-rail.SeatCount(i/5%2)*2)
			d.ask(0, "", "")
		}
		d.until("yupiao_events_applied_total{}", above(200))
	}, nil, 0},
	{"the booking backend dies", func(d *disaster) {
		d.stopFeed()
		d.until("yupiao_age_seconds{}", above(2))
	}, []string{"YupiaoAgeOld"}, 0},
	{"nonsense in the feed", func(d *disaster) {
		if err := testkit.Plain(d.t, d.host).Publish("yupiao.v1.delta.3", []byte("nonsense")); err != nil {
			d.t.Fatal(err)
		}
		d.until("yupiao_events_broken_total{}", above(0))
	}, []string{"YupiaoEventsBroken"}, 0},
	{"a change that is lost, and cannot be had again", func(d *disaster) {
		d.withholds.Store(true)
		d.sell(d.runs[0], 1)
		d.sell(d.runs[0], 1)
		d.until("yupiao_runs_behind{}", above(0))
	}, []string{"YupiaoRunsBehind"}, 0},
	{"a change that is lost unseen, and nobody tells which", func(d *disaster) {
		d.withholds.Store(true)
		d.sell(d.runs[0], 1)
		d.goesOn("digests that differ", func() { d.pause() }, func(rate func(string) float64) bool { return rate("yupiao_digests_differing_total{}") > 1 })
	}, []string{"YupiaoDigestsDiffer"}, 0},
	{"a run whose state does not come", func(d *disaster) {
		d.withholds.Store(true)
		if err := d.publisher.Publish(d.t.Context(), []feed.Change{d.ledger.Open(rail.RunID{Date: d.runs[0].Date, Trip: stateless}, 1)}); err != nil {
			d.t.Fatal(err)
		}
		d.until("yupiao_runs_unseen{}", above(0))
	}, []string{"YupiaoRunsUnseen"}, 0},
	{"more places sold than there are", func(d *disaster) {
		d.sell(d.runs[0], testkit.Full+1)
		d.until("yupiao_runs_quarantined{}", above(0))
	}, []string{"YupiaoEventsBroken", "YupiaoRunsQuarantined"}, 0},
	{"more runs than a node has room for", func(d *disaster) {
		for i := range roomFor {
			if err := d.publisher.Publish(d.t.Context(), []feed.Change{d.ledger.Open(rail.RunID{Date: d.runs[0].Date, Trip: rail.TripID(fmt.Sprint("X", i))}, 1)}); err != nil {
				d.t.Fatal(err)
			}
		}
		d.until("yupiao_dates_lacking{}", above(0))
	}, []string{"YupiaoDatesLacking", "YupiaoEventsBroken"}, 0},
	{"settings that nobody can read", func(d *disaster) {
		if _, err := testkit.Conn(d.t, d.host).Store(d.t.Context(), feed.SharedSettings, []byte(`{"format":9}`), 0); err != nil {
			d.t.Fatal(err)
		}
		d.until("yupiao_settings_refused{}", above(0))
	}, []string{"YupiaoSettingsRefused"}, 0},
	{"a node that is cut off when settings are changed", func(d *disaster) {
		way := &cable{host: d.host}
		d.start(way)
		way.sever()
		d.excused[1] = true
		if _, _, err := d.operator().Share(d.t.Context(), fleet.Proposal{Document: "freshness:\n  client_max_age: 7s\n", By: "ann"}); err != nil {
			d.t.Fatal(err)
		}
		d.until("yupiao_age_seconds{}", above(2))
	}, []string{"YupiaoAgeOld", "YupiaoSettingsApart"}, 0},
	{"a stream that is deleted while nobody publishes", func(d *disaster) {
		d.stopFeed()
		deleteStream(d.t, d.host, "YUPIAO_STATE")
		d.until("yupiao_degraded{}", above(0))
	}, []string{"YupiaoAgeOld", "YupiaoDegraded"}, 0},
	{"a stream that is deleted over and over", func(d *disaster) {
		for i := range 4 {
			deleteStream(d.t, d.host, "YUPIAO_STATE")
			d.until("yupiao_reloads_total{}", above(float64(i)))
		}
	}, []string{"YupiaoReloads"}, 0},
	{"the node dies", func(d *disaster) {
		d.stopNode()
		d.until("up", func(up float64) bool { return up == 0 })
	}, []string{"YupiaoFewNodes", "YupiaoNodeDown"}, 0},
	{"nothing to load", func(d *disaster) {
		d.replace(func(*testing.T, *testkit.Host) {})
		d.until("yupiao_ready{}", func(ready float64) bool { return ready == 0 })
	}, []string{"YupiaoFewNodes", "YupiaoNotReady"}, 0},
	{"a publisher that never says that it is complete", func(d *disaster) {
		d.replace(silent)
		d.until("yupiao_ready{}", above(0))
	}, []string{"YupiaoAgeUnproved"}, 0},
	{"a node that is too slow for the feed", func(d *disaster) {
		d.block()
		for i := range 1100 {
			d.sell(d.runs[0], 1-rail.SeatCount(i%2)*2)
		}
		d.until("yupiao_feed_lag_messages{}", above(1000))
		d.until("yupiao_age_seconds{}", above(2))
	}, []string{"YupiaoAgeOld", "YupiaoFeedLag"}, 0},
	{"a node that keeps those waiting who have seen more elsewhere", func(d *disaster) {
		d.start(d.host)
		d.block()
		d.sell(d.runs[0], 1)
		d.until("yupiao_age_seconds{}", above(2))
		d.goesOn("slow searches", func() { d.ask(0, "Yupiao-Position", d.ask(1, "", "").Get("Yupiao-Position")) }, func(rate func(string) float64) bool {
			return rate(searches("not_fresh")) > 0.5
		})
	}, []string{"YupiaoAgeOld", "YupiaoSlow"}, 10 * time.Minute},
	{"a program with a bug", func(d *disaster) {
		d.faulty.Store(true)
		d.goesOn("errors", func() { d.ask(0, "", "") }, func(rate func(string) float64) bool { return rate(searches("error")) > 0 })
	}, []string{"YupiaoErrors"}, 0},
	{"offers that are gone when they are taken", func(d *disaster) {
		n := 0
		d.goesOn("offers", func() {
			d.pause()
			result := offer.Held
			if n++; n%2 == 0 {
				result = offer.SoldOut
			}
			o := offer.Offer{Run: d.runs[0], Class: "O", To: 2, Version: rail.Version{Epoch: 1, Revision: 1}, At: time.Now()}
			if err := d.publisher.Outcome(offer.Outcome{Offer: o, Result: result, At: time.Now()}); err != nil {
				d.t.Fatal(err)
			}
		}, func(rate func(string) float64) bool {
			return rate(`yupiao_offer_outcomes_total{age="100ms",result="SOLD_OUT",ttl="0"}`) > 0
		})
	}, []string{"YupiaoOffersBreak"}, 25 * time.Minute},
	{"a drain that nobody takes back", func(d *disaster) {
		d.start(d.host)
		if _, err := d.operator().Drain(d.t.Context(), fleet.DrainOrder{Node: "node-2", Draining: true, By: "ann"}); err != nil {
			d.t.Fatal(err)
		}
		d.until("yupiao_draining{}", above(0))
	}, []string{"YupiaoDrainForgotten"}, 2*time.Hour + time.Minute},
	{"a crowd that takes all there is", func(d *disaster) {
		was := runtime.GOMAXPROCS(1)
		d.t.Cleanup(func() { runtime.GOMAXPROCS(was) })
		d.goesOn("a busy process", func() { d.ask(0, "", "") }, func(rate func(string) float64) bool { return rate("process_cpu_seconds_total{}") > 0.85 })
	}, []string{"YupiaoBusy"}, 20 * time.Minute},
	{"too little memory", func(d *disaster) {
		was, processors := debug.SetMemoryLimit(16<<20), runtime.GOMAXPROCS(16) // which there are not, so that they cannot all be busy
		d.t.Cleanup(func() {
			debug.SetMemoryLimit(was)
			runtime.GOMAXPROCS(processors)
		})
		d.goesOn("a process that collects garbage", func() { d.pause(); d.ask(0, "", "") }, func(rate func(string) float64) bool {
			work := rate("go_cpu_classes_total_cpu_seconds_total{}") - rate("go_cpu_classes_idle_cpu_seconds_total{}")
			return rate("go_cpu_classes_gc_total_cpu_seconds_total{}") > 0.25*work
		})
	}, []string{"YupiaoMemoryNearLimit"}, 20 * time.Minute},
}

// From the metrics of a real fault, the alerts fire that it should raise and no other; from those of a healthy node under load, none.
func TestAlertsFireOnFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			d := newDisaster(t)
			f.fault(d)
			if f.after == 0 {
				f.after = 4 * time.Minute
			}
			if got := alerts(t, d.stories, f.after); !slices.Equal(got, f.want) {
				t.Errorf("%v fire; want %v", got, f.want)
			}
		})
	}
}

// No alert is without a real fault that raises it.
func TestAlertsHaveFaults(t *testing.T) {
	raised := map[string]bool{}
	for _, f := range faults {
		for _, alert := range f.want {
			raised[alert] = true
		}
	}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" && !raised[r.Alert] {
				t.Errorf("no real fault raises %s", r.Alert)
			}
		}
	}
}

// block has nothing more come through to the first node until the test ends.
func (d *disaster) block() {
	d.dam.Lock()
	d.t.Cleanup(d.dam.Unlock)
	d.excused[0] = true
}

// pause lets the nodes work.
func (d *disaster) pause() {
	select {
	case <-time.After(5 * time.Millisecond):
	case <-d.t.Context().Done():
	}
}

func (d *disaster) operator() *fleet.Operator { return fleet.NewOperator(testkit.Conn(d.t, d.host)) }

func deleteStream(t *testing.T, host *testkit.Host, name string) {
	t.Helper()
	if _, err := testkit.Plain(t, host).Request("$JS.API.STREAM.DELETE."+name, nil, testkit.Patience); err != nil {
		t.Fatal(err)
	}
}

// silent publishes runs and no proof that they are all.
func silent(t *testing.T, host *testkit.Host) {
	t.Helper()
	p := testkit.Pattern("G1", 600)
	ledger := testkit.NewLedger(p)
	publisher, err := feed.NewPublisher(t.Context(), testkit.Conn(t, host), ledger, feed.PublisherOptions{})
	if err == nil {
		err = errors.Join(publisher.Network(t.Context(), testkit.Network()), publisher.Patterns(t.Context(), []*timetable.Pattern{p}))
	}
	run := rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + 2, Trip: "G1"}
	if err = errors.Join(err, publisher.Publish(t.Context(), []feed.Change{ledger.Open(run, 1)})); err != nil {
		t.Fatal(err)
	}
}
