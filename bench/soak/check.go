//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// findings is what the checks have counted. Safe for concurrent use.
type findings struct {
	mu sync.Mutex // guards what follows
	// Answers that were asked for by the checks, and what they were: live ones were judged unless they told of a time before their runs were watched.
	Asked, Live, Judged, Same, Degraded, Refused, Failed int
	// Wrong ones said that they were live.
	Wrong []string
	// Exact runs whose numbers were compared at equal versions, and those that were not as they should be.
	Exact   int
	Inexact []string
	// Compared runs on a node, in how many looks at everything; Diverged ones are not what the record has.
	Compared, Looks int
	Diverged        []string
}

// most findings of a kind are told in words.
const most = 50

func (f *findings) count(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func note(all *[]string, format string, args ...any) {
	if len(*all) < most {
		*all = append(*all, time.Now().UTC().Format(time.TimeOnly)+" "+fmt.Sprintf(format, args...))
	} else {
		*all = append(*all, "")
	}
}

// checker asks, and compares.
type checker struct {
	*stage
	findings findings

	mu   sync.Mutex // guards what follows
	asks []*question
}

// renew has other questions asked from now on.
func (c *checker) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks = c.record.questions(c.rng, c.record.today(), c.asks)
}

// kept is an answer that a client has already.
type kept struct {
	tag  string
	body []byte
}

// askEvery is how often a node is asked something that is checked.
const askEvery = 100 * time.Millisecond

// ask asks a node one question after the other until ctx ends, and judges each answer.
func (c *checker) ask(ctx context.Context, n *node) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	have := map[*question]kept{}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		asks := c.asks
		c.mu.Unlock()
		if _, current := have[asks[0]]; !current {
			clear(have)
		}
		q := asks[i%len(asks)]
		k, err := c.once(ctx, n, q, have[q], i/len(asks)%2 == 1)
		if err != nil && ctx.Err() == nil {
			c.findings.count(func() { c.findings.Failed++ })
		}
		have[q] = k
	}
}

// once asks once. A conditional question that is answered with 304 has the answer that was kept.
func (c *checker) once(ctx context.Context, n *node, q *question, k kept, conditional bool) (kept, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.http+q.path, http.NoBody)
	if err != nil {
		return k, err
	}
	if conditional && k.tag != "" {
		request.Header.Set("If-None-Match", k.tag)
	}
	response, err := process.Client.Do(request)
	if err != nil {
		return k, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return k, err
	}
	now := time.Now()
	f := &c.findings
	f.count(func() { f.Asked++ })
	switch response.StatusCode {
	case http.StatusOK:
		k = kept{response.Header.Get("ETag"), body}
	case http.StatusNotModified:
		f.count(func() { f.Same++ })
	default:
		f.count(func() { f.Refused++ })
		return k, nil
	}
	if response.Header.Get("Yupiao-State") != "live" {
		f.count(func() { f.Degraded++ })
		return k, nil
	}
	asOf, err := time.Parse(time.RFC3339, response.Header.Get("Yupiao-As-Of"))
	if err != nil {
		f.count(func() { note(&f.Wrong, "node %s: %s is live as of nothing: %v", n.name, q.path, err) })
		return k, nil
	}
	wrong, judged := c.record.judge(q, k.body, c.record.real(asOf), now)
	f.count(func() {
		f.Live++
		if judged {
			f.Judged++
		}
		if wrong != "" {
			note(&f.Wrong, "node %s: %s as of %s: %s", n.name, q.path, asOf.Format(time.TimeOnly+".000"), wrong)
		}
	})
	return k, nil
}

// ids of the nodes in the fleet, by name.
func (c *checker) ids(ctx context.Context) (map[string]string, error) {
	all, err := c.operator.Nodes(ctx)
	ids := map[string]string{}
	for i := range all {
		if all[i].Silent == "" {
			ids[all[i].Name] = all[i].ID
		}
	}
	return ids, err
}

// sampled is how many runs of each node are compared number by number.
const sampled = 60

// numbers compares what each node holds of runs at random with what they are by the definition, at equal versions.
func (c *checker) numbers(ctx context.Context, rng *rand.Rand) error {
	if c.stage.trouble(ctx) != "" {
		return nil // the nodes say so themselves
	}
	ids, err := c.ids(ctx)
	if err != nil {
		return err
	}
	today := c.record.today()
	for name, id := range ids {
		for range sampled {
			t := &c.record.schedule.Trips[rng.IntN(len(c.record.schedule.Trips))]
			run := rail.RunID{Date: today + 1 + rail.Date(rng.IntN(13)), Trip: t.ID}
			if err := c.exact(ctx, name, id, run, t.Pattern); err != nil {
				return err
			}
		}
	}
	return nil
}

// exact compares one run. One that changes faster than it can be compared is let go.
func (c *checker) exact(ctx context.Context, name, id string, run rail.RunID, p *timetable.Pattern) error {
	f := &c.findings
	for range 5 {
		state, open := c.record.book.State(run)
		if !open {
			return nil
		}
		n, err := c.operator.Numbers(ctx, id, run)
		if err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
		if held := (rail.Version{Epoch: n.Epoch, Revision: n.Revision}); held != state.Version {
			continue
		}
		at := 0
		for from := range rail.StopIndex(len(p.Stops)) {
			for to := from + 1; int(to) < len(p.Stops); to++ {
				for k := range state.Classes {
					if want := int32(remaining(&state.Classes[k], from, to)); at >= len(n.All) || n.All[at] != want {
						f.count(func() {
							note(&f.Inexact, "node %s: run %s at %s, class %s from %d to %d: %v; want %d", name, run, state.Version, state.Classes[k].Class, from, to, n.All[min(at, len(n.All)):min(at+1, len(n.All))], want)
						})
						return nil
					}
					at++
				}
			}
		}
		f.count(func() { f.Exact++ })
		return nil
	}
	return nil
}

// sums are what a node holds of all runs.
func (c *checker) sums(ctx context.Context, id string, dates []rail.Date) (map[rail.RunID]fleet.RunSum, error) {
	all := make(map[rail.RunID]fleet.RunSum, 1<<18)
	for _, date := range dates {
		for p := range rail.Partition(rail.Partitions) {
			sums, err := c.operator.Sums(ctx, id, fleet.Part{Partition: p, Date: date})
			if err != nil {
				return nil, err
			}
			for _, s := range sums {
				all[s.Sum().Run] = s
			}
		}
	}
	return all, nil
}

// whole compares all that the nodes hold with the record, and with each other, while they say that they are live: what differs is looked at again after a while, and what stays is a finding.
func (c *checker) whole(ctx context.Context) error {
	if c.stage.trouble(ctx) != "" {
		return nil // the nodes say so themselves
	}
	ids, err := c.ids(ctx)
	if err != nil {
		return err
	}
	f, dates := &c.findings, c.record.kept()
	f.count(func() { f.Looks++ })
	held := map[string]map[rail.RunID]fleet.RunSum{}
	for _, n := range c.nodes {
		if ids[n.name] == "" {
			return fmt.Errorf("node %s does not answer operators", n.name)
		}
		before := c.record.versions(dates) // what the node has to have a while later
		if held[n.name], err = c.sums(ctx, ids[n.name], dates); err != nil {
			return fmt.Errorf("node %s: %w", n.name, err)
		}
		after := c.record.versions(dates)
		late := lagging(before, after, held[n.name])
		if len(late) > 0 {
			if err := process.Sleep(ctx, 2500*time.Millisecond); err != nil {
				return err
			}
			again, err := c.sums(ctx, ids[n.name], dates)
			if err != nil {
				return fmt.Errorf("node %s: %w", n.name, err)
			}
			after = c.record.versions(dates)
			stay := lagging(before, after, again)
			late = slices.DeleteFunc(late, func(run rail.RunID) bool { return !slices.Contains(stay, run) })
		}
		f.count(func() {
			f.Compared += len(before)
			for _, run := range late {
				note(&f.Diverged, "node %s: run %s: %v; the record has %s", n.name, run, held[n.name][run], before[run])
			}
		})
	}
	f.count(func() {
		for run, a := range held["a"] {
			if b := held["b"][run]; a.Epoch == b.Epoch && a.Revision == b.Revision && a.Content != b.Content && a.Content != 0 && b.Content != 0 {
				note(&f.Diverged, "run %s at revision %d has other numbers on node a than on b", run, a.Revision)
			}
		}
	})
	return nil
}

// lagging are the runs of which a node holds less than was there before it was asked, or more than was there afterwards.
func lagging(before, after map[rail.RunID]rail.Version, held map[rail.RunID]fleet.RunSum) (all []rail.RunID) {
	for run, v := range before {
		s, some := held[run]
		has := rail.Version{Epoch: s.Epoch, Revision: s.Revision}
		if !some || v.Above(has) || has.Above(after[run]) && after[run] != (rail.Version{}) || s.Health != "live" {
			all = append(all, run)
		}
	}
	for run := range held {
		if _, known := after[run]; !known {
			all = append(all, run)
		}
	}
	return all
}
