package governor

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// average is a mean in which the past fades, over about 1.5 s.
type average struct {
	value float64
	known bool
}

func (a *average) take(v, seconds float64) float64 {
	if !a.known {
		a.value, a.known = v, true
	}
	a.value += (v - a.value) * (1 - math.Exp(-seconds/1.5))
	return a.value
}

// byCPU wants the least TTL that keeps the CPU at or below the target. Processors that are all busy do not tell how much more there is to do: then it takes the
// greatest step. The gains 0.8 and 0.6 make a loop with the average whose errors fade by 0.7 a second, where work goes as 1/TTL; where it goes slower, so does the loop.
func (g *Governor) byCPU(r *Reading, seconds float64) deviation {
	target := float64(g.auto.CPU)
	cpu := g.cpu.take(r.CPU, seconds)
	e := math.Log(max(cpu, 1e-3) / (aimCPU * target))
	d := deviation{error: e, step: 0.8 * e * seconds, up: quick, down: slow, text: compare("cpu", cpu, target, e)}
	switch {
	case e < 0:
		d.step, d.room = 0.6*e*seconds, math.Exp(-e)-1
	case r.CPU >= 0.97 && target <= 0.9:
		d.step = quick * seconds
	}
	return d
}

// byAccuracy wants the greatest TTL under which no more answers are wrong than the target allows.
func (g *Governor) byAccuracy(r *Reading, seconds float64) deviation {
	allowed := 1 - g.auto.Accuracy
	g.wrong.take(r, allowed, predict(g.present()), seconds)
	d := deviation{up: slow, down: 3 * slow, slowUp: true, text: fmt.Sprintf("too few answers to tell the accuracy, target %s", percent(g.auto.Accuracy))}
	factor, known := g.wrong.factor(allowed)
	switch {
	case known:
		wrong := min(factor*predict(g.present()), 1)
		want := math.Pow(aimWrong*allowed/factor, 1/exponent)
		d.error = math.Log(aimWrong * allowed / max(wrong, 1e-9))
		d.step = 0.6 * math.Log(want/g.ttl)
		d.text = compare("accuracy", 1-wrong, g.auto.Accuracy, d.error)
	case g.present() == 0: // every answer was exact: only a TTL above 0 can tell more
		d.error, d.step = math.Inf(1), slow*seconds
		d.text = compare("accuracy", 1, g.auto.Accuracy, d.error)
	}
	return d
}

// exponent is that of the curve that is assumed: Zipf demand is a mixture of keys of which the busy ones go as the TTL and the others not at all.
const exponent = 0.75

// predict is a number that grows with the TTL as the share of wrong answers does.
func predict(ttl time.Duration) float64 { return math.Pow(ttl.Seconds(), exponent) }

// estimate learns the factor by which measured wrong answers differ from predicted ones. Wrong answers come in bursts, one for each change of a busy answer, so it
// remembers long; and since a rush must not hide behind the time before it, nor its end behind the rush, a short memory runs beside it and replaces the long
// one when the two differ by more than their noise.
type estimate struct {
	long, short memory
	// jitter is the mean square of the difference between the factors of neighbouring steps, and last the last of them.
	jitter, last float64
}

const (
	// enough is how many wrong answers the target must allow among those in a memory before it fades.
	enough = 30
	// longest and shortest are the seconds over which the memories fade.
	longest, shortest = 20, 3
)

func (e *estimate) take(r *Reading, allowed, predicted, seconds float64) {
	if r.Served == 0 || predicted <= 0 {
		return
	}
	e.long.take(r, predicted, allowed, longest/seconds)
	e.short.take(r, predicted, allowed, shortest/seconds)
	now := r.Wrong / (predicted * r.Served)
	if e.differ() {
		e.long = e.short
	}
	if e.last > 0 {
		d := now - e.last
		e.jitter += (d*d/2 - e.jitter) * seconds / longest
	}
	e.last = now
}

// differ reports whether the memories differ by a quarter, and by more than 2.5 standard deviations of the short one.
func (e *estimate) differ() bool {
	d := math.Abs(e.long.factor() - e.short.factor())
	return d > e.long.factor()/4 && d > 2.5*math.Sqrt(e.jitter/(2*shortest))
}

// factor is known once so much was served that the target would allow three wrong answers.
func (e *estimate) factor(allowed float64) (factor float64, known bool) {
	return (e.long.wrong + 0.5) / e.long.predicted, e.long.served*allowed >= 3
}

// memory is sums in which the past fades.
type memory struct{ served, wrong, predicted float64 }

// take adds a reading. What was before counts no more than so many times the present, if that is enough to tell anything.
func (m *memory) take(r *Reading, predicted, allowed, steps float64) {
	if carried := min(m.served, max(enough/allowed, min(m.served*math.Exp(-1/steps), steps*r.Served))); m.served > 0 {
		share := carried / m.served
		*m = memory{served: carried, wrong: m.wrong * share, predicted: m.predicted * share}
	}
	m.served += r.Served
	m.wrong += r.Wrong
	m.predicted += predicted * r.Served
}

func (m *memory) factor() float64 { return m.wrong / m.predicted }

// compare is "cpu 71% above 60%"; within the dead band both are near.
func compare(what string, is, target, e float64) string {
	word := "near"
	if math.Abs(e) > band {
		word = "below"
		if is > target {
			word = "above"
		}
	}
	return fmt.Sprintf("%s %s %s %s", what, percent(is), word, percent(target))
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 3, 64) + "%" }
