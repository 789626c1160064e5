package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// sound reads a picture as XML and holds all its coordinates to its size (P1, P2).
func sound(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("P1: %v in %s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			inside(t, e)
		}
	}
}

var numbers = regexp.MustCompile(`([MLHVhv ])(-?[0-9.e+]+)`)

func inside(t *testing.T, e xml.StartElement) {
	t.Helper()
	for _, a := range e.Attr {
		var all []string
		switch a.Name.Local {
		case "x", "y", "width", "height":
			all = []string{a.Value}
		case "d":
			for _, m := range numbers.FindAllStringSubmatch(a.Value, -1) {
				all = append(all, m[2])
			}
		}
		for _, text := range all {
			v, err := strconv.ParseFloat(text, 64)
			if (err != nil || !(v >= 0 && v <= width)) && e.Name.Local != "text" { // a long legend may begin outside
				t.Fatalf("P2: %s of %s is %s", a.Name.Local, e.Name.Local, text)
			}
		}
	}
}

func TestSVG(t *testing.T) {
	p := Plot{
		Name: `a < b & "c"`, X: Axis{Title: "seconds"}, Y: Axis{Title: "ms", Kind: Log, Format: Number},
		Lines: []Line{
			{Name: "one", Points: []Point{{0, 1}, {1, 10}, {2, math.NaN()}, {3, 100}}},
			{Name: "two", Step: true, Fill: true, Points: []Point{{0, 0}, {1, 50}, {3, 2}}},
		},
		Spans: []Span{{1, 2, "rush"}, {math.NaN(), 1, "nowhere"}}, Notes: []string{"first\nnote", "second", "third", "fourth", "too many"},
	}
	svg := p.SVG()
	sound(t, svg)
	for text, times := range map[string]int{
		`aria-label="a &lt; b &amp; &#34;c&#34;"`: 1, `class="line" style="stroke:var(--plot-1)" d="M`: 1, `class="area" style="fill:var(--plot-1)"`: 1, `class="band"`: 4, `class="span"`: 1,
		"<title>first\nnote</title>": 1, "nowhere": 0, "too many": 0, "NaN": 0, ">100</text>": 1, ">0.1</text>": 1,
		`d="M56 164.7L232 99.3M584 34h1"`: 1, // the first piece of line one; the second, after the gap, is a dash
	} {
		if got := strings.Count(svg, text); got != times {
			t.Errorf("%s is there %d times; want %d\n%s", text, got, times, svg)
		}
	}
	empty := Plot{}
	sound(t, empty.SVG())
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		lo, hi float64
		round  bool
		want   string
	}{
		{Linear, 3, 19.5, false, "0 5 10 15"},
		{Linear, 3, 19.5, true, "0 5 10 15 20 25"},
		{Linear, 0, 0.03, false, "0 0.01 0.02 0.03"},
		{Linear, math.Inf(1), math.Inf(-1), true, "0 0.2 0.4 0.6 0.8 1 1.2"},
		{Linear, 0, 5e-324, true, "0 0.2 0.4 0.6 0.8 1 1.2"},
		{Log, math.Inf(1), math.Inf(-1), true, "1 2 5 10"},
		{Log, 1e300, 1e301, true, "1e+15 2e+15 5e+15 1e+16"},
		{Log, 0.3, 20, true, "0.1 1 10 100"},
		{Log, 20, 90, true, "10 20 50 100"},
		{Log, 10, 10, true, "10 20 50 100"},
		{Log, 0, 1000, true, "1 10 100 1000"},
		{Nines, 0, 99.95, true, "0 50 90 99 99.9"},
		{Nines, 0, 50, true, "0 50 90"},
	} {
		a := Axis{Kind: c.kind}
		s := a.scale(c.lo, c.hi, c.round)
		var labels []string
		for _, v := range s.ticks {
			labels = append(labels, a.label(v))
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("kind %d from %g to %g: %s; want %s", c.kind, c.lo, c.hi, got, c.want)
		}
	}
	a := Axis{Kind: Nines}
	s := a.scale(0, 99.9, true)
	for v, want := range map[float64]float64{0: 0, 90: 1. / 3, 99: 2. / 3, 99.9: 1, 100: 1, -5: 0} {
		if got := s.at(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("%g is at %g; want %g", v, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0314: "0.0314", 1.254: "1.25", 100: "100", 1234.4: "1234", 12345: "12.3k", 2.5e6: "2.5M", 3e9: "3G", -20000: "-20k"} {
		if got := Number(v); got != want {
			t.Errorf("%g is %s; want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0%", 99.9: "99.9%", 100 - 1e-5: "99.99999%"} {
		if got := Percent(v); got != want {
			t.Errorf("%g is %s; want %s", v, got, want)
		}
	}
}

// P1 and P2 for any text and any numbers.
func FuzzSVG(f *testing.F) {
	f.Add("name", 1.0, 2.0, 3.0, 4.0, uint8(0))
	f.Add("<&\x00\xff\ufffe", math.NaN(), math.Inf(1), -1e300, 1e-300, uint8(5))
	f.Add("nothing is drawn", math.NaN(), math.NaN(), math.NaN(), math.NaN(), uint8(4))
	f.Add("too small to be seen", 0.0, 5e-324, 5e-324, 0.0, uint8(0))
	f.Add("", 100.0, 99.99, 0.0, 5e-324, uint8(10))
	f.Fuzz(func(t *testing.T, text string, a, b, c, d float64, kinds uint8) {
		p := Plot{
			Name: text, X: Axis{Title: text, Kind: Kind(kinds % 3)}, Y: Axis{Kind: Kind(kinds / 3 % 3), Format: Number}, Spans: []Span{{a, b, text}}, Notes: []string{text, text},
			Lines: []Line{{Name: text[:min(len(text), 20)], Points: []Point{{a, b}, {c, d}, {d, a}}, Step: kinds > 100, Fill: kinds > 50}, {Points: []Point{{b, c}}}},
		}
		svg := p.SVG()
		sound(t, svg)
		if strings.Contains(strings.ReplaceAll(svg, escape(text), ""), "NaN") {
			t.Errorf("P1: no number is drawn: %s", svg)
		}
	})
}
