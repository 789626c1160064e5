package timetable

import (
	"errors"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/rail"
)

// goodPattern calls at A, B and C, with second class at fares known for all ODs but one.
func goodPattern() *Pattern {
	return &Pattern{
		ID: "p1", Train: "G1", Category: "G",
		Stops: []Stop{{Station: "A", Arrive: 10, Depart: 10}, {Station: "B", Arrive: 20, Depart: 22, Train: "G4"}, {Station: "C", Arrive: 1500, Depart: 1500}},
		Classes: []ClassOffer{
			{Class: "O", Fares: []rail.Money{100, 250, NoFare}},
			{Class: "WZ", Accommodation: rail.Standing},
		},
	}
}

// checkInvalid wants no error for an empty want, else ErrInvalid with a text that holds want.
func checkInvalid(t *testing.T, name, want string, err error) {
	t.Helper()
	switch {
	case want == "" && err == nil:
	case want == "" || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want):
		t.Errorf("%s: error %v, want %q", name, err, want)
	}
}

func TestNetworkValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Network)
		want   string
	}{
		{"good", func(*Network) {}, ""},
		{"no places at all", func(n *Network) { n.Cities, n.Stations = nil, nil }, ""},
		{"no zone", func(n *Network) { n.Timezone = "" }, `timezone ""`},
		{"unknown zone", func(n *Network) { n.Timezone = "Asia/Peking" }, `timezone "Asia/Peking"`},
		{"no sale days", func(n *Network) { n.SaleDays = 0 }, "sale_days 0; want 1 to 400"},
		{"too many sale days", func(n *Network) { n.SaleDays = 401 }, "sale_days 401"},
		{"city code", func(n *Network) { n.Cities[0].Code = "a b" }, "city code"},
		{"city twice", func(n *Network) { n.Cities[1].Code = "X" }, `city code "X" occurs twice`},
		{"city without a name", func(n *Network) { n.Cities[2].Name = "" }, `city "Z" has no name`},
		{"station code", func(n *Network) { n.Stations[0].Code = "" }, "station code"},
		{"station twice", func(n *Network) { n.Stations[1].Code = "A" }, `station code "A" occurs twice`},
		{"station without a name", func(n *Network) { n.Stations[3].Name = "" }, `station "D" has no name`},
		{"unknown city", func(n *Network) { n.Stations[0].City = "Q" }, `city "Q" is not in the network`},
	} {
		n := twoCities()
		c.change(n)
		checkInvalid(t, c.name, c.want, n.Validate())
	}
}

func TestPatternValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Pattern)
		want   string
	}{
		{"good", func(*Pattern) {}, ""},
		{"no classes", func(p *Pattern) { p.Classes = nil }, ""},
		{"one station twice", func(p *Pattern) { p.Stops[2].Station = "A" }, ""},
		{"id", func(p *Pattern) { p.ID = "a.b" }, "pattern id"},
		{"one stop", func(p *Pattern) { p.Stops = p.Stops[:1] }, "1 stops; want 2 to 512"},
		{"too many stops", func(p *Pattern) { p.Stops = make([]Stop, rail.MaxStops+1) }, "513 stops"},
		{"too many classes", func(p *Pattern) { p.Classes = make([]ClassOffer, rail.MaxClasses+1) }, "33 classes; want at most 32"},
		{"no station", func(p *Pattern) { p.Stops[1].Station = "" }, "stop 1 has no station"},
		{"before the service date", func(p *Pattern) { p.Stops[0].Arrive = -1 }, "stop 0 arrives at -1"},
		{"leaves before it arrives", func(p *Pattern) { p.Stops[1].Depart = 19 }, "stop 1 arrives at 20, departs at 19"},
		{"arrives before it left", func(p *Pattern) { p.Stops[1].Arrive = 9 }, "stop 1 arrives at 9"},
		{"too long", func(p *Pattern) { p.Stops[2].Depart = 14*rail.Day + 1 }, "at most 20160"},
		{"class code empty", func(p *Pattern) { p.Classes[0].Class = "" }, `class ""`},
		{"class code too long", func(p *Pattern) { p.Classes[0].Class = "ABC" }, `class "ABC"`},
		{"class twice", func(p *Pattern) { p.Classes[1].Class = "O" }, `class "O" occurs twice`},
		{"fares missing", func(p *Pattern) { p.Classes[0].Fares = p.Classes[0].Fares[:2] }, "has 2 fares; want none or one for each of 3 ODs"},
		{"fare below -1", func(p *Pattern) { p.Classes[0].Fares[1] = -2 }, "has fare -2"},
	} {
		p := goodPattern()
		c.change(p)
		checkInvalid(t, c.name, c.want, p.Validate())
	}
}

// TestOD: the ODs from-major are numbered without a gap.
func TestOD(t *testing.T) {
	for stops := range 40 {
		next := 0
		for from := range stops {
			for to := from + 1; to < stops; to++ {
				if got := OD(stops, rail.StopIndex(from), rail.StopIndex(to)); got != next {
					t.Fatalf("OD(%d, %d, %d) = %d, want %d", stops, from, to, got, next)
				}
				next++
			}
		}
		if NumODs(stops) != next {
			t.Errorf("NumODs(%d) = %d, want %d", stops, NumODs(stops), next)
		}
	}
}

func TestFare(t *testing.T) {
	p := goodPattern()
	for _, c := range []struct {
		class          int
		from, to       rail.StopIndex
		fare           rail.Money
		known, offered bool
	}{
		{0, 0, 1, 100, true, true},
		{0, 0, 2, 250, true, true},
		{0, 1, 2, NoFare, false, false},
		{1, 0, 2, 0, false, true},
	} {
		if fare, known, offered := p.Fare(c.class, c.from, c.to); fare != c.fare || known != c.known || offered != c.offered {
			t.Errorf("Fare(%d, %d, %d) = %d, %t, %t; want %d, %t, %t", c.class, c.from, c.to, fare, known, offered, c.fare, c.known, c.offered)
		}
	}
}

func TestTrainAt(t *testing.T) {
	p := goodPattern()
	for i, want := range []string{"G1", "G4", "G4"} {
		if got := p.TrainAt(rail.StopIndex(i)); got != want {
			t.Errorf("TrainAt(%d) = %q, want %q", i, got, want)
		}
	}
	if p.Arrival() != 1500 {
		t.Errorf("Arrival() = %d, want 1500", p.Arrival())
	}
}

func TestNamesIn(t *testing.T) {
	n := Names{Name: "北京", Other: map[string]string{"en": "Beijing", "ko": ""}}
	for lang, want := range map[rail.Lang]string{rail.Native: "北京", rail.English: "Beijing", rail.Korean: "北京", "fr": "北京"} {
		if got := n.In(lang); got != want {
			t.Errorf("In(%q) = %q, want %q", lang, got, want)
		}
	}
}

// TestContentID: the id is of all content and of nothing else.
func TestContentID(t *testing.T) {
	good := goodPattern().ContentID()
	if err := rail.CheckToken(string(good)); err != nil || len(good) != 32 {
		t.Errorf("id %q: %v; want 32 hexadecimal digits", good, err)
	}
	renamed := goodPattern()
	renamed.ID = "other"
	if got := renamed.ContentID(); got != good {
		t.Errorf("id %s, with another ID before %s", good, got)
	}
	seen := map[rail.PatternID]string{good: "unchanged"}
	for name, change := range map[string]func(*Pattern){
		"train":         func(p *Pattern) { p.Train = "G2" },
		"category":      func(p *Pattern) { p.Category = "D" },
		"stop gone":     func(p *Pattern) { p.Stops = p.Stops[:2] },
		"station":       func(p *Pattern) { p.Stops[1].Station = "D" },
		"arrival":       func(p *Pattern) { p.Stops[1].Arrive = 21 },
		"departure":     func(p *Pattern) { p.Stops[1].Depart = 23 },
		"no boarding":   func(p *Pattern) { p.Stops[1].NoBoarding = true },
		"no alighting":  func(p *Pattern) { p.Stops[1].NoAlighting = true },
		"new number":    func(p *Pattern) { p.Stops[1].Train = "" },
		"class":         func(p *Pattern) { p.Classes[0].Class = "M" },
		"accommodation": func(p *Pattern) { p.Classes[0].Accommodation = rail.Berth },
		"fare":          func(p *Pattern) { p.Classes[0].Fares[0]++ },
		"no fares":      func(p *Pattern) { p.Classes[0].Fares = nil },
	} {
		p := goodPattern()
		change(p)
		id := p.ContentID()
		if other, taken := seen[id]; taken {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[id] = name
	}
}
