package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// history is what was true of a run of the answer, and since when. Guarded by railway.mu.
type history struct{ moments []moment }

type moment struct {
	since  time.Time
	counts []rail.SeatCount
}

// newHistory begins with what has always been true.
func newHistory(counts []rail.SeatCount) *history {
	return &history{moments: []moment{{counts: counts}}}
}

// add notes what is true from now on. A change that does not touch the answer is none.
func (h *history) add(now time.Time, counts []rail.SeatCount) {
	if !slices.Equal(h.moments[len(h.moments)-1].counts, counts) {
		h.moments = append(h.moments, moment{now, counts})
	}
}

// forget keeps only what is true now.
func (h *history) forget() { h.moments = h.moments[len(h.moments)-1:] }

// age is how long what was shown had not been true any more when it was asked for; 0 if it was true then, or has become true since. Numbers that were true
// more than once count as the latest time. False: they were never true.
func (h *history) age(shown []rail.SeatCount, asked time.Time) (time.Duration, bool) {
	for i, m := range slices.Backward(h.moments) {
		if !slices.Equal(m.counts, shown) {
			continue
		}
		if i+1 == len(h.moments) {
			return 0, true
		}
		return max(0, asked.Sub(h.moments[i+1].since)), true
	}
	return 0, false
}

// forget lets go of what was true before now.
func (r *railway) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.hot {
		n.history.forget()
	}
}

// shown is the part of an answer that changes.
type shown struct {
	Runs []struct {
		Run     string
		Classes []struct{ Remaining rail.SeatCount }
	}
}

// age of an answer's body is that of its oldest run. The error tells of a body that is not the answer, or of numbers that were never true.
func (r *railway) age(body []byte, asked time.Time) (oldest time.Duration, err error) {
	var s shown
	if err := json.Unmarshal(body, &s); err != nil {
		return 0, fmt.Errorf("answer: %w", err)
	}
	if len(s.Runs) != len(r.hot) {
		return 0, fmt.Errorf("answer has %d runs; want %d", len(s.Runs), len(r.hot))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, n := range r.hot {
		var counts []rail.SeatCount
		for _, c := range s.Runs[i].Classes {
			counts = append(counts, c.Remaining)
		}
		age, known := n.history.age(counts, asked)
		if !known || s.Runs[i].Run != n.id.String() {
			return 0, fmt.Errorf("run %s shows %v, which was never true of %s", s.Runs[i].Run, counts, n.id)
		}
		oldest = max(oldest, age)
	}
	return oldest, nil
}

// staleness is how answers stood against the truth at the moment at which they were asked for.
type staleness struct {
	Asked uint64 `json:"asked"`
	Wrong uint64 `json:"wrong"`
	// Sum and Max of how long wrong answers had not been true any more.
	Sum time.Duration `json:"sum_ns"`
	Max time.Duration `json:"max_ns"`
}

func (s *staleness) add(age time.Duration) {
	s.Asked++
	if age > 0 {
		s.Wrong++
		s.Sum += age
		s.Max = max(s.Max, age)
	}
}

// plus is both together.
func (s staleness) plus(o staleness) staleness {
	return staleness{Asked: s.Asked + o.Asked, Wrong: s.Wrong + o.Wrong, Sum: s.Sum + o.Sum, Max: max(s.Max, o.Max)}
}

// probeEvery is how often the prober asks, unless it waits for an answer still.
const probeEvery = 5 * time.Millisecond

// probe asks over one connection until ctx ends, and holds each answer against the truth.
func (r *railway) probe(ctx context.Context, url string) (s staleness, err error) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return s, nil
		case <-ticker.C:
		}
		asked := time.Now()
		body, err := get(context.WithoutCancel(ctx), url) // to its end: it counts as a request
		if err != nil {
			return s, err
		}
		age, err := r.age(body, asked)
		if err != nil {
			return s, err
		}
		s.add(age)
	}
}
