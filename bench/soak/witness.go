//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// witness remembers what a run was like lately.
type witness struct {
	run     rail.RunID
	moments []moment // the oldest first; there is one
}

// moment is from when on a run was like this.
type moment struct {
	at    time.Time
	state event.RunState
}

// remembered is how long: an answer that calls itself live is at most two seconds old.
const remembered = 30 * time.Second

// note remembers the present. The record's mu is held.
func (w *witness) note(book *country.Book, at time.Time) {
	if s, ok := book.State(w.run); ok {
		w.add(moment{at, s})
	}
}

func (w *witness) add(m moment) {
	w.moments = append(w.moments, m)
	old := 0
	for old+1 < len(w.moments) && m.at.Sub(w.moments[old+1].at) > remembered {
		old++
	}
	w.moments = slices.Delete(w.moments, 0, old)
}

// between is what the run was like at any moment of a stretch of time, both ends included.
func (w *witness) between(from, to time.Time) (all []*event.RunState) {
	for i := range w.moments {
		ended := i+1 < len(w.moments) && w.moments[i+1].at.Before(from)
		if !ended && !w.moments[i].at.After(to) {
			all = append(all, &w.moments[i].state)
		}
	}
	return all
}

// remaining places of a class for an OD, by the definition: free windows that cover it, and of places to stand the least of its segments.
func remaining(c *inventory.Class, from, to rail.StopIndex) (sum rail.SeatCount) {
	for i := range c.Buckets {
		b := &c.Buckets[i]
		if b.Kind == inventory.Windows {
			for _, s := range b.Spans {
				if s.From <= from && s.To >= to {
					sum += s.Count
				}
			}
			continue
		}
		least := b.Capacity
		for at := from; at < to; at++ {
			left := rail.SeatCount(0)
			for _, s := range b.Spans {
				if s.From <= at && at < s.To {
					left += s.Count
				}
			}
			least = min(least, left)
		}
		sum += least
	}
	return sum
}

// question is a search that is asked again and again, and what is to be in its answer.
type question struct {
	path  string
	since time.Time // answers of earlier times cannot be judged
	over  bool      // its runs are not witnessed any more; guarded by the record's mu
	rides map[rail.RunID][]demand.Ride
}

// Kinds of questions: of places between which many trains run, some, few and one; and how many of each.
var asked = []struct{ rides, count int }{{80, 4}, {17, 8}, {4, 6}, {1, 6}}

// questions are new ones, whose runs the record witnesses from now on instead of those before.
func (r *record) questions(rng *rand.Rand, today rail.Date, before []*question) (all []*question) {
	d := r.book.Demand()
	for _, kind := range asked {
		ranks := d.Near(kind.rides, 20*kind.count)
		for range kind.count {
			rank := ranks[rng.IntN(len(ranks))]
			pair, date := d.Pair(rank), today+2+rail.Date(rng.IntN(country.SaleDays-3))
			q := &question{
				path:  "/v1/availability?from=" + url.QueryEscape(pair.From.String()) + "&to=" + url.QueryEscape(pair.To.String()) + "&date=" + date.String(),
				rides: map[rail.RunID][]demand.Ride{},
			}
			for _, ride := range d.Rides(rank) {
				t := &r.schedule.Trips[ride.Trip]
				on := date - t.Pattern.Stops[ride.From].Depart.Days()
				if _, runs := slices.BinarySearch(t.Dates, on); runs {
					id := rail.RunID{Date: on, Trip: t.ID}
					q.rides[id] = append(q.rides[id], ride)
				}
			}
			all = append(all, q)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.witnesses)
	for _, q := range before {
		q.over = true
	}
	now := time.Now()
	for _, q := range all {
		q.since = now
		for run := range q.rides {
			if r.witnesses[run] == nil {
				r.witnesses[run] = &witness{run: run}
				r.witnesses[run].note(r.book, now)
			}
		}
	}
	return all
}

// answered is an answer as it is read.
type answered struct {
	Runs []struct {
		Run     string
		From    struct{ Stop rail.StopIndex }
		To      struct{ Stop rail.StopIndex }
		Behind  bool
		Reason  string
		Classes []struct {
			Class     rail.Class
			State     string
			Remaining *rail.SeatCount
		}
	}
}

// judge holds an answer that calls itself live against what was true at some moment between two, by our clock; empty if it is right. It is not judged if it tells of a time
// before its runs were witnessed, or if they are no longer. The record's mu must not be held.
func (r *record) judge(q *question, body []byte, from, to time.Time) (wrong string, judged bool) {
	var a answered
	if err := json.Unmarshal(body, &a); err != nil {
		return "unreadable: " + err.Error(), true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if from.Before(q.since) || q.over {
		return "", false
	}
	return r.wrong(q, &a, from, to), true
}

// wrong is what is wrong with an answer. The caller holds mu.
func (r *record) wrong(q *question, a *answered, from, to time.Time) string {
	seen := map[rail.RunID]bool{}
	for i := range a.Runs {
		run := &a.Runs[i]
		id, err := rail.ParseRunID(run.Run)
		if err != nil || q.rides[id] == nil {
			return fmt.Sprintf("run %s does not serve it", run.Run)
		}
		seen[id] = true
		if run.Behind {
			continue // it says so
		}
		var truths []string
		right := false
		for _, state := range r.witnesses[id].between(from, to) {
			right = true
			truth := ""
			for k := range state.Classes {
				c := &state.Classes[k]
				n := remaining(c, run.From.Stop, run.To.Stop)
				truth += fmt.Sprintf(" %s %d", c.Class, n)
				for _, shown := range run.Classes {
					if shown.Class == c.Class && shown.Remaining != nil && *shown.Remaining != n {
						right = false
					}
				}
			}
			if right {
				break
			}
			truths = append(truths, fmt.Sprintf("%s:%s", state.Version, truth))
		}
		if !right {
			shown, _ := json.Marshal(run.Classes) // it was read from JSON
			return fmt.Sprintf("run %s from stop %d to %d: %s; true since %s was %v", run.Run, run.From.Stop, run.To.Stop, shown, from.Format(time.TimeOnly+".000"), truths)
		}
	}
	for id := range q.rides {
		if !seen[id] {
			return fmt.Sprintf("run %s is missing", id)
		}
	}
	return ""
}
