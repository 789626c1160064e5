package limit

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// bucket is an exact one: tokens, and when they were counted.
type bucket struct {
	tokens float64
	at     time.Time
}

// naive is a bucket for each client, without an end.
type naive struct {
	rate    Rate
	buckets map[int]*bucket
}

func (n *naive) take(client int, now time.Time) bool {
	b := n.buckets[client]
	if b == nil {
		b = &bucket{float64(n.rate.Burst), now}
		n.buckets[client] = b
	}
	b.tokens = min(float64(n.rate.Burst), b.tokens+now.Sub(b.at).Seconds()*n.rate.PerSecond)
	b.at = now
	if b.tokens < 1-1e-9 { // times are whole nanoseconds
		return false
	}
	b.tokens--
	return true
}

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// O1, O2, O3: held to a bucket for each client. With room for all it lets the same through, request by request; without, never less in sum, and more by a burst for each bucket lost.
func TestNaive(t *testing.T) {
	for name, clients := range map[string]int{"room for all": 7, "no room": 40} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				// Powers of two, so that neither side rounds.
				r := Rate{PerSecond: rapid.SampledFrom([]float64{0.5, 1, 2, 8, 64}).Draw(t, "rate"), Burst: rapid.IntRange(1, 20).Draw(t, "burst"), Clients: 7}
				b, exact, now := NewBuckets(r), &naive{r, map[int]*bucket{}}, noon
				ours, theirs, lost := map[int]int{}, map[int]int{}, uint64(0)
				for range rapid.IntRange(1, 400).Draw(t, "requests") {
					now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 3, 20, 400}).Draw(t, "pause")) * time.Second / 64)
					c := rapid.IntRange(0, clients-1).Draw(t, "client")
					got, want := b.Take(b.Address(address(c)), now), exact.take(c, now)
					if got {
						ours[c]++
					}
					if want {
						theirs[c]++
					}
					lost = b.Lost()
					switch {
					case lost == 0 && got != want:
						t.Fatalf("client %d at %v: %t, by a bucket of its own %t", c, now.Sub(noon), got, want)
					case ours[c] < theirs[c]:
						t.Fatalf("client %d: %d let through, by a bucket of its own %d", c, ours[c], theirs[c])
					case ours[c]-theirs[c] > int(lost)*r.Burst:
						t.Fatalf("client %d: %d let through, by a bucket of its own %d, with %d buckets lost", c, ours[c], theirs[c], lost)
					}
				}
				if clients <= 7 && lost > 0 {
					t.Fatalf("%d buckets lost with room for all", lost)
				}
				if n := len(b.table.Load().sets); n != 1 {
					t.Fatalf("%d sets", n)
				}
			})
		})
	}
}

// O1, O3: a million addresses that ask once each neither grow the table nor get a greedy client a single request more.
func TestFloodOfAddresses(t *testing.T) {
	r := Rate{PerSecond: 1, Burst: 10, Clients: 7 * 64}
	b, now, greedy := NewBuckets(r), noon, 0
	him := b.Address(netip.MustParseAddr("203.0.113.7"))
	const addresses, over = 1_000_000, 100 * time.Second
	for i := range addresses {
		now = now.Add(over / addresses)
		if !b.Take(b.Address(address(i)), now) {
			t.Fatal("one that has not asked before was refused")
		}
		if i%10 == 0 && b.Take(him, now) {
			greedy++
		}
	}
	if want := 10 + int(over/time.Second); greedy < want-1 || greedy > want+1 {
		t.Errorf("%d let through; want the burst and 1 a second: %d", greedy, want)
	}
	lost := b.Lost()
	if b.Follow(Rate{}); b.Lost() != lost {
		t.Error("what was lost is forgotten with the table")
	}
	b.Follow(r)
	if n := len(b.table.Load().sets); n != 64 || b.Lost() == 0 {
		t.Errorf("%d sets, %d lost; want 64, and many", n, b.Lost())
	}
}

// A set is two cache lines, which the arithmetic of the memory says.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(set{}); n != 128 {
		t.Errorf("a set takes %d bytes", n)
	}
	if n := len(NewBuckets(Rate{PerSecond: 1}).table.Load().sets); n*128 > 2_400_000 || n*7 < 131072 {
		t.Errorf("%d sets by default", n)
	}
	if NewBuckets(Rate{}).table.Load().sets != nil {
		t.Error("memory without a limit")
	}
}

// IPv6 addresses are told apart by their prefix, IPv4 ones whole, mapped or not; names are nobody's addresses.
func TestClients(t *testing.T) {
	b := NewBuckets(Rate{PerSecond: 1, IPv6Prefix: 56})
	of := func(text string) Client { return b.Address(netip.MustParseAddr(text)) }
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.2", false}, {"192.0.2.1", "::ffff:192.0.2.1", true}, {"2001:db8::1", "2001:db8::ff:0:0:0:2", true},
		{"2001:db8:0:100::1", "2001:db8::1", false}, {"fe80::1%eth0", "fe80::2", true}, {"::1", "::2", true},
	} {
		if (of(c.one) == of(c.other)) != c.same {
			t.Errorf("%s and %s are the same: %t", c.one, c.other, !c.same)
		}
	}
	raw := netip.MustParseAddr("192.0.2.1").As16()
	if b.Named(string(raw[:])) == of("192.0.2.1") || b.Named("a") == b.Named("b") {
		t.Error("names")
	}
}

// Settings change while it runs: what was spent stays spent, and a clock that is put back refuses nobody for long.
func TestFollow(t *testing.T) {
	b := NewBuckets(Rate{PerSecond: 1, Burst: 100})
	c := b.Named("c")
	for range 100 {
		b.Take(c, noon)
	}
	if b.Take(c, noon) {
		t.Fatal("101 at once")
	}
	b.Follow(Rate{PerSecond: 1, Burst: 2})
	if b.Take(c, noon) || !b.Take(c, noon.Add(time.Second)) || b.Take(c, noon.Add(time.Second)) {
		t.Error("a smaller burst: want one a second from now on")
	}
	if b.Take(c, noon.Add(-time.Hour)) || !b.Take(c, noon.Add(-time.Hour+time.Second)) {
		t.Error("a clock that was put back by an hour: want one a second from then on")
	}
	b.Follow(Rate{})
	if b.On() || !b.Take(c, noon) {
		t.Error("still limited")
	}
	b.Return(c)
	b.Follow(Rate{PerSecond: 0.5, Burst: 1})
	if !b.On() || !b.Take(c, noon) || b.Take(c, noon) {
		t.Error("a limit that comes back begins with full buckets")
	}
	b.Return(c)
	b.Return(b.Named("d"))
	if !b.Take(c, noon) || b.Take(c, noon) {
		t.Error("what was given back is there once")
	}
}

func TestNoAllocation(t *testing.T) {
	b, a := NewBuckets(Rate{PerSecond: 1}), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { b.Take(b.Address(a), noon); b.Take(b.Named("key"), noon) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTake is the address to the verdict: of one client that has no token, and of more than there is room for.
func BenchmarkTake(b *testing.B) {
	for _, clients := range []int{1, 1 << 20} {
		for _, prefix := range []string{"4", "6"} {
			b.Run(fmt.Sprintf("clients=%d/ipv=%s", clients, prefix), func(b *testing.B) {
				buckets, now := NewBuckets(Rate{PerSecond: 10, Burst: 20}), time.Now()
				addresses := make([]netip.Addr, clients)
				for i := range addresses {
					if addresses[i] = address(i); prefix == "6" {
						var raw [16]byte
						binary.BigEndian.PutUint64(raw[:], 0x20010db8_00000000+uint64(i))
						addresses[i] = netip.AddrFrom16(raw)
					}
				}
				b.ReportAllocs()
				b.RunParallel(func(p *testing.PB) {
					for i := rand.IntN(clients); p.Next(); i++ {
						buckets.Take(buckets.Address(addresses[i%clients]), now)
					}
				})
			})
		}
	}
}
