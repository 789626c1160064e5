package answer

import (
	"flag"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/view"
)

var underFire = flag.Int("answers", 1_000_000, "answers that TestUnderFire checks under a TTL of 0; a fifth of them under others")

const (
	fireRate    = 5000 // changes/s
	fireReaders = 8
	fireDays    = 8
	fireTrains  = 3
)

// chronicle is every answer that was ever true, by day.
type chronicle struct {
	railway            *testkit.Busy
	origin             time.Time
	started, completed atomic.Int64 // changes
	// Of the writer until it has ended.
	at   []time.Time // of each change's completion; the first is that of the start
	days [fireDays][]moment
}

// moment is an answer, true from a change on.
type moment struct {
	change int64
	tag    uint64
}

// now is a clock that goes on from the railway's morning, whatever day it is.
func (c *chronicle) now() time.Time { return testkit.Morning.Add(time.Since(c.origin)) }

func (c *chronicle) write(day int) {
	a := view.Look(c.railway.Replica, c.railway.Search(day*fireTrains), c.now())
	body := render.Printer{Index: c.railway.Index()}.Answer(nil, c.railway.Search(day*fireTrains), a)
	c.days[day] = append(c.days[day], moment{c.completed.Load(), hashOf(render.Tag(body))})
}

func hashOf(tag string) uint64 { return maphash.String(cellSeed, tag) }

// change changes runs at random at the rate, until it is told to stop.
func (c *chronicle) change(stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(1, 2))
	beat := time.NewTicker(time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case <-stop:
			return
		case <-beat.C:
		}
		for due := int64(time.Since(c.origin).Seconds() * fireRate); c.completed.Load() < due; {
			i := r.IntN(len(c.railway.Runs))
			c.started.Add(1)
			c.railway.Change(i)
			c.at = append(c.at, c.now())
			c.completed.Add(1)
			c.write(i / fireTrains)
		}
	}
}

// reply is an answer that somebody got.
type reply struct {
	day        int
	begin, end int64 // changes completed before the request, and started before the reply
	now        time.Time
	tag        uint64
	lagging    bool // it says of itself that it may be of no one moment: the writer was halted in the middle of a change (V2)
}

// true reports whether the reply was true at some moment between two changes.
func (c *chronicle) true(r *reply, from int64) bool {
	all := c.days[r.day]
	i, exact := slices.BinarySearchFunc(all, from, func(m moment, change int64) int { return int(m.change - change) })
	if !exact {
		i-- // the one that held already
	}
	for ; i < len(all) && all[i].change <= r.end; i++ {
		if all[i].tag == r.tag {
			return true
		}
	}
	return false
}

// E1, at 5,000 changes/s and with 8 readers: under a TTL of 0 every answer is one that was true at a moment between its request and its reply; under a TTL of t, one that
// was true no longer ago than t.
func TestUnderFire(t *testing.T) {
	for _, ttl := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond} {
		t.Run(fmt.Sprint("ttl=", ttl), func(t *testing.T) {
			c := &chronicle{origin: time.Now(), railway: testkit.NewBusy(func() time.Time { return testkit.Morning }, fireDays, fireTrains)}
			for day := range fireDays {
				c.write(day)
			}
			p := policy.Exact()
			p.Defaults.TTL.Fixed = ttl
			cache, err := New(Options{Memory: 1 << 20, Policy: func() *policy.Policy { return p }})
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			n := *underFire
			if ttl > 0 {
				n /= 5
			}
			replies := c.fire(cache, n)
			stale, lagging := 0, 0
			for i := range replies {
				r := &replies[i]
				if r.lagging {
					lagging++
					continue
				}
				from := r.begin
				if ttl > 0 {
					n, _ := slices.BinarySearchFunc(c.at, r.now.Add(-ttl), time.Time.Compare)
					from = int64(max(n-1, 0))
				}
				if !c.true(r, from) {
					t.Fatalf("reply %d of day %d was true at no moment from change %d to %d", i, r.day, from, r.end)
				}
				if !c.true(r, r.begin) {
					stale++
				}
			}
			s, took := cache.Stats(), c.at[len(c.at)-1].Sub(c.at[0]).Seconds()
			t.Logf("%d answers in %.1f s: %d by TTL, %d looked at, %d rendered, %d waited; %.0f changes/s; %d were not true at their moment, none longer than the TTL; %d say so themselves",
				len(replies), took, s.TTL, s.Looked, s.Rendered, s.Waited, float64(c.completed.Load())/took, stale, lagging)
			if lagging > len(replies)/10 {
				t.Errorf("%d of %d answers say that they may be of no one moment", lagging, len(replies))
			}
			if ttl > 0 && stale == 0 {
				t.Error("no answer was older than its moment: this proves nothing")
			}
		})
	}
}

// fire has readers ask while the runs change.
func (c *chronicle) fire(cache *Cache, answers int) (all []reply) {
	c.at = []time.Time{c.now()}
	stop := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() { c.change(stop) })
	parts := make([][]reply, fireReaders)
	for n := range parts {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 3))
			for range answers / fireReaders {
				parts[n] = append(parts[n], c.ask(cache, r.IntN(fireDays)))
			}
		})
	}
	readers.Wait()
	close(stop)
	writer.Wait()
	return slices.Concat(parts...)
}

func (c *chronicle) ask(cache *Cache, day int) reply {
	r := reply{day: day, begin: c.completed.Load(), now: c.now()}
	key := fmt.Sprint("day=", day)
	e := cache.Find(key, c.railway.Index(), r.now)
	if e == nil {
		e = cache.Join(Request{Key: key, Query: c.railway.Search(day * fireTrains), Index: c.railway.Index(), Until: r.now.Add(time.Hour)}, r.now)
	}
	s := e.Serve(c.railway.Replica, r.now, Demand{})
	r.tag, r.lagging = hashOf(s.Tag), s.Lagging
	r.end = c.started.Load()
	return r
}
