package view_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

func railway() *replica.Replica {
	return testkit.Railway(func() time.Time { return testkit.Morning })
}

func query(from, to rail.CityCode) *view.Query {
	return &view.Query{From: timetable.Place{City: from}, To: timetable.Place{City: to}, Date: testkit.Tuesday}
}

// summary is an answer in a line: train, departure, and state and count of each class.
func summary(a *view.Answer) string {
	var b strings.Builder
	for _, o := range a.Offers {
		fmt.Fprintf(&b, "%s %s", o.Pattern.TrainAt(o.From), o.Depart.Format("15:04"))
		for _, c := range o.Classes {
			fmt.Fprintf(&b, " %s=%s", c.Class, c.State)
			if c.State.Sellable() {
				fmt.Fprintf(&b, ":%d", c.Remaining)
			}
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// V1, V3, V4: what is shown of each run, as the clock goes on.
func TestLook(t *testing.T) {
	r := railway()
	at := func(clock string) time.Time {
		v, err := time.ParseInLocation("15:04", clock, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return testkit.Morning.Add(time.Duration(v.Hour()-6)*time.Hour + time.Duration(v.Minute())*time.Minute)
	}
	all := "G1 07:00 O=AVAILABLE:100 9=SOLD_OUT; G3 08:00 O=LOW:12 9=WAITLIST; G5 09:00 O=SUSPENDED 9=SUSPENDED; G7 10:00 O=NOT_ON_SALE 9=NOT_ON_SALE; " +
		"G9 11:00 O=AVAILABLE:100 9=SOLD_OUT; G11 12:00 O=AVAILABLE:100 9=SOLD_OUT"
	from := func(train string) string {
		_, rest, _ := strings.Cut(all, "; "+train)
		return train + rest
	}
	for _, tt := range []struct {
		name  string
		query *view.Query
		now   time.Time
		want  string
		until string
	}{
		{"all of a city pair", query("BJP", "SHH"), at("06:00"), all, "06:55"},
		{"the sale closes before departure", query("BJP", "SHH"), at("06:55"), strings.Replace(all, "O=AVAILABLE:100 9=SOLD_OUT", "O=NOT_ON_SALE 9=NOT_ON_SALE", 1), "07:00"},
		{"a train that has left is not listed", query("BJP", "SHH"), at("07:00"), from("G3"), "07:55"},
		{"a sale opens", query("BJP", "SHH"), at("08:30"), strings.Replace(from("G5"), "G7 10:00 O=NOT_ON_SALE 9=NOT_ON_SALE", "G7 10:00 O=AVAILABLE:100 9=SOLD_OUT", 1), "08:55"},
		{"found by the boarding date; a quota forbids", query("JNK", "SHH"), at("00:00"), "K13 00:22 O=AVAILABLE:100 9=SOLD_OUT; G1 08:32 O=AVAILABLE:100 9=SOLD_OUT; G3 09:32 O=LOW:12 9=WAITLIST; G5 10:32 O=SUSPENDED 9=SUSPENDED; " +
			"G7 11:32 O=NOT_ON_SALE 9=NOT_ON_SALE; G9 12:32 O=RESTRICTED 9=SOLD_OUT; G11 13:32 O=AVAILABLE:100 9=SOLD_OUT", "00:17"},
		{"a class that is not offered on an OD", &view.Query{From: timetable.Place{City: "BJP"}, To: timetable.Place{City: "JNK"}, Date: testkit.Tuesday, Depart: view.Window{First: 720, Last: 721}}, at("06:00"), "G11 12:00 O=AVAILABLE:100 9=NOT_OFFERED", "11:55"},
		{"after the last", query("BJP", "SHH"), at("12:00"), "", ""},
		{"a day without trains", &view.Query{From: timetable.Place{City: "BJP"}, To: timetable.Place{City: "SHH"}, Date: testkit.Tuesday + 5}, at("06:00"), "", ""},
		{"the wrong way", query("SHH", "BJP"), at("06:00"), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := view.Look(r, tt.query, tt.now)
			if got := summary(a); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			until := ""
			if !a.ValidUntil.IsZero() {
				until = a.ValidUntil.In(testkit.Morning.Location()).Format("15:04")
			}
			if until != tt.until || a.Behind {
				t.Errorf("valid until %q, behind %t; want %q", until, a.Behind, tt.until)
			}
			for _, o := range a.Offers {
				for _, c := range o.Classes {
					if (c.Reason.Kind == view.NoReason) != c.State.Sellable() {
						t.Errorf("V4: %s has reason %d", c.State, c.Reason.Kind)
					}
				}
			}
		})
	}
}

func TestFilters(t *testing.T) {
	r := railway()
	for name, tt := range map[string]struct {
		change func(*view.Query)
		want   string
	}{
		"types":            {func(q *view.Query) { q.Types = []string{"k", "C"} }, ""},
		"depart":           {func(q *view.Query) { q.Depart = view.Window{First: 480, Last: 540} }, "G3"},
		"arrive":           {func(q *view.Query) { q.Arrive = view.Window{First: 690, Last: 691} }, "G1"},
		"classes":          {func(q *view.Query) { q.Classes = []rail.Class{"4"} }, ""},
		"available":        {func(q *view.Query) { q.Seats = 1 }, "G1 G3 G9 G11"},
		"a party":          {func(q *view.Query) { q.Seats = 13 }, "G1 G9 G11"},
		"a party in class": {func(q *view.Query) { q.Seats, q.Classes = 1, []rail.Class{"9"} }, ""},
		"by duration":      {func(q *view.Query) { q.Sort = view.ByDuration }, "G1 G3 G5 G7 G9 G11"},
		"by arrival":       {func(q *view.Query) { q.Sort = view.ByArrival }, "G1 G3 G5 G7 G9 G11"},
		"by fare":          {func(q *view.Query) { q.Sort = view.ByFare }, "G1 G3 G9 G11 G5 G7"},
	} {
		q := query("BJP", "SHH")
		tt.change(q)
		var trains []string
		for _, o := range view.Look(r, q, testkit.Morning).Offers {
			trains = append(trains, o.Pattern.Train)
		}
		if got := strings.Join(trains, " "); got != tt.want {
			t.Errorf("%s: got %s; want %s", name, got, tt.want)
		}
	}
}

func sell(r *replica.Replica, revision uint64, run rail.RunID) {
	r.Deltas(run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{{Run: run, Version: rail.Version{Epoch: 1, Revision: revision}, Adjusts: inventory.Sell("O", 0, 0, 2, 0, 1)}}}, revision)
}

// V2: an answer is current until an event or the clock touches it.
func TestCurrent(t *testing.T) {
	r, q := railway(), query("BJP", "SHH")
	a := view.Look(r, q, testkit.Morning)
	if !a.Current(r, testkit.Morning.Add(54*time.Minute)) {
		t.Error("not current, though nothing happened")
	}
	if a.Current(r, testkit.Morning.Add(55*time.Minute)) {
		t.Error("V3: current, though a sale has closed")
	}
	if a.Current(railway(), testkit.Morning) {
		t.Error("current on another replica")
	}
	g1 := rail.RunID{Date: testkit.Tuesday, Trip: "G1"}
	sell(r, 2, g1)
	if a.Current(r, testkit.Morning) {
		t.Error("current, though a place was sold")
	}
	a = view.Look(r, q, testkit.Morning)
	sell(r, 4, g1) // a gap
	if a.Current(r, testkit.Morning) {
		t.Error("current, though the run fell behind")
	}
	if a = view.Look(r, q, testkit.Morning); !a.Behind || !a.Offers[0].Behind || a.Offers[1].Behind {
		t.Error("the run that is behind does not say so")
	}
	sell(r, 2, rail.RunID{Date: testkit.Tuesday, Trip: "G99"})
	if a = view.Look(r, query("BJP", "JNK"), testkit.Morning); !a.Behind {
		t.Error("an answer that may lack a run does not say so")
	}
}

// inTurns moves a place from one class of a run to the other and back, thousands of times, and closes done at the end.
func inTurns(r *replica.Replica, run rail.RunID) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for i := uint64(2); i < 5000; i++ {
			by := rail.SeatCount(1 - 2*int(i%2))
			r.Deltas(run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{{Run: run, Version: rail.Version{Epoch: 1, Revision: i}, Adjusts: []inventory.Adjust{
				{Class: "O", To: 2, By: -by}, {Class: "9", To: 2, By: by}}}}}, i)
		}
	}()
	return done
}

// V2: under changes, an answer that does not say it is behind holds numbers of one moment: two runs that are sold in turn differ by one at most.
func TestLookIsOfOneMoment(t *testing.T) {
	r, q := railway(), query("BJP", "SHH")
	q.Depart = view.Window{First: 420, Last: 421}
	g1 := rail.RunID{Date: testkit.Tuesday, Trip: "G1"}
	done := inTurns(r, g1)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		a := view.Look(r, q, testkit.Morning)
		if c := a.Offers[0].Classes; !a.Behind && c[0].Remaining+c[1].Remaining != 100 {
			t.Fatalf("half a change: %d and %d", c[0].Remaining, c[1].Remaining)
		} else if v := a.Offers[0].Version; !a.Behind && c[0].Remaining != rail.SeatCount(99+v.Revision%2) { // even ones sell, odd ones give back
			t.Fatalf("%d left at version %s", c[0].Remaining, v)
		}
		d := view.Whole(r, g1, testkit.Morning)
		for _, od := range d.ODs {
			if od.Classes[0].Remaining+od.Classes[1].Remaining != 100 {
				t.Fatalf("half a change in the whole run: %+v", od)
			}
		}
	}
}

func TestWhole(t *testing.T) {
	r := railway()
	d := view.Whole(r, rail.RunID{Date: testkit.Tuesday, Trip: "G9"}, testkit.Morning)
	if d == nil || len(d.ODs) != 3 || d.Version != (rail.Version{Epoch: 1, Revision: 1}) {
		t.Fatalf("%+v", d)
	}
	states := []rail.State{d.ODs[0].Classes[0].State, d.ODs[1].Classes[0].State, d.ODs[2].Classes[0].State}
	if !slices.Equal(states, []rail.State{rail.Available, rail.Available, rail.Restricted}) {
		t.Errorf("%v", states)
	}
	if view.Whole(r, rail.RunID{Date: testkit.Tuesday, Trip: "G99"}, testkit.Morning) != nil {
		t.Error("a run that does not exist")
	}
	k13 := view.Whole(r, rail.RunID{Date: testkit.Tuesday - 1, Trip: "K13"}, testkit.Morning)
	if k13.ODs[0].Classes[0].Reason.Kind != view.HasDeparted {
		t.Errorf("%+v", k13.ODs[0])
	}
}

func BenchmarkLook(b *testing.B) {
	for _, trains := range []int{1, 17, 129} {
		busy := testkit.NewBusy(func() time.Time { return testkit.Morning }, 1, trains)
		q := busy.Search(0)
		b.Run(fmt.Sprintf("runs=%d", trains), func(b *testing.B) {
			var s view.Scratch
			b.ReportAllocs()
			for b.Loop() {
				if a := s.Look(busy.Replica, q, testkit.Morning, nil); len(a.Offers) != trains {
					b.Fatal(len(a.Offers))
				}
			}
		})
		b.Run(fmt.Sprintf("current/runs=%d", trains), func(b *testing.B) {
			a := view.Look(busy.Replica, q, testkit.Morning)
			b.ReportAllocs()
			for b.Loop() {
				if !a.Current(busy.Replica, testkit.Morning) {
					b.Fatal("not current")
				}
			}
		})
	}
}
