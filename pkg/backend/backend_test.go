package backend_test

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/store"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// buyer is one who does as it likes, and remembers what it was told.
type buyer struct {
	client *crowd.Client
	rng    *mathrand.Rand
	holds  []string
	// told is the last state that was answered of each order; an order whose last request had no answer is unsure.
	told   map[string]string
	unsure map[string]bool
}

func newBuyer(c *crowd.Client, seed uint64) *buyer {
	return &buyer{client: c, rng: mathrand.New(mathrand.NewPCG(seed, 0)), told: map[string]string{}, unsure: map[string]bool{}}
}

// act reserves, pays, or gives back. It reports whether the backend answered.
func (b *buyer) act() {
	dice := b.rng.IntN(10)
	if dice < 5 || len(b.holds) == 0 {
		all := runs()
		from := b.rng.IntN(segments)
		id, err := b.client.Reserve(rand.Text(), crowd.Order{
			Run: all[b.rng.IntN(len(all))], Class: classes[b.rng.IntN(len(classes))], From: rail.StopIndex(from),
			To: rail.StopIndex(from + 1 + b.rng.IntN(segments-from)), Passengers: 1 + b.rng.IntN(4),
		})
		if err == nil {
			b.holds = append(b.holds, id)
			b.told[id] = "RESERVED"
		}
		return
	}
	i := b.rng.IntN(len(b.holds))
	id := b.holds[i]
	var answer struct {
		State string `json:"state"`
	}
	method, path, body := http.MethodDelete, "/v1/reservations/"+id, any(nil)
	if dice < 7 {
		method, path, body = http.MethodPost, path+"/payment", map[string]string{"behaviour": []string{"succeed", "twice", "fail", "never"}[b.rng.IntN(4)]}
		b.unsure[id] = true // the result comes later
	} else {
		b.holds[i] = b.holds[len(b.holds)-1]
		b.holds = b.holds[:len(b.holds)-1]
	}
	status, err := b.client.Call(method, path, body, &answer)
	switch {
	case err == nil:
		b.told[id] = answer.State
	case status == 0 || status >= 500:
		b.unsure[id] = true
	}
}

// B1: buyers who all want the same never get the same place, whatever they give back and let expire meanwhile; and a node shows what is left.
func TestNeverOversold(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, address string) {
		server := testkit.Broker(t)
		s := settings(address, "")
		s.Reservation.Hold = time.Second // some expire while others buy
		b := run(t, s, backend.Options{InProcess: server}).leads(t)
		n := query(t, config.DefaultNode(), node.Options{InProcess: server})
		c := client(b.Address())
		var crowd sync.WaitGroup
		for i := range 64 {
			y := newBuyer(c, uint64(i))
			crowd.Go(func() {
				for range 60 {
					y.act()
				}
			})
		}
		crowd.Wait()
		testkit.Eventually(t, "all unpaid orders to expire", func() bool { return len(unpaid(t, address)) == 0 })
		published(t, c)
		converges(t, n, address)
		state, _ := status(c)
		t.Logf("%d changes published in term %d", state.Published, state.Term)
	})
}

// unpaid lists the orders that hold places without being paid for.
func unpaid(t *testing.T, address string) []string {
	t.Helper()
	return look(t, address, func(d *store.Database) ([]string, error) {
		return d.Overdue(t.Context(), time.Now().Add(time.Hour), 1000)
	})
}

// K2: a backend that is killed at random moments under load, and the NATS server with it now and then, loses nothing it answered and publishes everything once.
// YUPIAO_CRASH_ROUNDS says how often on each database.
func TestCrash(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("YUPIAO_CRASH_ROUNDS"))
	if rounds == 0 {
		rounds = 10
	}
	testkit.Databases(t, func(t *testing.T, address string) {
		folder, nats := t.TempDir(), freeAddress(t)
		server := startBroker(t, folder, nats)
		s := settings(address, "nats://"+nats)
		s.HTTP.Address, s.Reservation.Hold = freeAddress(t), 3*time.Second // what nobody was told of is free again soon
		c := client(s.HTTP.Address)
		seed := uint64(time.Now().UnixNano())
		rng := mathrand.New(mathrand.NewPCG(seed, 1))
		t.Logf("seed %d", seed)
		part := startBackend(t, s)
		published(t, c)
		resumeAll(t, c)
		ns := config.DefaultNode()
		ns.Feed.URL = s.Feed.URL
		n := query(t, ns, node.Options{})
		answered, servers := 0, 0
		var buyers []*buyer
		for round := range rounds {
			buyers = load(c, rng, buyers, func() {
				if rng.IntN(4) == 0 {
					servers++
					server.kill()
					defer func() { server = startBroker(t, folder, nats) }()
				}
				part.kill()
			})
			part = startBackend(t, s)
			published(t, c)
			answered += remembered(t, address, buyers)
			converges(t, n, address)
			if t.Failed() {
				t.Fatalf("in round %d", round)
			}
		}
		t.Logf("%d rounds, %d kills of NATS with it, %d orders answered and found", rounds, servers, answered)
	})
}

// load lets buyers buy, and give back what those before them have bought, until, at a random moment, something is killed.
func load(c *crowd.Client, rng *mathrand.Rand, before []*buyer, kill func()) []*buyer {
	var people sync.WaitGroup
	dead := make(chan struct{})
	buyers := make([]*buyer, 8)
	for i := range buyers {
		y := newBuyer(c, rng.Uint64())
		if buyers[i] = y; before != nil {
			y.holds = before[i].holds
		}
		people.Go(func() {
			for {
				select {
				case <-dead:
					return
				default:
					y.act()
				}
			}
		})
	}
	<-time.After(time.Duration(20+rng.IntN(180)) * time.Millisecond)
	kill()
	close(dead)
	people.Wait()
	return buyers
}

// remembered holds what buyers were told against what is stored, and counts the orders.
func remembered(t *testing.T, address string, buyers []*buyer) (orders int) {
	t.Helper()
	for _, y := range buyers {
		var ids []string
		for id := range y.told {
			ids = append(ids, id)
		}
		stored := ordersOf(t, address, ids)
		for id, told := range y.told {
			orders++
			switch o := stored[id]; {
			case o == nil:
				t.Errorf("K2: order %s was answered as %s and is not stored", id, told)
			case told == "RESERVED" && o.State == reservation.Expired:
			case !y.unsure[id] && string(o.State) != told:
				t.Errorf("K2: order %s was answered as %s and is stored as %s", id, told, o.State)
			}
		}
	}
	return orders
}
