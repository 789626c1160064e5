package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// errBody: a row does not hold what this version of the program writes.
var errBody = errors.New("unreadable row")

func timeOf(ns int64) time.Time { return time.Unix(0, ns) }

// each calls visit for every row of a query; scan reads the row.
func (d *Database) each(ctx context.Context, visit func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := d.db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	for rows.Next() {
		if err := visit(rows.Scan); err != nil {
			return fmt.Errorf("read the database: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	return nil
}

func (d *Database) orders(ctx context.Context, query string, args ...any) (all []*reservation.Order, err error) {
	err = d.each(ctx, func(scan func(...any) error) error {
		var body []byte
		o := &reservation.Order{}
		if err := scan(&body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, o); err != nil {
			return fmt.Errorf("%w: order: %w", errBody, err)
		}
		all = append(all, o)
		return nil
	}, query, args...)
	return all, err
}

// Find is reservation.Store.
func (d *Database) Find(ctx context.Context, ids, keys []string) ([]*reservation.Order, error) {
	return d.orders(ctx, `SELECT body FROM orders WHERE `+d.listed("id", 1)+` UNION ALL SELECT body FROM orders WHERE `+d.listed("key", 2)+
		` AND NOT `+d.listed("id", 1), list(ids), list(keys))
}

// OfRun is reservation.Store.
func (d *Database) OfRun(ctx context.Context, run rail.RunID) ([]*reservation.Order, error) {
	return d.orders(ctx, `SELECT body FROM orders WHERE run = $1 AND state IN ('RESERVED', 'PAID')`, run.String())
}

// Owing is reservation.Store.
func (d *Database) Owing(ctx context.Context, limit int) ([]*reservation.Order, error) {
	return d.orders(ctx, `SELECT body FROM orders WHERE owing = 1 ORDER BY id LIMIT $1`, limit)
}

// Overdue is reservation.Store.
func (d *Database) Overdue(ctx context.Context, now time.Time, limit int) (ids []string, err error) {
	err = d.each(ctx, func(scan func(...any) error) error {
		var id string
		defer func() { ids = append(ids, id) }()
		return scan(&id)
	}, `SELECT id FROM orders WHERE state = 'RESERVED' AND deadline_ns <= $1 ORDER BY deadline_ns LIMIT $2`, now.UnixNano(), limit)
	return ids, err
}

// Load is reservation.Store. It must be called by who leads, before its first commit.
func (d *Database) Load(ctx context.Context) (*reservation.Image, error) {
	image := &reservation.Image{Patterns: map[rail.PatternID]*timetable.Pattern{}}
	row := d.db.QueryRowContext(ctx, `SELECT epoch, acked, bookmark FROM leader`)
	if err := row.Scan(&image.Epoch, &image.Acked, &image.Bookmark); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read the database: %w", err)
	}
	for _, load := range []func(context.Context, *reservation.Image) error{d.loadPatterns, d.loadRuns, d.loadSales, d.loadOutbox} {
		if err := load(ctx, image); err != nil {
			return nil, err
		}
	}
	return image, nil
}

func (d *Database) loadPatterns(ctx context.Context, image *reservation.Image) error {
	return d.each(ctx, func(scan func(...any) error) error {
		var body []byte
		if err := scan(&body); err != nil {
			return err
		}
		p, err := event.DecodePattern(body, event.Protobuf)
		if err == nil {
			image.Patterns[p.ID] = p
		}
		return err
	}, `SELECT body FROM patterns`)
}

func (d *Database) loadRuns(ctx context.Context, image *reservation.Image) error {
	return d.each(ctx, func(scan func(...any) error) error {
		var body []byte
		var v rail.Version
		if err := scan(&v.Epoch, &v.Revision, &body); err != nil {
			return err
		}
		var r booking.Record
		if err := json.Unmarshal(body, &r); err != nil {
			return fmt.Errorf("%w: run: %w", errBody, err)
		}
		r.Version = v // moves on without the body
		image.Records = append(image.Records, r)
		return nil
	}, `SELECT epoch, revision, body FROM runs ORDER BY id`)
}

// loadSales reads the orders that hold places of the runs that there are.
func (d *Database) loadSales(ctx context.Context, image *reservation.Image) error {
	return d.each(ctx, func(scan func(...any) error) error {
		var body []byte
		if err := scan(&body); err != nil {
			return err
		}
		var o struct {
			Sale booking.Sale `json:"sale"`
		}
		if err := json.Unmarshal(body, &o); err != nil {
			return fmt.Errorf("%w: order: %w", errBody, err)
		}
		image.Sales = append(image.Sales, o.Sale)
		return nil
	}, `SELECT o.body FROM orders o JOIN runs r ON r.id = o.run WHERE o.state IN ('RESERVED', 'PAID')`)
}

func (d *Database) loadOutbox(ctx context.Context, image *reservation.Image) error {
	return d.changes(ctx, func(c booking.Change) error {
		image.Outbox = append(image.Outbox, c)
		return nil
	}, `SELECT seq, at_ns, delta, state FROM outbox ORDER BY seq`)
}

// changes visits the changes that a query gives.
func (d *Database) changes(ctx context.Context, visit func(booking.Change) error, query string, args ...any) error {
	return d.each(ctx, func(scan func(...any) error) error {
		var seq, at int64
		var delta, state []byte
		if err := scan(&seq, &at, &delta, &state); err != nil {
			return err
		}
		c, err := changeOf(seq, at, delta, state)
		if err != nil {
			return err
		}
		return visit(c)
	}, query, args...)
}
