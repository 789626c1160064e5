//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/rail"
)

// watch is a soak under way.
type watch struct {
	*checker
	vandal  *vandal
	load    *crowd
	visible *sight
	began   time.Time // of what is measured; the warm-up is before it

	mu       sync.Mutex // guards what follows
	samples  []sample
	events   []mishap
	rolled   []float64 // when the dates rolled,
	shared   []float64 // and settings changed
	troubles []string  // of ours: what could not be done or looked at
}

// at is the time from the beginning, in seconds.
func (w *watch) at() float64 { return time.Since(w.began).Seconds() }

func (w *watch) complain(what string, err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubles = append(w.troubles, fmt.Sprintf("%.0f s: %s: %v", w.at(), what, err))
	fmt.Fprintf(os.Stderr, "%7.0fs  %s: %v\n", w.at(), what, err)
}

func (w *watch) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7.0fs  %s\n", w.at(), fmt.Sprintf(format, args...))
}

// soak runs all of it, and reports. It is false if a verdict fails.
func soak(ctx context.Context, o options) (held bool, err error) {
	w := &watch{began: time.Now().Add(o.warmUp)}
	s, err := raise(ctx, o, w.say)
	if err != nil {
		return false, err
	}
	defer s.clear()
	w.checker, w.load = &checker{stage: s}, &crowd{stage: s, outcomes: map[string]uint64{}, problems: map[string]uint64{}}
	w.visible = &sight{checker: w.checker}
	if w.vandal, err = newVandal(s.nats); err != nil {
		return false, err
	}
	defer w.vandal.close()
	w.began = time.Now().Add(o.warmUp)
	w.run(ctx)
	r := w.report()
	if err := r.write(o.out); err != nil {
		return false, err
	}
	fmt.Println(r.text())
	return r.held(), nil
}

// run lets everything happen until the time is over, or ctx ends.
func (w *watch) run(ctx context.Context) {
	until := w.began.Add(w.length)
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	w.renew()
	var all sync.WaitGroup
	all.Go(func() { w.sell(ctx) })
	all.Go(func() { w.load.run(ctx, until) })
	for i, n := range w.nodes {
		all.Go(func() { w.ask(ctx, n) })
		all.Go(func() { w.visible.watch(ctx, i) })
	}
	all.Go(func() { w.sample(ctx) })
	all.Go(func() { w.tell(ctx) })
	w.steps(ctx)
	all.Wait()
}

// sell lets people buy at the rate.
func (w *watch) sell(ctx context.Context) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	began, done := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		due := int(time.Since(began).Seconds()*float64(w.rate)) - done
		due = min(due, w.rate/20) // after a stall, not all at once
		w.record.act(due)
		done += due
	}
}

// step is something that is done again and again.
type step struct {
	what  string
	next  time.Time
	every time.Duration
	do    func(context.Context) error
}

// firstRolls of dates are in the warm-up: from then on as many dates are over as come on sale, and nodes hold no more of them.
const firstRolls = 3

// plan is faults, days, settings and looks.
func (w *watch) plan() []step {
	now, faults, fault, reload := time.Now(), w.faults(), 0, 0
	return []step{
		{"look at numbers", now.Add(w.faultEvery / 6), w.faultEvery / 6, func(ctx context.Context) error { return w.numbers(ctx, w.rng) }},
		{"fault", now.Add(w.faultEvery / 2), w.faultEvery, func(ctx context.Context) error {
			w.hurt(ctx, &faults[fault%len(faults)])
			fault++
			return nil
		}},
		{"look at everything", now.Add(w.faultEvery * 3 / 4), w.faultEvery, w.whole},
		{"first rolls of dates", now.Add(w.warmUp / (firstRolls + 1)), w.warmUp / (firstRolls + 1), func(ctx context.Context) error {
			if time.Since(now) >= w.warmUp {
				return nil
			}
			return w.nextDay(ctx)
		}},
		{"roll of dates", now.Add(w.warmUp + w.day), w.day, w.nextDay},
		{"new settings", now.Add(w.reloadEvery), w.reloadEvery, func(ctx context.Context) error {
			w.mu.Lock()
			w.shared = append(w.shared, w.at())
			w.mu.Unlock()
			reload++
			return w.reload(ctx, reload)
		}},
	}
}

// steps does what is due, one after the other, so that each is seen by itself; of several the one that has waited longest.
func (w *watch) steps(ctx context.Context) {
	plan := w.plan()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := &plan[0]
		for i := range plan {
			if plan[i].next.Before(s.next) {
				s = &plan[i]
			}
		}
		if time.Now().Before(s.next) {
			continue
		}
		if err := s.do(ctx); ctx.Err() == nil {
			w.complain(s.what, err)
		}
		for s.next = s.next.Add(s.every); s.next.Before(time.Now()); s.next = s.next.Add(s.every) { // what was missed is left out
		}
	}
}

// hurt lets a fault happen, and notes it, unless the end came in between.
func (w *watch) hurt(ctx context.Context, f *fault) {
	e := w.suffer(ctx, f)
	if ctx.Err() != nil && math.IsNaN(e.Recovered) {
		return
	}
	w.say("%s %s: noticed after %.1f s, recovered %.1f s after its end; %d of %d queries answered %s", e.Code, e.Name, e.Noticed, e.Recovered, e.Answered, e.Asked, e.Failed)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// nextDay rolls the dates, and waits until the nodes have the new one.
func (w *watch) nextDay(ctx context.Context) error {
	closed := w.record.roll()
	w.record.mu.Lock()
	ahead := w.record.ahead()
	w.record.mu.Unlock()
	for _, n := range w.nodes {
		if err := n.move(ahead); err != nil {
			return err
		}
	}
	for _, d := range closed {
		if err := w.vandal.expire(ctx, d); err != nil {
			return err
		}
	}
	w.renew()
	w.mu.Lock()
	w.rolled = append(w.rolled, w.at())
	w.mu.Unlock()
	began := time.Now()
	err := await(ctx, time.Minute, "all is well on the new date", func() bool { return w.stage.trouble(ctx) == "" })
	w.say("it is %s; closed %v; all well after %.1f s", w.record.today(), closed, time.Since(began).Seconds())
	return err
}

// share shares settings among all nodes.
func (w *watch) share(ctx context.Context, document string) error {
	last, err := w.operator.History(ctx, 1)
	if err != nil {
		return err
	}
	p := fleet.Proposal{Document: document, By: "soak"}
	if len(last) > 0 {
		p.After = last[0].Number
	}
	_, verdicts, err := w.operator.Share(ctx, p)
	for _, v := range verdicts {
		if v.Refused != "" && err == nil {
			err = fmt.Errorf("node %s: %s", v.Name, v.Refused)
		}
	}
	return err
}

// tell says how it goes.
func (w *watch) tell(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		n := len(w.samples)
		if n == 0 {
			w.mu.Unlock()
			continue
		}
		s := w.samples[n-1]
		w.mu.Unlock()
		f := &w.findings
		f.mu.Lock()
		checked := fmt.Sprintf("answers %d judged, %d wrong; runs %d exact, %d not; %d compared, %d diverged", f.Judged, len(f.Wrong), f.Exact, len(f.Inexact), f.Compared, len(f.Diverged))
		f.mu.Unlock()
		w.say("%.0f changes/s, visible %.1f/%.1f ms; %.0f queries/s, p99 %.0f ms; a %.0f MiB %.0f goroutines, b %.0f MiB; %.2f processors; %s",
			s.changes, s.visible[0], s.visible[1], s.queries, s.p99, s.nodes[0].resident, s.nodes[0].goroutines, s.nodes[1].resident, s.processor, checked)
	}
}

// sight measures how soon a change can be seen on each node.
type sight struct {
	*checker
	mu   sync.Mutex // guards took
	took [2][]float64
}

// watch waits, once a second, until a change that was just committed is on a node.
func (v *sight) watch(ctx context.Context, node int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	id := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c := v.record.figures().last
		if id == "" {
			ids, _ := v.ids(ctx) // without an answer, it is asked again
			id = ids[v.nodes[node].name]
		}
		if id == "" || c.at.IsZero() {
			continue
		}
		took, err := v.until(ctx, id, c.change.Delta.Run, c.change.Delta.Version, c.at)
		if err != nil {
			id = ""
			continue
		}
		v.mu.Lock()
		v.took[node] = append(v.took[node], took.Seconds()*1e3)
		v.mu.Unlock()
	}
}

// until waits until a node has a version.
func (v *sight) until(ctx context.Context, id string, run rail.RunID, version rail.Version, since time.Time) (time.Duration, error) {
	for time.Since(since) < 10*time.Second {
		n, err := v.operator.Numbers(ctx, id, run)
		if err != nil {
			return 0, err
		}
		if !version.Above(rail.Version{Epoch: n.Epoch, Revision: n.Revision}) {
			return time.Since(since), nil
		}
		if err := process.Sleep(ctx, max(time.Millisecond, time.Since(since)/10)); err != nil { // the later, the less often: who is late has enough to do
			return 0, err
		}
	}
	return time.Since(since), nil
}

// lately are the medians since the last call, by node; NaN of none.
func (v *sight) lately() [2]float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := [2]float64{median(v.took[0]), median(v.took[1])}
	v.took = [2][]float64{}
	return out
}

var selfPID = os.Getpid()

func (s *stage) publisherPID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pidOf(s.publisher)
}

func (s *stage) brokerPID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pidOf(s.broker)
}

func pidOf(c *process.Child) int {
	if c == nil {
		return 0
	}
	return c.PID()
}

// residentOf is a process's memory in MiB; NaN if it is not there.
func residentOf(pid int) float64 {
	resident, _, err := process.Memory(pid)
	if err != nil {
		return math.NaN()
	}
	return float64(resident) / (1 << 20)
}

// usage is the processor time of each process.
type usage map[int]time.Duration

func (w *watch) used() usage {
	u := usage{}
	pids := []int{selfPID, w.publisherPID(), w.brokerPID()}
	for _, n := range w.nodes {
		_, pid := n.life()
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if used, err := process.CPU(pid); err == nil {
			u[pid] = used
		}
	}
	return u
}

// since is the seconds that were used since an earlier look, of processes that are there now.
func (u usage) since(before usage) (seconds float64) {
	for pid, used := range u {
		seconds += (used - before[pid]).Seconds()
	}
	return seconds
}
