package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/yupiao/yupiao/pkg/booking"
)

// historyTrigger copies every change that is committed, in the very transaction, so that the copy is the truth whatever becomes of the feed.
const historyTrigger = `CREATE TABLE IF NOT EXISTS history (seq BIGINT NOT NULL, at_ns BIGINT NOT NULL, delta BYTEA NOT NULL, state BYTEA);
CREATE INDEX IF NOT EXISTS history_by_seq ON history (seq);
CREATE TRIGGER IF NOT EXISTS keep_history AFTER INSERT ON outbox BEGIN INSERT INTO history VALUES (NEW.seq, NEW.at_ns, NEW.delta, NEW.state); END;`

// KeepHistory keeps all changes from now on, whoever commits them, and not until they are published alone. It is for tests, which hold against it what others said: it grows
// without end. On SQLite alone.
func (d *Database) KeepHistory(ctx context.Context) error {
	if !d.local {
		return errors.New("a history is kept on SQLite alone")
	}
	if _, err := d.db.ExecContext(ctx, historyTrigger); err != nil {
		return fmt.Errorf("keep the history: %w", err)
	}
	return nil
}

// History visits the kept changes after one, in the order of their commits.
func (d *Database) History(ctx context.Context, after int64, visit func(booking.Change) error) error {
	return d.changes(ctx, visit, `SELECT seq, at_ns, delta, state FROM history WHERE seq > $1 ORDER BY seq`, after)
}
