package booking

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// B5, B6: changes leave in the order of their commits, none is lost, and no claim is ever wrong, before or after it is made, also by a clock that
// stands or goes back.
func TestOutboxAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &watch{noon}
		o := newOutbox(w.read)
		var added, taken, acked int
		var times []time.Time // of the acknowledged changes
		var claim time.Time
		for range rapid.IntRange(1, 80).Draw(t, "acts") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(-3, 5).Draw(t, "tick")))
			switch rapid.SampledFrom([]string{"add", "add", "take", "ack", "return", "complete"}).Draw(t, "act") {
			case "add":
				added++
				changes := []Change{{Delta: event.RunDelta{Version: rail.Version{Revision: uint64(added)}}}}
				if rapid.Bool().Draw(t, "stored first") {
					o.stamp(changes)
					if claim = o.Complete(); !changes[0].At.After(claim) {
						t.Fatalf("complete to %s claimed while a change of %s is being stored", claim, changes[0].At)
					}
				}
				o.add(changes)
				if at := o.queue[len(o.queue)-1].At; !at.After(claim) {
					t.Fatalf("committed at %s, but complete to %s was claimed before", at, claim)
				}
			case "take":
				limit := rapid.IntRange(-1, 4).Draw(t, "limit")
				changes := o.Take(limit)
				if want := max(min(limit, added-taken), 0); len(changes) != want {
					t.Fatalf("took %d changes of %d, want %d", len(changes), added-taken, want)
				}
				for _, c := range changes {
					taken++
					if c.Delta.Version.Revision != uint64(taken) {
						t.Fatalf("took change %d, want %d", c.Delta.Version.Revision, taken)
					}
				}
			case "ack":
				n := rapid.IntRange(-1, 4).Draw(t, "n")
				for _, c := range o.queue[:max(min(n, taken-acked), 0)] {
					acked++
					times = append(times, c.At)
				}
				o.Ack(n)
			case "return":
				o.Return()
				taken = acked
			case "complete":
				before := claim
				if claim = o.Complete(); claim.Before(before) {
					t.Fatalf("claimed %s after %s", claim, before)
				}
			}
			if len(o.queue) > 0 && !o.queue[0].At.After(claim) {
				t.Fatalf("complete to %s claimed while a change of %s is outstanding", claim, o.queue[0].At)
			}
			if o.Len() != added-acked {
				t.Fatalf("%d changes outstanding, want %d", o.Len(), added-acked)
			}
		}
		for i := 1; i < len(times); i++ {
			if !times[i].After(times[i-1]) {
				t.Fatalf("change %d at %s, the one before at %s", i, times[i], times[i-1])
			}
		}
	})
}

func TestOutboxReady(t *testing.T) {
	o := newOutbox((&watch{noon}).read)
	ready := func() bool {
		select {
		case <-o.Ready():
			return true
		default:
			return false
		}
	}
	for _, step := range []struct {
		name string
		act  func()
		want bool
	}{
		{"new", func() {}, false},
		{"two changes", func() { o.add([]Change{{}}); o.add([]Change{{}}) }, true},
		{"heard already", func() {}, false},
		{"taken", func() { o.Take(2) }, false},
		{"returned", o.Return, true},
		{"returned nothing", o.Return, false},
	} {
		if step.act(); ready() != step.want {
			t.Errorf("%s: ready is not %t", step.name, step.want)
		}
	}
	if claim := o.Complete(); !claim.Before(noon) {
		t.Errorf("complete to %s with a change of %s outstanding", claim, noon)
	}
	o.Take(2)
	o.Ack(2)
	if claim := o.Complete(); claim.Before(noon) {
		t.Errorf("complete to %s with nothing outstanding, want now", claim)
	}
}
