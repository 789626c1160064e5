package backend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// link is a way to a server that can be cut: connections break, and new ones come to nothing.
type link struct {
	listener net.Listener
	target   string
	mu       sync.Mutex // guards what follows
	cut      bool
	open     map[net.Conn]bool
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, target: target, open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = listener.Close() // the test is over
		l.set(true)
	})
	go l.accept()
	return l
}

func (l *link) accept() {
	for {
		a, err := l.listener.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", l.target)
		if err != nil || !l.add(a, b) {
			_ = a.Close() // nobody there
			continue
		}
		go l.copy(a, b)
		go l.copy(b, a)
	}
}

func (l *link) add(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		if l.open[c] = true; l.cut {
			_ = c.Close()
		}
	}
	return !l.cut
}

func (l *link) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from) // it ends when either does
	_ = to.Close()
	_ = from.Close()
}

func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for c := range l.open {
		if cut {
			_ = c.Close()
			delete(l.open, c)
		}
	}
}

// age asks a node over HTTP how old its answers are, and what it says of them.
func age(t *testing.T, n *node.Node) (seconds int, state string) {
	t.Helper()
	r, err := http.Get("http://" + n.Address() + "/v1/runs/" + runs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }() // only its headers count
	seconds, err = strconv.Atoi(r.Header.Get("Age"))
	if err != nil {
		t.Fatalf("%s: Age is %q", r.Status, r.Header.Get("Age"))
	}
	return seconds, r.Header.Get("Yupiao-State")
}

// K1: while the way from the backend to NATS is cut, sales go on, and the node says that it is degraded, with a growing age; after its return the node is
// exact soon. YUPIAO_PARTITION is how long the way is cut, default 4 s.
func TestPartition(t *testing.T) {
	cut, err := time.ParseDuration(os.Getenv("YUPIAO_PARTITION"))
	if err != nil {
		cut = 4 * time.Second
	}
	testkit.Databases(t, func(t *testing.T, address string) {
		nats := freeAddress(t)
		startBroker(t, t.TempDir(), nats)
		way := newLink(t, nats)
		s := settings(address, "nats://"+way.listener.Addr().String())
		s.HTTP.Address = freeAddress(t)
		startBackend(t, s)
		c := client(s.HTTP.Address)
		published(t, c)
		resumeAll(t, c)
		ns := config.DefaultNode()
		ns.Feed.URL = "nats://" + nats
		n := query(t, ns, node.Options{})
		converges(t, n, address)
		testkit.Eventually(t, "a proof", func() bool {
			_, proved := n.Follower().Replica().AsOf()
			return proved
		})

		way.set(true)
		y := newBuyer(c, 1)
		end := time.After(cut)
		oldest := 0
		for cutting := true; cutting; {
			select {
			case <-end:
				cutting = false
			default:
				y.act()
			}
			seconds, _ := age(t, n)
			if seconds < oldest-1 {
				t.Fatalf("age fell from %d to %d s while nothing could be known", oldest, seconds)
			}
			oldest = max(oldest, seconds)
		}
		seconds, state := age(t, n)
		if state != "degraded" || seconds < int(cut.Seconds())-2 {
			t.Errorf("after %s without events the node says %s, age %d s", cut, state, seconds)
		}
		waiting, err := status(c)
		if err != nil || waiting.Outbox == 0 {
			t.Errorf("K1: nothing was sold meanwhile: %+v, %v", waiting, err)
		}
		want := truthOf(t, address)
		way.set(false)
		back := time.Now()
		testkit.Eventually(t, "every count to be the database's", func() bool { return shown(n.Follower().Replica()).equal(want) })
		exact := time.Since(back)
		testkit.Eventually(t, "live again", func() bool {
			_, state := age(t, n)
			return state == "live"
		})
		t.Logf("cut for %s: %d changes waited, age rose to %d s; exact %s after the return, live after %s", cut, waiting.Outbox, seconds,
			exact.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
	})
}

// K3, D7: of two backends one leads and the other waits, answers that it does, and leads when the first is killed; what the first answered is there.
func TestTakeover(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		nats := freeAddress(t)
		startBroker(t, t.TempDir(), nats)
		var parts [2]*process
		var clients [2]*crowd.Client
		for i := range parts {
			s := settings(address, "nats://"+nats)
			s.Name, s.HTTP.Address, s.Lease = fmt.Sprint("backend-", i), freeAddress(t), time.Second
			parts[i], clients[i] = startBackend(t, s), client(s.HTTP.Address)
		}
		leader := 0
		testkit.Eventually(t, "one that leads", func() bool {
			for i, c := range clients {
				if s, err := status(c); err == nil && s.Leading {
					leader = i
					return true
				}
			}
			return false
		})
		other := 1 - leader
		published(t, clients[leader])
		resumeAll(t, clients[leader])
		ns := config.DefaultNode()
		ns.Feed.URL = "nats://" + nats
		n := query(t, ns, node.Options{})
		testkit.Eventually(t, "the other to wait", func() bool {
			s, err := status(clients[other])
			return err == nil && !s.Leading && strings.Contains(s.Why, fmt.Sprint("backend-", leader))
		})
		if _, err := clients[other].Reserve("k", crowd.Order{Run: runs()[0], Class: "O", To: 1, Passengers: 1}); !errors.Is(err, crowd.ErrRefused) || !strings.Contains(err.Error(), "503") {
			t.Errorf("the one that waits answers %v", err)
		}
		y := newBuyer(clients[leader], 7)
		for range 50 {
			y.act()
		}
		parts[leader].kill()
		killed := time.Now()
		testkit.Eventually(t, "the other to lead", func() bool {
			s, err := status(clients[other])
			return err == nil && s.Leading
		})
		t.Logf("leads %s after the kill, with a lease of 1 s", time.Since(killed).Round(time.Millisecond))
		if remembered(t, address, []*buyer{y}) == 0 {
			t.Error("nothing was sold before")
		}
		z := newBuyer(clients[other], 8)
		for range 50 {
			z.act()
		}
		published(t, clients[other])
		converges(t, n, address)
	})
}

// The database is restored from an older copy. Without a new epoch the digests find it, and nodes say so; after `restore-epoch` every node believes it.
func TestRestoreOlderCopy(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		server := testkit.Broker(t)
		n := query(t, config.DefaultNode(), node.Options{InProcess: server})
		trade := func(address string, acts int) {
			b := run(t, settings(address, ""), backend.Options{InProcess: server}).leads(t)
			c := client(b.Address())
			y := newBuyer(c, 3)
			for range acts {
				y.act()
			}
			published(t, c)
			if acts > 0 {
				converges(t, n, address)
			}
			b.stop()
		}
		trade(address, 40)
		older := testkit.CopyDatabase(t, address)
		trade(address, 60)

		b := run(t, settings(older, ""), backend.Options{InProcess: server}).leads(t)
		testkit.Eventually(t, "the older history to be noticed", func() bool {
			for _, id := range runs() {
				if n.Follower().Replica().Run(id).Health() == replica.Quarantined {
					return true
				}
			}
			return false
		})
		b.stop()
		var said bytes.Buffer
		if err := backend.RestoreEpoch(t.Context(), settings(older, ""), &said); err != nil || !strings.Contains(said.String(), "3 runs will be published anew") {
			t.Fatalf("%v: %s", err, &said)
		}
		trade(older, 20)
	})
}

// The feed carries no seat, no order and no key: every message of it is read.
func TestFeedHoldsNobody(t *testing.T) {
	server := testkit.Broker(t)
	address := testkit.SQLite(t)
	b := run(t, settings(address, ""), backend.Options{InProcess: server}).leads(t)
	plain := testkit.Plain(t, server)
	heard := make(chan []byte, 10_000)
	_, err := plain.Subscribe("yupiao.v1.>", func(m *nats.Msg) { heard <- m.Data })
	if err = errors.Join(err, plain.Flush()); err != nil {
		t.Fatal(err)
	}
	c := client(b.Address())
	y := newBuyer(c, 1)
	for range 100 {
		y.act()
	}
	published(t, c)
	js, err := jetstream.New(plain)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, name := range []string{"YUPIAO_REFERENCE", "YUPIAO_STATE", "YUPIAO_DELTA"} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for i := stream.CachedInfo().State.FirstSeq; i <= stream.CachedInfo().State.LastSeq; i++ {
			if m, err := stream.GetMsg(t.Context(), i); err == nil { // some are gone: a newer state took their place
				all = append(all, m.Data)
			}
		}
	}
	for len(heard) > 0 {
		all = append(all, <-heard)
	}
	var ids []string
	for id := range y.told {
		ids = append(ids, id)
	}
	secrets := map[string]bool{}
	for id, o := range ordersOf(t, address, ids) {
		secrets[strings.TrimPrefix(id, "r_")], secrets[o.Key] = true, true
	}
	if len(all) < 50 || len(secrets) < 50 {
		t.Fatalf("%d messages, %d secrets", len(all), len(secrets))
	}
	for _, message := range all {
		for secret := range secrets {
			if bytes.Contains(message, []byte(secret)) {
				t.Errorf("a message holds %q: %q", secret, message)
			}
		}
	}
}

// A backend whose database or addresses cannot be used says so at once.
func TestCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // the test is over
	for want, change := range map[string]func(*config.Booking){
		"want sqlite:FILE": func(s *config.Booking) { s.Database = "mysql:x" },
		"http.address":     func(s *config.Booking) { s.HTTP.Address = taken.Addr().String() },
		"want at least 16": func(s *config.Booking) { s.Payment.WebhookSecrets = config.Secrets{"short"} },
		"offers.keys":      func(s *config.Booking) { s.Offers.Keys = config.Secrets{"nonsense"} },
	} {
		s := settings(testkit.SQLite(t), "")
		change(&s)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := backend.New(ctx, s, backend.Options{Schedule: schedule()})
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
