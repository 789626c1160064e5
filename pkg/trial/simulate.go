package trial

import (
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

// Simulate lets a cache run over the sample under a policy. `ttl: auto` is what Sample.Auto says for the rule, else the maximum of its target.
func Simulate(s *Sample, p *policy.Policy, c Costs) Result {
	t := newTally(s, p)
	for i := range s.keys {
		newRun(t, &s.keys[i]).all()
	}
	return t.result(c)
}

// tally adds up what the keys' caches did. Numbers of requests are weighed.
type tally struct {
	sample *Sample
	policy *policy.Policy
	ttls   []time.Duration // by the rule's number, and last that of no rule
	rules  []outcome
	off    histogram
	drift  map[uint64]int64 // lent to the run of one key after the other
}

// outcome counts requests by what was done.
type outcome struct{ ttl, stamp, render, wrong float64 }

func (o *outcome) requests() float64 { return o.ttl + o.stamp + o.render }

func newTally(s *Sample, p *policy.Policy) *tally {
	t := &tally{sample: s, policy: p, ttls: make([]time.Duration, len(p.Rules)+1), rules: make([]outcome, len(p.Rules)+1), drift: map[uint64]int64{}}
	for i := range p.Rules {
		t.ttls[i] = s.presentTTL(&p.Rules[i], p.Rules[i].Over(p.Defaults).TTL)
	}
	t.ttls[len(p.Rules)] = s.presentTTL(&policy.Rule{}, p.Defaults.TTL)
	return t
}

func (s *Sample) presentTTL(r *policy.Rule, ttl policy.TTL) time.Duration {
	if !ttl.Auto {
		return ttl.Fixed
	}
	if d, ok := s.Auto[r.Name]; ok {
		return d
	}
	if r.Auto != nil {
		return r.Auto.Max
	}
	return 0
}

func (t *tally) result(c Costs) Result {
	var all outcome
	for _, o := range t.rules {
		all.ttl, all.stamp, all.render, all.wrong = all.ttl+o.ttl, all.stamp+o.stamp, all.render+o.render, all.wrong+o.wrong
	}
	seconds := t.sample.Seconds()
	r := Result{Seconds: seconds, Off: t.off.off(), Requests: ratio(all.requests(), seconds), TTLHits: ratio(all.ttl, seconds), StampHits: ratio(all.stamp, seconds),
		Renders: ratio(all.render, seconds), HitRatio: ratio(all.ttl+all.stamp, all.requests()), Wrong: ratio(all.wrong, all.requests())}
	r.CPU = c.Fixed + r.Requests*c.Hit.Seconds() + (r.StampHits+r.Renders)*c.Look.Seconds() + r.Renders*c.Render.Seconds()
	for i, o := range t.rules {
		r.ByRule = append(r.ByRule, RuleResult{Rule: t.name(i), Share: ratio(o.requests(), all.requests()), HitRatio: ratio(o.ttl+o.stamp, o.requests()),
			Wrong: ratio(o.wrong, o.requests())})
	}
	return r
}

func (t *tally) name(rule int) string {
	switch {
	case rule == len(t.policy.Rules):
		return "(defaults)"
	case t.policy.Rules[rule].Name == "":
		return fmt.Sprintf("rule %d", rule+1)
	default:
		return t.policy.Rules[rule].Name
	}
}

func ratio(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}

// run is the simulated cache entry of one key, as its requests come.
type run struct {
	*tally
	key   *key
	cases []condition

	// The truth at the present request.
	version uint64 // grows by one for each change
	digest  uint64
	changes int // how many of the key's were passed
	now     int // changes in the present slot

	// The entry.
	fresh   bool // the next request is the first: its answer is not kept
	kept    bool
	checked slot
	seen    uint64 // version
	served  uint64 // digest
	// By how many seats each number of the entry is off, and how many wrong answers were given since that last changed.
	drift   map[uint64]int64
	pending float64

	asked, changed window
}

// condition is a rule of which everything but rates and openings is known to hold.
type condition struct {
	rule   int
	always bool
	when   policy.When
}

func newRun(t *tally, k *key) *run {
	r := &run{tally: t, key: k, digest: k.digest, fresh: k.fresh, drift: t.drift}
	for i := range t.policy.Rules {
		fixed, moving := split(t.policy.Rules[i].When)
		if !fixed.Holds(&k.facts) {
			continue
		}
		r.cases = append(r.cases, condition{rule: i, when: moving, always: isEmpty(&moving)})
		if r.cases[len(r.cases)-1].always {
			return r
		}
	}
	r.cases = append(r.cases, condition{rule: len(t.policy.Rules), always: true})
	return r
}

// split parts the conditions that hold for a query or do not from those that change with time.
func split(w policy.When) (fixed, moving policy.When) {
	moving = policy.When{AskedAbove: w.AskedAbove, AskedBelow: w.AskedBelow, ChangedAbove: w.ChangedAbove, ChangedBelow: w.ChangedBelow,
		OpensWithin: w.OpensWithin, OpenedWithin: w.OpenedWithin}
	fixed = policy.When{Days: w.Days, From: w.From, To: w.To, Types: w.Types}
	return fixed, moving
}

func isEmpty(w *policy.When) bool {
	return w.AskedAbove == nil && w.AskedBelow == nil && w.ChangedAbove == nil && w.ChangedBelow == nil && w.OpensWithin == 0 && w.OpenedWithin == 0
}

func (r *run) all() {
	for _, a := range r.key.arrivals {
		r.advance(a.at)
		r.request(a)
	}
	r.flush()
	clear(r.drift)
}

// advance passes the changes up to and with a slot.
func (r *run) advance(to slot) {
	r.now = 0
	for ; r.changes < len(r.key.changes) && r.key.changes[r.changes].at <= to; r.changes++ {
		c := &r.key.changes[r.changes]
		r.version += uint64(c.n)
		if c.n == 0 && r.served == r.digest {
			r.served = c.digest // the same bytes, looked at late
		}
		r.digest = c.digest
		if c.at == to {
			r.now += int(c.n)
		}
		if r.kept && len(c.seats) > 0 {
			r.flush()
			for _, s := range c.seats {
				r.drift[s.Cell] += int64(s.Left)
			}
		}
	}
}

// flush counts the wrong numbers of the wrong answers since the last call.
func (r *run) flush() {
	if r.pending > 0 {
		for _, by := range r.drift {
			r.off.add(by, r.pending)
		}
	}
	r.pending = 0
}

func (r *run) request(a arrival) {
	rule := r.match(a.at)
	ttl, weight := r.ttls[rule], r.sample.weight(r.key, a.at)
	o, n := &r.rules[rule], float64(a.n)*weight
	if r.fresh {
		r.fresh = false
		o.render += weight
		if a.n--; a.n > 0 {
			r.request(a)
		}
		return
	}
	if r.kept && time.Duration(a.at-r.checked)*tick < ttl {
		o.ttl += n
		if r.served != r.digest {
			o.wrong += n
			r.pending += n
		}
		return
	}
	looks := a.n
	if ttl > 0 {
		looks = 1 // the others of this slot find what it checked
	}
	renders := 0.0
	if !r.kept || r.seen != r.version {
		renders = mixed(looks, r.now)
	}
	o.render += renders * weight
	o.stamp += (float64(looks) - renders) * weight
	o.ttl += n - float64(looks)*weight
	r.flush()
	clear(r.drift)
	r.kept, r.checked, r.seen, r.served = true, a.at, r.version, r.digest
}

// mixed is how many of so many looks in a slot find that something has changed, when so many changes lie among them in any order: the expected number of gaps
// with a change in them, the looks in a ring. One change is one render, one look at most one.
func mixed(looks uint32, changes int) float64 {
	n, k := float64(looks), float64(max(changes, 1))
	return n * k / (n + k - 1)
}

// match is the number of the rule that applies, that of no rule being the last.
func (r *run) match(at slot) int {
	if r.cases[0].always {
		return r.cases[0].rule
	}
	f := r.facts(at)
	for i := range r.cases {
		if r.cases[i].always || r.cases[i].when.Holds(&f) {
			return r.cases[i].rule
		}
	}
	return len(r.policy.Rules)
}

func (r *run) facts(at slot) policy.Facts {
	k := r.key
	f := policy.Facts{
		Asked:   r.asked.rate(at, k.since, len(k.arrivals), func(i int) (slot, uint32) { return k.arrivals[i].at, k.arrivals[i].n }),
		Changed: r.changed.rate(at, k.probed, len(k.changes), func(i int) (slot, uint32) { return k.changes[i].at, k.changes[i].n }),
	}
	now := r.sample.at(at)
	for _, o := range k.openings {
		if in := o.Sub(now); in > 0 && (f.OpensIn == 0 || in < f.OpensIn) {
			f.OpensIn = in
		} else if ago := max(-in, 1); in <= 0 && (f.OpenedAgo == 0 || ago < f.OpenedAgo) {
			f.OpenedAgo = ago
		}
	}
	return f
}

// window is the sum of what happened within rateSlots before a moment that only goes forward.
type window struct {
	from, to int
	sum      uint64
}

// rate is per second, over the time since the record began if that is shorter than the window, but over a second at least. The present slot does not count.
func (w *window) rate(at, since slot, n int, item func(int) (slot, uint32)) float64 {
	for ; w.to < n; w.to++ {
		when, count := item(w.to)
		if when >= at {
			break
		}
		w.sum += uint64(count)
	}
	for ; w.from < w.to; w.from++ {
		when, count := item(w.from)
		if when+rateSlots >= at {
			break
		}
		w.sum -= uint64(count)
	}
	span := min(max(at-min(since, at), second), rateSlots)
	return float64(w.sum) / (time.Duration(span) * tick).Seconds()
}

// histogram is of differences in seats. The zero histogram is empty.
type histogram struct {
	counts     [1024]float64
	count, sum float64
}

func (h *histogram) add(by int64, weight float64) {
	if by < 0 {
		by = -by
	}
	if by == 0 || weight == 0 {
		return
	}
	h.counts[min(by, int64(len(h.counts)-1))] += weight
	h.count += weight
	h.sum += float64(by) * weight
}

func (h *histogram) off() Off {
	o := Off{Mean: ratio(h.sum, h.count)}
	for below := 0.0; o.P99 < len(h.counts)-1; o.P99++ {
		if below += h.counts[o.P99]; below >= 0.99*h.count {
			break
		}
	}
	return o
}
