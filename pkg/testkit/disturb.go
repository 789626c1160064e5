package testkit

import (
	"math/rand/v2"
	"sync"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Disturb stands between a feed and its sink and delivers badly: it loses, doubles and swaps batches of deltas, and loses states. The position
// still moves on, as it does when a message is lost unseen.
func Disturb(seed uint64) func(feed.Sink) feed.Sink {
	return func(s feed.Sink) feed.Sink {
		return &disturbed{Sink: s, rand: rand.New(rand.NewPCG(seed, 0)), late: map[rail.Partition]func(){}}
	}
}

type disturbed struct {
	feed.Sink
	mu   sync.Mutex // guards what follows
	rand *rand.Rand
	late map[rail.Partition]func()
}

// Deltas delivers one batch in ten later than the next, loses one and doubles one.
func (d *disturbed) Deltas(p rail.Partition, batch *event.DeltaBatch, sequence uint64) {
	deliver := func() { d.Sink.Deltas(p, batch, sequence) }
	d.mu.Lock()
	dice, late := d.rand.IntN(10), d.late[p]
	delete(d.late, p)
	if dice == 0 {
		d.late[p] = deliver
	}
	d.mu.Unlock()
	switch dice {
	case 0:
	case 1:
		d.Sink.Deltas(p, &event.DeltaBatch{}, sequence)
	case 2:
		deliver()
		deliver()
	default:
		deliver()
	}
	if late != nil {
		late()
	}
}

// State loses one in twenty.
func (d *disturbed) State(p rail.Partition, s *event.RunState) {
	d.mu.Lock()
	lost := d.rand.IntN(20) == 0
	d.mu.Unlock()
	if !lost {
		d.Sink.State(p, s)
	}
}
