package booking

import (
	"math/rand/v2"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// How buyers behave.
const (
	// refundShare of all acts give a party's tickets back.
	refundShare = 0.12
	// operatorShare of all acts are the railway's own: a release of places, a suspension, a resumption.
	operatorShare = 0.0002
	// trainsTried is how many trains between two places a party asks for before it goes home.
	trainsTried = 4
	// maxParties is how many parties with tickets are remembered; of more than that, some will surely travel.
	maxParties = 1 << 16
	// maxSuspended is how many runs are suspended at once.
	maxSuspended = 16
	// maxReleased is the most places that are released at once.
	maxReleased = 20
	notice      = "train out of service"
)

// partySizes is how likely parties of 1, 2, 3, 4 and 5 are, in percent.
func partySizes() weights { return newWeights(55, 27, 11, 5, 2) }

// Buyers are people who buy tickets of a Book at random, and give some of them back. The same seed on an equal Book at equal times does the same. It is
// not safe for concurrent use; several Buyers may share a Book.
type Buyers struct {
	book    *Book
	trips   []timetable.Trip
	rng     *rand.Rand
	demand  demand
	days    weights // of boarding, from today on
	sizes   weights
	classes map[*timetable.Pattern]weights // by places; none for a pattern without classes

	parties   [][]Ticket
	suspended []rail.RunID // by these Buyers, the oldest first
}

// NewBuyers makes Buyers of a Book, who want what its schedule offers. The schedule must be the one of the Book.
func NewBuyers(book *Book, schedule *timetable.Schedule, seed uint64) *Buyers {
	y := &Buyers{
		book: book, trips: schedule.Trips, rng: rand.New(rand.NewPCG(seed, 0)), demand: newDemand(schedule),
		sizes: partySizes(), classes: make(map[*timetable.Pattern]weights, len(book.places)),
	}
	for day := range max(schedule.Network.SaleDays, 1) {
		y.days.add(1 / float64(day+1)) // the next days are wanted most
	}
	for pattern, places := range book.places {
		var w weights
		for _, n := range places {
			w.add(float64(n))
		}
		y.classes[pattern] = w
	}
	return y
}

// Step does one act and returns how many changes it committed: one for each ticket that is sold or refunded, none if a party finds no place. Whoever
// calls it sets the pace.
func (y *Buyers) Step() (changes int) {
	switch x := y.rng.Float64(); {
	case x < operatorShare:
		return y.operate()
	case x < operatorShare+refundShare && len(y.parties) > 0:
		return y.refund()
	default:
		return y.buy()
	}
}

// wish is a class of a run between two stops.
type wish struct {
	run      rail.RunID
	class    rail.Class
	from, to rail.StopIndex
}

// choose picks one of the rides for those who board on a date; false for a train that sells nothing.
func (y *Buyers) choose(rides []ride, date rail.Date) (wish, bool) {
	r := rides[y.rng.IntN(len(rides))]
	trip := &y.trips[r.trip]
	classes := y.classes[trip.Pattern]
	if len(classes) == 0 {
		return wish{}, false
	}
	service := date - trip.Pattern.Stops[r.from].Depart.Days()
	code := trip.Pattern.Classes[classes.pick(y.rng)].Class
	return wish{run: rail.RunID{Date: service, Trip: trip.ID}, class: code, from: r.from, to: r.to}, true
}

// date is a boarding date on sale.
func (y *Buyers) date() rail.Date {
	return rail.DateOf(y.book.cfg.Clock(), y.book.loc) + rail.Date(y.days.pick(y.rng))
}

// buy lets a party try some trains between its places on its date. It takes the places that it gets on the first train that has any.
func (y *Buyers) buy() int {
	rides, date, size := y.demand.pick(y.rng), y.date(), 1+y.sizes.pick(y.rng)
	if len(rides) == 0 {
		return 0
	}
	for range trainsTried {
		w, ok := y.choose(rides, date)
		if !ok {
			continue
		}
		if tickets := y.sell(w, size); len(tickets) > 0 {
			y.remember(tickets)
			return len(tickets)
		}
	}
	return 0
}

func (y *Buyers) sell(w wish, size int) (tickets []Ticket) {
	for range size {
		t, err := y.book.Sell(w.run, w.class, w.from, w.to)
		if err != nil {
			break
		}
		tickets = append(tickets, t)
	}
	return tickets
}

func (y *Buyers) remember(party []Ticket) {
	if len(y.parties) < maxParties {
		y.parties = append(y.parties, party)
		return
	}
	y.parties[y.rng.IntN(maxParties)] = party
}

// refund lets a random party change its mind; those whose train has left come too late.
func (y *Buyers) refund() (refunded int) {
	i, last := y.rng.IntN(len(y.parties)), len(y.parties)-1
	party := y.parties[i]
	y.parties[i], y.parties[last] = y.parties[last], nil
	y.parties = y.parties[:last]
	for _, t := range party {
		if y.book.Refund(t) == nil {
			refunded++
		}
	}
	return refunded
}

// operate does what the railway's own people do now and then.
func (y *Buyers) operate() int {
	rides := y.demand.pick(y.rng)
	if len(rides) == 0 {
		return 0
	}
	w, ok := y.choose(rides, y.date())
	if !ok {
		return 0
	}
	var err error
	switch act := y.rng.IntN(3); {
	case act == 0:
		err = y.book.Release(w.run, w.class, 1+rail.SeatCount(y.rng.IntN(maxReleased)))
	case act == 1 && len(y.suspended) < maxSuspended:
		err = y.suspend(w.run)
	default:
		return y.resume()
	}
	if err != nil {
		return 0
	}
	return 1
}

func (y *Buyers) suspend(run rail.RunID) error {
	err := y.book.Suspend(run, notice)
	if err == nil {
		y.suspended = append(y.suspended, run)
	}
	return err
}

// resume ends the oldest suspension, if there is one.
func (y *Buyers) resume() int {
	if len(y.suspended) == 0 {
		return 0
	}
	oldest := y.suspended[0]
	y.suspended = y.suspended[1:]
	if y.book.Resume(oldest) != nil {
		return 0
	}
	return 1
}
