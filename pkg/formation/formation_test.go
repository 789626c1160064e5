package formation

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/rail"
)

// F1.
func TestDefault(t *testing.T) {
	r := Default()
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	for category, name := range map[string]string{"G": "high-speed", "g": "high-speed", "D": "EMU", "C": "intercity", "Z": "classic", "": "classic", "2": "classic"} {
		if got := r.For(category).Name; got != name {
			t.Errorf("%q is %s; want %s", category, got, name)
		}
	}
}

// The fares that everybody knows: Beijing-Shanghai, 1,318 km by high-speed line and 1,463 km by the classic one.
func TestKnownFares(t *testing.T) {
	within := func(what string, got rail.Money, low, high rail.Money) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s costs %d; want %d to %d", what, got, low, high)
		}
	}
	g := Default().For("G").Offers([]float64{0, 1318})
	within("second class", g[0].Fares[0], 53000, 62000)
	within("first class", g[1].Fares[0], 86000, 105000)
	within("business", g[2].Fares[0], 165000, 190000)
	k := Default().For("K").Offers([]float64{0, 1463})
	within("hard seat", k[0].Fares[0], 14000, 18000)
	within("hard sleeper", k[1].Fares[0], 25000, 32000)
}

// F2, and each OD has its place in the order of the timetable.
func TestFaresRise(t *testing.T) {
	km := []float64{0, 30, 31, 499, 500, 501, 1000, 2500}
	for _, c := range Default().Categories {
		for _, offer := range c.Offers(km) {
			i := 0
			for from := range km {
				last := rail.Money(0)
				for to := from + 1; to < len(km); to++ {
					if offer.Fares[i] < last || offer.Fares[i]%50 != 0 {
						t.Errorf("%s %s: %g to %g km costs %d after %d", c.Name, offer.Class, km[from], km[to], offer.Fares[i], last)
					}
					last = offer.Fares[i]
					i++
				}
			}
			if i != len(offer.Fares) {
				t.Errorf("%d fares; want %d", len(offer.Fares), i)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*Rules){
		`must match "*"`:                  func(r *Rules) { r.Categories = r.Categories[:1] },
		"match is empty":                  func(r *Rules) { r.Categories[0].Match = nil },
		"speed_kmh is NaN":                func(r *Rules) { r.Categories[1].SpeedKmh = math.NaN() },
		"categories[1] (EMU): classes[0]": func(r *Rules) { r.Categories[1].Classes[0].Class = "OOO" },
		`accommodation is "chair"`:        func(r *Rules) { r.Categories[0].Classes[0].Accommodation = "chair" },
		"places is -1; want 0 to 65535":   func(r *Rules) { r.Categories[0].Classes[0].Places = -1 },
		"per_km is -1":                    func(r *Rules) { r.Categories[0].Classes[0].PerKm = -1 },
		"minimum is 9000000":              func(r *Rules) { r.Categories[0].Classes[0].Minimum = 9000000 },
		`class "O" occurs twice`:          func(r *Rules) { r.Categories[0].Classes[1].Class = "O" },
	} {
		r := Default()
		change(&r)
		if err := r.Validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}
