// Package booking is the inventory core of the reference booking backend: which place of which train is sold from where to where. It is the
// authority: a query node holds only what its changes say. So it is simple before it is fast, and every way in ends in the same few lines
// that change the places, raise the version and append to the outbox.
//
// Invariants (cited by the tests as B1...):
//
//	B1 No segment of a place is sold twice.
//	B2 A single place is sold out of the free window that leaves the least over, of equal ones the lowest. A party sits as close together as the
//	   coaches allow, and then as B2 says for one. A class's buckets are asked from the last to the first: the restricted ones stand
//	   behind the open one, and a place that few may buy is sold before one that all may.
//	B3 For every OD, the windows of a State that cover it are as many as the places that are free on each of its segments.
//	B4 A State plus the adjusts of the changes after it is the later State.
//	B5 Every committed change raises the run's Revision by exactly one and is in the outbox once; the changes of a run are in order there.
//	B6 Outbox.Complete never claims a moment at or after the commit of a change that was not acknowledged.
//	B7 A sale is refunded once at most, and only as it was sold.
//	B8 A request that is refused changes nothing: no place, no version, no outbox.
//	B9 What a Tx has changed is seen by nobody before its Commit.
//	B10 A Book that is filled from Records and sales is the Book that they were taken of.
//
// Locks are taken in the order Book.mu, run.mu, Outbox.mu, and none of them while a caller's code runs, but for Config.Clock.
package booking

import (
	"errors"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// Why a request is refused. The wrapped text names the run, the value and what would be right. A sale that could be refused for several reasons
// is refused for the one that stands first here, as a query shows it.
var (
	// ErrUnknownRun: no such run is open.
	ErrUnknownRun = errors.New("unknown run")
	// ErrInvalid: the request contradicts itself or the run: stops out of range, a number out of bounds, an unknown bucket.
	ErrInvalid = errors.New("invalid request")
	// ErrNotOffered: the class is not sold on this OD, or nobody may board or leave the train there.
	ErrNotOffered = errors.New("not offered")
	// ErrSuspended: the sale of the run is suspended.
	ErrSuspended = errors.New("sale suspended")
	// ErrDeparted: the train has left the from stop.
	ErrDeparted = errors.New("departed")
	// ErrNotOnSale: the sale has not opened yet, or has closed before departure.
	ErrNotOnSale = errors.New("not on sale")
	// ErrRestricted: no quota allows the OD.
	ErrRestricted = errors.New("restricted by quota")
	// ErrSoldOut: no place is free on the whole OD.
	ErrSoldOut = errors.New("sold out")
	// ErrSale: the sale was not made by this Book as it stands, or was refunded already.
	ErrSale = errors.New("no such sale")
)

// Config of a Book.
type Config struct {
	// Epoch of the versions of the runs that it opens. It must be above that of every earlier Book of the same railway that it does not go on from.
	Epoch uint64
	// Clock is the time; nil means time.Now. It is called with locks held and must not call the Book.
	Clock func() time.Time
	// HeldBack places go on sale in stages.
	HeldBack []Stage
}

// Stage holds a share of the assigned places of every class back when a run opens, and releases it later.
type Stage struct {
	// Percent of the places, 0 to 100 for all stages together.
	Percent int `mapstructure:"percent"`
	// DaysBefore the service date, at 08:00 local time, they go on sale.
	DaysBefore int `mapstructure:"days_before"`
}

// Sale is what one party has bought. It is a plain value; to change it is to forge it (B7).
type Sale struct {
	Run rail.RunID
	// Version of the run that the sale made. Its Revision names the sale within its run.
	Version  rail.Version
	Class    rail.Class
	From, To rail.StopIndex
	Seats    []Seat
}

// Seat is one place of a class.
type Seat struct {
	// Bucket of the class that the place is of.
	Bucket uint8 `json:"b,omitempty"`
	// Place is its number within the bucket, from 0; always 0 in a bucket without assigned places.
	Place uint16 `json:"p,omitempty"`
	// Unseated: the formation of the train was changed and has no such place any more. The party keeps its claim, and the railway must act.
	Unseated bool `json:"u,omitempty"`
}

// Party is what is asked for: from 1 to MaxParty passengers.
type Party struct {
	Size int
	Wish Wish
}

// MaxParty is the most passengers of one sale.
const MaxParty = 9

// Wish is what a party would like. It is met where it can be, and never a reason to refuse.
type Wish string

// The wishes. A party always sits as close together as can be, so SameCoach asks for nothing more; whether it was met is told.
const (
	NoWish     Wish = ""
	Window     Wish = "window"
	Aisle      Wish = "aisle"
	LowerBerth Wish = "lower"
	SameCoach  Wish = "same_coach"
)

// Wishes are all that are understood.
var Wishes = []Wish{NoWish, Window, Aisle, LowerBerth, SameCoach}
