package testkit

import (
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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
	return create(t, server, "")
}

// create makes a database on a server, as a copy of another if that is named, and drops it when the test ends.
func create(t testing.TB, server, template string) string {
	t.Helper()
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	name := "yupiao_test_" + hex.EncodeToString(b[:])
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	statement := "CREATE DATABASE " + name
	if template != "" {
		statement += " TEMPLATE " + template
	}
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = db.Close() // the test is over
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// CopyDatabase copies a database that nobody has open, as a backup does.
func CopyDatabase(t testing.TB, address string) string {
	t.Helper()
	file, isFile := strings.CutPrefix(address, "sqlite:")
	if !isFile {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		server := os.Getenv("YUPIAO_POSTGRES")
		disconnect(t, server, strings.TrimPrefix(u.Path, "/"))
		return create(t, server, strings.TrimPrefix(u.Path, "/"))
	}
	folder := t.TempDir()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		data, err := os.ReadFile(file + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue // joined into the file when the last one closed it
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "copy.db"+suffix), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return "sqlite:" + filepath.Join(folder, "copy.db")
}

// disconnect ends the connections of those who only looked.
func disconnect(t testing.TB, server, name string) {
	t.Helper()
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // it was only for this
	if _, err := db.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name); err != nil {
		t.Fatal(err)
	}
}
