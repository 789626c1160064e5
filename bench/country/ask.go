//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/rail"
)

// askers is how many clients ask without a pause, each for the next answer when it has the last.
const askers = 4

// ask measures what a query costs the node, country and sample network in turns, while nothing is sold.
func (b *run) ask(ctx context.Context) error {
	small, err := b.startNode(b.sample.url)
	if err != nil {
		return err
	}
	defer func() { _ = small.Stop() }() // it is asked no more
	if err := small.awaitReady(ctx); err != nil {
		return err
	}
	if err := b.node.awaitFresh(ctx); err != nil { // after more changes than it could take
		return err
	}
	each := b.phase() / time.Duration(4*b.rounds)
	for round := range b.rounds + 1 {
		for kind, q := range map[asked]*Queries{byDemand: &b.result.Queries, alike: &b.result.Alike} {
			big, err := b.cost(ctx, b.node, b.country, kind, each, round)
			if err != nil {
				return err
			}
			little, err := b.cost(ctx, small, b.sample, kind, each, round)
			if err != nil {
				return err
			}
			if round == 0 { // connections are opened, caches filled
				continue
			}
			q.Country, q.Sample, q.Ratio = append(q.Country, big), append(q.Sample, little), append(q.Ratio, big.CPU/little.CPU)
			b.say("a query %s costs %s in the country, %s in the sample network", kind, big, little)
		}
	}
	return nil
}

// asked is what is asked for: by the demand, or pairs of places with about as many rides in one network as in the other, so that the size of the country is all that
// differs.
type asked string

const (
	byDemand asked = "by demand"
	alike    asked = "alike"
)

// Of the queries alike: so many pairs of places with about so many rides, on the first days.
const (
	alikePairs = 100
	alikeRides = 17
	alikeDays  = 3
)

// cost is what a query costs on average.
func (b *run) cost(ctx context.Context, n *node, r *railway, kind asked, length time.Duration, round int) (q Query, err error) {
	served, err := process.MetricsAt(ctx, n.admin)
	if err != nil {
		return q, err
	}
	before, err := process.CPU(n.PID())
	if err != nil {
		return q, err
	}
	until, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var asked, size atomic.Int64
	var group errgroup.Group
	for i := range askers {
		p := newPeople(r, b.seed+uint64(round), uint64(i))
		if kind == alike {
			p.ranks, p.dates = p.demand.Near(alikeRides, alikePairs), p.dates[:alikeDays]
		}
		group.Go(func() error {
			for until.Err() == nil {
				body, err := process.Get(ctx, n.http+p.query())
				if err != nil {
					return err
				}
				asked.Add(1)
				size.Add(int64(len(body)))
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return q, err
	}
	after, err := process.CPU(n.PID())
	if err != nil {
		return q, err
	}
	if q.Asked = int(asked.Load()); q.Asked == 0 {
		return q, fmt.Errorf("no query was answered")
	}
	const rendered = `yupiao_answers_served_total{by="rendered"}`
	now, err := process.MetricsAt(ctx, n.admin)
	q.Rendered = (now[rendered] - served[rendered]) / float64(q.Asked)
	q.CPU, q.Bytes = float64((after-before).Microseconds())/float64(q.Asked), int(size.Load())/q.Asked
	return q, err
}

// people ask for what they want to ride.
type people struct {
	demand *demand.Demand
	ranks  []demand.Rank // those that are asked for alike; none: all, by demand
	dates  []string
	rng    *rand.Rand
}

func newPeople(r *railway, seed, number uint64) *people {
	p := &people{demand: r.book.Demand(), rng: rand.New(rand.NewPCG(seed, number))}
	for d := range rail.Date(country.SaleDays) {
		p.dates = append(p.dates, (r.first + d).String())
	}
	return p
}

// query is the path of a query: near dates are asked for more than far ones.
func (p *people) query() string {
	pair := p.demand.Pair(p.rank())
	day := int(float64(len(p.dates)) * p.rng.Float64() * p.rng.Float64())
	return "/v1/availability?from=" + url.QueryEscape(pair.From.String()) + "&to=" + url.QueryEscape(pair.To.String()) + "&date=" + p.dates[day]
}

func (p *people) rank() demand.Rank {
	if len(p.ranks) == 0 {
		return p.demand.Pick(p.rng)
	}
	return p.ranks[p.rng.IntN(len(p.ranks))]
}

// pace asks at a constant rate, whether the answers come or not, and keeps how long each took from the moment at which it was due.
type pace struct {
	took []time.Duration
}

// perSecond is the rate of a pace.
const perSecond = 200

// keep asks until ctx ends.
func (p *pace) keep(ctx context.Context, base string, who *people) error {
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	took := make(chan time.Duration, 1<<16)
	var group errgroup.Group
	for due := time.Now(); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		for ; !due.After(time.Now()); due = due.Add(time.Second / perSecond) {
			at, query := due, who.query()
			group.Go(func() error {
				_, err := process.Get(context.WithoutCancel(ctx), base+query)
				took <- time.Since(at)
				return err
			})
		}
	}
	err := group.Wait()
	close(took)
	for t := range took {
		p.took = append(p.took, t)
	}
	slices.Sort(p.took)
	return err
}
