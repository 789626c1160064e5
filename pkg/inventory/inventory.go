// Package inventory is the arithmetic of remaining seats: counting by free windows.
//
// A place can be sold for [a, b) only if it is free on every segment of it. A place's free window is a maximal stretch of stops [l, r) on
// which it is free, so remaining(a, b) is the number of free windows that cover [a, b). The minimum over the segments is only an upper
// bound of it, since one traveller keeps one seat.
//
// A bucket is a set of places of one kind; its content is the sum of the adjusts that made it. All three kinds end in one number for each
// OD, so a node needs no seat map, no seat number and no passenger:
//
//	kind     remaining(a, b)             an adjust of [from, to) means
//	Windows  windows that cover [a, b)   by on every sub-interval of [from, to)
//	Pool     minimum over the segments   by on every segment of [from, to)
//	Counts   as given                    by on exactly that OD
//
// A class's number is the sum over its buckets whose quotas allow the OD.
//
// Invariants (cited by the tests as I1...):
//
//	I1 A count is never negative and never above its bucket's capacity; a change that would make it so is refused whole.
//	I2 Within Windows and Pool, [a, b) inside [c, d) never has fewer places than [c, d); a change that would make it so is refused whole.
//	I3 A reader sees a cell before or after a change, never within it; the cell of all classes of an OD, up to four, is one word.
//	I4 The adjusts of one bucket commute: their sum is the content, whatever their order.
//	I5 A Table that was built from the spans of another, plus the adjusts since, is equal to it.
//	I6 A state that is refused leaves a Table as it was; one that is stored changes each cell at once.
package inventory

import "github.com/yupiao/yupiao/pkg/rail"

// Kind says how a bucket counts.
type Kind uint8

// The kinds of bucket.
const (
	Windows Kind = iota
	Pool
	Counts
)

func (k Kind) String() string {
	switch k {
	case Windows:
		return "WINDOWS"
	case Pool:
		return "POOL"
	case Counts:
		return "COUNTS"
	default:
		return "UNKNOWN"
	}
}

// Span is a count on the stops [From, To).
type Span struct {
	From, To rail.StopIndex
	Count    rail.SeatCount
}

// Quota allows the ODs whose from stop and to stop lie in these inclusive ranges.
type Quota struct {
	FromFirst, FromLast rail.StopIndex
	ToFirst, ToLast     rail.StopIndex
}

// Allows reports whether the quota allows an OD.
func (q Quota) Allows(from, to rail.StopIndex) bool {
	return from >= q.FromFirst && from <= q.FromLast && to >= q.ToFirst && to <= q.ToLast
}

// Bucket is a set of places of one kind.
type Bucket struct {
	Kind Kind
	// Capacity is what no count may exceed, in [0, rail.MaxCount].
	Capacity rail.SeatCount
	// Spans are the content.
	Spans []Span
	// Quotas: the ODs for which the bucket may be sold; empty for all.
	Quotas []Quota
}

// Allows reports whether the bucket may be sold for an OD.
func (b *Bucket) Allows(from, to rail.StopIndex) bool { return allowed(b.Quotas, from, to) }

func allowed(quotas []Quota, from, to rail.StopIndex) bool {
	if len(quotas) == 0 {
		return true
	}
	for _, q := range quotas {
		if q.Allows(from, to) {
			return true
		}
	}
	return false
}

// Class is what is left of a seat class.
type Class struct {
	Class rail.Class
	// Waitlist: a sold-out OD takes names for returned places.
	Waitlist bool
	Buckets  []Bucket
}

// Adjust changes one bucket of a run.
type Adjust struct {
	Class rail.Class
	// Bucket is the number of the bucket within the class.
	Bucket   uint8
	From, To rail.StopIndex
	By       rail.SeatCount
}

// Sell is the change of a Windows bucket by which [from, to) of a place is sold out of its free window [l, r): the window goes, and what is
// left of it on both sides comes. The refund that restores the window is the same with every sign turned.
func Sell(class rail.Class, bucket uint8, l, r, from, to rail.StopIndex) []Adjust {
	adjusts := append(make([]Adjust, 0, 3), Adjust{Class: class, Bucket: bucket, From: l, To: r, By: -1})
	if l < from {
		adjusts = append(adjusts, Adjust{Class: class, Bucket: bucket, From: l, To: from, By: 1})
	}
	if to < r {
		adjusts = append(adjusts, Adjust{Class: class, Bucket: bucket, From: to, To: r, By: 1})
	}
	return adjusts
}
