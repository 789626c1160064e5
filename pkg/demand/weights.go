package demand

import (
	"math"
	"math/rand/v2"
	"sort"
)

// The rank curve of demand: the pair of places at rank k (from 0) of n has the weight (k+zipfShift)^-zipfExponent * e^(-zipfFall*k/n). Real journeys
// follow such a curve: the shift makes the head flat, the exponent is that of the middle, and the last factor makes the tail steep.
const (
	zipfShift    = 9
	zipfExponent = 1.06
	zipfFall     = 3
)

// Weights is a random choice: the sums of the weights of all choices up to each. The zero value has no choices.
type Weights []float64

// NewWeights makes a choice of so many weights, each at least 0.
func NewWeights(each ...float64) (w Weights) {
	for _, weight := range each {
		w.Add(weight)
	}
	return w
}

// Curve is the choice among so many ranks of demand.
func Curve(ranks int) (w Weights) {
	for rank := range ranks {
		k, n := float64(rank), float64(ranks)
		w.Add(math.Pow(k+zipfShift, -zipfExponent) * math.Exp(-zipfFall*k/n))
	}
	return w
}

// Days is the choice among so many days of boarding, from today on: the next ones are wanted most.
func Days(days int) (w Weights) {
	for day := range days {
		w.Add(1 / float64(day+1))
	}
	return w
}

// Add adds a choice.
func (w *Weights) Add(weight float64) {
	sum := weight
	if n := len(*w); n > 0 {
		sum += (*w)[n-1]
	}
	*w = append(*w, sum)
}

// Pick gives the number of a choice with a chance in proportion to its weight (M3): the first whose sum is above a random part of the whole. There must be
// at least one choice.
func (w Weights) Pick(rng *rand.Rand) int {
	last := len(w) - 1
	x := rng.Float64() * w[last]
	return min(sort.Search(len(w), func(i int) bool { return w[i] > x }), last)
}
