package sim

import (
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/replica"
)

// instant is less than anything takes to pass, and more than the booking system's times of one moment differ.
const instant = 100 * time.Microsecond

// check holds every node against the truth.
func (w *world) check() {
	w.result.Steps++
	for _, m := range w.members {
		if r := m.follower.Replica(); r != nil && m.running {
			w.checkNode(m, r)
		}
	}
}

func (w *world) checkNode(m *member, r *replica.Replica) {
	if s := r.Stats(); s.Received != s.Applied+s.Duplicate+s.Held+s.Broken {
		w.broken("S5: %s: %+v", m.name, s)
	}
	asOf, proved := r.AsOf()
	vouches := proved && m.follower.Degraded() == "" && time.Now().After(w.excused) && time.Since(time.Unix(0, m.lost.Load())) > excuse
	for _, id := range w.truth.ids {
		day, run := r.Day(id.Date), r.Run(id)
		if run == nil {
			first := w.truth.history[id][0].from
			if vouches && !first.Add(instant).After(asOf) && (day == nil || day.Complete()) {
				w.broken("S4: %s lacks %s, which was opened %s before AsOf", m.name, id, asOf.Sub(first))
			}
			continue
		}
		w.checkRun(m, run, asOf, vouches)
	}
}

func (w *world) checkRun(m *member, run *replica.Run, asOf time.Time, vouches bool) {
	sheet, health := run.Sheet(), run.Health()
	v := sheet.Version()
	if before := m.shown[run.ID]; before.Above(v) {
		w.broken("S3: %s: %s went back from %s to %s", m.name, run.ID, before, v)
	}
	m.shown[run.ID] = v
	if health == replica.Quarantined {
		return // it is not shown
	}
	fact, until := w.truth.at(run.ID, v)
	if fact == nil {
		w.broken("S2: %s: %s is at %s, which never was", m.name, run.ID, v)
		return
	}
	counts := w.counts[:0]
	for from := range w.truth.stops - 1 {
		for to := from + 1; to < w.truth.stops; to++ {
			counts = sheet.Counts.Counts(counts, from, to)
		}
	}
	w.counts = counts
	if !slices.Equal(counts, fact.counts) || sheet.Suspended != fact.suspended {
		w.broken("S2: %s: %s at %s (%s) is %v, suspended %t; in truth it was %v, %t", m.name, run.ID, v, health, counts, sheet.Suspended, fact.counts, fact.suspended)
	}
	if vouches && health == replica.Live && !until.IsZero() && !until.Add(instant).After(asOf) {
		w.broken("S1: %s: %s is shown as live at %s, AsOf is %s after that had ended", m.name, run.ID, v, asOf.Sub(until))
	}
}
