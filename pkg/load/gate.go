package load

import (
	"context"
	"time"
)

// shot is a request that is due.
type shot struct {
	question
	due time.Duration // since the beginning
}

// gate hands out the requests in order, each when it is due, to the connections that are free. The token's holder has it alone: it waits for the next
// request's time while all others wait for the token, in the order in which they became free. So one clock is enough for any number of connections, none is
// idle while a request waits, and what is asked for depends on no connection (L1). Those who wait need no memory: they are numbers that are past due.
type gate struct {
	*run
	token   chan struct{}
	traffic traffic
	next    uint64 // number of the next request; how many were due, when the run is over
}

// take waits until a request is due, and gives it to the caller; false when there are no more.
func (g *gate) take(ctx context.Context) (shot, bool) {
	free := g.now()
	select {
	case <-ctx.Done():
		return shot{}, false
	case <-g.token:
	}
	defer func() { g.token <- struct{}{} }()
	for {
		due := g.plan.due(g.next)
		if due >= g.For || !g.wait(ctx, due) {
			return shot{}, false
		}
		g.next++
		s := shot{due: due, question: g.traffic.next(due)}
		now := g.now()
		waiting := g.plan.count(now+1) - g.next
		if now-due < g.Timeout && waiting <= uint64(g.Queue) {
			g.recorder.sent(now, now-max(due, free), waiting)
			return s, true
		}
		g.giveUp(s, now)
	}
}

// wait waits until a time since the beginning; false if ctx ends before.
func (g *gate) wait(ctx context.Context, until time.Duration) bool {
	for ctx.Err() == nil {
		left := until - g.now()
		if left <= 0 {
			return true
		}
		g.sleep.sleep(left)
	}
	return false
}

func (g *gate) giveUp(s shot, now time.Duration) {
	g.recorder.settled(result{due: s.due, done: now, outcome: Unsent})
}

// close gives up what was due and has not been sent (L3). No connection may take from the gate any more.
func (g *gate) close() {
	now := g.now()
	for ; g.next < g.plan.count(g.length()); g.next++ {
		g.giveUp(shot{due: g.plan.due(g.next)}, now)
	}
}
