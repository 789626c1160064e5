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
		d := &disturbed{rand: rand.New(rand.NewPCG(seed, 0))}
		return Scribble(Fated(s, d.batch, d.state))
	}
}

type disturbed struct {
	mu   sync.Mutex // guards rand
	rand *rand.Rand
}

func (d *disturbed) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

// batch delivers one batch in ten later than the next, loses one and doubles one.
func (d *disturbed) batch(uint64) Fate { return FateOf(d.n(10)) }

// state loses one in twenty.
func (d *disturbed) state(*event.RunState) (lost bool) { return d.n(20) == 0 }

// Fate is what becomes of a batch of deltas.
type Fate uint8

// Fates.
const (
	Delivered Fate = iota
	Late           // after the next batch of its partition
	Lost           // its position is told all the same
	Doubled
)

// FateOf is one of the bad fates for each of the first three faces of a die.
func FateOf(face int) Fate {
	if face < 3 {
		return Late + Fate(face)
	}
	return Delivered
}

// Fated stands between a feed and its sink and delivers as it is told: each batch of deltas by its sequence, and each state, which may be lost. Both are asked by several goroutines.
func Fated(s feed.Sink, batch func(sequence uint64) Fate, lost func(*event.RunState) bool) feed.Sink {
	return &fated{Sink: s, batch: batch, lost: lost, late: map[rail.Partition]func(){}}
}

type fated struct {
	feed.Sink
	batch func(sequence uint64) Fate
	lost  func(*event.RunState) bool
	mu    sync.Mutex // guards late
	late  map[rail.Partition]func()
}

// Deltas is part of feed.Sink.
func (f *fated) Deltas(p rail.Partition, batch *event.DeltaBatch, sequence uint64) {
	deliver := func() { f.Sink.Deltas(p, batch, sequence) }
	fate := f.batch(sequence)
	f.mu.Lock()
	late := f.late[p]
	delete(f.late, p)
	if fate == Late {
		batch = batch.Clone()
		f.late[p] = deliver
	}
	f.mu.Unlock()
	switch fate {
	case Late:
	case Lost:
		f.Sink.Deltas(p, &event.DeltaBatch{}, sequence)
	case Doubled:
		deliver()
		deliver()
	default:
		deliver()
	}
	if late != nil {
		late()
	}
}

// State is part of feed.Sink.
func (f *fated) State(p rail.Partition, s *event.RunState) {
	if !f.lost(s) {
		f.Sink.State(p, s)
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
