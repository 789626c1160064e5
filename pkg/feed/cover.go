package feed

import (
	"context"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// What follows keeps P2: that states tell of deltas before they expire. Time is the servers' here, who let them expire, not the booking system's.

// uncover notes deltas that were published, none of them before a time.
func (p *Publisher) uncover(deltas []event.RunDelta, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range deltas {
		if deltas[i].Restated {
			continue
		}
		u := p.uncovered[deltas[i].Run]
		if u.count++; u.count == 1 {
			u.oldest = since
		}
		u.newest = deltas[i].Version
		p.uncovered[deltas[i].Run] = u
	}
}

// cover notes that a run's state of a version is in the stream. If it told all that was committed up to a time, what it does not tell is younger.
func (p *Publisher) cover(run rail.RunID, v rail.Version, present time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, some := p.uncovered[run]
	switch {
	case !some:
	case !u.newest.Above(v):
		delete(p.uncovered, run)
	case present.After(u.oldest) && u.newest.Epoch == v.Epoch:
		u.oldest, u.count = present, min(u.count, int(u.newest.Revision-v.Revision))
		p.uncovered[run] = u
	}
}

// release notes that no state of a run will ever be published: it is over, not known any more, or the servers do not take it.
func (p *Publisher) release(run rail.RunID) {
	p.mu.Lock()
	delete(p.uncovered, run)
	p.mu.Unlock()
}

// due lists the runs whose state must be published now: after StateEvery deltas, or when half of the deltas' life has gone. It notes up to when all are covered.
func (p *Publisher) due() (runs []rail.RunID) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	covered := now
	if !p.inherited.IsZero() && p.inherited.Before(now) {
		covered = p.inherited
	}
	for run, u := range p.uncovered {
		if u.count >= p.opts.StateEvery || now.Sub(u.oldest) > p.opts.Limits.DeltaAge/2 {
			runs = append(runs, run)
		}
		if u.oldest.Before(covered) {
			covered = u.oldest
		}
	}
	p.covered.Store(covered.UnixNano())
	slices.SortFunc(runs, rail.RunID.Compare) // the same every time, so that a simulation can do it again
	return runs
}

// coveredTo is up to when every delta that was published is told by a state.
func (p *Publisher) coveredTo() time.Time { return time.Unix(0, p.covered.Load()) }

// late reports whether deltas of which no state tells are about to expire, though they were due when half of their life had gone. Whoever loads then takes an old state for the present one.
func (p *Publisher) late() bool { return time.Since(p.coveredTo()) > p.opts.Limits.DeltaAge*3/4 }

// restated notes that every run's state was published since this publisher took charge.
func (p *Publisher) restated() {
	p.mu.Lock()
	p.inherited = time.Time{}
	p.mu.Unlock()
	p.due()
}

// restate publishes the present states of runs.
func (p *Publisher) restate(ctx context.Context, runs []rail.RunID) error {
	present := time.Now() // before they are asked for
	states := make([]*event.RunState, 0, len(runs))
	for _, run := range runs {
		if s, ok := p.authority.State(run); ok {
			states = append(states, &s)
		} else {
			p.release(run)
		}
	}
	if err := p.states(ctx, states, present); !refusal(err) {
		return err
	}
	return nil // that one is counted, and no other is held up by it
}

// heal publishes the states of some more runs again, and at the end of each round what they refer to. The first round is quick: the publisher before this one may have left deltas of which no state tells.
func (p *Publisher) heal(ctx context.Context) error {
	if len(p.healing) == 0 {
		p.healing = p.runs()
		round := p.opts.HealEvery
		if p.inherits() {
			round = min(round, p.opts.Limits.DeltaAge/12)
		}
		p.perCall = float64(len(p.healing)) * healInterval.Seconds() / round.Seconds()
	}
	p.toHeal = min(p.toHeal+p.perCall, float64(len(p.healing)))
	n := int(p.toHeal)
	last := n == len(p.healing)
	if n > 0 && last {
		if err := p.reference(ctx); err != nil {
			return err
		}
	}
	if err := p.restate(ctx, p.healing[:n]); err != nil {
		return err // the next call tries the same ones
	}
	if p.healing, p.toHeal = p.healing[n:], p.toHeal-float64(n); last {
		p.restated()
	}
	return nil
}

const healInterval = time.Second

func (p *Publisher) inherits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.inherited.IsZero()
}
