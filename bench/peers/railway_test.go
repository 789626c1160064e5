package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

func small(t *testing.T) *railway {
	t.Helper()
	r, err := newRailway(3, time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRailwayIsValid(t *testing.T) {
	r := small(t)
	if err := r.network.Validate(); err != nil {
		t.Error(err)
	}
	for i, p := range r.patterns {
		serves := func(code rail.StationCode) bool {
			return slices.ContainsFunc(p.Stops, func(s timetable.Stop) bool { return s.Station == code })
		}
		if err := p.Validate(); err != nil || serves(origin) != (i < hotTrains) || serves(destination) != (i < hotTrains) {
			t.Errorf("pattern %d: %v; it serves the asked-for stations: %t", i, err, serves(origin))
		}
	}
	if len(r.hot) != hotTrains || len(r.all) != (hotTrains+3)*saleDays {
		t.Errorf("%d runs, %d in the answer", len(r.all), len(r.hot))
	}
}

// Three who follow the changes in their own way end with the same numbers: deltas on top of the opening state, single cells as Redis gets them, and the state as
// it would be published at the end. And no class sells out, which keeps the usual design's states simple.
func TestChangesAgree(t *testing.T) {
	t.Logf("seed %d", seed)
	r := small(t)
	tables, cells := map[rail.RunID]*inventory.Table{}, map[string]map[string]rail.SeatCount{}
	for _, n := range r.all {
		tables[n.id] = tableOf(t, n.content())
		cells[keyOf(n.id)] = map[string]rail.SeatCount{}
		for class := range classes {
			for _, c := range n.touched(class, ride{0, lastStop}) {
				cells[keyOf(n.id)][c.field] = c.count
			}
		}
	}
	var writer inventory.Writer
	follower := r.follow(func(_ context.Context, batch []commit, _ time.Time) error {
		for _, c := range batch {
			if err := writer.Apply(tables[c.Delta.Run], c.Delta.Adjusts); err != nil {
				return err
			}
			for _, cell := range c.cells {
				cells[c.key][cell.field] = cell.count
			}
		}
		return nil
	})
	changes(t, r, follower, 20_000)
	for _, n := range r.all {
		state, _ := r.State(n.id)
		same(t, n, tables[n.id], tableOf(t, state.Classes), cells[keyOf(n.id)])
	}
}

// changes makes so many and waits until they are delivered.
func changes(t *testing.T, r *railway, follower *outlet, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- follower.run(ctx) }()
	for range n {
		if err := r.change(); err != nil {
			t.Fatal(err)
		}
	}
	err := poll(t.Context(), func() error {
		if !r.settled() {
			return errors.New("not settled")
		}
		return nil
	})
	cancel()
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	if r.committed() != uint64(n) {
		t.Errorf("%d commits; want %d", r.committed(), n)
	}
}

func tableOf(t *testing.T, content []inventory.Class) *inventory.Table {
	t.Helper()
	table, err := inventory.NewTable(int(stops), content)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func same(t *testing.T, n *run, byDeltas, byState *inventory.Table, cells map[string]rail.SeatCount) {
	t.Helper()
	want := map[string]rail.SeatCount{}
	for from := range lastStop {
		for to := from + 1; to < stops; to++ {
			counts := n.counts(from, to)
			if !slices.Equal(byDeltas.Counts(nil, from, to), counts) || !slices.Equal(byState.Counts(nil, from, to), counts) {
				t.Fatalf("%s %d-%d: %v by deltas, %v by state; want %v", n.id, from, to, byDeltas.Counts(nil, from, to), byState.Counts(nil, from, to), counts)
			}
			for i, c := range classes {
				want[fieldOf(c.code, from, to)] = counts[i]
				if counts[i] < 1 {
					t.Fatalf("%s: class %s has sold out", n.id, c.code)
				}
			}
		}
	}
	if !maps.Equal(cells, want) {
		t.Fatalf("%s: single cells are %v; want %v", n.id, cells, want)
	}
}

func TestHistoryAge(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1000 + ms)) }
	one, two, three := []rail.SeatCount{1}, []rail.SeatCount{2}, []rail.SeatCount{3}
	h := newHistory(one)
	h.add(at(10), two)
	h.add(at(15), two) // changes nothing
	h.add(at(20), three)
	h.add(at(30), two)
	for _, c := range []struct {
		shown []rail.SeatCount
		asked time.Time
		want  time.Duration
		known bool
	}{
		{two, at(40), 0, true},                       // the truth
		{two, at(5), 0, true},                        // has become true since it was asked for
		{three, at(42), 12 * time.Millisecond, true}, // not true since 30
		{three, at(30), 0, true},                     // asked for at the very change
		{one, at(40), 30 * time.Millisecond, true},   // not true since 10
		{[]rail.SeatCount{4}, at(40), 0, false},      // was never true
		{[]rail.SeatCount{2, 2}, at(40), 0, false},   // nor is this of the run
	} {
		if age, known := h.age(c.shown, c.asked); age != c.want || known != c.known {
			t.Errorf("age(%v, %d) = %s, %t; want %s, %t", c.shown, c.asked.UnixMilli()-1000, age, known, c.want, c.known)
		}
	}
	h.forget()
	if age, known := h.age(two, at(40)); age != 0 || !known || len(h.moments) != 1 {
		t.Errorf("after forget: age %s, known %t, %d moments", age, known, len(h.moments))
	}
}

// An answer is as old as its oldest run, and one that was never true is an error.
func TestAnswerAge(t *testing.T) {
	r := small(t)
	body, err := r.truth()
	if err != nil {
		t.Fatal(err)
	}
	if age, err := r.age(body, time.Now()); age != 0 || err != nil {
		t.Errorf("the truth: age %s, %v", age, err)
	}
	begin := time.Now()
	for range 2000 {
		if err := r.change(); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Hour)
	if age, err := r.age(body, later); err != nil || age < time.Hour || age > later.Sub(begin) {
		t.Errorf("an old answer: age %s, %v", age, err)
	}
	for _, wrong := range []string{`{`, `{"runs":[]}`, string(tampered(t, body))} {
		if _, err := r.age([]byte(wrong), later); err == nil {
			t.Errorf("%.60s was taken", wrong)
		}
	}
}

func tampered(t *testing.T, body []byte) []byte {
	t.Helper()
	var a reply
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	a.Runs[3].Classes[1].Remaining = 60_000
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// A plan survives the way to the server's process, and filled with the counts it is the truth.
func TestPlan(t *testing.T) {
	r := small(t)
	data, err := json.Marshal(r.plan())
	if err != nil {
		t.Fatal(err)
	}
	var p plan
	if err := p.parse(data); err != nil {
		t.Fatal(err)
	}
	for i, n := range r.hot {
		if p.Keys[i] != keyOf(n.id) {
			t.Errorf("key %d is %s; want %s", i, p.Keys[i], keyOf(n.id))
		}
		for c, count := range n.counts(hotFrom, hotTo) {
			p.Reply.Runs[i].Classes[c].fill(count)
		}
	}
	got, err := json.Marshal(p.Reply)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := r.truth(); string(got) != string(want) {
		t.Errorf("not the truth: %s", difference(got, want))
	}
}
