package answer

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/trial"
	"github.com/yupiao/yupiao/pkg/view"
)

// work is the time that answers took, in nanoseconds. Of looks it is that of one in lookSample.
type work struct{ rendering, looking atomic.Int64 }

// lookSample: to read the clock twice takes as long as to look at a few runs.
const lookSample = 64

// Tend records the sample, and lets go of what cannot be served any more, until ctx ends; if Options.Replica is set.
func (c *Cache) Tend(ctx context.Context) {
	if c.recorder == nil {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { c.recorder.Run(ctx) })
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if r := c.options.Replica(); r != nil {
				c.sweep(r.Index(), c.options.Clock())
			}
		}
	}
}

// sweepEvery: to look at a hundred thousand entries takes some milliseconds.
const sweepEvery = 10 * time.Second

// sweep lets go of entries that were read in another timetable or on another day (E5). Whoever asks passes them by anyway; but those that were asked often and are not any more would
// stay for hours, and with them the timetable and the replica that they were made from. Should a new entry of a key go with the old one, it is made once more.
func (c *Cache) sweep(index *timetable.Index, now time.Time) {
	var over []uint64
	c.kept.IterValues(func(e *Entry) (stop bool) {
		if !e.request.current(index, now) {
			over = append(over, e.hash)
		}
		return false
	})
	for _, hash := range over {
		c.kept.Del(hash)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.making, func(_ string, e *Entry) bool { return !e.request.current(index, now) }) // nobody made it: who asked was refused, or went away
}

// Sample is what was recorded up to now. The error is trial.ErrIdle if nothing was asked.
func (c *Cache) Sample() (*trial.Sample, error) {
	if c.recorder == nil {
		return nil, fmt.Errorf("%w: nothing is recorded", trial.ErrIdle)
	}
	return c.recorder.Snapshot()
}

// record tells the recorder of a request, if its key is in the sample.
func (e *Entry) record(now time.Time) {
	if r := e.cache.recorder; r != nil && r.Sampled(e.hash) {
		r.Asked(e.hash, now, e.probe)
	}
}

// heat tells the recorder of a key that is asked often. The caller holds the lock.
func (e *Entry) heat() {
	if r := e.cache.recorder; r != nil && e.rate.asked > r.HotRate() {
		r.Hot(e.hash)
	}
}

// probe is a query that the recorder looks at. It is a trial.Probe. It outlives the entry and the timetable by which it came, and holds neither (E5).
type probe struct {
	cache  *Cache
	query  *view.Query
	lang   rail.Lang
	answer *view.Answer // without its offers; nil before the first look
}

// Stamp is part of trial.Probe.
func (p *probe) Stamp() uint64 {
	r := p.cache.options.Replica()
	switch {
	case r == nil:
		return 0
	case p.answer == nil || !p.answer.Of(r):
		p.read(r)
	}
	return p.answer.StampNow()
}

func (p *probe) read(r *replica.Replica) *view.Answer {
	a := view.Look(r, p.query, p.cache.options.Clock())
	kept := *a
	kept.Offers, p.answer = nil, &kept
	return a
}

// Look is part of trial.Probe.
func (p *probe) Look() trial.Truth {
	r := p.cache.options.Replica()
	if r == nil {
		return trial.Truth{}
	}
	a := p.read(r)
	s := scratches.Get().(*scratch)
	s.draft.Body = render.Printer{Index: r.Index(), Lang: p.lang}.Answer(s.draft.Body[:0], p.query, a)
	t := trial.Truth{Digest: maphash.Bytes(cellSeed, s.draft.Body)}
	scratches.Put(s)
	for _, n := range numbers(a) {
		t.Seats = append(t.Seats, trial.Seat{Cell: n.cell, Left: int32(n.left)})
	}
	for _, at := range []time.Time{a.Opens, a.Opened} {
		if !at.IsZero() {
			t.Openings = append(t.Openings, at)
		}
	}
	return t
}

// Facts is part of trial.Probe.
func (p *probe) Facts() policy.Facts {
	r := p.cache.options.Replica()
	if r == nil {
		return policy.Facts{}
	}
	if p.answer == nil {
		p.read(r)
	}
	return facts(p.query, r.Index(), p.answer, p.cache.options.Clock())
}

// facts of a query and its answer, without the rates.
func facts(q *view.Query, index *timetable.Index, a *view.Answer, now time.Time) policy.Facts {
	f := policy.Facts{
		Days: int(q.Date - rail.DateOf(now, index.Location())), From: q.From, To: q.To, FromCity: index.CityOf(q.From), ToCity: index.CityOf(q.To), Types: a.Categories(),
	}
	if !a.Opens.IsZero() {
		f.OpensIn = a.Opens.Sub(now)
	}
	if !a.Opened.IsZero() {
		f.OpenedAgo = max(now.Sub(a.Opened), 1)
	}
	return f
}
