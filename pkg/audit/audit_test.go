package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// faulty stands between the feed and a node: while it is on, it takes a place too many off one run, and keeps another from the node altogether.
type faulty struct {
	feed.Sink
	on          *atomic.Bool
	wrong, gone rail.RunID
}

func (f *faulty) Deltas(p rail.Partition, b *event.DeltaBatch, sequence uint64) {
	b = b.Clone()
	kept := b.Deltas[:0]
	for _, d := range b.Deltas {
		if f.on.Load() && d.Run == f.gone {
			continue
		}
		if f.on.Load() && d.Run == f.wrong && len(d.Adjusts) > 0 {
			d.Adjusts[0].By--
		}
		kept = append(kept, d)
	}
	b.Deltas = kept
	f.Sink.Deltas(p, b, sequence)
}

func (f *faulty) State(p rail.Partition, s *event.RunState) {
	if !f.on.Load() || s.Run != f.gone {
		f.Sink.State(p, s)
	}
}

// world is a publisher whose runs are sold all the time, and nodes.
type world struct {
	t         *testing.T
	host      *testkit.Host
	ledger    *testkit.Ledger
	publisher *feed.Publisher
	runs      []rail.RunID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, host: testkit.Broker(t)}
	pattern := testkit.Pattern("G1", 600)
	w.ledger = testkit.NewLedger(pattern)
	var err error
	w.publisher, err = feed.NewPublisher(t.Context(), testkit.Conn(t, w.host), w.ledger, feed.PublisherOptions{DigestEvery: time.Hour})
	if err == nil {
		err = errors.Join(w.publisher.Network(t.Context(), testkit.Network()), w.publisher.Patterns(t.Context(), []*timetable.Pattern{pattern}))
	}
	var changes []feed.Change
	for i := range 60 {
		w.runs = append(w.runs, rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + rail.Date(1+i%2), Trip: rail.TripID(fmt.Sprint("G", i))})
		changes = append(changes, w.ledger.Open(w.runs[i], 1))
	}
	if err = errors.Join(err, w.publisher.Publish(t.Context(), changes)); err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, w.publisher.Serve)
	w.publisher.Complete(time.Now())
	return w
}

// sell sells a place of a run.
func (w *world) sell(ctx context.Context, run rail.RunID) {
	if err := w.publisher.Publish(ctx, []feed.Change{w.ledger.Sell(run, 1)}); err != nil && ctx.Err() == nil {
		w.t.Error(err)
	}
}

func (w *world) node(name string, between func(feed.Sink) feed.Sink) *node.Node {
	w.t.Helper()
	s := config.DefaultNode()
	s.HTTP.Address, s.Admin.Address, s.Feed.Name = "127.0.0.1:0", "", name
	n, err := node.New(s, node.Options{InProcess: w.host, Between: between})
	if err != nil {
		w.t.Fatal(err)
	}
	testkit.Run(w.t, n.Run)
	<-n.Follower().Ready()
	return n
}

func (w *world) audit(repair bool) *Report {
	w.t.Helper()
	report, err := Run(w.t.Context(), Options{Conn: testkit.Conn(w.t, w.host), Repair: repair, By: "ann"})
	if err != nil {
		w.t.Fatal(err)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		w.t.Fatal(err)
	}
	w.t.Log("\n" + text.String())
	return report
}

// A1, A2, A3: while all runs are sold, a wrong number on one node and a run that another lacks are found, and nothing else; a repair mends them.
func TestAudit(t *testing.T) {
	w := newWorld(t)
	var wrong, gone atomic.Bool
	wrong.Store(true)
	gone.Store(true)
	w.node("good", nil)
	bad := w.node("wrong", func(s feed.Sink) feed.Sink { return &faulty{Sink: s, on: &wrong, wrong: w.runs[3]} })
	w.node("lacking", func(s feed.Sink) feed.Sink { return &faulty{Sink: s, on: &gone, gone: w.runs[4]} })
	w.sell(t.Context(), w.runs[3])
	testkit.Eventually(t, "the sale", func() bool { return bad.Follower().Replica().Run(w.runs[3]).Sheet().Version().Revision == 2 })
	wrong.Store(false) // what is done is done
	testkit.Run(t, func(ctx context.Context) error {
		for i := 0; ctx.Err() == nil; i++ {
			w.sell(ctx, w.runs[5+i%50])
			if i%50 == 49 {
				for _, run := range w.runs[5:55] { // they never sell out
					_ = w.publisher.Publish(ctx, []feed.Change{w.ledger.Sell(run, -1)})
				}
			}
		}
		return nil
	})
	for _, repair := range []bool{false, true} {
		gone.Store(!repair)
		report := w.audit(repair)
		if report.Clean() != repair || len(report.Nodes) != 3 || len(report.Booking) > 0 {
			t.Fatalf("repair %t: %+v", repair, report)
		}
		for _, n := range report.Nodes {
			want := map[string][2]string{"wrong": {Numbers, w.runs[3].String()}, "lacking": {Missing, w.runs[4].String()}}[n.Name]
			if got := len(n.Findings); n.Silent != "" || n.Name == "good" && got != 0 || n.Name != "good" && got != 1 {
				t.Fatalf("%+v", n)
			}
			for _, f := range n.Findings {
				if f.Kind != want[0] || f.Run != want[1] || f.Mended != repair {
					t.Errorf("%s: %+v; want %v", n.Name, f, want)
				}
				if f.Kind == Numbers && !strings.Contains(f.Text, "class O from VNP to") {
					t.Errorf("%q does not say which number", f.Text)
				}
			}
			if n.Compared+n.Moving+len(n.Findings) != len(w.runs) {
				t.Errorf("%s: %d equal and %d moving of %d", n.Name, n.Compared, n.Moving, len(w.runs))
			}
		}
	}
	if report := w.audit(false); !report.Clean() {
		t.Errorf("after the repair: %+v", report)
	}
	acts, err := fleet.NewOperator(testkit.Conn(t, w.host)).Acts(t.Context(), 10)
	if err != nil || len(acts) != 2 {
		t.Fatalf("%v %+v", err, acts)
	}
	for _, a := range acts {
		if a.What != "repair" || a.By != "ann" || a.Target == "good" || a.Before != "1 runs wrong" || a.After != "0 runs wrong" || a.Nodes[0].Refused != "" {
			t.Errorf("%+v", a)
		}
	}
}

// A repair is somebody's.
func TestRepairIsSigned(t *testing.T) {
	if _, err := Run(t.Context(), Options{Repair: true}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "by is") {
		t.Errorf("got %v", err)
	}
}

// What cannot be looked at is said, and no finding: no node, a node that is not there.
func TestNobodyAnswers(t *testing.T) {
	w := newWorld(t)
	for name, want := range map[string]string{"": "no node", "node-9": "no node node-9 answers"} {
		if _, err := Run(t.Context(), Options{Conn: testkit.Conn(t, w.host), Node: name}); !errors.Is(err, fleet.ErrUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("node %q: %v", name, err)
		}
	}
}

// A1, A2: what two looks at a run come to.
func TestFindings(t *testing.T) {
	v := func(revision uint64) rail.Version { return rail.Version{Epoch: 1, Revision: revision} }
	sum := func(revision uint64, h replica.Health) replica.Sum {
		return replica.Sum{Version: v(revision), Health: h}
	}
	for name, tt := range map[string]struct {
		s    suspect
		want string
	}{
		"lacks it":             {suspect{oursFirst: v(3), ours: sum(3, replica.Live)}, Missing},
		"has too much":         {suspect{theirsFirst: v(3), theirs: sum(3, replica.Live)}, Unknown},
		"hides it":             {suspect{theirsFirst: v(3), oursFirst: v(3), theirs: sum(3, replica.Quarantined), ours: sum(3, replica.Live)}, Quarantined},
		"wrong twice":          {suspect{theirsFirst: v(3), oursFirst: v(3), theirs: sum(4, replica.Live), ours: sum(4, replica.Live), wrong: 2}, Numbers},
		"wrong once":           {suspect{theirsFirst: v(3), oursFirst: v(3), theirs: sum(5, replica.Live), ours: sum(6, replica.Live), wrong: 1}, ""},
		"stands still":         {suspect{theirsFirst: v(3), oursFirst: v(5), theirs: sum(3, replica.Live), ours: sum(9, replica.Live)}, Behind},
		"follows":              {suspect{theirsFirst: v(3), oursFirst: v(5), theirs: sum(8, replica.Live), ours: sum(9, replica.Live)}, ""},
		"is ahead for a while": {suspect{theirsFirst: v(5), oursFirst: v(3), theirs: sum(9, replica.Live), ours: sum(4, replica.Live)}, Ahead},
		"says so itself":       {suspect{theirsFirst: v(3), oursFirst: v(3), theirs: sum(4, replica.Behind), ours: sum(4, replica.Live)}, Behind},
	} {
		if f, found := tt.s.finding("20261201.G1"); f.Kind != tt.want || found != (tt.want != "") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
