package backend_test

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// limitVariable bounds the files that a process may write, in bytes: what a full disk does to it.
const limitVariable = "YUPIAO_TEST_FILE_LIMIT"

func fillDisk() error {
	limit, err := strconv.ParseUint(os.Getenv(limitVariable), 10, 64)
	if err != nil {
		return nil //nolint:nilerr // no limit is wanted
	}
	signal.Ignore(syscall.SIGXFSZ) // then a write fails, as on a full disk
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit})
}

func one(n int) crowd.Order {
	return crowd.Order{Run: runs()[n%3], Class: "O", From: 0, To: 2, Passengers: 1}
}

// sells reports whether a reservation succeeds, under a key of its own.
func sells(c *crowd.Client, key string) bool {
	_, err := c.Reserve(key, one(0))
	return err == nil
}

// D3, D4: a disk that is full: each request gets a clear problem, nothing is half done; with room again everything goes on, and who asks again with the same key
// gets the order once.
func TestFullDisk(t *testing.T) {
	nats := freeAddress(t)
	startBroker(t, t.TempDir(), nats)
	address := testkit.SQLite(t)
	s := settings(address, "nats://"+nats)
	s.HTTP.Address = freeAddress(t)
	c := client(s.HTTP.Address)
	t.Setenv(limitVariable, "150000")
	part := startBackend(t, s)
	published(t, c)
	resumeAll(t, c)
	refused := ""
	for i := 0; refused == ""; i++ {
		key := fmt.Sprint("k", i)
		if _, err := c.Reserve(key, one(i)); err != nil {
			if !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "ask again") {
				t.Fatalf("order %d on a full disk: %v", i, err)
			}
			refused = key
		}
		if i > 170 {
			t.Fatal("the disk was never full")
		}
	}
	for range 3 { // it goes on refusing, and never half
		_, _ = c.Reserve(refused+"x", one(0))
	}
	truthOf(t, address) // nothing is sold twice
	part.kill()
	if err := os.Unsetenv(limitVariable); err != nil {
		t.Fatal(err)
	}
	startBackend(t, s)
	published(t, c)
	before := truthOf(t, address)
	first, err := c.Reserve(refused, one(0))
	second, again := c.Reserve(refused, one(0))
	if err = errors.Join(err, again); err != nil || first != second {
		t.Fatalf("asked again: %s, %s, %v", first, second, err)
	}
	ns := config.DefaultNode()
	ns.Feed.URL = s.Feed.URL
	published(t, c)
	converges(t, query(t, ns, node.Options{}), address)
	if after := truthOf(t, address); len(after.counts) != len(before.counts) {
		t.Errorf("%d counts, %d before", len(after.counts), len(before.counts))
	}
}

// D3: a database that somebody keeps locked for longer than a backend waits: refused with when to ask again, and sold as soon as the lock is gone.
func TestLockedDatabase(t *testing.T) {
	address := testkit.SQLite(t)
	server := testkit.Broker(t)
	b := run(t, settings(address, ""), backend.Options{InProcess: server}).leads(t)
	c := client(b.Address())
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(address, "sqlite:")+"?_txlock=exclusive")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // the test is over
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := c.Call(http.MethodPost, "/v1/reservations", map[string]any{"run": one(0).Run.String(), "class": "O", "from": 0, "to": 2, "passengers": 1}, nil,
		"Idempotency-Key", "locked"); status != http.StatusServiceUnavailable {
		t.Errorf("with a locked database: %d, %v", status, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "a sale after the lock", func() bool { return sells(c, "locked") })
	published(t, c)
	converges(t, query(t, config.DefaultNode(), node.Options{InProcess: server}), address)
}

// D3: a database server that goes away and comes back.
func TestDatabaseAway(t *testing.T) {
	address := testkit.Postgres(t)
	server := testkit.Broker(t)
	b := run(t, settings(address, ""), backend.Options{InProcess: server}).leads(t)
	c := client(b.Address())
	n := query(t, config.DefaultNode(), node.Options{InProcess: server})
	y := newBuyer(c, 1)
	for range 30 {
		y.act()
	}
	admin, err := sql.Open("pgx", os.Getenv("YUPIAO_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }() // the test is over
	name := address[strings.LastIndex(address, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	allow := func(yes bool) {
		if _, err := admin.ExecContext(t.Context(), fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS %t", name, yes)); err != nil {
			t.Fatal(err)
		}
	}
	allow(false)
	if _, err := admin.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reserve("away", one(0)); !errors.Is(err, crowd.ErrRefused) || !strings.Contains(err.Error(), "503") {
		t.Errorf("without a database: %v", err)
	}
	allow(true)
	testkit.Eventually(t, "a sale after its return", func() bool { return sells(c, "away") })
	if remembered(t, address, []*buyer{y}) == 0 {
		t.Error("nothing was sold before")
	}
	published(t, c)
	converges(t, n, address)
}

// An offer that a traveller hands back: held, sold out or refused, the node counts it.
func TestOffersAreJudged(t *testing.T) {
	server := testkit.Broker(t)
	keys := config.Secrets{"k1:" + hex.EncodeToString([]byte("a secret of sixteen"))}
	s := settings(testkit.SQLite(t), "")
	s.Offers.Keys = keys
	b := run(t, s, backend.Options{InProcess: server}).leads(t)
	c := client(b.Address())
	published(t, c)
	ns := config.DefaultNode()
	ns.Offers.Keys = keys
	n := query(t, ns, node.Options{InProcess: server})
	testkit.Eventually(t, "an answer with offers", func() bool { return len(offersOf(t, n)) == 9 })
	shown := offersOf(t, n)
	order := func(o offered) map[string]any {
		return map[string]any{"run": o.run, "class": o.class, "from": 0, "to": 4, "passengers": 1, "offer": o.token}
	}
	post := func(key string, body map[string]any) (int, error) {
		return c.Call(http.MethodPost, "/v1/reservations", body, nil, "Idempotency-Key", key)
	}
	var business offered
	for i, o := range shown {
		if status, err := post(fmt.Sprint("k", i), order(o)); status != http.StatusCreated {
			t.Errorf("%+v: %d, %v", o, status, err)
		}
		if o.class == "9" {
			business = o
		}
	}
	for i := range 5 { // the other places of business class
		body := order(business)
		delete(body, "offer")
		if status, err := post(fmt.Sprint("b", i), body); status != http.StatusCreated {
			t.Errorf("%d, %v", status, err)
		}
	}
	if status, _ := post("late", order(business)); status != http.StatusConflict {
		t.Errorf("sold beyond: %d", status)
	}
	forged := order(business)
	forged["class"] = "O"
	if status, err := post("forged", forged); status != http.StatusUnprocessableEntity {
		t.Errorf("an offer of another class: %d, %v", status, err)
	}
	testkit.Eventually(t, "the node to have counted", func() bool {
		share, known := n.Accuracy().Share()
		return known && share == 0.9
	})
}

type offered struct{ run, class, token string }

// offersOf asks a node for all trains with their offers.
func offersOf(t *testing.T, n *node.Node) (all []offered) {
	t.Helper()
	var answer struct {
		Runs []struct {
			Run     string
			Classes []struct{ Class, Offer string }
		}
	}
	from := crowd.NewClient(t.Context(), "http://"+n.Address(), "")
	if _, err := from.Call(http.MethodGet, "/v1/availability?from=S00&to=S04&offers=true&date="+day().String(), nil, &answer); err != nil {
		return nil
	}
	for _, r := range answer.Runs {
		for _, c := range r.Classes {
			if c.Offer != "" {
				all = append(all, offered{r.Run, c.Class, c.Offer})
			}
		}
	}
	return all
}
