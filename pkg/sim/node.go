package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// member is a query node, as far as its numbers go: the real follower over its own link.
type member struct {
	world    *world
	name     string
	link     *link
	skew     time.Duration
	follower *replica.Follower
	running  bool
	cancel   context.CancelFunc
	done     sync.WaitGroup

	disturbed atomic.Bool
	lost      atomic.Int64 // when something was lost last within it, as nanoseconds
	shown     map[rail.RunID]rail.Version
}

func (w *world) newMember(i int, skew time.Duration) *member {
	m := &member{world: w, name: fmt.Sprintf("node-%d", i+1), skew: skew}
	m.link = w.newLink(m.name)
	m.start()
	return m
}

func (m *member) start() {
	if m.running {
		return
	}
	m.running = true
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.shown = cancel, map[rail.RunID]rail.Version{}
	m.follower = replica.NewFollower(m.link, replica.Options{
		Clock:   func() time.Time { return time.Now().Add(m.skew) },
		Jitter:  func() float64 { return float64(m.link.hash("jitter", uint64(time.Now().UnixNano()))%1000) / 1000 },
		OnFault: func(f replica.Fault) { m.world.say("%s: %s %s %v %v", m.name, f.Kind, f.Run, f.Where, f.Err) },
		Between: func(s feed.Sink) feed.Sink {
			s = testkit.Fated(s, m.batch, m.state)
			if m.world.plan.between != nil {
				s = m.world.plan.between(s)
			}
			return s
		},
	})
	m.done.Go(func() { _ = m.follower.Run(ctx) })
}

// stop ends the process at once.
func (m *member) stop() {
	m.running = false
	m.cancel()
	m.done.Wait()
}

// batch and state are what becomes of what a node has read, between its reader and its replica, while it is disturbed. No feed does that: it stands for what nobody has thought of.
func (m *member) batch(sequence uint64) testkit.Fate {
	if !m.disturbed.Load() {
		return testkit.Delivered
	}
	fate := testkit.FateOf(int(m.link.hash("disturb", sequence) % 10))
	if fate == testkit.Late || fate == testkit.Lost {
		m.lost.Store(time.Now().UnixNano())
	}
	return fate
}

func (m *member) state(s *event.RunState) (lost bool) {
	lost = m.disturbed.Load() && m.link.hash("state "+s.Run.String(), s.Version.Revision)%10 == 0
	if lost {
		m.lost.Store(time.Now().UnixNano())
	}
	return lost
}
