package testkit

import (
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/yupiao/yupiao/pkg/store" // brings the driver "pgx"
)

// Databases runs a test on an empty database of every kind. PostgreSQL is found by YUPIAO_POSTGRES, the address of a server where databases may be made.
func Databases(t *testing.T, test func(t *testing.T, address string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite is the address of an empty database in a file.
func SQLite(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") }

// Postgres is the address of an empty database on the server of YUPIAO_POSTGRES; without one the test is skipped.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("YUPIAO_POSTGRES")
	if server == "" {
		t.Skip("needs PostgreSQL: install Debian's package postgresql and set YUPIAO_POSTGRES=postgres://user@host:port/postgres")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	name := "yupiao_test_" + hex.EncodeToString(b[:])
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = db.Close() // the test is over
	})
	u.Path = "/" + name
	return u.String()
}
