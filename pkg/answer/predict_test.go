package answer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/trial"
)

// demand is people who ask, some searches far more often than others, while places are sold.
type demand struct {
	t       *testing.T
	r       *rand.Rand
	railway *testkit.Busy
	cache   *Cache
	policy  *policy.Policy
	start   time.Time // of the fake clock
	keys    []Request
	sums    []float64 // of the keys' shares
	owed    float64   // changes
}

const (
	askedRate   = 200.0 // requests/s
	changedRate = 30.0  // changes/s
	demandDays  = 12
)

func newDemand(t *testing.T, keys int) *demand {
	d := &demand{t: t, r: rand.New(rand.NewPCG(7, 7)), start: time.Now(), policy: policy.Exact()}
	d.railway = testkit.NewBusy(d.now, demandDays, 4)
	c, err := New(Options{
		Memory: 64 << 20, Policy: func() *policy.Policy { return d.policy }, Replica: func() *replica.Replica { return d.railway.Replica }, Clock: d.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	d.cache = c
	sum := 0.0
	for i := range keys {
		run := d.r.IntN(len(d.railway.Runs))
		d.keys = append(d.keys, Request{Key: fmt.Sprint("n=", i), Query: d.railway.Search(run), Index: d.railway.Index(), Until: d.now().Add(12 * time.Hour)})
		sum += math.Pow(float64(i+1), -1)
		d.sums = append(d.sums, sum)
	}
	return d
}

// now is the railway's morning and what has gone by.
func (d *demand) now() time.Time { return testkit.Morning.Add(time.Since(d.start)) }

// flow lets time go by with requests and changes.
func (d *demand) flow(span time.Duration) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		wait := time.Duration(d.r.ExpFloat64() / askedRate * float64(time.Second))
		<-time.After(wait)
		for d.owed += wait.Seconds() * changedRate; d.owed >= 1; d.owed-- {
			d.railway.Change(int(math.Abs(d.r.NormFloat64())*6) % len(d.railway.Runs)) // the first days change most
		}
		d.ask()
	}
}

func (d *demand) ask() {
	at := d.r.Float64() * d.sums[len(d.sums)-1]
	i := 0
	for lo, hi := 0, len(d.sums)-1; lo < hi; {
		if i = (lo + hi) / 2; d.sums[i] < at {
			lo = i + 1
		} else {
			hi = i
		}
		i = lo
	}
	r, now := d.keys[i], d.now()
	e := d.cache.Find(r.Key, r.Index, now)
	if e == nil {
		e = d.cache.Join(r, now)
	}
	e.Serve(d.railway.Replica, now, Demand{})
}

// measure is the hit ratio and the share of wrong answers of a stretch under a policy, as the cache itself counts them.
func (d *demand) measure(p *policy.Policy) (hits, wrong float64) {
	d.policy = p
	d.flow(20 * time.Second)
	before := d.cache.Stats()
	d.flow(100 * time.Second)
	after := d.cache.Stats()
	requests := float64(after.Requests() - before.Requests())
	var bad uint64
	for i := range after.Truth {
		bad += after.Truth[i].Wrong - before.Truth[i].Wrong
	}
	return 1 - float64(after.Rendered-before.Rendered)/requests, float64(bad*truthEvery) / requests
}

// What a trial says that rule sets would do, before they are in force, is what they do: the hit ratio within 2 points, and as many wrong answers as the cache itself
// finds, which looks at one in sixteen.
func TestPrediction(t *testing.T) {
	above, far := 1.0, []int{3, 30}
	rules := func(all ...policy.Rule) *policy.Policy {
		p := *policy.Exact()
		p.Rules = all
		return &p
	}
	rule := func(name string, w policy.When, ttl time.Duration) policy.Rule {
		return policy.Rule{Name: name, When: w, Change: policy.Change{TTL: &policy.TTL{Fixed: ttl}}}
	}
	sets := map[string]*policy.Policy{
		"exact":       rules(),
		"2s for all":  rules(rule("all", policy.When{}, 2*time.Second)),
		"hot and far": rules(rule("hot", policy.When{AskedAbove: &above}, 500*time.Millisecond), rule("far", policy.When{Days: far}, 20*time.Second)),
	}
	synctest.Test(t, func(t *testing.T) {
		const keys = 500
		d := newDemand(t, keys)
		defer d.cache.Close()
		// All of them are recorded: what a sample of many more makes of them is trial's own test.
		d.cache.recorder = trial.NewRecorder(trial.Options{Clock: d.now, Total: d.cache.counts.sum, Keys: keys, Looks: 1 << 30})
		if _, err := d.cache.Sample(); !errors.Is(err, trial.ErrIdle) {
			t.Errorf("a sample of nothing: %v", err)
		}
		d.flow(5 * time.Minute) // most searches were made before the two minutes of the sample
		sample := d.record(2 * time.Minute)
		for name, p := range sets {
			said := trial.Simulate(sample, p, trial.Costs{})
			hits, wrong := d.measure(p)
			t.Logf("%s: hit ratio %.3f, said %.3f; wrong %.3f, said %.3f", name, hits, said.HitRatio, wrong, said.Wrong)
			if math.Abs(hits-said.HitRatio) > 0.02 || math.Abs(wrong-said.Wrong) > 0.02 {
				t.Errorf("%s: hit ratio %.3f, said %.3f; wrong %.3f, said %.3f", name, hits, said.HitRatio, wrong, said.Wrong)
			}
		}
	})
}

// record is a sample of a span from now on.
func (d *demand) record(span time.Duration) *trial.Sample {
	d.t.Helper()
	ctx, stop := context.WithCancel(d.t.Context())
	ended := make(chan struct{})
	go func() { d.cache.Record(ctx); close(ended) }()
	d.flow(span)
	sample, err := d.cache.Sample()
	stop()
	<-ended
	if err != nil {
		d.t.Fatal(err)
	}
	return sample
}
