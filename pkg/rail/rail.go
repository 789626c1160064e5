// Package rail is the vocabulary of the project: the words of a railway that every other package speaks.
// It holds values only: no I/O, no state, no clock. All types are safe to copy and to share.
package rail

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Limits of the vocabulary. They bound what a message may ask a node to allocate, and stand far above any real railway
// (the longest Chinese run calls at 61 stations).
const (
	// MaxStops is the greatest number of calls of a pattern.
	MaxStops = 512
	// MaxClasses is the greatest number of seat classes of a run.
	MaxClasses = 32
	// MaxCount is the greatest number of places of a class on a run; a count must fit sixteen bits.
	MaxCount = 65535
	// maxToken is the greatest length of a code or an id in bytes.
	maxToken = 64
)

// Errors of the parsers in this package. The wrapped text names the value and what would be right.
var (
	ErrDate  = errors.New("not a date")
	ErrRunID = errors.New("not a run id")
	ErrToken = errors.New("not an id")
)

// StationCode is a station's telecode, such as "VNP", or a feed's own stop code.
type StationCode string

// CityCode names a group of stations that a traveller takes for one place. It is a name space of its own: the city "BJP"
// holds the stations BJP, VNP, BXP and others.
type CityCode string

// TripID is a booking system's name for a train's service on any of its dates. It is one token: letters, digits, '-' and '_',
// at most 64 bytes, since it is part of a subject.
type TripID string

// PatternID names a pattern by its content: a changed pattern has another id.
type PatternID string

// Class is a seat class code of one or two characters, such as "O" for second class.
type Class string

// StopIndex is the number of a call within a pattern, from 0.
type StopIndex uint16

// SeatCount is a number of places. Negative values occur only as a change.
type SeatCount int32

// Money is an amount in minor units of the network's currency (fen, cent).
type Money int32

// RunID names a run: a trip on a service date, the day on which it leaves its origin.
type RunID struct {
	Date Date
	Trip TripID
}

// String is the id as it stands in messages and addresses: "20261201.24000000G10C".
func (id RunID) String() string { return id.Date.Compact() + "." + string(id.Trip) }

// ParseRunID reads what RunID.String writes.
func ParseRunID(s string) (RunID, error) {
	day, trip, found := strings.Cut(s, ".")
	if !found {
		return RunID{}, fmt.Errorf("%w: %q has no '.'; want YYYYMMDD.trip", ErrRunID, clip(s))
	}
	date, err := ParseCompactDate(day)
	if err != nil {
		return RunID{}, fmt.Errorf("%w: %q: %w", ErrRunID, clip(s), err)
	}
	if err := CheckToken(trip); err != nil {
		return RunID{}, fmt.Errorf("%w: %q: %w", ErrRunID, clip(s), err)
	}
	return RunID{Date: date, Trip: TripID(trip)}, nil
}

// CheckToken reports whether s can be an id or a code within a subject: 1 to 64 letters, digits, '-' or '_' (ASCII).
func CheckToken(s string) error {
	if s == "" || len(s) > maxToken {
		return fmt.Errorf("%w: %q has %d bytes; want 1 to %d", ErrToken, clip(s), len(s), maxToken)
	}
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return fmt.Errorf("%w: %q has %q at byte %d; want letters, digits, '-' or '_'", ErrToken, s, s[i], i)
		}
	}
	return nil
}

func tokenByte(c byte) bool {
	return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// Token turns any text into an id that CheckToken accepts: a text that is one stays, in others each byte that is not allowed becomes "_xx"
// (hexadecimal), and all is cut at 64 bytes. Two texts seldom become one, but the caller must look.
func Token(s string) string {
	if CheckToken(s) == nil {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if tokenByte(s[i]) && s[i] != '_' {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "_%02x", s[i])
		}
	}
	out := b.String()
	if out == "" {
		return "_"
	}
	return out[:min(len(out), maxToken)]
}

// clip shortens hostile input for an error text.
func clip(s string) string {
	if len(s) <= maxToken {
		return s
	}
	return s[:maxToken] + "..."
}

// Version counts the committed changes of a run. The booking system raises Revision by exactly one for each; Epoch
// rises when the booking system's own history starts anew. The zero Version is below every real one.
type Version struct {
	Epoch    uint64
	Revision uint64
}

// Compare orders by Epoch, then Revision.
func (v Version) Compare(w Version) int {
	if c := cmp.Compare(v.Epoch, w.Epoch); c != 0 {
		return c
	}
	return cmp.Compare(v.Revision, w.Revision)
}

// Above reports whether v is later than w.
func (v Version) Above(w Version) bool { return v.Compare(w) > 0 }

// Follows reports whether v is the very next change after w.
func (v Version) Follows(w Version) bool { return v.Epoch == w.Epoch && v.Revision == w.Revision+1 }

func (v Version) String() string { return fmt.Sprintf("%d/%d", v.Epoch, v.Revision) }

// IsZero reports whether nothing has been said yet.
func (v Version) IsZero() bool { return v == Version{} }

// Partitions is the number of partitions of the feed. It is part of the wire contract.
const Partitions = 16

// Partition is a run's place in the feed, in [0, Partitions): all deltas of one run are in one partition, in order.
type Partition uint8

// Compare orders runs by date, then by trip.
func (id RunID) Compare(other RunID) int {
	return cmp.Or(cmp.Compare(id.Date, other.Date), cmp.Compare(id.Trip, other.Trip))
}

// Partition of a run: FNV-1a (32 bit) of its id as text, modulo Partitions.
func (id RunID) Partition() Partition {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	day := id.Date.Compact()
	for i := range len(day) {
		h = (h ^ uint32(day[i])) * prime
	}
	h = (h ^ '.') * prime
	for i := range len(id.Trip) {
		h = (h ^ uint32(id.Trip[i])) * prime
	}
	return Partition(h % Partitions)
}
