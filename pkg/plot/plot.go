// Package plot draws lines over axes as SVG, for reports that are read in a browser. Colours come from the page (Style), so that one picture is right on a
// light ground and on a dark one; no script is needed, a title shows the numbers under the pointer.
//
// Invariants (cited by the tests as P1...):
//
//	P1 A picture is well-formed XML, whatever text and numbers it is given; what is no number is not drawn.
//	P2 No point lies outside the axes.
package plot

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Style is the style sheet of all pictures of a page.
const Style = `
:root { --plot-text: #52565c; --plot-grid: #e4e6ea; --plot-axis: #aeb3ba; --plot-span: #f2b70533; --plot-0: #2563c9; --plot-1: #0f9388; --plot-2: #d97a06; --plot-3: #c8324a; --plot-4: #7a55c7 }
@media (prefers-color-scheme: dark) {
  :root { --plot-text: #a4abb5; --plot-grid: #2b3038; --plot-axis: #5b636e; --plot-span: #f2b70526; --plot-0: #6fa5ff; --plot-1: #3fcabd; --plot-2: #f5a742; --plot-3: #ff7187; --plot-4: #b497ff }
}
.plot { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums }
.plot text { fill: var(--plot-text) }
.plot .grid { stroke: var(--plot-grid); fill: none }
.plot .axis { stroke: var(--plot-axis); fill: none }
.plot .line { fill: none; stroke-width: 1.7; stroke-linejoin: round; stroke-linecap: round }
.plot .area { stroke: none; opacity: .16 }
.plot .span { fill: var(--plot-span) }
.plot .band { fill: transparent }
.plot .band:hover { fill: var(--plot-axis); opacity: .22 }
`

// colours are how many Style has; more lines begin anew.
const colours = 5

// Size of a picture in its own units, and the room around the axes.
const (
	width, height = 600.0, 270.0
	left, right   = 56.0, 16.0
	top, bottom   = 34.0, 40.0
)

// Point is a point of a line. One of whose numbers is NaN or infinite is a gap.
type Point struct{ X, Y float64 }

func (p Point) drawn() bool { return finite(p.X) && finite(p.Y) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Line is a line with a short name for the legend.
type Line struct {
	Name   string
	Points []Point
	// Step keeps each value until the next point; Fill shades what is below.
	Step, Fill bool
}

// Span is a stretch of the x axis that is shaded.
type Span struct {
	From, To float64
	Name     string
}

// Plot is lines over axes. The zero value is an empty picture.
type Plot struct {
	// Name is read aloud instead of the picture.
	Name  string
	X, Y  Axis
	Lines []Line
	Spans []Span
	// Notes, if there are any, are shown under the pointer: one for each point of the first line.
	Notes []string
}

// picture is a plot that is being drawn.
type picture struct {
	*Plot
	strings.Builder
	x, y scale
}

// SVG draws the picture.
func (p *Plot) SVG() string {
	d := &picture{Plot: p}
	lo, hi := p.bounds(func(q Point) float64 { return q.X })
	d.x = p.X.scale(lo, hi, false)
	lo, hi = p.bounds(func(q Point) float64 { return q.Y })
	d.y = p.Y.scale(lo, hi, true)
	fmt.Fprintf(d, `<svg class="plot" viewBox="0 0 %g %g" role="img" aria-label="%s">`, width, height, escape(p.Name))
	d.spans()
	d.axes()
	for i := range p.Lines {
		d.line(i)
	}
	d.legend()
	d.notes()
	d.WriteString("</svg>\n")
	return d.String()
}

// escape makes text safe within XML, which knows no control characters.
func escape(text string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "")))
}

// bounds are the least and the greatest number of all points; lo > hi if there is none.
func (p *Plot) bounds(of func(Point) float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, l := range p.Lines {
		for _, q := range l.Points {
			if q.drawn() {
				lo, hi = min(lo, of(q)), max(hi, of(q))
			}
		}
	}
	return lo, hi
}

// px and py are where a number is in the picture (P2).
func (d *picture) px(x float64) float64 {
	return math.Round((left+d.x.at(x)*(width-left-right))*10) / 10
}

func (d *picture) py(y float64) float64 {
	return math.Round((height-bottom-d.y.at(y)*(height-top-bottom))*10) / 10
}

func (d *picture) axes() {
	for _, v := range d.y.ticks {
		y := d.py(v)
		fmt.Fprintf(d, `<path class="grid" d="M%g %gH%g"/><text x="%g" y="%g" text-anchor="end">%s</text>`, left, y, width-right, left-8, y+4, escape(d.Y.label(v)))
	}
	for _, v := range d.x.ticks {
		x, anchor := d.px(v), "middle"
		fmt.Fprintf(d, `<path class="axis" d="M%g %gv5"/>`, x, height-bottom)
		if x > width-2*right { // it would be cut at the edge
			x, anchor = width-2, "end"
		}
		fmt.Fprintf(d, `<text x="%g" y="%g" text-anchor="%s">%s</text>`, x, height-bottom+18, anchor, escape(d.X.label(v)))
	}
	fmt.Fprintf(d, `<path class="axis" d="M%g %gH%g"/>`, left, height-bottom, width-right)
	fmt.Fprintf(d, `<text x="%g" y="%g" text-anchor="end">%s</text>`, width-right, height-5, escape(d.X.Title))
	fmt.Fprintf(d, `<text x="%g" y="16">%s</text>`, 4.0, escape(d.Y.Title))
}

func (d *picture) spans() {
	for _, s := range d.Spans {
		if !finite(s.From) || !finite(s.To) || s.From > s.To {
			continue
		}
		from, to := d.px(s.From), d.px(s.To)
		fmt.Fprintf(d, `<rect class="span" x="%g" y="%g" width="%g" height="%g"/><text x="%g" y="%g">%s</text>`, from, top, to-from, height-top-bottom, from+5, top+13, escape(s.Name))
	}
}

func (d *picture) line(i int) {
	l := &d.Lines[i]
	var path, area strings.Builder
	for begin := 0; begin < len(l.Points); {
		end := begin
		for end < len(l.Points) && l.Points[end].drawn() {
			end++
		}
		if piece := d.piece(l.Points[begin:end], l.Step); piece != "" {
			path.WriteString("M" + piece)
			fmt.Fprintf(&area, "M%g %gL%sV%gZ", d.px(l.Points[begin].X), height-bottom, piece, height-bottom)
		}
		begin = end + 1
	}
	if l.Fill {
		fmt.Fprintf(d, `<path class="area" style="fill:var(--plot-%d)" d="%s"/>`, i%colours, area.String())
	}
	fmt.Fprintf(d, `<path class="line" style="stroke:var(--plot-%d)" d="%s"/>`, i%colours, path.String())
}

// piece is a path through points without a gap. A single point becomes a short dash.
func (d *picture) piece(points []Point, step bool) string {
	var b strings.Builder
	for i, q := range points {
		switch x, y := d.px(q.X), d.py(q.Y); {
		case i == 0:
			fmt.Fprintf(&b, "%g %g", x, y)
		case step:
			fmt.Fprintf(&b, "H%gV%g", x, y)
		default:
			fmt.Fprintf(&b, "L%g %g", x, y)
		}
	}
	if len(points) == 1 {
		b.WriteString("h1")
	}
	return b.String()
}

// legend stands above the axes, from the right.
func (d *picture) legend() {
	if len(d.Lines) < 2 {
		return
	}
	x := width - right
	for i := len(d.Lines) - 1; i >= 0; i-- {
		name := d.Lines[i].Name
		x -= 7 * float64(len([]rune(name)))
		fmt.Fprintf(d, `<text x="%g" y="16">%s</text><path class="line" style="stroke:var(--plot-%d);stroke-width:3" d="M%g 12h12"/>`, x, escape(name), i%colours, x-18)
		x -= 32
	}
}

// notes are bands under the pointer, each around its point.
func (d *picture) notes() {
	if len(d.Lines) == 0 {
		return
	}
	points := d.Lines[0].Points
	for i, note := range d.Notes[:min(len(d.Notes), len(points))] {
		if !finite(points[i].X) {
			continue
		}
		here, from, to := d.px(points[i].X), left, width-right
		if i > 0 && finite(points[i-1].X) {
			from = (d.px(points[i-1].X) + here) / 2
		}
		if i+1 < len(points) && finite(points[i+1].X) {
			to = (d.px(points[i+1].X) + here) / 2
		}
		fmt.Fprintf(d, `<rect class="band" x="%g" y="%g" width="%g" height="%g"><title>%s</title></rect>`, from, top, max(to-from, 0), height-top-bottom, escape(note))
	}
}
