package load

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/yupiao/yupiao/pkg/demand"
)

// plan is when requests are due (L1): at a constant rate, in a rush at a higher one.
type plan struct {
	rate   float64 // a second
	length time.Duration
	rush   Rush
}

// seconds of the rush: when it begins, when it ends, and the requests that are due in it and before it.
func (p *plan) seconds() (from, to, in, before float64) {
	if p.rush.For == 0 {
		return math.Inf(1), math.Inf(1), 0, math.Inf(1)
	}
	from, to = p.rush.At.Seconds(), (p.rush.At + p.rush.For).Seconds()
	return from, to, (to - from) * p.rate * p.rush.Factor, from * p.rate
}

// due is when a request is due, by its number from 0, since the beginning.
func (p *plan) due(number uint64) time.Duration {
	var at float64 // seconds
	n := float64(number)
	switch from, to, in, before := p.seconds(); {
	case n < before:
		at = n / p.rate
	case n < before+in:
		at = from + (n-before)/(p.rate*p.rush.Factor)
	default:
		at = to + (n-before-in)/p.rate
	}
	return time.Duration(math.Round(at * 1e9))
}

// count is how many requests are due before a time: the least number that is not.
func (p *plan) count(before time.Duration) uint64 {
	at := min(before, p.length).Seconds()
	if at <= 0 {
		return 0
	}
	from, to, _, _ := p.seconds()
	n := at * p.rate
	if at > from {
		n += (min(at, to) - from) * p.rate * (p.rush.Factor - 1)
	}
	guess := uint64(n) // off by no more than the rounding of due
	for guess > 0 && p.due(guess-1) >= min(before, p.length) {
		guess--
	}
	for p.due(guess) < min(before, p.length) {
		guess++
	}
	return guess
}

// rushing is whether a time is in the rush.
func (p *plan) rushing(at time.Duration) bool { return at >= p.rush.At && at < p.rush.At+p.rush.For }

// question is what a request asks for, and how.
type question struct {
	pair              demand.Rank
	date              int // number of the date
	conditional, gzip bool
}

// traffic is what is asked for, one request after the other (L1). It is not safe for concurrent use.
type traffic struct {
	*Options
	plan    plan
	rng     *rand.Rand
	days    demand.Weights
	shifted int64       // how often the ranks were rotated
	turn    demand.Rank // by how much
}

func newTraffic(o *Options) traffic {
	return traffic{Options: o, plan: plan{rush: o.Rush}, rng: rand.New(rand.NewPCG(o.Seed, 0)), days: demand.Days(len(o.Dates))}
}

// next is what the request asks for that is due at a time; times do not go back.
func (t *traffic) next(due time.Duration) question {
	for t.Shift > 0 && t.shifted < int64(due/t.Shift) {
		t.shifted++
		t.turn = demand.Rank(t.rng.IntN(t.Demand.Len()))
	}
	q := t.pick(t.rng)
	q.pair = (q.pair + t.turn) % demand.Rank(t.Demand.Len())
	if t.plan.rushing(due) && t.rng.Float64() >= 1/t.Rush.Factor { // it is one of those who came for the opening
		q.date = len(t.Dates) - 1
	}
	q.conditional, q.gzip = t.rng.Float64() < t.Conditional, t.rng.Float64() < t.Gzip
	return q
}

// pick is a pair and a date by demand.
func (t *traffic) pick(rng *rand.Rand) question {
	return question{pair: t.Demand.Pick(rng), date: t.days.Pick(rng)}
}
