package replica

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// line is a pattern with what its runs have in common. Its number is its place among the patterns as they came, here and in every Index.
type line struct {
	pattern *timetable.Pattern
	number  int32
	plans   atomic.Pointer[[]*Plan] // copied on change
}

// maxPlans is the most plans of a pattern that are shared: one for each formation, with and without a quota or a waiting list. More than these are made run by run.
const maxPlans = 16

// plan finds or makes the plan of a RunState.
func (l *line) plan(s *event.RunState) (*Plan, error) {
	for {
		before := l.plans.Load()
		var known []*Plan
		if before != nil {
			known = *before
		}
		if i := slices.IndexFunc(known, func(p *Plan) bool { return p.fits(s) }); i >= 0 {
			return known[i], nil
		}
		p, err := newPlan(s, l.pattern)
		if err != nil || len(known) >= maxPlans {
			return p, err
		}
		after := append(slices.Clone(known), p)
		if l.plans.CompareAndSwap(before, &after) {
			return p, nil
		}
	}
}

// Network takes a network: a later one replaces an earlier one.
func (r *Replica) Network(n *timetable.Network) {
	if loc, err := time.LoadLocation(n.Timezone); err == nil { // a decoded network is valid
		r.location.Store(loc)
	}
	r.mu.Lock()
	r.network, r.unlisted = n, true
	r.mu.Unlock()
	r.count(0, Stats{Received: 1, Applied: 1})
}

// Pattern takes a pattern. An id names its content, so the first of an id stays.
func (r *Replica) Pattern(p *timetable.Pattern) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.lines[p.ID]
	switch {
	case !known && !r.purses.reference.take(patternCost(p)):
		r.count(0, Stats{Received: 1, Broken: 1, Refused: 1})
		r.opts.OnFault(Fault{Kind: "full", Err: fmt.Errorf("%w: pattern %s of %d stops would take %d bytes more than the %d that patterns may; want less (feed.max_memory_mib)",
			errFull, p.ID, len(p.Stops), patternCost(p), r.purses.reference.most)})
	case !known:
		r.lines[p.ID] = &line{pattern: p, number: int32(len(r.patterns))}
		r.patterns, r.unlisted = append(r.patterns, p), true
		r.count(0, Stats{Received: 1, Applied: 1})
	case old.pattern.ContentID() == p.ContentID():
		r.count(0, Stats{Received: 1, Duplicate: 1})
	default:
		r.count(0, Stats{Received: 1, Broken: 1})
		r.opts.OnFault(Fault{Kind: "broken", Err: fmt.Errorf("%w: pattern %s came again with other content", event.ErrBroken, p.ID)})
	}
}

// line finds a pattern that queries can find, nil if there is none: once the replica is ready, one that the index has.
func (r *Replica) line(id rail.PatternID) *line {
	if r.isReady() {
		if _, listed := r.index.Load().Pattern(id); !listed {
			return nil
		}
	}
	return r.known(id)
}

// known finds a pattern that has come.
func (r *Replica) known(id rail.PatternID) *line {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.lines[id]
}

// Reindex makes a new index if the timetable has changed. Runs whose pattern was missing are taken up at the next Tick.
func (r *Replica) Reindex() {
	r.mu.Lock()
	if !r.unlisted && r.index.Load() != nil {
		r.mu.Unlock()
		return
	}
	network, patterns := r.network, slices.Clip(r.patterns)
	r.unlisted = false
	r.mu.Unlock()
	if network == nil {
		network = &timetable.Network{Timezone: "UTC", SaleDays: 1} // nothing was published yet
	}
	r.index.Store(timetable.NewIndex(network, patterns))
}
