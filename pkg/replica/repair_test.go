package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// asked lists the repairs that are waiting.
func (g *rig) asked() (kinds []repairKind) {
	for {
		select {
		case r := <-g.replica.repairs:
			kinds = append(kinds, r.kind)
		case r := <-g.replica.searches:
			kinds = append(kinds, r.kind)
		default:
			return kinds
		}
	}
}

func (g *rig) tick(d time.Duration) []repairKind {
	g.now = g.now.Add(d)
	g.replica.Tick(g.part, 0)
	return g.asked()
}

// R3: after a grace the stream is asked, then the publisher, ever more seldom, until the run is mended.
func TestRepairsAreAskedFor(t *testing.T) {
	g := newRig(t)
	g.take(g.state(v(1, 1), 100))
	g.deltas(g.sale(v(1, 3), 1))
	var log []string
	for range 100 {
		for _, kind := range g.tick(50 * time.Millisecond) {
			log = append(log, fmt.Sprintf("%d@%s", kind, g.now.Sub(noon)))
		}
	}
	want := []string{"0@150ms", "1@300ms", "1@600ms", "1@1.2s", "1@2.4s", "1@4.8s"}
	if !slices.Equal(log, want) {
		t.Errorf("asked %v; want %v", log, want)
	}
	g.deltas(g.sale(v(1, 2), 1))
	if kinds := g.tick(time.Minute); len(kinds) > 0 || len(g.replica.writers[g.part].troubled) > 0 {
		t.Errorf("still asking for %v", kinds)
	}
}

// R3: a state whose pattern has not come waits for it; meanwhile its day says that something is missing.
func TestUnknownPattern(t *testing.T) {
	for _, ready := range []bool{false, true} {
		g := newRig(t)
		if ready {
			g.ready()
		}
		s := g.state(v(1, 1), 100)
		s.Pattern = "q"
		g.take(s)
		if g.replica.Run(g.run) != nil || g.replica.Day(g.run.Date).Complete() {
			t.Fatal("shown without a pattern, or not said to be missing")
		}
		if kinds := g.tick(time.Second); !slices.Equal(kinds, []repairKind{fetchPattern}) {
			t.Errorf("asked for %v", kinds)
		}
		g.replica.Pattern(pattern("q"))
		g.replica.Reindex()
		g.tick(time.Millisecond)
		if g.replica.Run(g.run) == nil || !g.replica.Day(g.run.Date).Complete() || g.remaining() != 100 {
			t.Error("not taken up")
		}
		g.balanced()
	}
}

func (g *rig) digest(runs ...event.RunVersion) {
	d := event.Digest{Date: g.run.Date}
	for _, r := range runs {
		d.Add(r.Run, r.Version)
	}
	g.seq++
	g.replica.Deltas(g.part, &event.DeltaBatch{Digests: []event.Digest{d}}, g.seq)
}

// R10: an equal digest is silent; one that differs asks for the list, and the list mends what was lost.
func TestDigest(t *testing.T) {
	g := newRig(t)
	g.take(g.state(v(1, 5), 100))
	g.ready()
	g.digest(event.RunVersion{Run: g.run, Version: v(1, 5)})
	if kinds := g.asked(); len(kinds) > 0 || g.replica.Stats().Differing > 0 {
		t.Errorf("an equal digest asked for %v", kinds)
	}
	theirs := event.RunVersion{Run: g.run, Version: v(1, 6)}
	g.digest(theirs)
	if kinds := g.asked(); !slices.Equal(kinds, []repairKind{askVersions}) || g.replica.Stats().Differing != 1 {
		t.Errorf("a digest that differs asked for %v", kinds)
	}
	g.replica.Versions(g.part, g.run.Date, &event.Versions{Runs: []event.RunVersion{theirs}})
	if g.replica.Run(g.run).Health() != Behind || len(g.faults) != 1 || g.faults[0].Kind != "digest" {
		t.Errorf("%s, faults %v", g.replica.Run(g.run).Health(), g.faults)
	}
	g.take(g.state(v(1, 6), 90))
	if g.replica.Run(g.run).Health() != Live {
		t.Error("not mended")
	}
}

// R10: a list that overtakes the deltas of which it tells is held against the runs when these have come: nothing is behind that is only on its way.
func TestListOvertakesDeltas(t *testing.T) {
	g := newRig(t)
	g.take(g.state(v(1, 5), 100))
	g.ready()
	g.replica.Versions(g.part, g.run.Date, &event.Versions{Through: g.seq + 1, Runs: []event.RunVersion{{Run: g.run, Version: v(1, 6), Present: v(1, 6)}}})
	if h := g.replica.Run(g.run).Health(); h != Live || len(g.faults) > 0 {
		t.Fatalf("%s before the delta could come; faults %v", h, g.faults)
	}
	g.deltas(g.sale(v(1, 6), 1))
	if h := g.replica.Run(g.run).Health(); h != Live || len(g.faults) > 0 || g.remaining() != 99 {
		t.Errorf("%s after the delta; faults %v", h, g.faults)
	}
	g.replica.Versions(g.part, g.run.Date, &event.Versions{Through: g.seq + 1, Runs: []event.RunVersion{{Run: g.run, Version: v(1, 7), Present: v(1, 7)}}})
	g.deltas() // the message of which it tells, without what should be in it
	if h := g.replica.Run(g.run).Health(); h != Behind || len(g.faults) != 1 {
		t.Errorf("%s, though a delta was lost; faults %v", h, g.faults)
	}
}

// R11: a purged run is behind until its state comes, even at the held Version; an older one does not take its place, and what others tell of it meanwhile is kept.
func TestPurge(t *testing.T) {
	g := newRig(t)
	g.take(g.state(v(1, 5), 100))
	g.ready()
	wrong := g.replica.Run(g.run)
	done := g.replica.Purge(g.run)
	if g.replica.Purge(rail.RunID{Date: g.run.Date + 1, Trip: "G1"}) != nil || done == nil {
		t.Fatal("which runs there are")
	}
	if kinds := g.tick(0); !slices.Equal(kinds, []repairKind{askState}) || wrong.Health() != Behind {
		t.Fatalf("asked for %v, %s", kinds, wrong.Health())
	}
	g.take(g.state(v(1, 4), 1))
	if wrong.Health() != Behind || g.remaining() != 100 {
		t.Errorf("an older state: %s with %d", wrong.Health(), g.remaining())
	}
	select {
	case <-done:
		t.Error("an older state: said to be done")
	default:
	}
	g.take(g.state(v(1, 5), 90))
	<-done
	if wrong.Health() != Live || g.remaining() != 90 {
		t.Errorf("a state as old: %s with %d", wrong.Health(), g.remaining())
	}
	g.take(g.state(v(1, 5), 80))
	if g.remaining() != 90 {
		t.Errorf("a state as old, which nobody wants: %d", g.remaining())
	}
	g.replica.Purge(g.run)
	g.tick(0)
	g.deltas(g.sale(v(1, 6), 1))
	if wrong.Health() != Behind || g.remaining() != 89 {
		t.Errorf("a delta: %s with %d", wrong.Health(), g.remaining())
	}
	g.take(g.state(v(1, 8), 70))
	if wrong.Health() != Live || g.remaining() != 70 {
		t.Errorf("a newer state: %s with %d", wrong.Health(), g.remaining())
	}
	g.balanced()
}

// Two replicas that hold the same have equal sums; a number, a Version or a reason that differs shows.
func TestSums(t *testing.T) {
	sum := func(change func(g *rig)) Sum {
		g := newRig(t)
		change(g)
		all := g.replica.Sums(g.part, g.run.Date)
		if len(all) != 1 || all[0].Run != g.run || all[0].Content == 0 {
			t.Fatalf("%+v", all)
		}
		return all[0]
	}
	one := sum(func(g *rig) { g.take(g.state(v(1, 6), 99)) })
	if two := sum(func(g *rig) { g.take(g.state(v(1, 5), 100)); g.deltas(g.sale(v(1, 6), 1)) }); one != two {
		t.Errorf("by a state %+v, by a delta %+v", one, two)
	}
	for name, change := range map[string]func(g *rig){
		"count":   func(g *rig) { g.take(g.state(v(1, 6), 98)) },
		"version": func(g *rig) { g.take(g.state(v(1, 7), 99)) },
		"reason": func(g *rig) {
			s := g.state(v(1, 6), 99)
			s.Suspended, s.Reason = true, "snow"
			g.take(s)
		},
	} {
		if other := sum(change); other == one {
			t.Errorf("%s: equal", name)
		}
	}
}

// R10: a run that the publisher knows and the node has never heard of.
func TestDigestFindsLostRun(t *testing.T) {
	g := newRig(t).ready()
	g.replica.Versions(g.part, g.run.Date, &event.Versions{Runs: []event.RunVersion{{Run: g.run, Version: v(1, 1)}}})
	if g.replica.Day(g.run.Date).Complete() || !slices.Equal(g.tick(time.Second), []repairKind{fetchState}) {
		t.Error("the lost run is not fetched")
	}
}

// R10: a history older than ours cannot be mended by events; if it stays so, the numbers are not shown. Nor is a run that nobody knows.
func TestDigestFindsOlderHistory(t *testing.T) {
	for name, list := range map[string][]event.RunVersion{"older": {{Run: rail.RunID{Date: rail.NewDate(2026, 11, 24), Trip: "G1"}, Version: v(1, 3)}}, "unknown": nil} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.take(g.state(v(1, 5), 100))
			g.ready()
			for round := 1; round <= auditRounds; round++ {
				if h := g.replica.Run(g.run).Health(); h != Live {
					t.Fatalf("round %d: %s too early: a state may overtake its delta", round, h)
				}
				g.digest(list...)
				if kinds := g.asked(); !slices.Equal(kinds, []repairKind{askVersions}) {
					t.Fatalf("round %d asked for %v", round, kinds)
				}
				g.replica.Versions(g.part, g.run.Date, &event.Versions{Runs: list})
			}
			if h := g.replica.Run(g.run).Health(); h != Quarantined {
				t.Fatalf("still %s", h)
			}
			g.take(g.state(v(2, 1), 80)) // the epoch is raised after all
			if h := g.replica.Run(g.run).Health(); h != Live || g.remaining() != 80 {
				t.Errorf("%s with %d", h, g.remaining())
			}
			g.balanced()
		})
	}
}

// Days that are over are let go of, with all that was kept aside for them.
func TestExpire(t *testing.T) {
	g := newRig(t)
	g.take(g.state(v(1, 1), 100))
	g.deltas(g.sale(v(1, 3), 1))
	g.ready()
	g.now = noon.Add(24 * time.Hour)
	g.replica.Expire()
	if g.replica.Run(g.run) == nil {
		t.Fatal("gone while it may be asked for")
	}
	g.now = noon.Add(36*time.Hour + time.Minute)
	g.replica.Expire()
	g.tick(0)
	if s := g.replica.Stats(); g.replica.Day(g.run.Date) != nil || s.Runs != 0 || s.Held != 0 || s.Behind != 0 {
		t.Errorf("left behind: %+v", s)
	}
	g.balanced()
}
