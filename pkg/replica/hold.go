package replica

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/yupiao/yupiao/pkg/rail"
)

// Hold is what operators have decided about a run, whatever the booking system says of it.
type Hold struct {
	// Suspended: nothing of it is sold; Reason is what travellers are told.
	Suspended bool
	Reason    string
	// Pinned: every answer that shows it is exact, whatever TTL the rules give.
	Pinned bool
}

// Holds are those in force, for all replicas of a node. The zero Holds are none. Safe for concurrent use.
type Holds struct{ table atomic.Pointer[HoldTable] }

// HoldTable is the holds at a moment, by run. It never changes; another one means that a hold may have changed.
type HoldTable struct{ byRun map[rail.RunID]Hold }

// Set puts holds in force instead of all before.
func (h *Holds) Set(all map[rail.RunID]Hold) { h.table.Store(&HoldTable{maps.Clone(all)}) }

// Table is the holds in force.
func (h *Holds) Table() *HoldTable { return h.table.Load() }

// Of is what is decided about a run.
func (t *HoldTable) Of(run rail.RunID) Hold {
	if t == nil || len(t.byRun) == 0 {
		return Hold{}
	}
	return t.byRun[run]
}

// Count is how many runs are suspended, and how many pinned.
func (t *HoldTable) Count() (suspended, pinned int) {
	if t == nil {
		return 0, 0
	}
	for _, hold := range t.byRun {
		if hold.Suspended {
			suspended++
		}
		if hold.Pinned {
			pinned++
		}
	}
	return suspended, pinned
}

// Holds in force.
func (r *Replica) Holds() *HoldTable { return r.opts.Holds.Table() }

// Named are the runs of a service date whose train has a public number on some part of its way, in order.
func (r *Replica) Named(date rail.Date, train string) (all []rail.RunID) {
	for _, w := range r.writers {
		w.finding.RLock()
		for id, e := range w.entries {
			if sheet := e.run.Sheet(); id.Date == date && sheet != nil && sheet.Pattern.Called(train) {
				all = append(all, id)
			}
		}
		w.finding.RUnlock()
	}
	slices.SortFunc(all, func(a, b rail.RunID) int { return cmp.Compare(a.Trip, b.Trip) })
	return all
}
