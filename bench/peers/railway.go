package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

const (
	// origin and destination are the stations of the answer, at the stops hotFrom and hotTo of the hotTrains that serve both.
	origin, destination                = rail.StationCode("VNP"), rail.StationCode("AOH")
	hotTrains                          = 17
	hotFrom, hotTo      rail.StopIndex = 2, 8
	// Every train has ten stops, about the mean of Chinese trains, and runs on each of the dates on sale.
	stops, lastStop rail.StopIndex = 10, stops - 1
	saleDays                       = 15
	otherStations                  = 60
	// mostSold bounds the places of a class that are sold at a time, so that none sells out.
	mostSold = 40
	seed     = 1
)

// classes of every train, with the places of a usual high-speed train.
var classes = []struct {
	code          rail.Class
	accommodation rail.Accommodation
	places        rail.SeatCount
	fare          rail.Money // of one segment
}{{"O", rail.Seat, 1023, 6125}, {"M", rail.Seat, 148, 10350}, {"9", rail.Seat, 22, 19350}, {"WZ", rail.Standing, 60, 6125}}

// railway is a booking system that sells and takes back single places at a steady rate: the authority of the feed, and the truth against which answers are held.
// All methods are safe for concurrent use.
type railway struct {
	network  timetable.Network
	zone     *time.Location
	names    map[rail.StationCode]string
	patterns []*timetable.Pattern
	date     rail.Date // of the answer: tomorrow, so that no train of it leaves while it is measured
	hot      []*run    // the runs of the answer, in its order
	all      []*run

	mu      sync.Mutex // guards what follows, and the changing part of the runs
	byID    map[rail.RunID]*run
	rng     *rand.Rand
	writer  inventory.Writer
	outlets []*outlet
	commits uint64
}

// run is a train on a date.
type run struct {
	id      rail.RunID
	pattern *timetable.Pattern
	version rail.Version
	table   *inventory.Table
	sold    [][]ride // by class
	history *history // of a run of the answer, else nil
}

// ride is a place that is sold from one stop to another.
type ride struct{ from, to rail.StopIndex }

// commit is a change and what it makes of the numbers that it touches, for those who keep one for each OD.
type commit struct {
	feed.Change
	key   string
	cells []cell
}

// cell is the new count of a class on an OD.
type cell struct {
	field string
	count rail.SeatCount
}

// newRailway makes the trains and opens their runs. Beside those of the answer there are so many others.
func newRailway(others int, now time.Time) (*railway, error) {
	r := &railway{
		network: timetable.Network{Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: saleDays},
		names:   map[rail.StationCode]string{}, byID: map[rail.RunID]*run{}, rng: rand.New(rand.NewPCG(seed, seed)),
	}
	var err error
	if r.zone, err = time.LoadLocation(r.network.Timezone); err != nil {
		return nil, fmt.Errorf("time zone: %w", err)
	}
	today := rail.DateOf(now, r.zone)
	r.date = today + 1
	r.station(origin, "北京南")
	r.station(destination, "上海虹桥")
	for i := range otherStations {
		r.station(rail.StationCode(fmt.Sprintf("S%02d", i)), fmt.Sprintf("第%d站", i+1))
	}
	for i := range hotTrains + others {
		p := r.pattern(i)
		r.patterns = append(r.patterns, p)
		for d := range rail.Date(saleDays) {
			if err := r.open(p, today+d); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (r *railway) station(code rail.StationCode, name string) {
	r.names[code] = name
	r.network.Stations = append(r.network.Stations, timetable.Station{Code: code, Names: timetable.Names{Name: name}})
}

// pattern of train number i: the first hotTrains serve the stations of the answer, every 40 minutes from six o'clock.
func (r *railway) pattern(i int) *timetable.Pattern {
	p := &timetable.Pattern{Train: fmt.Sprintf("G%d", 1+2*i), Category: "G"}
	clock := rail.Minutes(6*60 + i%hotTrains*40)
	way := r.rng.Perm(otherStations)
	for s := range stops {
		stop := timetable.Stop{Station: r.network.Stations[2+way[s]].Code, Arrive: clock, Depart: clock + 2}
		switch {
		case i < hotTrains && s == hotFrom:
			stop.Station = origin
		case i < hotTrains && s == hotTo:
			stop.Station = destination
		}
		if s == 0 || s == lastStop {
			stop.Depart = clock
		}
		p.Stops = append(p.Stops, stop)
		clock += 32
	}
	for _, c := range classes {
		offer := timetable.ClassOffer{Class: c.code, Accommodation: c.accommodation}
		for from := range lastStop {
			for to := from + 1; to < stops; to++ {
				offer.Fares = append(offer.Fares, c.fare*rail.Money(to-from))
			}
		}
		p.Classes = append(p.Classes, offer)
	}
	p.ID = p.ContentID()
	return p
}

func (r *railway) open(p *timetable.Pattern, date rail.Date) (err error) {
	n := &run{
		id: rail.RunID{Date: date, Trip: rail.TripID(p.Train)}, pattern: p, version: rail.Version{Epoch: 1, Revision: 1}, sold: make([][]ride, len(classes)),
	}
	if n.table, err = inventory.NewTable(int(stops), n.content()); err != nil {
		return fmt.Errorf("open %s: %w", n.id, err)
	}
	if date == r.date && len(r.hot) < hotTrains {
		n.history = newHistory(n.counts(hotFrom, hotTo))
		r.hot = append(r.hot, n)
	}
	r.all, r.byID[n.id] = append(r.all, n), n
	return nil
}

// content is what is left of every class: the places that nobody has, and what is free of the others before and after their ride.
func (n *run) content() []inventory.Class {
	out := make([]inventory.Class, 0, len(classes))
	for i, c := range classes {
		free := c.places - rail.SeatCount(len(n.sold[i]))
		spans := []inventory.Span{{To: lastStop, Count: free}}
		for _, s := range n.sold[i] {
			if s.from > 0 {
				spans = append(spans, inventory.Span{To: s.from, Count: 1})
			}
			if s.to < lastStop {
				spans = append(spans, inventory.Span{From: s.to, To: lastStop, Count: 1})
			}
		}
		out = append(out, inventory.Class{Class: c.code, Buckets: []inventory.Bucket{{Kind: inventory.Windows, Capacity: c.places, Spans: spans}}})
	}
	return out
}

// counts of all classes on an OD.
func (n *run) counts(from, to rail.StopIndex) []rail.SeatCount { return n.table.Counts(nil, from, to) }

// State is feed.Authority.
func (r *railway) State(id rail.RunID) (event.RunState, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.byID[id]
	if n == nil {
		return event.RunState{}, false
	}
	return event.RunState{Run: id, Pattern: n.pattern.ID, Version: n.version, Classes: n.content()}, true
}

// openings are the first changes of all runs: their whole states.
func (r *railway) openings() []feed.Change {
	out := make([]feed.Change, 0, len(r.all))
	for _, n := range r.all {
		state, _ := r.State(n.id) // known: it is one of ours
		out = append(out, feed.Change{Delta: event.RunDelta{Run: n.id, Version: state.Version, Restated: true}, State: &state})
	}
	return out
}

// trade commits so many changes a second, on average, until ctx ends; what it cannot keep up with within a second is left out.
func (r *railway) trade(ctx context.Context, perSecond float64) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	last, owed := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := time.Now()
		owed = min(owed+perSecond*now.Sub(last).Seconds(), perSecond)
		for last = now; owed >= 1; owed-- {
			if err := r.change(); err != nil {
				return err
			}
		}
	}
}

// change sells a place of a run or takes one back, all at random.
func (r *railway) change() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, class := r.all[r.rng.IntN(len(r.all))], r.rng.IntN(len(classes))
	sold := n.sold[class]
	limit := min(mostSold, int(classes[class].places)/2)
	if len(sold) == 0 || len(sold) < limit && r.rng.IntN(2) == 0 {
		from := rail.StopIndex(r.rng.IntN(int(lastStop)))
		to := from + 1 + rail.StopIndex(r.rng.IntN(int(lastStop-from)))
		n.sold[class] = append(sold, ride{from, to})
		return r.commit(n, class, ride{from, to}, 1)
	}
	i := r.rng.IntN(len(sold))
	back := sold[i]
	sold[i] = sold[len(sold)-1]
	n.sold[class] = sold[:len(sold)-1]
	return r.commit(n, class, back, -1)
}

// commit makes a change of one place: sold, or with by = -1 taken back. The caller holds mu.
func (r *railway) commit(n *run, class int, on ride, by rail.SeatCount) error {
	code := classes[class].code
	adjusts := inventory.Sell(code, 0, 0, lastStop, on.from, on.to)
	for i := range adjusts {
		adjusts[i].By *= by
	}
	if err := r.writer.Apply(n.table, adjusts); err != nil {
		return fmt.Errorf("change %s: %w", n.id, err)
	}
	n.version.Revision++
	if n.history != nil {
		n.history.add(time.Now(), n.counts(hotFrom, hotTo))
	}
	r.commits++
	c := commit{Change: feed.Change{Delta: event.RunDelta{Run: n.id, Version: n.version, Adjusts: adjusts}}, key: keyOf(n.id), cells: n.touched(class, on)}
	for _, o := range r.outlets {
		o.add(c)
	}
	return nil
}

// touched are the counts of a class on every OD that a ride overlaps: all that change with it, since its place was free everywhere else.
func (n *run) touched(class int, on ride) []cell {
	cells := make([]cell, 0, timetable.NumODs(int(stops)))
	var buffer [4]rail.SeatCount
	for from := range on.to {
		for to := max(from, on.from) + 1; to < stops; to++ {
			cells = append(cells, cell{fields[class][timetable.OD(int(stops), from, to)], n.table.Counts(buffer[:0], from, to)[class]})
		}
	}
	return cells
}

// fields are the names of all cells of a run, by class and OD.
var fields = func() (all [][]string) {
	for _, c := range classes {
		var row []string
		for from := range lastStop {
			for to := from + 1; to < stops; to++ {
				row = append(row, fieldOf(c.code, from, to))
			}
		}
		all = append(all, row)
	}
	return all
}()
