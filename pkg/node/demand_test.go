package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/trial"
	"github.com/yupiao/yupiao/pkg/view"
)

// demand is people who ask, some searches far more often than others, while places are sold; on a fake clock.
type demand struct {
	t       *testing.T
	r       *rand.Rand
	railway *testkit.Busy
	cache   *answer.Cache
	pilot   *pilot
	policy  *policy.Policy
	start   time.Time
	// Per second.
	asked, changed float64

	keys  []answer.Request
	sums  []float64 // of the keys' shares
	owed  float64   // changes
	truth map[rail.Date]string

	answers, wrong int
}

const demandDays, demandTrains = 12, 4

func newDemand(t *testing.T, keys int, asked, changed float64) *demand {
	d := &demand{
		t: t, r: rand.New(rand.NewPCG(7, 7)), start: time.Now(), policy: policy.Exact(), pilot: newPilot(slog.New(slog.DiscardHandler)),
		asked: asked, changed: changed, truth: map[rail.Date]string{},
	}
	d.railway = testkit.NewBusy(d.now, demandDays, demandTrains)
	// All keys are recorded: what a sample of many more makes of them is trial's own test.
	c, err := answer.New(answer.Options{
		Memory: 64 << 20, Policy: func() *policy.Policy { return d.policy }, Auto: d.pilot.ttl, Clock: d.now,
		Replica: func() *replica.Replica { return d.railway.Replica }, Sample: trial.Options{Keys: keys, Looks: 1 << 30},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.cache = c
	sum := 0.0
	for i := range keys {
		run := d.r.IntN(len(d.railway.Runs))
		d.keys = append(d.keys, answer.Request{Key: fmt.Sprint("n=", i), Query: d.railway.Search(run), Index: d.railway.Index(), Until: d.now().Add(12 * time.Hour)})
		sum += 1 / float64(i+1)
		d.sums = append(d.sums, sum)
	}
	for i := range d.railway.Runs {
		d.note(i)
	}
	return d
}

// now is the railway's morning and what has gone by.
func (d *demand) now() time.Time { return testkit.Morning.Add(time.Since(d.start)) }

// note notes what is true on the day of a run.
func (d *demand) note(run int) {
	q := d.railway.Search(run)
	d.truth[q.Date] = render.Tag(render.Printer{Index: d.railway.Index()}.Answer(nil, q, view.Look(d.railway.Replica, q, d.now())))
}

// flow lets time go by with requests and changes.
func (d *demand) flow(span time.Duration) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		wait := time.Duration(d.r.ExpFloat64() / d.asked * float64(time.Second))
		<-time.After(wait)
		for d.owed += wait.Seconds() * d.changed; d.owed >= 1; d.owed-- {
			run := int(math.Abs(d.r.NormFloat64())*6) % len(d.railway.Runs) // the first days change most
			d.railway.Change(run)
			d.note(run)
		}
		d.ask()
	}
}

func (d *demand) ask() {
	i, _ := slices.BinarySearch(d.sums, d.r.Float64()*d.sums[len(d.sums)-1])
	r, now := d.keys[i], d.now()
	e := d.cache.Find(r.Key, r.Index, now)
	if e == nil {
		e = d.cache.Join(r, now)
	}
	if d.answers++; e.Serve(d.railway.Replica, now, answer.Demand{}).Tag != d.truth[r.Query.Date] {
		d.wrong++
	}
}

// record is a sample of a span from now on.
func (d *demand) record(span time.Duration) *trial.Sample {
	d.t.Helper()
	ctx, stop := context.WithCancel(d.t.Context())
	ended := make(chan struct{})
	go func() { d.cache.Tend(ctx); close(ended) }()
	d.flow(span)
	sample, err := d.cache.Sample()
	stop()
	<-ended
	if err != nil {
		d.t.Fatal(err)
	}
	return sample
}

// measure is the hit ratio and the share of wrong answers of a stretch under a policy.
func (d *demand) measure(p *policy.Policy) (hits, wrong float64) {
	d.policy = p
	d.flow(20 * time.Second)
	before := d.cache.Stats()
	d.answers, d.wrong = 0, 0
	d.flow(100 * time.Second)
	after := d.cache.Stats()
	return 1 - float64(after.Rendered-before.Rendered)/float64(d.answers), float64(d.wrong) / float64(d.answers)
}

func rules(all ...policy.Rule) *policy.Policy {
	p := *policy.Exact()
	p.Rules = all
	return &p
}

func rule(name string, w policy.When, ttl time.Duration) policy.Rule {
	return policy.Rule{Name: name, When: w, Change: policy.Change{TTL: &policy.TTL{Fixed: ttl}}}
}

// What a trial says that rule sets would do, before they are in force, is what they do: the hit ratio and the wrong answers within 2 points.
func TestPrediction(t *testing.T) {
	above := 1.0
	sets := map[string]*policy.Policy{
		"exact":       rules(),
		"2s for all":  rules(rule("all", policy.When{}, 2*time.Second)),
		"hot and far": rules(rule("hot", policy.When{AskedAbove: &above}, 500*time.Millisecond), rule("far", policy.When{Days: []int{3, 30}}, 20*time.Second)),
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDemand(t, 500, 200, 30)
		defer d.cache.Close()
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

// What requests cost in this model of a node, in cores; the processors are two.
const (
	modelFixed, modelHit, modelLook, modelRender = 0.02, 5e-6, 2e-6, 400e-6
	modelCores                                   = 2
)

// steer lets time go by second by second, as the node's meter does, and gives the share of wrong answers and of the processors in each.
func (d *demand) steer(seconds int) (wrong, cpu []float64) {
	for range seconds {
		before := d.cache.Stats()
		d.answers, d.wrong = 0, 0
		d.flow(time.Second)
		after := d.cache.Stats()
		requests, renders, ttl := after.Requests()-before.Requests(), after.Rendered-before.Rendered, after.TTL-before.TTL
		used := (modelFixed + modelHit*float64(requests) + modelLook*float64(requests-ttl) + modelRender*float64(renders)) / modelCores
		d.pilot.steer(time.Now(), min(used, 1))
		wrong, cpu = append(wrong, float64(d.wrong)/float64(max(d.answers, 1))), append(cpu, used)
	}
	return wrong, cpu
}

func mean(all []float64) (sum float64) {
	for _, v := range all {
		sum += v / float64(len(all))
	}
	return sum
}

// A TTL that is left to the node holds its target within a fifth, over a rush and its end, as the cache itself measures it.
func TestAutoHolds(t *testing.T) {
	type phase struct {
		name           string
		asked, changed float64
	}
	for name, c := range map[string]struct {
		auto   policy.Auto
		target float64
		value  func(wrong, cpu []float64) []float64
		phases []phase
	}{
		"accuracy": {
			policy.Auto{Accuracy: 0.95, Max: 10 * time.Second}, 0.05, func(wrong, _ []float64) []float64 { return wrong },
			[]phase{{"calm", 2000, 10}, {"rush", 4000, 80}, {"its end", 2000, 10}},
		},
		"cpu": {
			policy.Auto{CPU: 0.05, Max: 10 * time.Second}, 0.05, func(_, cpu []float64) []float64 { return cpu },
			[]phase{{"calm", 1500, 40}, {"rush", 3000, 120}, {"its end", 1500, 40}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDemand(t, 300, 1, 1)
				defer d.cache.Close()
				auto := policy.Rule{Name: "auto", Auto: &c.auto, Change: policy.Change{TTL: &policy.TTL{Auto: true}}}
				d.policy = rules(auto)
				for _, f := range c.phases {
					d.asked, d.changed = f.asked, f.changed
					d.steer(20)
					values := c.value(d.steer(40))
					ttl, why, _ := d.pilot.present("auto")
					t.Logf("%s: %.4f of %.4f, ttl %s, %s", f.name, mean(values), c.target, ttl, why)
					if got := mean(values); got > 1.2*c.target || got < 0.8*c.target {
						t.Errorf("%s: %.4f; want %.4f within a fifth", f.name, got, c.target)
					}
				}
			})
		})
	}
}
