package httpapi

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// somebody has an address.
var somebody = netip.MustParseAddr("192.0.2.1")

// watchers are streams without connections: those who watch leave as soon as they are told to begin anew.
type watchers struct {
	g    *rig
	open atomic.Int64
}

// come has so many watch a search; false if the first of them is not admitted.
func (w *watchers) come(query string, many int) bool {
	first, last := saleDates(w.g.source.R, w.g.now)
	q, lang, _, _ := parseQuery(query, w.g.source.R.Index(), first, last)
	for range many {
		if w.g.hub.admit(somebody) != nil {
			return false
		}
		t := w.g.hub.join(q, lang)
		sub, _, _ := t.subscribe()
		w.open.Add(1)
		go func() {
			for {
				select {
				case <-sub.events:
					continue
				case <-sub.lost:
				case <-w.g.hub.ctx.Done():
				}
				break
			}
			t.unsubscribe(sub)
			w.g.hub.part(t)
			w.g.hub.leave(somebody)
			w.open.Add(-1)
		}()
	}
	return true
}

// The streams of a drained server begin anew bit by bit, however many watch the same search, and none is admitted; if the server is taken back meanwhile, the others stay.
func TestStreamsLeaveBitByBit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(context.Background())
		g := &rig{t: t, now: testkit.Morning}
		clock := func() time.Time { return g.now }
		g.source = &testkit.Fixed{R: testkit.Railway(clock)}
		s, err := New(ctx, Options{Source: g.source, Clock: clock, Answers: keep(t, nil), Settings: Settings{MaxStreamsPerClient: 10_000}})
		if err != nil {
			t.Fatal(err)
		}
		g.Server = s
		w := &watchers{g: g}
		const hot, rare = "from=BJP&to=SHH&date=2026-12-01", "from=BJP&to=JNK&date=2026-12-01"
		w.come(hot, 2900)
		w.come(rare, 100)
		pass := func(d time.Duration) int64 {
			<-time.After(d) // by the bubble's clock
			synctest.Wait()
			return w.open.Load()
		}
		s.Drain()
		s.Drain()
		if w.come(hot, 1) {
			t.Error("a stream is opened")
		}
		if half := pass(restartOver / 2); half < 1300 || half > 1700 {
			t.Errorf("after half of the time %d of 3000 streams are open", half)
		}
		s.Return()
		stay := pass(restartOver)
		if stay < 1200 || pass(restartOver) != stay {
			t.Errorf("%d streams are open after the server was taken back, and %d later", stay, w.open.Load())
		}
		if !w.come(rare, 1) {
			t.Error("no stream is opened after it was taken back")
		}
		s.Drain()
		if left := pass(restartOver + restartEvery); left != 0 {
			t.Errorf("%d streams are left", left)
		}
		s.Return()
		end()
		synctest.Wait()
	})
}
