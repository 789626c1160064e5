package testkit

import (
	"math/rand/v2"
	"sync"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Disturb stands between a feed and its sink and delivers badly: it loses, doubles and swaps batches of deltas, and loses states. The position
// still moves on, as it does when a message is lost unseen. And it is a Scribble.
func Disturb(seed uint64) func(feed.Sink) feed.Sink {
	return func(s feed.Sink) feed.Sink {
		return Scribble(&disturbed{Sink: s, rand: rand.New(rand.NewPCG(seed, 0)), late: map[rail.Partition]func(){}})
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
		batch = batch.Clone()
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

// Scribble stands between a feed and its sink and writes nonsense over what it has lent, as soon as the call is over: a sink that keeps any of it is found out.
func Scribble(s feed.Sink) feed.Sink { return scribbled{s} }

type scribbled struct{ feed.Sink }

func (s scribbled) Deltas(p rail.Partition, b *event.DeltaBatch, sequence uint64) {
	s.Sink.Deltas(p, b, sequence)
	for i := range b.Deltas {
		fill(b.Deltas[i].Adjusts, inventory.Adjust{Class: "?", Bucket: 255, From: rail.MaxStops, By: rail.MaxCount})
	}
	fill(b.Deltas, event.RunDelta{Run: rail.RunID{Trip: "nonsense"}})
	fill(b.Digests, event.Digest{Runs: 1})
}

func (s scribbled) State(p rail.Partition, r *event.RunState) {
	s.Sink.State(p, r)
	for _, c := range r.Classes {
		for _, b := range c.Buckets {
			fill(b.Spans, inventory.Span{From: rail.MaxStops, Count: rail.MaxCount})
			fill(b.Quotas, inventory.Quota{FromFirst: rail.MaxStops})
		}
		fill(c.Buckets, inventory.Bucket{Kind: inventory.Counts})
	}
	fill(r.Classes, inventory.Class{Class: "?"})
	r.Run, r.Pattern, r.Reason = rail.RunID{}, "nonsense", "nonsense"
}

func fill[T any](all []T, with T) {
	for i := range all {
		all[i] = with
	}
}
