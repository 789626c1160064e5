package booking

import (
	"fmt"

	"github.com/yupiao/yupiao/pkg/rail"
)

// layout is how the coaches of a class are built, as far as a label and a wish need it. The numbers of the places of a class run from coach to coach.
type layout struct {
	perCoach int
	// letters of the seats of a row, from window to window; none where seats have numbers alone (then rows of five).
	letters string
	// levels of a berth's column, from below; none for seats.
	levels string
}

// Usual Chinese coaches (Chinese Wikipedia, pages of the trainsets and of the 25G coaches): business 2+1, first 2+2, second 3+2, hard seats 118 and five abreast,
// hard sleepers 66 in columns of three, soft sleepers 36 in columns of two.
var (
	layouts = map[rail.Class]layout{
		"9": {perCoach: 24, letters: "ACF"}, "M": {perCoach: 56, letters: "ACDF"}, "O": {perCoach: 90, letters: "ABCDF"},
		"1": {perCoach: 118}, "3": {perCoach: 66, levels: "LMU"}, "4": {perCoach: 36, levels: "LU"},
	}
	otherSeats  = layout{perCoach: 90, letters: "ABCDF"}
	otherBerths = layout{perCoach: 36, levels: "LU"}
)

func layoutOf(code rail.Class, a rail.Accommodation) layout {
	l, known := layouts[code]
	switch {
	case known:
		return l
	case a == rail.Berth:
		return otherBerths
	default:
		return otherSeats
	}
}

const abreast = 5 // where seats have numbers alone

// row is how many places stand side by side.
func (l layout) row() int {
	switch {
	case l.levels != "":
		return len(l.levels)
	case l.letters != "":
		return len(l.letters)
	default:
		return abreast
	}
}

// coach is the number of a place's coach within the class, from 0.
func (l layout) coach(number int) int { return number / l.perCoach }

// label is what stands at a place: "12A", "07" or, for a berth, its column and level "05L".
func (l layout) label(number int) string {
	within, row := number%l.perCoach, l.row()
	switch {
	case l.levels != "":
		return fmt.Sprintf("%02d%c", within/row+1, l.levels[within%row])
	case l.letters != "":
		return fmt.Sprintf("%d%c", within/row+1, l.letters[within%row])
	default:
		return fmt.Sprintf("%d", within+1)
	}
}

// kind says where in its row or column a place is.
func (l layout) kind(number int) string {
	row := l.row()
	at := number % l.perCoach % row
	if l.levels != "" {
		return map[byte]string{'L': "lower", 'M': "middle", 'U': "upper"}[l.levels[at]]
	}
	switch {
	case at == 0 || at == row-1:
		return "window"
	case row == len("ABCDF") && at == 1:
		return "middle"
	default:
		return "aisle"
	}
}

// meets reports whether a place is what a wish asks for.
func (l layout) meets(w Wish, number int) bool {
	switch w {
	case Window, Aisle, LowerBerth:
		return l.kind(number) == string(w)
	default:
		return true
	}
}

// numbers are the places of a bucket as they are numbered within the class: piece by piece, since places that are released later come behind all others.
type numbers []piece

type piece struct {
	First int            `json:"first"`
	Count rail.SeatCount `json:"count"`
}

// of is the number of a place.
func (n numbers) of(place uint16) int {
	at := rail.SeatCount(place)
	for _, p := range n {
		if at < p.Count {
			return p.First + int(at)
		}
		at -= p.Count
	}
	return -1 // a place that the bucket does not have
}

// end is behind the highest number.
func (n numbers) end() (end int) {
	for _, p := range n {
		end = max(end, p.First+int(p.Count))
	}
	return end
}

// cut keeps the first places.
func (n numbers) cut(places rail.SeatCount) (out numbers) {
	for _, p := range n {
		if p.Count = min(p.Count, places); p.Count > 0 {
			out = append(out, p)
		}
		places -= p.Count
	}
	return out
}

// Label is a place as a traveller finds it.
type Label struct {
	// Coach from 1. Places that were added to a class after the run was opened are in coaches from extraCoach on.
	Coach int
	// Seat is the label of the place in its coach; Kind where it is: window, middle, aisle, lower or upper.
	Seat, Kind string
}

// extraCoach is the number of the first coach that is put on a train later: no train has as many from the start.
const extraCoach = 31

// labels of seats; none for places that are not assigned.
func (c *class) labels(number int, seats []Seat) (out []Label) {
	for _, s := range seats {
		if s.Unseated || int(s.Bucket) >= len(c.buckets) || c.buckets[s.Bucket].numbers == nil {
			continue
		}
		n := c.buckets[s.Bucket].numbers.of(s.Place)
		coach := c.layout.coach(n)
		if coach < c.coaches {
			coach += c.firstCoach
		} else {
			coach += extraCoach + 10*number - c.coaches
		}
		out = append(out, Label{Coach: coach, Seat: c.layout.label(n), Kind: c.layout.kind(n)})
	}
	return out
}

// wishMet reports whether all seats are what a wish asks for.
func (c *class) wishMet(w Wish, seats []Seat) bool {
	coaches := map[int]bool{}
	for _, s := range seats {
		b := &c.buckets[s.Bucket]
		if b.numbers == nil {
			return w == NoWish
		}
		n := b.numbers.of(s.Place)
		if coaches[c.layout.coach(n)] = true; !c.layout.meets(w, n) {
			return false
		}
	}
	return w != SameCoach || len(coaches) == 1
}
