package reservation

import (
	"context"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Store is the database: the record of everything that a Desk does.
type Store interface {
	// Commit stores a batch in one transaction, durably (D2). It gives ErrFenced if another Desk leads (D7). After any error it is unknown whether
	// the batch was stored.
	Commit(ctx context.Context, b *Batch) error
	// Find gives the orders with one of the ids or keys, those that there are, in any order. They are the caller's.
	Find(ctx context.Context, ids, keys []string) ([]*Order, error)
	// OfRun gives the orders of a run that hold places.
	OfRun(ctx context.Context, run rail.RunID) ([]*Order, error)
	// Overdue gives the ids of orders that are RESERVED and whose deadline is past, at most limit.
	Overdue(ctx context.Context, now time.Time, limit int) ([]string, error)
	// Owing gives the orders that owe a refund, at most limit.
	Owing(ctx context.Context, limit int) ([]*Order, error)
	// Load gives everything that a Desk goes on from.
	Load(ctx context.Context) (*Image, error)
	// Lead takes the lead for a time, as a new term above all before, if nobody else has it (D7). A Desk that has the lead keeps it by its commits.
	Lead(ctx context.Context, name string, until time.Time) (Term, error)
	// Resign gives the lead up, so that another need not wait for its end.
	Resign(ctx context.Context, t Term) error
}

// Term is who leads.
type Term struct {
	Number int64
	Name   string
	// Until the lead is kept without a commit.
	Until time.Time
}

// Batch is what is stored together.
type Batch struct {
	// Term of the Desk; Until is how long it keeps the lead.
	Term  Term
	Until time.Time
	// Epoch of the history, if it is raised; else 0.
	Epoch uint64
	// Patterns that runs refer to.
	Patterns []*timetable.Pattern
	// Records of runs that changed, Changes for the outbox, and Orders as they now are.
	Records []booking.Record
	Changes []booking.Change
	Orders  []*Order
	// Acked changes, up to this number, leave the outbox. Bookmark is where in the feed they all are, for the next publisher; empty: as it was.
	Acked    int64
	Bookmark string
	// ClosedBefore: runs of earlier service dates are let go; 0 for none.
	ClosedBefore rail.Date
}

// Image is everything stored that a Desk goes on from.
type Image struct {
	// Epoch of the history; 0 for an empty database.
	Epoch    uint64
	Patterns map[rail.PatternID]*timetable.Pattern
	Records  []booking.Record
	// Sales that hold places.
	Sales []booking.Sale
	// Outbox is what was not acknowledged, in order.
	Outbox []booking.Change
	// Acked is a number up to which all changes are acknowledged, and Bookmark a place in the feed behind all of them.
	Acked    int64
	Bookmark string
}
