package answer

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/trial"
	"github.com/yupiao/yupiao/pkg/view"
)

// work is the time that answers took, in nanoseconds. Of looks it is that of one in lookSample.
type work struct{ rendering, looking atomic.Int64 }

// lookSample: to read the clock twice takes as long as to look at a few runs.
const lookSample = 64

// Record records the sample until ctx ends, if Options.Replica is set.
func (c *Cache) Record(ctx context.Context) {
	if c.recorder != nil {
		c.recorder.Run(ctx)
	}
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

// probe is a query that the recorder looks at. It is a trial.Probe.
type probe struct {
	cache   *Cache
	request *Request
	answer  *view.Answer // nil before the first look
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
	p.answer = view.Look(r, p.request.Query, p.cache.options.Clock())
	return p.answer
}

// Look is part of trial.Probe.
func (p *probe) Look() trial.Truth {
	r := p.cache.options.Replica()
	if r == nil {
		return trial.Truth{}
	}
	a := p.read(r)
	s := scratches.Get().(*scratch)
	s.draft.Body = render.Printer{Index: r.Index(), Lang: p.request.Lang}.Answer(s.draft.Body[:0], p.request.Query, a)
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
	a.Offers = nil
	return t
}

// Facts is part of trial.Probe.
func (p *probe) Facts() policy.Facts {
	if r := p.cache.options.Replica(); p.answer == nil && r != nil {
		p.read(r)
	}
	if p.answer == nil {
		return policy.Facts{}
	}
	return p.request.facts(p.answer, p.cache.options.Clock())
}

// facts of a query and its answer, without the rates.
func (q *Request) facts(a *view.Answer, now time.Time) policy.Facts {
	f := policy.Facts{
		Days: int(q.Query.Date - rail.DateOf(now, q.Index.Location())), From: q.Query.From, To: q.Query.To,
		FromCity: q.Index.CityOf(q.Query.From), ToCity: q.Index.CityOf(q.Query.To), Types: a.Categories(),
	}
	if !a.Opens.IsZero() {
		f.OpensIn = a.Opens.Sub(now)
	}
	if !a.Opened.IsZero() {
		f.OpenedAgo = max(now.Sub(a.Opened), 1)
	}
	return f
}
