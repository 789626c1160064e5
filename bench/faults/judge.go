//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/store"
)

// judge holds answers against all that the booking system has ever committed. It counts in the plainest way, with nothing of what nodes count with.
type judge struct {
	record *store.Database
	last   int64 // of the changes that were read
	runs   map[string]*history
}

func newJudge(record *store.Database) *judge {
	return &judge{record: record, runs: map[string]*history{}}
}

// history is the changes of a run in the order of their commits, which is that of their times.
type history struct {
	changes []booking.Change
}

// verdict is what came of the answers of a fault.
type verdict struct {
	changes    int // that were committed meanwhile
	judged     int // answers
	numbers    int // classes of runs within them
	wrong      int // answers that are wrong and not marked
	wrongAside int // and marked ones with a number that was not true since their time either
	examples   []string
}

// learn reads what was committed since it was last called.
func (j *judge) learn(ctx context.Context) (changes int, err error) {
	err = j.record.History(ctx, j.last, func(c booking.Change) error {
		run := c.Delta.Run.String()
		h := j.runs[run]
		if h == nil {
			h = &history{}
			j.runs[run] = h
		}
		h.changes = append(h.changes, c)
		j.last = c.Seq
		changes++
		return nil
	})
	return changes, err
}

// try learns what is new, and judges answers.
func (j *judge) try(ctx context.Context, answers []answer) (v verdict, err error) {
	changes, err := j.learn(ctx)
	if err != nil {
		return v, err
	}
	v, err = j.judged(answers)
	v.changes = changes
	return v, err
}

// judged judges answers by what was learnt.
func (j *judge) judged(answers []answer) (v verdict, err error) {
	parsed := map[*body][]shown{}
	replays := map[string]*replay{}
	for i := range answers {
		a := &answers[i]
		all, ok := parsed[a.body]
		if !ok {
			if all, err = parse(a.body); err != nil {
				return v, err
			}
			parsed[a.body] = all
		}
		v.judged++
		fault := ""
		for k := range all {
			r := replays[all[k].Run]
			if r == nil {
				r = &replay{history: j.runs[all[k].Run]}
				replays[all[k].Run] = r
			}
			n, wrong := r.check(a, &all[k])
			v.numbers += n
			if wrong != "" {
				fault = wrong
			}
		}
		v.count(a, fault)
	}
	return v, nil
}

func (v *verdict) count(a *answer, fault string) {
	const mostExamples = 3
	switch {
	case fault == "":
		return
	case a.live:
		v.wrong++
	default:
		v.wrongAside++
	}
	if len(v.examples) < mostExamples {
		v.examples = append(v.examples, fmt.Sprintf("live %t, as of %s, got %s: %s", a.live, clock(a.asOf), clock(a.got), fault))
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// shown is what an answer says of a run.
type shown struct {
	Run     string
	Version rail.Version // zero if it does not tell
	Behind  bool
	ODs     []shownOD
}

type shownOD struct {
	From, To rail.StopIndex
	Classes  []shownClass
}

type shownClass struct {
	Class     rail.Class
	State     string
	Remaining rail.SeatCount
}

func parse(b *body) (all []shown, err error) {
	if b.detail {
		all = make([]shown, 1)
		return all, json.Unmarshal(b.text, &all[0])
	}
	var list struct {
		Runs []struct {
			Run      string
			Behind   bool
			From, To struct{ Stop rail.StopIndex }
			Classes  []shownClass
		}
	}
	if err := json.Unmarshal(b.text, &list); err != nil {
		return nil, fmt.Errorf("an answer is no JSON: %w", err)
	}
	for _, r := range list.Runs {
		all = append(all, shown{Run: r.Run, Behind: r.Behind, ODs: []shownOD{{r.From.Stop, r.To.Stop, r.Classes}}})
	}
	return all, nil
}

// replay is a run as it was after each of its changes.
type replay struct {
	history *history
	after   []*truth // as far as it was needed
}

// check holds what is shown of a run against every moment between the answer's time and its arrival; the text says what is wrong. Each change that was committed up to that
// time must be in it, or a later one; and none that was not committed when it came.
func (r *replay) check(a *answer, s *shown) (numbers int, wrong string) {
	if s.Behind {
		return 0, "" // it says so itself
	}
	if r.history == nil {
		return 0, "run " + s.Run + " was never opened"
	}
	changes := r.history.changes
	first := max(after(changes, a.asOf)-1, 0)
	last := after(changes, a.got) - 1
	if last < 0 {
		return 0, "run " + s.Run + " was not open yet"
	}
	for i := first; i <= last; i++ {
		n, why := r.at(i).agrees(s)
		if why == "" {
			return n, ""
		}
		numbers, wrong = n, fmt.Sprintf("%s at %v: %s (changes %d to %d of %d might be shown)", s.Run, changes[i].Delta.Version, why, first, last, len(changes))
	}
	return numbers, wrong
}

// after is how many of the changes were committed up to a moment.
func after(changes []booking.Change, moment time.Time) int {
	i, _ := slices.BinarySearchFunc(changes, moment, func(c booking.Change, t time.Time) int {
		if c.At.After(t) {
			return 1
		}
		return -1
	})
	return i
}

// at is the run after a change.
func (r *replay) at(i int) *truth {
	for n := len(r.after); n <= i; n++ {
		c := &r.history.changes[n]
		if c.State != nil {
			r.after = append(r.after, truthOf(c.State))
			continue
		}
		r.after = append(r.after, r.after[n-1].with(&c.Delta))
	}
	return r.after[i]
}

// truth is a run at a version, counted plainly: in each bucket so many places on each stretch of stops.
type truth struct {
	version   rail.Version
	suspended bool
	classes   []classTruth
}

type classTruth struct {
	class   rail.Class
	buckets []bucketTruth
}

type bucketTruth struct {
	kind   inventory.Kind
	quotas []inventory.Quota
	spans  map[[2]rail.StopIndex]rail.SeatCount
}

func truthOf(s *event.RunState) *truth {
	t := &truth{version: s.Version, suspended: s.Suspended}
	for _, c := range s.Classes {
		out := classTruth{class: c.Class}
		for _, b := range c.Buckets {
			bucket := bucketTruth{b.Kind, b.Quotas, map[[2]rail.StopIndex]rail.SeatCount{}}
			for _, span := range b.Spans {
				bucket.spans[[2]rail.StopIndex{span.From, span.To}] += span.Count
			}
			out.buckets = append(out.buckets, bucket)
		}
		t.classes = append(t.classes, out)
	}
	return t
}

// with is the truth after a change; what does not change is shared.
func (t *truth) with(d *event.RunDelta) *truth {
	next := &truth{version: d.Version, suspended: t.suspended, classes: slices.Clone(t.classes)}
	touched := map[*bucketTruth]bool{}
	for _, a := range d.Adjusts {
		i := slices.IndexFunc(next.classes, func(c classTruth) bool { return c.class == a.Class })
		c := &next.classes[i]
		if len(c.buckets) > 0 && &c.buckets[0] == &t.classes[i].buckets[0] {
			c.buckets = slices.Clone(c.buckets)
		}
		b := &c.buckets[a.Bucket]
		if !touched[b] {
			spans := make(map[[2]rail.StopIndex]rail.SeatCount, len(b.spans)+1)
			for k, n := range b.spans {
				spans[k] = n
			}
			b.spans, touched[b] = spans, true
		}
		b.spans[[2]rail.StopIndex{a.From, a.To}] += a.By
	}
	return next
}

// remaining is how many places an OD has, and whether any bucket may be sold for it.
func (c *classTruth) remaining(from, to rail.StopIndex) (n rail.SeatCount, allowed bool) {
	for i := range c.buckets {
		b := &c.buckets[i]
		if len(b.quotas) > 0 && !slices.ContainsFunc(b.quotas, func(q inventory.Quota) bool {
			return from >= q.FromFirst && from <= q.FromLast && to >= q.ToFirst && to <= q.ToLast
		}) {
			continue
		}
		allowed = true
		n += b.remaining(from, to)
	}
	return n, allowed
}

func (b *bucketTruth) remaining(from, to rail.StopIndex) (n rail.SeatCount) {
	covering := func(from, to rail.StopIndex) (n rail.SeatCount) {
		for span, count := range b.spans {
			if span[0] <= from && span[1] >= to {
				n += count
			}
		}
		return n
	}
	switch b.kind {
	case inventory.Windows:
		return covering(from, to)
	case inventory.Pool: // the least of its segments
		for s := from; s < to; s++ {
			if m := covering(s, s+1); s == from || m < n {
				n = m
			}
		}
		return n
	default:
		return b.spans[[2]rail.StopIndex{from, to}]
	}
}

// agrees says what an answer has that is not so; empty for nothing.
func (t *truth) agrees(s *shown) (numbers int, why string) {
	if s.Version.Epoch > 0 && s.Version != t.version {
		return 0, fmt.Sprintf("shown at version %v", s.Version)
	}
	for i := range s.ODs {
		od := &s.ODs[i]
		for k := range od.Classes {
			numbers++
			if why := t.contradicts(od, &od.Classes[k]); why != "" {
				return numbers, why
			}
		}
	}
	return numbers, ""
}

// contradicts says how a class is shown and how it was. What the clock or the timetable alone decides is not judged; what a node does not vouch for is no number.
func (t *truth) contradicts(od *shownOD, c *shownClass) string {
	switch c.State {
	case "NOT_ON_SALE", "NOT_OFFERED", "UNKNOWN":
		return ""
	}
	i := slices.IndexFunc(t.classes, func(x classTruth) bool { return x.class == c.Class })
	if i < 0 {
		return fmt.Sprintf("class %s, which it has not", c.Class)
	}
	n, allowed := t.classes[i].remaining(od.From, od.To)
	var right bool
	switch c.State {
	case "SUSPENDED":
		right = t.suspended
	case "RESTRICTED":
		right = !t.suspended && !allowed
	default: // AVAILABLE, LOW, WAITLIST, SOLD_OUT
		right = !t.suspended && allowed && c.Remaining == n && (n == 0) == (c.State == "SOLD_OUT" || c.State == "WAITLIST")
	}
	if right {
		return ""
	}
	return fmt.Sprintf("[%d,%d) class %s is shown as %s %d; it had %d, sold there %t, suspended %t", od.From, od.To, c.Class, c.State, c.Remaining, n, allowed, t.suspended)
}
