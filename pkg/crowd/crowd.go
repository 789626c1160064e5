// Package crowd is people who buy tickets at random, give some of them back, and now and then the railway's own people. They do it wherever a Market lets
// them: over the booking backend's HTTP API in the demo.
package crowd

import (
	"math/rand/v2"
	"time"

	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// How people behave.
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
func partySizes() demand.Weights { return demand.NewWeights(55, 27, 11, 5, 2) }

// Order is what a party asks for: places of a class of a run between two stops.
type Order struct {
	Run        rail.RunID
	Class      rail.Class
	From, To   rail.StopIndex
	Passengers int
}

// Market is where tickets are to be had.
type Market interface {
	// Buy buys all places of an order, or none, and names what was bought.
	Buy(o Order) (ticket string, err error)
	// Return gives back what was bought.
	Return(ticket string) error
	// Release puts more places on sale, Suspend stops a run's sale, Resume lets it go on.
	Release(run rail.RunID, class rail.Class, places rail.SeatCount) error
	Suspend(run rail.RunID, reason string) error
	Resume(run rail.RunID) error
}

// Options of a Crowd.
type Options struct {
	Schedule *timetable.Schedule
	// Rules say how many places a class has: the more, the more it is wanted.
	Rules formation.Rules
	Seed  uint64
	// Clock is the time; default time.Now.
	Clock func() time.Time
}

// Crowd is people with one Market. The same seed on equal Markets at equal times does the same. It is not safe for concurrent use; several Crowds may share
// a Market.
type Crowd struct {
	market  Market
	clock   func() time.Time
	loc     *time.Location
	trips   []timetable.Trip
	rng     *rand.Rand
	demand  *demand.Demand
	days    demand.Weights // of boarding, from today on
	sizes   demand.Weights
	classes map[*timetable.Pattern]demand.Weights // by places; none for a pattern without classes

	parties   []string     // what they have bought
	suspended []rail.RunID // by this Crowd, the oldest first
}

// New makes a Crowd that wants what a schedule offers.
func New(market Market, o Options) *Crowd {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	c := &Crowd{
		market: market, clock: o.Clock, loc: time.UTC, trips: o.Schedule.Trips, rng: rand.New(rand.NewPCG(o.Seed, 0)), demand: demand.New(o.Schedule),
		days: demand.Days(max(o.Schedule.Network.SaleDays, 1)), sizes: partySizes(), classes: map[*timetable.Pattern]demand.Weights{},
	}
	if loc, err := time.LoadLocation(o.Schedule.Network.Timezone); err == nil {
		c.loc = loc
	}
	for _, pattern := range o.Schedule.Patterns() {
		var w demand.Weights
		for _, n := range o.Rules.Places(pattern) {
			w.Add(float64(n))
		}
		c.classes[pattern] = w
	}
	return c
}

// Step does one act and reports whether it changed anything: it does not if a party finds no place. Whoever calls it sets the pace.
func (c *Crowd) Step() (changed bool) {
	switch x := c.rng.Float64(); {
	case x < operatorShare:
		return c.operate()
	case x < operatorShare+refundShare && len(c.parties) > 0:
		return c.giveBack()
	default:
		return c.buy()
	}
}

// choose picks one of the rides for those who board on a date; false for a train that sells nothing.
func (c *Crowd) choose(rides []demand.Ride, date rail.Date) (Order, bool) {
	r := rides[c.rng.IntN(len(rides))]
	trip := &c.trips[r.Trip]
	classes := c.classes[trip.Pattern]
	if len(classes) == 0 {
		return Order{}, false
	}
	service := date - trip.Pattern.Stops[r.From].Depart.Days()
	code := trip.Pattern.Classes[classes.Pick(c.rng)].Class
	return Order{Run: rail.RunID{Date: service, Trip: trip.ID}, Class: code, From: r.From, To: r.To}, true
}

// rides are those of a random pair of places; none if no train leads anywhere.
func (c *Crowd) rides() []demand.Ride {
	if c.demand.Len() == 0 {
		return nil
	}
	return c.demand.Rides(c.demand.Pick(c.rng))
}

// date is a boarding date on sale.
func (c *Crowd) date() rail.Date {
	return rail.DateOf(c.clock(), c.loc) + rail.Date(c.days.Pick(c.rng))
}

// buy lets a party try some trains between its places on its date.
func (c *Crowd) buy() bool {
	rides, date, size := c.rides(), c.date(), 1+c.sizes.Pick(c.rng)
	if len(rides) == 0 {
		return false
	}
	for range trainsTried {
		o, ok := c.choose(rides, date)
		if !ok {
			continue
		}
		o.Passengers = size
		if ticket, err := c.market.Buy(o); err == nil {
			c.remember(ticket)
			return true
		}
	}
	return false
}

func (c *Crowd) remember(ticket string) {
	if len(c.parties) < maxParties {
		c.parties = append(c.parties, ticket)
		return
	}
	c.parties[c.rng.IntN(maxParties)] = ticket
}

// giveBack lets a random party change its mind; those whose train has left come too late.
func (c *Crowd) giveBack() bool {
	i, last := c.rng.IntN(len(c.parties)), len(c.parties)-1
	ticket := c.parties[i]
	c.parties[i] = c.parties[last]
	c.parties = c.parties[:last]
	return c.market.Return(ticket) == nil
}

// operate does what the railway's own people do now and then.
func (c *Crowd) operate() bool {
	rides := c.rides()
	if len(rides) == 0 {
		return false
	}
	o, ok := c.choose(rides, c.date())
	if !ok {
		return false
	}
	switch act := c.rng.IntN(3); {
	case act == 0:
		return c.market.Release(o.Run, o.Class, 1+rail.SeatCount(c.rng.IntN(maxReleased))) == nil
	case act == 1 && len(c.suspended) < maxSuspended:
		return c.suspend(o.Run)
	default:
		return c.resume()
	}
}

func (c *Crowd) suspend(run rail.RunID) bool {
	if c.market.Suspend(run, notice) != nil {
		return false
	}
	c.suspended = append(c.suspended, run)
	return true
}

// resume ends the oldest suspension, if there is one.
func (c *Crowd) resume() bool {
	if len(c.suspended) == 0 {
		return false
	}
	oldest := c.suspended[0]
	c.suspended = c.suspended[1:]
	return c.market.Resume(oldest) == nil
}
