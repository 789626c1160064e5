package load

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/rail"
)

// wanted is a demand for three pairs, the first wanted most.
func wanted(t testing.TB) *demand.Demand {
	t.Helper()
	d, err := demand.Read(strings.NewReader("A,B,6\ncity:C,D,3\nE,F,1\n"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// options are for a run of a test: 100 requests a second for 3 s.
func options(t testing.TB) Options {
	o := Defaults()
	first, err := rail.ParseDate("2026-12-01")
	if err != nil {
		t.Fatal(err)
	}
	o.Rate, o.For, o.Demand, o.Dates = 100, 3*time.Second, wanted(t), []rail.Date{first, first + 1, first + 2}
	return o
}

// L1: a constant rate, and in the rush a higher one.
func TestDue(t *testing.T) {
	p := plan{rate: 100, length: 10 * time.Second, rush: Rush{At: 2 * time.Second, For: time.Second, Factor: 5}}
	for _, c := range []struct {
		number uint64
		want   time.Duration
	}{
		{0, 0}, {1, 10 * time.Millisecond}, {199, 1990 * time.Millisecond},
		{200, 2 * time.Second}, {201, 2002 * time.Millisecond}, {699, 2998 * time.Millisecond},
		{700, 3 * time.Second}, {701, 3010 * time.Millisecond}, {1399, 9990 * time.Millisecond}, {1400, 10 * time.Second},
	} {
		if got := p.due(c.number); got != c.want {
			t.Errorf("number %d is due at %s; want %s", c.number, got, c.want)
		}
	}
	for second, want := range []uint64{0, 100, 200, 700, 800} {
		if got := p.count(time.Duration(second) * time.Second); got != want {
			t.Errorf("%d are due before second %d; want %d", got, second, want)
		}
	}
	if got := p.count(time.Hour); got != 1400 {
		t.Errorf("%d are due in all; want 1400", got)
	}
	p.rush = Rush{}
	if got, want := p.due(12345), 123450*time.Millisecond; got != want || p.rushing(0) {
		t.Errorf("without a rush, 12345 is due at %s; want %s", got, want)
	}
}

// L1: count is the least number that is not due, whatever the rates; the oracle counts one by one.
func TestCountIsTheInverseOfDue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for range 2000 {
		p := plan{rate: 1 + rng.Float64()*3000, length: time.Duration(1+rng.IntN(3000)) * time.Millisecond}
		if rng.IntN(2) == 0 {
			p.rush = Rush{At: time.Duration(rng.Int64N(int64(p.length))), For: time.Duration(1 + rng.Int64N(1e9)), Factor: 1 + rng.Float64()*20}
		}
		at := time.Duration(rng.Int64N(int64(p.length) + 1e9))
		if rng.IntN(3) == 0 {
			at = p.due(rng.Uint64N(2000)) // a moment at which one is due
		}
		want := uint64(0)
		for p.due(want) < min(at, p.length) {
			want++
		}
		if got := p.count(at); got != want {
			t.Fatalf("%+v: %d are due before %s; want %d", p, got, at, want)
		}
	}
}

// L1: the same seed asks for the same.
func TestTraffic(t *testing.T) {
	o := options(t)
	o.Conditional, o.Gzip = 0.3, 0.5
	o.Shift, o.Rush = time.Second, Rush{At: 5 * time.Second, For: time.Second, Factor: 10}
	one, two, other := newTraffic(&o), newTraffic(&o), newTraffic(&o)
	other.rng = rand.New(rand.NewPCG(2, 0))
	const n = 20_000 // over ten seconds
	var same, conditional, gzip, last, rushed, lastRushed float64
	hot := map[demand.Rank]bool{}
	for second := range 10 {
		pairs := [3]int{}
		for i := range n / 10 {
			due := time.Duration(second)*time.Second + time.Duration(i)*time.Second/(n/10)
			q := one.next(due)
			if q != two.next(due) {
				t.Fatal("the same seed asks for something else")
			}
			pairs[q.pair]++
			same += truth(q == other.next(due))
			conditional += truth(q.conditional)
			gzip += truth(q.gzip)
			if second == 5 {
				rushed++
				lastRushed += truth(q.date == 2)
			} else {
				last += truth(q.date == 2)
			}
		}
		for pair, count := range pairs {
			if count > n/10/2 {
				hot[demand.Rank(pair)] = true
			}
		}
	}
	if same > n/2 {
		t.Errorf("another seed asks for the same in %g of %d cases", same, n)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"conditional", conditional / n, 0.3}, {"gzip", gzip / n, 0.5}, {"last date", last / (n - rushed), 1. / 3 / (1 + 1./2 + 1./3)},
		{"last date in the rush", lastRushed / rushed, 0.9 + 0.1/3/(1+1./2+1./3)},
	} {
		if math.Abs(c.got-c.want) > 0.03 {
			t.Errorf("%s: share %.3f; want about %.3f", c.name, c.got, c.want)
		}
	}
	if len(hot) < 2 {
		t.Errorf("after nine shifts, only %v were ever wanted most", hot)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func TestOptionsAreChecked(t *testing.T) {
	for want, spoil := range map[string]func(*Options){
		"rate is 0; want 1 to 1000000":                  func(o *Options) { o.Rate = 0 },
		"rate is NaN;":                                  func(o *Options) { o.Rate = math.NaN() },
		"for is 1ms; want 100ms to 24h":                 func(o *Options) { o.For = time.Millisecond },
		"connections is 10001; want 1 to 10000":         func(o *Options) { o.Connections = 10_001 },
		"queue is 0; want":                              func(o *Options) { o.Queue = 0 },
		"timeout is 1h0m0s; want 10ms to 5m":            func(o *Options) { o.Timeout = time.Hour },
		"shift is 1ns; want 0s for never, or 100ms":     func(o *Options) { o.Shift = 1 },
		"rush-at is 3s; want a time before the end":     func(o *Options) { o.Rush = Rush{At: 3 * time.Second, For: 1, Factor: 2} },
		"rush-for is 0s; want more than 0s":             func(o *Options) { o.Rush = Rush{Factor: 2} },
		"rush-factor is 0.5; want 1 to 1000":            func(o *Options) { o.Rush = Rush{For: 1, Factor: 0.5} },
		"no more than 1000000 requests a second in the": func(o *Options) { o.Rate, o.Rush = 10_000, Rush{For: 1, Factor: 101} },
		"conditional is 1.5; want a share, 0 to 1":      func(o *Options) { o.Conditional = 1.5 },
		"gzip is NaN; want a share":                     func(o *Options) { o.Gzip = math.NaN() },
		"watchers is -1; want 0 to 20000":               func(o *Options) { o.Watchers = -1 },
		"no pair of places":                             func(o *Options) { o.Demand = nil },
		"0 dates":                                       func(o *Options) { o.Dates = nil },
	} {
		o := options(t)
		o.Server = "http://127.0.0.1:1"
		spoil(&o)
		refused(t, o, want)
	}
}
