package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
)

var (
	seeds = flag.Uint64("sim.seeds", 100, "so many schedules are simulated")
	seed  = flag.Uint64("sim.seed", 1, "the first of them")
	only  = flag.String("sim.only", "", "faults of these kinds alone, between commas")
	brief = flag.Bool("sim.brief", false, "what is broken is told, but no minimal schedule")
)

// simulate runs a plan in a bubble of its own.
func simulate(t *testing.T, p *Plan, talks bool) (result *Result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { result = Run(p, talks) })
	return result
}

func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1) // so that goroutines that are ready at one moment run in an order of their own making, not the machine's
	m.Run()
}

// forgetful loses the counts of every third revision.
type forgetful struct{ feed.Sink }

func (f forgetful) Deltas(p rail.Partition, b *event.DeltaBatch, sequence uint64) {
	for i := range b.Deltas {
		if b.Deltas[i].Version.Revision%3 == 0 {
			b.Deltas[i].Adjusts = nil
		}
	}
	f.Sink.Deltas(p, b, sequence)
}

// A plan that breaks a rule is made smaller as long as it breaks the same one.
func TestMinimal(t *testing.T) {
	p := NewPlan(1)
	p.between = func(s feed.Sink) feed.Sink { return forgetful{s} }
	before := simulate(t, p, false)
	q := Minimal(p, func(p *Plan) *Result { return simulate(t, p, false) })
	after := simulate(t, q, true)
	if !strings.HasPrefix(before.Broken, "S2") || !strings.HasPrefix(after.Broken, "S2") || len(q.Acts) > 2 || len(after.Log) == 0 {
		t.Errorf("%d acts break %s; the smallest plan is\n%s\nand breaks %s", len(p.Acts), before.Broken, q, after.Broken)
	}
}

// R9: a publisher out of its mind, by whose heartbeats the streams are others time and again, does not have a node load without end.
func TestReloadsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loads atomic.Int64
		w := begin(&Plan{Nodes: 1, Skews: make([]time.Duration, 1), DeltaAge: time.Hour, between: func(s feed.Sink) feed.Sink {
			loads.Add(1)
			return s
		}}, false)
		began, vandal := loads.Load(), w.newLink("vandal")
		for range 600 {
			h := event.Heartbeat{Time: time.Now(), Publisher: w.backend.name, Created: map[string]time.Time{feed.DeltaStream: time.Unix(1, 0)}}
			data, err := event.EncodeHeartbeat(&h, event.Protobuf)
			if err != nil || vandal.Tell("yupiao.v1.heartbeat", data) != nil {
				t.Fatal(err)
			}
			w.wait(100 * time.Millisecond)
		}
		if n := loads.Load() - began; n < 10 || n > 25 {
			t.Errorf("loaded %d times in a minute", n)
		}
		w.settle()
		w.end()
		if w.result.Broken != "" {
			t.Error(w.result.Broken)
		}
	})
}

// Nothing that anybody has thought of breaks a rule.
func TestSchedules(t *testing.T) {
	began := time.Now()
	faults, err := ParseKinds(*only)
	if err != nil {
		t.Fatal("-sim.only:", err)
	}
	var total Result
	for s := *seed; s < *seed+*seeds; s++ {
		p := NewPlan(s, faults...)
		r := simulate(t, p, false)
		total.Steps += r.Steps
		for k, n := range r.Acts {
			total.Acts[k] += n
		}
		if r.Broken != "" {
			t.Logf("seed %d breaks %s", s, r.Broken)
			if *brief {
				t.FailNow()
			}
			q := Minimal(p, func(p *Plan) *Result { return simulate(t, p, false) })
			r = simulate(t, q, true)
			t.Fatalf("seed %d breaks %s\n%s\n\n%s", s, r.Broken, q, strings.Join(r.Log, "\n"))
		}
	}
	var acts []string
	for k, n := range total.Acts {
		acts = append(acts, fmt.Sprintf("%s %d", Kind(k), n))
	}
	_, _ = fmt.Fprintf(os.Stderr, "%d schedules in %s, %d steps: %s\n", *seeds, time.Since(began).Round(time.Millisecond), total.Steps, strings.Join(acts, ", "))
}
