package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/reservation"
)

// errRun: a run is not stored as the batch says it was.
var errRun = errors.New("a run is not stored at the version before this change")

const (
	keepLead = `UPDATE leader SET until_ns = $2, acked = CASE WHEN acked > $3 THEN acked ELSE $3 END,
		epoch = CASE WHEN CAST($4 AS BIGINT) = 0 THEN epoch ELSE CAST($4 AS BIGINT) END, bookmark = CASE WHEN $5 = '' THEN bookmark ELSE $5 END WHERE term = $1`
	putRun = `INSERT INTO runs (id, service_date, epoch, revision, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, revision = excluded.revision, body = excluded.body`
	moveRun  = `UPDATE runs SET revision = $3 WHERE id = $1 AND epoch = $2 AND revision < $3`
	putOrder = `INSERT INTO orders (id, key, state, run, service_date, deadline_ns, owing, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, deadline_ns = excluded.deadline_ns, owing = excluded.owing, body = excluded.body`
	putPattern = `INSERT INTO patterns (id, body) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`
	addOutbox  = `INSERT INTO outbox (seq, at_ns, delta, state) VALUES ($1, $2, $3, $4)`
	dropOutbox = `DELETE FROM outbox WHERE seq <= $1`
	dropRuns   = `DELETE FROM runs WHERE service_date < $1`
)

// Commit is reservation.Store.
func (d *Database) Commit(ctx context.Context, b *reservation.Batch) error {
	statements, err := statementsOf(b)
	if err != nil {
		return fmt.Errorf("store a batch: %w", err)
	}
	if err := d.together(ctx, statements); err != nil {
		return fmt.Errorf("store a batch: %w", err)
	}
	return nil
}

func statementsOf(b *reservation.Batch) ([]statement, error) {
	lead := statement{
		text: keepLead, rows: [][]any{{b.Term.Number, b.Until.UnixNano(), b.Acked, int64(b.Epoch), b.Bookmark}}, touches: 1, miss: reservation.ErrFenced,
	}
	patterns, err1 := patternsOf(b)
	put, move, err2 := runsOf(b)
	orders, err3 := ordersOf(b)
	outbox, err4 := outboxOf(b)
	drop := statement{text: dropOutbox, rows: [][]any{{b.Acked}}}
	runs := statement{text: dropRuns}
	if b.ClosedBefore != 0 {
		runs.rows = [][]any{{int32(b.ClosedBefore)}}
	}
	return []statement{lead, patterns, put, move, orders, outbox, drop, runs}, errors.Join(err1, err2, err3, err4)
}

func patternsOf(b *reservation.Batch) (statement, error) {
	s := statement{text: putPattern}
	for _, p := range b.Patterns {
		body, err := event.EncodePattern(p, event.Protobuf)
		if err != nil {
			return s, err
		}
		s.rows = append(s.rows, []any{string(p.ID), body})
	}
	return s, nil
}

func runsOf(b *reservation.Batch) (put, move statement, err error) {
	put, move = statement{text: putRun}, statement{text: moveRun, touches: 1, miss: errRun}
	for i := range b.Records {
		r := &b.Records[i]
		id, v := r.Run.String(), r.Version
		if r.Pattern == "" {
			move.rows = append(move.rows, []any{id, int64(v.Epoch), int64(v.Revision)})
			continue
		}
		body, err := json.Marshal(r)
		if err != nil {
			return put, move, err
		}
		put.rows = append(put.rows, []any{id, int32(r.Run.Date), int64(v.Epoch), int64(v.Revision), string(body)})
	}
	return put, move, nil
}

func ordersOf(b *reservation.Batch) (statement, error) {
	s := statement{text: putOrder}
	for _, o := range b.Orders {
		body, err := json.Marshal(o)
		if err != nil {
			return s, err
		}
		owing := 0
		if o.OwesRefund() {
			owing = 1
		}
		run := o.Sale.Run
		s.rows = append(s.rows, []any{o.ID, o.Key, string(o.State), run.String(), int32(run.Date), o.Deadline.UnixNano(), owing, string(body)})
	}
	return s, nil
}

// outboxOf stores the messages as they will be published, so that what is published after a restart is what was committed.
func outboxOf(b *reservation.Batch) (statement, error) {
	s := statement{text: addOutbox}
	for i := range b.Changes {
		c := &b.Changes[i]
		delta, err := event.EncodeDeltas(&event.DeltaBatch{Deltas: []event.RunDelta{c.Delta}}, event.Protobuf)
		if err != nil {
			return s, err
		}
		var state []byte
		if c.State != nil {
			if state, err = event.EncodeState(c.State, event.Protobuf); err != nil {
				return s, err
			}
		}
		s.rows = append(s.rows, []any{c.Seq, c.At.UnixNano(), delta, state})
	}
	return s, nil
}

// changeOf is the reverse.
func changeOf(seq, at int64, delta, state []byte) (booking.Change, error) {
	c := booking.Change{Seq: seq, At: timeOf(at)}
	batch, faults, err := new(event.Decoder).Deltas(delta, event.Protobuf)
	if err = errors.Join(append(faults, err)...); err != nil || len(batch.Deltas) != 1 {
		return c, fmt.Errorf("outbox row %d: %w", seq, errors.Join(err, errBody))
	}
	c.Delta = batch.Deltas[0]
	if state != nil {
		if c.State, err = new(event.Decoder).State(state, event.Protobuf); err != nil {
			return c, fmt.Errorf("outbox row %d: %w", seq, err)
		}
	}
	return c, nil
}
