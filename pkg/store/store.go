// Package store keeps the reference booking backend's record in a database: SQLite in a file of one machine, or PostgreSQL. It is the only package that knows
// either.
//
// Invariants (cited by the tests as S1...):
//
//	S1 A batch is stored whole, durably, or not at all.
//	S2 A batch of an earlier term than the leader's is refused and changes nothing.
//	S3 Load gives what the committed batches add up to.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite" // the driver "sqlite", in Go alone

	"github.com/yupiao/yupiao/pkg/reservation"
)

var (
	// ErrAddress marks an address that is not one of a database.
	ErrAddress = errors.New("invalid database address")
	// ErrLed is given while another backend leads, and its time is not over.
	ErrLed = errors.New("another backend leads")
)

//go:embed migrations
var migrations embed.FS

// Database is a reservation.Store. Safe for concurrent use.
type Database struct {
	db    *sql.DB
	local bool // SQLite
	// listed is SQL for "column is in the JSON list of parameter n".
	listed func(column string, n int) string
	// together runs statements in one transaction. It calls check with the rows that each has touched, before it commits.
	together func(ctx context.Context, all []statement) error
}

// statement is run once for each row of its arguments. Touches, if above 0, is how many rows each must change; another number gives miss.
type statement struct {
	text    string
	rows    [][]any
	touches int64
	miss    error
}

// Open opens a database and brings its tables up to date. The address is "sqlite:FILE" or that of a PostgreSQL server, "postgres://user@host/database". A
// password is better left to PGPASSFILE.
func Open(ctx context.Context, address string) (*Database, error) {
	scheme, file, _ := strings.Cut(address, ":")
	var d *Database
	var err error
	var dialect goose.Dialect
	var options []goose.ProviderOption
	switch {
	case scheme == "sqlite" && file != "":
		dialect = goose.DialectSQLite3
		d, err = openSQLite(file)
	case scheme == "postgres" || scheme == "postgresql":
		dialect = goose.DialectPostgres
		locker, _ := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // every second for five minutes, which are valid
		options = append(options, goose.WithSessionLocker(locker))
		d, err = openPostgres(address)
	default:
		return nil, fmt.Errorf("%w: it begins with neither kind; want sqlite:FILE or postgres://user@host/database", ErrAddress) // what it is may be a password
	}
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, d.db, dialect, options); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

const migrateTries = 5

func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, options []goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, files, options...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	// Backends that begin on one SQLite file together, for which goose has no lock, fail on what another has just made. It is there when they look again.
	for range migrateTries {
		if _, err = provider.Up(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("bring the database's tables up to date: %w", err)
}

// Close closes the database.
func (d *Database) Close() error { return d.db.Close() }

// openSQLite opens a file for one writer and several readers. Every commit waits for the disk (synchronous FULL): what was answered survives a crash of the machine.
func openSQLite(file string) (*Database, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	db.SetMaxOpenConns(8)
	d := &Database{db: db, local: true, listed: func(column string, n int) string {
		return fmt.Sprintf("%s IN (SELECT value FROM json_each($%d))", column, n)
	}}
	d.together = d.oneByOne
	return d, nil
}

func openPostgres(address string) (*Database, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAddress, err) // its text leaves the password out
	}
	config.ConnectTimeout = 5 * time.Second
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	d := &Database{db: db, listed: func(column string, n int) string {
		return fmt.Sprintf("%s IN (SELECT jsonb_array_elements_text(CAST($%d AS jsonb)))", column, n)
	}}
	d.together = d.pipelined
	return d, nil
}

// oneByOne is together where a statement costs no way to a server.
func (d *Database) oneByOne(ctx context.Context, all []statement) (err error) {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	for _, s := range all {
		if err := s.prepared(ctx, tx); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (s *statement) prepared(ctx context.Context, tx *sql.Tx) error {
	if len(s.rows) == 0 {
		return nil
	}
	p, err := tx.PrepareContext(ctx, s.text)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // the transaction closes it too
	for _, row := range s.rows {
		result, err := p.ExecContext(ctx, row...)
		if err != nil {
			return err
		}
		touched, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if err := s.judge(touched); err != nil {
			return err
		}
	}
	return nil
}

func (s *statement) judge(touched int64) error {
	if s.touches > 0 && touched != s.touches {
		return s.miss
	}
	return nil
}

// pipelined is together with all statements on their way at once.
func (d *Database) pipelined(ctx context.Context, all []statement) error {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // back to the pool
	return conn.Raw(func(driver any) error {
		return pgx.BeginFunc(ctx, driver.(*stdlib.Conn).Conn(), func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			for i := range all {
				for _, row := range all[i].rows {
					batch.Queue(all[i].text, row...)
				}
			}
			results := tx.SendBatch(ctx, batch)
			return errors.Join(judgeAll(all, results), results.Close())
		})
	})
}

func judgeAll(all []statement, results pgx.BatchResults) error {
	for i := range all {
		for range all[i].rows {
			tag, err := results.Exec()
			if err != nil {
				return err
			}
			if err := all[i].judge(tag.RowsAffected()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Lead is reservation.Store. The error wraps ErrLed.
func (d *Database) Lead(ctx context.Context, name string, until time.Time) (reservation.Term, error) {
	term := reservation.Term{Name: name, Until: until}
	row := d.db.QueryRowContext(ctx, `UPDATE leader SET term = term + 1, name = $1, until_ns = $2 WHERE until_ns < $3 OR name = $1 RETURNING term`,
		name, until.UnixNano(), time.Now().UnixNano())
	err := row.Scan(&term.Number)
	if errors.Is(err, sql.ErrNoRows) {
		var other string
		if err := d.db.QueryRowContext(ctx, `SELECT name FROM leader`).Scan(&other); err != nil {
			return term, fmt.Errorf("look for the leader: %w", err)
		}
		return term, fmt.Errorf("%w: %s", ErrLed, other)
	}
	if err != nil {
		return term, fmt.Errorf("take the lead: %w", err)
	}
	return term, nil
}

// Resign is reservation.Store.
func (d *Database) Resign(ctx context.Context, t reservation.Term) error {
	if _, err := d.db.ExecContext(ctx, `UPDATE leader SET until_ns = 0 WHERE term = $1`, t.Number); err != nil {
		return fmt.Errorf("give up the lead: %w", err)
	}
	return nil
}

// list is a JSON list as a parameter.
func list(texts []string) string {
	data, err := json.Marshal(texts)
	if err != nil || texts == nil {
		return "[]"
	}
	return string(data)
}

// IsBusy reports whether an error means that somebody else holds the database locked.
func IsBusy(err error) bool {
	var e *sqlite.Error
	const busy = 5 // SQLITE_BUSY
	return errors.As(err, &e) && e.Code()&0xff == busy
}
