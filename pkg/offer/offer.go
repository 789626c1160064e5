// Package offer is what a traveller was shown, as a short signed token: a seat search hands it out, a reservation hands it back, and the booking
// system, which holds the same keys, learns how old the number was that the traveller believed. What came of it is an Outcome.
//
// A token names a run, a class and a section of the way, never a person, a seat or a reservation. It promises nothing: only a booking holds a place.
//
// Layout of a token, version 1: the bytes below in base64url without padding (RFC 4648, section 5). Integers are unsigned varints as in
// protobuf; a text is its length and its bytes.
//
//	1 byte    1 in the upper four bits: the layout; in the lower four the length of the key's id
//	          id of the key
//	integer   the run's service date, days since 1970-01-01
//	text      the run's trip
//	text      class
//	integer   from stop
//	integer   to stop
//	integer   epoch and
//	integer   revision of the version shown
//	integer   age of the data when shown, in milliseconds
//	integer   TTL under which it was served, in milliseconds; 0: exact
//	integer   when shown, milliseconds since 1970-01-01T00:00:00Z
//	16 bytes  HMAC-SHA-256 of all bytes before, by the key's secret, its first half
//
// Invariants (cited by the tests as O1...):
//
//	O1 What is signed comes back equal from every set of keys that holds the signing key, first or not, until it has expired.
//	O2 No other text verifies: a change of any bit, another key, anything more or less.
//	O3 Verify never panics, allocates little, and takes the same time for every wrong signature.
//	O4 No secret is in an error, a log line or the text of a value.
package offer

import (
	"errors"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// Errors of Verify and of the keys' parsers. The wrapped text says what is wrong in a few words, never a secret.
var (
	// ErrMalformed: the text is no token of this layout.
	ErrMalformed = errors.New("malformed offer")
	// ErrForged: no key of ours has signed it.
	ErrForged = errors.New("forged offer")
	// ErrExpired: it is ours, but it was shown too long ago, or later than now.
	ErrExpired = errors.New("expired offer")
	// ErrKey: a key cannot be used.
	ErrKey = errors.New("unusable offer key")
)

// Offer is one number that a traveller was shown: so many places of a class between two stops of a run. How many is not told.
type Offer struct {
	Run   rail.RunID
	Class rail.Class
	// From and To are the stops, From < To.
	From, To rail.StopIndex
	// Version of the run of which the number was. Its revision is 1 or more.
	Version rail.Version
	// Age of the data when they were shown, and TTL under which the answer was served (0: exact). Whole milliseconds from 0 to MaxAge.
	Age, TTL time.Duration
	// At is when it was shown, in whole milliseconds of the years 1970 to 9999.
	At time.Time
}

// MaxAge is the longest Age and TTL that an Offer tells, 49 days: 32 bits of milliseconds. A longer one is told as this.
const MaxAge = (1<<32 - 1) * time.Millisecond

// Result is what came of an offer that a reservation handed back.
type Result uint8

// The results. The zero Result is none of them.
const (
	// Held: the place was there.
	Held Result = iota + 1
	// SoldOut: the place was gone. The number that was shown was no longer true.
	SoldOut
	// Refused: the place was not given for another reason (a rule, the end of the sale). It says nothing about the number.
	Refused
)

// Results are all results, in order.
var Results = [...]Result{Held, SoldOut, Refused}

// String is the result as messages and metrics name it: HELD, SOLD_OUT or REFUSED; NONE for any other value.
func (r Result) String() string {
	switch r {
	case Held:
		return "HELD"
	case SoldOut:
		return "SOLD_OUT"
	case Refused:
		return "REFUSED"
	default:
		return "NONE"
	}
}

// Outcome is what came of an offer, as the booking system publishes it.
type Outcome struct {
	Offer  Offer
	Result Result
	// At is when the booking system decided.
	At time.Time
}
