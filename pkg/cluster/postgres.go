package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// postgresName is the database's process and its superuser: who it runs as where we are root, whom PostgreSQL refuses.
const postgresName = "postgres"

// ErrPostgres says that there is no PostgreSQL server on this machine.
var ErrPostgres = errors.New("no PostgreSQL server here: apt-get install postgresql")

// postgresPrograms is the folder of the newest server: Debian's, or that of the PATH.
func postgresPrograms() (string, error) {
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	if len(all) > 0 {
		version := func(path string) float64 {
			v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(path))), 64) // what is no version is the oldest
			return v
		}
		return filepath.Dir(slices.MaxFunc(all, func(a, b string) int { return cmp.Compare(version(a), version(b)) })), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrPostgres
	}
	return filepath.Dir(path), nil
}

// postgresUser is who the server runs as; nil for who we are.
func postgresUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // as said
	}
	u, err := user.Lookup(postgresName)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// addPostgres makes a database of our own, and adds the server of it.
func (c *Cluster) addPostgres(ctx context.Context, address string) error {
	programs, err := postgresPrograms()
	if err != nil {
		return err
	}
	as, err := postgresUser()
	if err != nil {
		return err
	}
	folder := filepath.Join(c.folder, postgresName)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	if as != nil { // it has to pass through our folder, and sees nothing of it
		if err := errors.Join(os.Chmod(c.folder, 0o711), os.Chown(folder, int(as.Uid), int(as.Gid))); err != nil {
			return err
		}
	}
	data := filepath.Join(folder, "data")
	c.say("making a PostgreSQL database")
	initdb := exec.CommandContext(ctx, filepath.Join(programs, "initdb"), "-D", data, "-U", postgresName, "-A", "trust", "-E", "UTF8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = folder, attributes()
	initdb.SysProcAttr.Credential = as
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	c.o.Database = "postgres://" + postgresName + "@" + address + "/postgres?sslmode=disable"
	c.postgresIsUp = func(ctx context.Context) bool {
		return exec.CommandContext(ctx, filepath.Join(programs, "pg_isready"), "-q", "-h", host, "-p", port).Run() == nil
	}
	c.add(recordTier, address, &process{
		name: postgresName, path: filepath.Join(programs, postgresName), args: []string{"-D", data, "-p", port, "-k", folder, "-c", "listen_addresses=" + host},
		user: as, end: syscall.SIGINT, // which does not wait for clients
	})
	return nil
}
