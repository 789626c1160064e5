package plot

import (
	"fmt"
	"math"
	"strconv"
)

// Kind is how an axis is divided.
type Kind int

// Kinds of axes.
const (
	// Linear starts at 0.
	Linear Kind = iota
	// Log has the same room for each factor of ten. Numbers of 0 and below are at its foot.
	Log
	// Nines is for percentiles, 0 to 100: the same room from 0 to 90, to 99, to 99.9, and so on.
	Nines
)

// Axis is an axis. The zero value is linear, without a title.
type Axis struct {
	Title string
	Kind  Kind
	// Format writes a number at the axis; nil: as short as may be.
	Format func(v float64) string
}

func (a *Axis) label(v float64) string {
	if a.Format != nil {
		return a.Format(v)
	}
	return strconv.FormatFloat(v, 'g', 10, 64) // fewer digits than the ticks are exact to
}

// scale maps numbers to 0 to 1 along an axis.
type scale struct {
	project func(v float64) float64 // before it is stretched
	lo, hi  float64                 // projected ends
	ticks   []float64
}

// at is where a number is: 0 at the foot, 1 at the end, never beyond (P2).
func (s *scale) at(v float64) float64 {
	return min(max((s.project(v)-s.lo)/(s.hi-s.lo), 0), 1)
}

// scale fits an axis to the least and the greatest number. A linear one ends at the last, or with round at a round number above it.
func (a *Axis) scale(lo, hi float64, round bool) scale {
	switch a.Kind {
	case Log:
		return logarithmic(lo, hi)
	case Nines:
		return nines(hi)
	default:
		return linear(hi, round)
	}
}

// most is a number that is drawn as well as any greater one.
const most = 1e15

func linear(hi float64, round bool) scale {
	if hi = min(hi, most); hi < 1/most { // nothing that could be seen
		hi = 1
	}
	step := nice(hi / 5)
	top := hi
	if round {
		top = math.Ceil(hi*1.05/step) * step // with some room above
	}
	s := scale{project: func(v float64) float64 { return v }, hi: top}
	for i := 0; float64(i)*step <= top*(1+1e-9); i++ {
		s.ticks = append(s.ticks, float64(i)*step)
	}
	return s
}

// nice is the least of 1, 2 and 5 times a power of ten that is not below a number.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// logarithmic has a tick at each power of ten, and at 2 and 5 times as much where there are few.
func logarithmic(lo, hi float64) scale {
	if lo > hi { // no points
		lo, hi = 1, 10
	}
	hi = min(max(hi, 1/most), most)
	lo = min(lo, hi)
	if !(lo > hi/1e9) { // 0 has no place, and nine powers of ten are enough
		lo = hi / 1e3
	}
	from, to := math.Floor(math.Log10(lo)+1e-9), math.Ceil(math.Log10(hi)-1e-9)
	if from >= to {
		to = from + 1
	}
	s := scale{lo: from, hi: to, project: func(v float64) float64 {
		if v <= 0 {
			return from
		}
		return math.Log10(v)
	}}
	for power := from; power <= to; power++ {
		for _, m := range []float64{1, 2, 5} {
			if m == 1 || to-from <= 2 && power < to {
				s.ticks = append(s.ticks, m*math.Pow(10, power))
			}
		}
	}
	return s
}

// mostNines is 99.9999999.
const mostNines = 9

func nines(hi float64) scale {
	project := func(v float64) float64 {
		return min(-math.Log10(max(1-v/100, 0)), mostNines)
	}
	to := 1.0
	if hi > 0 {
		to = max(1, project(hi))
	}
	s := scale{project: project, hi: to, ticks: []float64{0, 50}}
	for n := 1; n <= int(to+1e-9); n++ {
		s.ticks = append(s.ticks, 100-math.Pow(10, float64(2-n)))
	}
	return s
}

// Percent writes a percentile as it is spoken of: 99.9%.
func Percent(v float64) string { return strconv.FormatFloat(math.Round(v*1e7)/1e7, 'f', -1, 64) + "%" }

// Number writes a number in three digits: 1.25, 0.031, 12k, 3.4M.
func Number(v float64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if math.Abs(v) >= unit.of {
			of := unit.of
			if unit.name == "k" {
				of = 1e3
			}
			return fmt.Sprintf("%.3g", v/of) + unit.name
		}
	}
	if math.Abs(v) >= 1000 {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
