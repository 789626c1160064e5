package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/feed"
)

// Kind is what is done to the railway, or to its machines.
type Kind uint8

// Acts of travellers and of the railway, and faults of machines.
const (
	Sell        Kind = iota // a place, at random
	Rush                    // many places, at once
	Refund                  // a sale
	Suspend                 // a run, or resume it
	Raise                   // the epoch of a run
	Open                    // the next service date
	Purge                   // a run on a node, as an operator does
	Cut                     // a node from the servers
	CutBooking              // the booking system from the servers
	Stall                   // the servers answer nobody
	Slow                    // a node's link
	SlowBooking             // the booking system's link
	AckLoss                 // half of what is stored is not acknowledged
	CoreLoss                // half of what a node should hear of heartbeats and answers is lost
	Twice                   // half of it comes twice
	Restart                 // a node
	Crash                   // the booking system: anywhere
	Unmarked                // the booking system, after a publish and before that is marked
	Rival                   // another one takes charge, while the former one goes on
	Rollback                // a stream, to what it was seconds ago
	RollbackAll             // all streams
	Recreate                // a stream is deleted
	Forget                  // a run's last state is lost
	Garbage                 // a stranger publishes nonsense
	Truncated               // somebody publishes half a message
	Disturb                 // a node loses, doubles and swaps within itself
	kinds

	firstFault = Cut
)

var kindNames = [kinds]string{
	"sell", "rush", "refund", "suspend", "raise", "open", "purge", "cut", "cut booking", "stall", "slow", "slow booking", "lose acknowledgements", "lose told", "twice",
	"restart", "crash", "crash unmarked", "rival", "roll back", "roll back all", "recreate", "forget", "garbage", "truncated", "disturb",
}

func (k Kind) String() string { return kindNames[k] }

// ParseKinds reads names of faults between commas; empty: none.
func ParseKinds(text string) (all []Kind, err error) {
	for name := range strings.SplitSeq(text, ",") {
		switch i := slices.Index(kindNames[:], strings.TrimSpace(name)); {
		case i >= int(firstFault):
			all = append(all, Kind(i))
		case text != "":
			return nil, fmt.Errorf("%q is no fault; there are %s", name, strings.Join(kindNames[firstFault:], ", "))
		}
	}
	return all, nil
}

// Act is one thing that happens.
type Act struct {
	// After the one before it, and for how long, where that has a meaning.
	After, For time.Duration
	Kind       Kind
	// Dice decides the rest: who, which run, how far.
	Dice uint64
}

func (a Act) String() string {
	text := fmt.Sprintf("%8s  %s", "+"+a.After.String(), a.Kind)
	if a.For > 0 {
		text += " for " + a.For.String()
	}
	return text + fmt.Sprintf(" (%d)", a.Dice)
}

// Plan is a whole schedule. The same plan gives the same run.
type Plan struct {
	Seed     uint64
	Nodes    int
	DeltaAge time.Duration
	// HealEvery is that of the publisher; 0: its default.
	HealEvery time.Duration
	Skews     []time.Duration // of the nodes' clocks
	Acts      []Act

	// between, if set, stands between each node's replica and its feed, as a planted fault.
	between func(feed.Sink) feed.Sink
}

// healed are faults of which nothing is left to notice but that states which should be in the stream are not.
var healed = []Kind{Crash, Unmarked, Rival, Garbage, Truncated}

// NewPlan makes a plan from a seed, of some kinds of faults only if any are given.
func NewPlan(seed uint64, only ...Kind) *Plan {
	r := rand.New(rand.NewPCG(seed, 1))
	p := &Plan{Seed: seed, Nodes: 2, DeltaAge: time.Duration(8+r.IntN(20)) * time.Second}
	for range p.Nodes {
		p.Skews = append(p.Skews, time.Duration(r.IntN(5)-2)*time.Duration(r.IntN(3000))*time.Millisecond)
	}
	// Not every plan has every kind of fault: some faults hide others. Nor has every plan a publisher that heals what nobody noticed, which hides all others; then there are no faults that nothing
	// else heals.
	if seed%2 == 1 && !slices.ContainsFunc(only, func(k Kind) bool { return slices.Contains(healed, k) }) {
		p.HealEvery = time.Hour
	}
	var allowed []Kind
	for k := firstFault; k < kinds; k++ {
		if r.IntN(4) == 0 && (p.HealEvery == 0 || !slices.Contains(healed, k)) {
			allowed = append(allowed, k)
		}
	}
	if seed%4 > 1 && len(allowed) > 2 { // two faults that meet again and again
		r.Shuffle(len(allowed), func(i, k int) { allowed[i], allowed[k] = allowed[k], allowed[i] })
		allowed = allowed[:2]
	}
	if len(only) > 0 {
		allowed = only
	}
	for n := 20 + r.IntN(40); len(p.Acts) < n; {
		p.Acts = append(p.Acts, newAct(r, allowed))
	}
	return p
}

func newAct(r *rand.Rand, faults []Kind) Act {
	a := Act{After: time.Duration(r.IntN(300)) * time.Millisecond, Kind: Sell, Dice: r.Uint64() >> 1}
	switch d := r.IntN(20); {
	case d < 9:
	case d == 9:
		a.Kind = Refund
	case d == 10:
		a.Kind = Rush
	case d == 11:
		a.Kind = []Kind{Suspend, Raise, Open, Purge}[r.IntN(4)]
	case d == 12:
		a.After = time.Duration(r.IntN(9000)) * time.Millisecond
	case len(faults) > 0:
		a.Kind = faults[r.IntN(len(faults))]
		a.For = time.Duration(100+r.IntN(4000)) * time.Millisecond
	}
	return a
}

// without is the plan without some of its acts, each of which leaves its time to the next one.
func (p *Plan) without(from, to int) *Plan {
	q := *p
	q.Acts = slices.Clone(p.Acts)
	var gap time.Duration
	for _, a := range q.Acts[from:to] {
		gap += a.After
	}
	q.Acts = slices.Delete(q.Acts, from, to)
	if from < len(q.Acts) {
		q.Acts[from].After += gap
	}
	return &q
}

// String is the plan for a person to read.
func (p *Plan) String() string {
	lines := []string{fmt.Sprintf("seed %d: %d nodes, clocks off by %v, deltas are kept for %s", p.Seed, p.Nodes, p.Skews, p.DeltaAge)}
	for _, a := range p.Acts {
		lines = append(lines, a.String())
	}
	return strings.Join(lines, "\n")
}
