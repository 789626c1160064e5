// Package event holds the messages of the feed and their coding. The schema is api/yupiao/v1/feed.proto; this package turns its
// messages into values of the vocabulary and back, and refuses what contradicts itself, so that nothing after it has to.
//
// Invariants (cited by the tests as E1...):
//
//	E1 A decoder never panics, refuses what is larger than the contract allows before it makes anything of it, and never allocates more than a small multiple of its input.
//	E2 What a decoder accepts, the encoder writes so that decoding gives an equal value, in both codings.
//	E3 An unknown field is ignored; an unknown enum value, a missing id or a range outside the limits is an error that names the field,
//	   the value and what would be right.
package event

import (
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// RunState is everything that a node needs to know of a run.
type RunState struct {
	Run     rail.RunID
	Pattern rail.PatternID
	Version rail.Version
	// Suspended: the booking system sells nothing of the run; Reason is told to travellers.
	Suspended bool
	Reason    string
	// SaleOpensAt: not on sale before; the zero time means on sale at once.
	SaleOpensAt time.Time
	// SaleClosesBefore is how long before departure from the from stop its sale closes.
	SaleClosesBefore rail.Minutes
	Classes          []inventory.Class
}

// Clone shares no memory with s but its strings.
func (s *RunState) Clone() *RunState {
	out := *s
	out.Classes = slices.Clone(s.Classes)
	for i := range out.Classes {
		buckets := slices.Clone(out.Classes[i].Buckets)
		for k := range buckets {
			buckets[k].Spans, buckets[k].Quotas = slices.Clone(buckets[k].Spans), slices.Clone(buckets[k].Quotas)
		}
		out.Classes[i].Buckets = buckets
	}
	return &out
}

// RunDelta is one committed change of a run.
type RunDelta struct {
	Run     rail.RunID
	Version rail.Version
	Adjusts []inventory.Adjust
	// Restated: the change is told by the RunState of this version, which was published just before.
	Restated bool
}

// Clone shares no memory with d but its strings.
func (d *RunDelta) Clone() RunDelta {
	out := *d
	out.Adjusts = slices.Clone(d.Adjusts)
	return out
}

// DeltaBatch carries changes of many runs of one partition.
type DeltaBatch struct {
	Deltas  []RunDelta
	Digests []Digest
	// Publisher and Batch say who published it and the how many-th it is of this publisher in this partition.
	Publisher string
	Batch     uint64
	// History is how often the publisher has published everything again.
	History uint64
	// After is the Sum of the message before it in this partition; 0 if there is none, or the publisher does not say.
	After uint64
	// Sum is that of the message itself; set by whoever has read it, 0 if it is not known.
	Sum uint64
}

// Clone shares no memory with b but its strings.
func (b *DeltaBatch) Clone() *DeltaBatch {
	out := *b
	out.Deltas, out.Digests = make([]RunDelta, 0, len(b.Deltas)), slices.Clone(b.Digests)
	for i := range b.Deltas {
		out.Deltas = append(out.Deltas, b.Deltas[i].Clone())
	}
	return &out
}

// Heartbeat proves freshness: everything committed up to Time lies at or below the marks.
type Heartbeat struct {
	Time      time.Time
	Marks     []Mark
	Interval  time.Duration
	Publisher string
	// Created is the birth of each stream by its name, as the publisher sees it; empty if it does not say.
	Created map[string]time.Time
	// Last is how far the streams beside that of the deltas have come, by name: to those who see less of one, the heartbeat proves nothing.
	Last map[string]uint64
	// History as in DeltaBatch.
	History uint64
}

// Place is where a message of the delta stream is, and which one: its Sum, 0 if that is not known. Sequences alone do not tell, since a stream that fell back gives them anew. The zero Place is none.
type Place struct{ Sequence, Sum uint64 }

// Is reports whether two places are of the same message, as far as is known.
func (p Place) Is(o Place) bool {
	return p.Sequence == o.Sequence && (p.Sum == o.Sum || p.Sum == 0 || o.Sum == 0)
}

// Mark is the last acknowledged message of the delta stream for a partition.
type Mark struct {
	Partition rail.Partition
	Place
}

// RunVersion is the last published version of a run.
type RunVersion struct {
	Run     rail.RunID
	Version rail.Version
	// Present is what the booking system holds now, at or above Version; zero if it does not say.
	Present rail.Version
}
