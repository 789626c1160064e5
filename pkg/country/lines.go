package country

import (
	"container/heap"
	"math"
	"math/rand/v2"

	"github.com/yupiao/yupiao/pkg/demand"
)

// line is a railway as trains run on it, from one city's own station to another's.
type line struct {
	kind   kind
	weight float64 // how many trains it gets, beside others
	way    []stage
	mains  []int // places in way of cities' own stations, in order
}

// How lines are laid.
const (
	// linesPerCity are main lines, of each kind.
	linesPerCity = 2
	// usedDiscount makes a railway that lines run on already so much shorter for the next: they share corridors.
	usedDiscount = 0.9
	// shortest and longest main lines, in km.
	shortest = 250
	longest  = 6000
)

// lines are the main lines of each kind between big cities, and then local ones, until every link has one of each kind.
func (l *land) lines(rng *rand.Rand) (all []line) {
	var size demand.Weights
	for i := range l.cities {
		size.Add(l.cities[i].weight)
	}
	for k := range kinds {
		on := kind(1 << k)
		used := make([]float64, len(l.links))
		for i := range used {
			used[i] = 1
		}
		for range int(linesPerCity*float64(len(l.cities))) + 1 {
			a, b := size.Pick(rng), size.Pick(rng)
			if path, km := l.path(a, b, used); km >= shortest && km <= longest {
				all = append(all, l.line(on, a, path, math.Sqrt(l.cities[a].weight*l.cities[b].weight)))
			}
		}
		for i := range l.links {
			if used[i] == 1 {
				a, path := l.local(i, rng)
				for _, n := range path {
					used[n] = usedDiscount
				}
				all = append(all, l.line(on, a, path, math.Sqrt(l.cities[l.links[i].a].weight*l.cities[l.links[i].b].weight)/4))
			}
		}
	}
	return all
}

// local is a link that has no line yet, with up to so many more at its far end; a is where it begins.
func (l *land) local(first int, rng *rand.Rand) (a int, path []int) {
	const more = 3
	a, path = l.links[first].a, []int{first}
	seen := map[int]bool{a: true, l.links[first].b: true}
	for at := l.links[first].b; len(path) <= more; {
		next := l.joined[at][rng.IntN(len(l.joined[at]))]
		at = l.links[next].other(at)
		if seen[at] {
			break
		}
		seen[at] = true
		path = append(path, next)
	}
	return a, path
}

// line turns links, from city a on, into a line with all stations of its kind.
func (l *land) line(on kind, a int, path []int, weight float64) line {
	out := line{kind: on, weight: weight}
	km := 0.0
	call := func(city int) {
		out.mains = append(out.mains, len(out.way))
		out.way = append(out.way, stage{l.halt(city, on, path[0]), km})
	}
	call(a)
	for _, n := range path {
		k := &l.links[n]
		for i := range k.way {
			s := k.way[i]
			if a == k.b {
				s = k.way[len(k.way)-1-i]
				s.km = k.km - s.km
			}
			if l.stations[s.station].on&on != 0 {
				out.way = append(out.way, stage{s.station, km + s.km})
			}
		}
		km += k.km
		a = k.other(a)
		call(a)
	}
	return out
}

// halt is the station of a city at which a line calls: with several of its kind, the line's first link decides.
func (l *land) halt(city int, on kind, first int) int {
	halts := l.cities[city].halts
	if on == classic || len(halts) == 1 {
		return halts[0]
	}
	return halts[1+first%(len(halts)-1)]
}

// path is the shortest way between two cities as links, where links count as their length times used, and are used from then on; with its real length.
func (l *land) path(a, b int, used []float64) (links []int, km float64) {
	cost, by := make([]float64, len(l.cities)), make([]int, len(l.cities))
	for i := range cost {
		cost[i], by[i] = math.Inf(1), -1
	}
	cost[a] = 0
	for open := (frontier{{a, 0}}); len(open) > 0; {
		at := heap.Pop(&open).(reached)
		if at.city == b {
			break
		}
		for _, n := range l.joined[at.city] {
			next := l.links[n].other(at.city)
			if c := cost[at.city] + l.links[n].km*used[n]; c < cost[next] {
				cost[next], by[next] = c, n
				heap.Push(&open, reached{next, c})
			}
		}
	}
	for at := b; by[at] >= 0; at = l.links[by[at]].other(at) {
		links = append([]int{by[at]}, links...)
		km += l.links[by[at]].km
	}
	if km >= shortest && km <= longest {
		for _, n := range links {
			used[n] = usedDiscount
		}
	}
	return links, km
}

// reached is a city with what it costs to come there; frontier is those to go on from, the cheapest first.
type reached struct {
	city int
	cost float64
}

type frontier []reached

func (f frontier) Len() int           { return len(f) }
func (f frontier) Less(i, j int) bool { return f[i].cost < f[j].cost }
func (f frontier) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *frontier) Push(x any)        { *f = append(*f, x.(reached)) }
func (f *frontier) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}
