// Package governor moves a TTL by itself towards a target: a share of answers that are true, or a share of the processors that may be used.
//
// It is integral control in the logarithm of the TTL, with a dead band and a limit on the rate of change. In the logarithm, because work and wrong answers go
// about as powers of the TTL, so that one gain fits 10 ms and 10 s (Åström and Wittenmark, "Adaptive Control", 2nd ed. 1995, on gain scheduling by a
// nonlinear transformation). For accuracy it is a self-tuning regulator (same book): the curve is taken to be a power of the TTL, and it learns the factor;
// each step goes part of the way to the TTL at which the curve meets the target, so that a wrong exponent does not matter.
//
// The direction that does harm if it comes late is quick, the other slow, as in AIMD (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
// Congestion Avoidance", 1989): a TTL that is to keep the CPU free rises fast and falls slowly, one that is to keep answers true falls fast and rises slowly.
//
// Invariants (cited by the tests as U1...):
//
//	U1 The TTL is within min and max, always.
//	U2 After a step in load the target is met within 15 s, and held to 20 %, unless the TTL is at a bound.
//	U3 It does not flap: within the dead band the TTL stays, and it turns round only for an error half as large again, and into the slow direction only after a rest.
//	U4 A reading that makes no sense changes nothing, now or later.
//	U5 A TTL never rises faster than by 0.6 s in a second, nor falls faster, but where there is room for more work: entries expire at the rate at which they
//	   were checked, times 1 minus the TTL's change per time, so a jump up would first still all renders and then bring them at once, and one down
//	   bring them now.
package governor

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

// Tuned by the tests' plant, a cache under Zipf demand.
const (
	// The part of what the target allows that is aimed at. The CPU's measure is a good one: within the dead band it stays below the target. Wrong answers come in bursts,
	// so being above for a while cannot be helped.
	aimCPU, aimWrong = 0.93, 0.97
	// band is how far the logarithm may be from the aim.
	band = 0.075
	// turn widens the band for a change of direction, rest is the least time between a move and one into the slow direction if that is the other.
	turn = 1.5
	rest = 3 * time.Second
	// quick and slow are the greatest changes of the logarithm in a second: to the double, and to two thirds or one and a half.
	quick = 0.69
	slow  = 0.41
	// slew is the greatest change in seconds per second.
	slew = 0.6
	// least is the least TTL in the logarithm, for a maximum that is not as small; it stands for 0.
	least = 0.001
	// moves that are remembered.
	moves = 32
)

// Reading is what was measured since the last step.
type Reading struct {
	At time.Time
	// CPU is the share of all processors that was used, 0 to 1. Only looked at for a CPU target.
	CPU float64
	// Served and Wrong are the answers, and those of them that differed from the truth. Only looked at for an accuracy target.
	Served, Wrong float64
}

// Move is a change of the TTL.
type Move struct {
	At       time.Time
	From, To time.Duration
	// Why is a line for an operator.
	Why string
}

// Governor moves one TTL. Its methods are safe for concurrent use.
type Governor struct {
	auto  policy.Auto
	floor float64 // seconds; stands for a TTL of 0

	mu     sync.Mutex // guards what follows
	ttl    float64    // seconds, at least the floor
	at     time.Time  // of the last step
	moved  time.Time
	upward bool // the last move's direction
	past   []Move
	cpu    average
	wrong  estimate
}

// New is a governor that begins at the least TTL. A target that policy would refuse leaves the TTL there.
func New(a policy.Auto) *Governor {
	a.Min = max(a.Min, 0)
	a.Max = max(a.Max, a.Min)
	g := &Governor{auto: a, floor: max(min(least, a.Max.Seconds()/10), 1e-9)}
	g.ttl = g.clamp(0)
	return g
}

// TTL is the present one.
func (g *Governor) TTL() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.present()
}

// Moves are the last 32, the oldest first.
func (g *Governor) Moves() []Move {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Move(nil), g.past...)
}

// Step takes a reading, about every second, and gives the TTL from now on and a line that says why.
func (g *Governor) Step(r Reading) (ttl time.Duration, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	seconds, reason := g.elapsed(r.At), g.nonsense(&r)
	if reason != "" {
		return g.present(), fmt.Sprintf("%s: ttl stays %s", reason, g.present())
	}
	g.at = r.At
	e := g.errorOf(&r, seconds)
	d := g.bound(e, seconds)
	return g.move(r.At, d, e)
}

// elapsed is the seconds since the last step; 1 for the first.
func (g *Governor) elapsed(now time.Time) float64 {
	if g.at.IsZero() {
		return 1
	}
	return min(now.Sub(g.at).Seconds(), 5)
}

// nonsense says what is wrong with a reading (U4).
func (g *Governor) nonsense(r *Reading) string {
	byCPU := g.auto.CPU > 0
	switch {
	case !g.at.IsZero() && !r.At.After(g.at):
		return "the clock did not go on since the last reading"
	case byCPU && !(r.CPU >= 0 && r.CPU <= 1.1):
		return fmt.Sprintf("cpu %g is no share from 0 to 1", r.CPU)
	case !byCPU && !(r.Served >= 0 && r.Served <= 1e12 && r.Wrong >= 0 && r.Wrong <= r.Served):
		return fmt.Sprintf("%g wrong of %g served is no count", r.Wrong, r.Served)
	}
	return ""
}

// deviation is how far the present state is from the target.
type deviation struct {
	// error is in the logarithm of what is measured, above 0 if the TTL is too short; step is what to add to the logarithm of the TTL.
	error, step float64
	// up and down are the greatest steps in a second.
	up, down float64
	// room is how many times over the work that entries bring when they expire may come in addition, as the TTL falls by so many seconds in a second.
	room float64
	// slowUp: rising is the slow direction.
	slowUp bool
	// text describes the state.
	text string
}

func (g *Governor) errorOf(r *Reading, seconds float64) deviation {
	switch {
	case g.auto.CPU > 0:
		return g.byCPU(r, seconds)
	case g.auto.Accuracy > 0 && g.auto.Accuracy < 1:
		return g.byAccuracy(r, seconds)
	default:
		return deviation{text: "no target"}
	}
}

// bound is the step within the dead band, the rest and the limits (U3, U5).
func (g *Governor) bound(d deviation, seconds float64) float64 {
	up, back := d.error > 0, g.turns(d.error)
	width := band
	if back {
		width *= turn
	}
	if math.Abs(d.error) <= width || back && up == d.slowUp && g.at.Sub(g.moved) < rest {
		return 0
	}
	step := min(max(d.step, -d.down*seconds), d.up*seconds)
	to := min(max(g.ttl*math.Exp(step), g.ttl-max(slew, d.room)*seconds), g.ttl+slew*seconds)
	return math.Log(max(to, g.floor) / g.ttl)
}

// turns reports whether an error asks for another direction than that of the last move.
func (g *Governor) turns(e float64) bool { return !g.moved.IsZero() && (e > 0) != g.upward }

// move changes the TTL, and says so.
func (g *Governor) move(at time.Time, step float64, d deviation) (time.Duration, string) {
	from := g.present()
	g.ttl = g.clamp(g.ttl * math.Exp(step))
	to := g.present()
	if from == to {
		return to, fmt.Sprintf("%s: ttl stays %s%s", d.text, to, g.atBound(d.error))
	}
	why := fmt.Sprintf("%s: ttl %s -> %s", d.text, from, to)
	g.moved, g.upward = at, to > from
	if len(g.past) == moves {
		g.past = append(g.past[:0], g.past[1:]...)
	}
	g.past = append(g.past, Move{At: at, From: from, To: to, Why: why})
	return to, why
}

func (g *Governor) atBound(e float64) string {
	switch {
	case e > band && g.present() == g.auto.Max:
		return ", its maximum"
	case e < -band && g.present() == g.auto.Min:
		return ", its minimum"
	default:
		return ""
	}
}

// clamp keeps seconds within the bounds, of which a minimum near 0 is the floor (U1).
func (g *Governor) clamp(seconds float64) float64 {
	return max(min(seconds, g.auto.Max.Seconds()), g.auto.Min.Seconds(), g.floor)
}

// present is the TTL in two digits, within the bounds (U1).
func (g *Governor) present() time.Duration {
	if g.ttl <= g.floor {
		return g.auto.Min
	}
	return min(max(round(time.Duration(g.ttl*float64(time.Second))), g.auto.Min), g.auto.Max)
}

func round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 100 {
		unit *= 10
	}
	return d.Round(unit)
}
