package load

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"time"

	"github.com/yupiao/yupiao/pkg/plot"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("report").Parse(pageText))

// tile is a number that is read first.
type tile struct {
	Name, Value, Unit, More string
	Bad                     bool
}

// figure is a plot with what it shows.
type figure struct {
	Name, About string
	SVG         template.HTML
}

// HTML is the report as a page that needs nothing else. It is light or dark as its reader likes.
func (r *Report) HTML() ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, map[string]any{
		"Style": template.CSS(plot.Style), //nolint:gosec // of this program, as are the plots, which escape their texts (P1)
		"Title": fmt.Sprintf("%g requests/s for %s", r.Settings.Rate, r.Settings.For), "Headline": r.Settings.Headline(), "Begin": r.Begin.Format(time.RFC1123),
		"Tiles": r.tiles(), "Notes": r.Notes, "Rows": r.htmlRows(), "Figures": r.figures(), "Watching": r.Watching,
	})
	return b.Bytes(), err
}

func (r *Report) tiles() []tile {
	failed := r.Due - r.Answered
	all := []tile{
		{Name: "answers", Value: plot.Number(r.perSecond(r.Answered)), Unit: "/s", More: fmt.Sprintf("%d of %d that were due", r.Answered, r.Due)},
		{Name: "median", Value: short(r.Latency.P50), Unit: "ms", More: "half had their answer by then"},
		{Name: "p99", Value: short(r.Latency.P99), Unit: "ms", More: "one in a hundred waited longer"},
		{Name: "p99.9", Value: short(r.Latency.P999), Unit: "ms", More: "the slowest waited " + short(r.Latency.Max) + " ms"},
		{Name: "without an answer", Value: plot.Number(float64(failed) / float64(max(r.Due, 1)) * 100), Unit: "%", More: fmt.Sprintf("%d requests", failed), Bad: failed > 0},
		{Name: "age of answers, p99", Value: short(r.Age.P99), Unit: "ms", More: "the oldest was " + short(r.Age.Max) + " ms old"},
		{
			Name: "generator late, p99", Value: short(r.Generator.Lag.P99), Unit: "ms", Bad: r.Generator.Lag.P99 > milliseconds(tooLate) || r.Generator.Starved > tooStarved,
			More: fmt.Sprintf("used %.2f of %d processors, waited for one %.0f%%", r.Generator.Processors, r.Generator.Available, r.Generator.Starved*100),
		},
	}
	if w := r.Watching; w != nil {
		all = append(all, tile{
			Name: "watcher's silence, p99", Value: short(w.Silence.P99), Unit: "ms", Bad: w.Silent > 0, More: fmt.Sprintf("%d watchers, longest %s ms", w.Watchers, short(w.Silence.Max)),
		})
	} else {
		all = append(all, tile{Name: "bodies", Value: plot.Number(r.perSecond(r.Bytes) / 1e6), Unit: "MB/s", More: plot.Number(float64(r.Bytes)/1e6) + " MB in all"})
	}
	return all
}

// htmlRow is a row of the page's table.
type htmlRow struct {
	Name, Count, Share string
	Times              []string
}

func (r *Report) htmlRows() (rows []htmlRow) {
	for _, row := range r.rows() {
		h := htmlRow{Name: row.name, Count: fmt.Sprint(row.d.Count), Share: row.share}
		for _, m := range []Milliseconds{row.d.Mean, row.d.P50, row.d.P90, row.d.P99, row.d.P999, row.d.Max} {
			h.Times = append(h.Times, short(m))
		}
		rows = append(rows, h)
	}
	return rows
}

func (r *Report) figures() []figure {
	all := []figure{
		{"Latency over time", "Of the requests that were due in each second, from when they were due.", drawn(r.latencyOverTime())},
		{"Requests and answers", "Asked is what was due; sent and answers are what happened in the second.", drawn(r.rateOverTime())},
		{"Latency by percentile", "The further to the right, the rarer. All requests count, those without an answer with the time until they were given up.", drawn(r.latencyByPercentile())},
		{"Age of answers", "How long ago an answer was known to be complete when it came.", drawn(r.ageShares())},
	}
	if r.Watching != nil {
		all = append(all, figure{"Watchers", "How long they heard nothing between two events, and how far behind the status events were.", drawn(r.watchersByPercentile())})
	}
	return all
}

func drawn(p *plot.Plot) template.HTML { return template.HTML(p.SVG()) } //nolint:gosec // it escapes its texts (P1)

// spans are the rush.
func (r *Report) spans() []plot.Span {
	if r.Settings.Rush == nil {
		return nil
	}
	at, _ := time.ParseDuration(r.Settings.Rush.At) // it was written by Duration.String
	length, _ := time.ParseDuration(r.Settings.Rush.For)
	return []plot.Span{{From: at.Seconds(), To: (at + length).Seconds(), Name: "rush"}}
}

// overTime is a line with a number for each second, in its middle.
func (r *Report) overTime(name string, of func(*Second) float64) plot.Line {
	l := plot.Line{Name: name}
	for i := range r.Series {
		l.Points = append(l.Points, plot.Point{X: float64(r.Series[i].Second) + 0.5, Y: of(&r.Series[i])})
	}
	return l
}

// stairs are a line with a count for each second, from its beginning to its end.
func (r *Report) stairs(name string, of func(*Second) uint64) plot.Line {
	l := plot.Line{Name: name, Step: true}
	for i := range r.Series {
		l.Points = append(l.Points, plot.Point{X: float64(r.Series[i].Second), Y: float64(of(&r.Series[i]))})
	}
	if n := len(l.Points); n > 0 {
		l.Points = append(l.Points, plot.Point{X: l.Points[n-1].X + 1, Y: l.Points[n-1].Y})
	}
	return l
}

func timeAxis() plot.Axis { return plot.Axis{Title: "seconds"} }

func latencyAxis() plot.Axis { return plot.Axis{Kind: plot.Log, Format: duration} }

// duration writes a number of milliseconds in the unit that makes it short.
func duration(ms float64) string {
	switch {
	case ms == 0:
		return "0"
	case ms < 1:
		return plot.Number(ms*1000) + " µs"
	case ms < 1000:
		return plot.Number(ms) + " ms"
	default:
		return plot.Number(ms/1000) + " s"
	}
}

func (r *Report) latencyOverTime() *plot.Plot {
	p := &plot.Plot{Name: "Latency over time", X: timeAxis(), Y: latencyAxis(), Spans: r.spans()}
	for _, line := range []struct {
		name string
		of   func(*Distribution) Milliseconds
	}{
		{"p50", func(d *Distribution) Milliseconds { return d.P50 }}, {"p90", func(d *Distribution) Milliseconds { return d.P90 }},
		{"p99", func(d *Distribution) Milliseconds { return d.P99 }}, {"max", func(d *Distribution) Milliseconds { return d.Max }},
	} {
		p.Lines = append(p.Lines, r.overTime(line.name, func(s *Second) float64 {
			if s.Latency.Count == 0 {
				return math.NaN()
			}
			return float64(line.of(&s.Latency))
		}))
	}
	for i := range r.Series {
		s := &r.Series[i]
		p.Notes = append(p.Notes, fmt.Sprintf("second %d\np50 %s ms\np90 %s ms\np99 %s ms\nmax %s ms", s.Second, short(s.Latency.P50), short(s.Latency.P90), short(s.Latency.P99), short(s.Latency.Max)))
	}
	return p
}

func (r *Report) rateOverTime() *plot.Plot {
	p := &plot.Plot{Name: "Requests and answers", X: timeAxis(), Y: plot.Axis{Title: "per second", Format: plot.Number}, Spans: r.spans(), Lines: []plot.Line{
		r.stairs("asked", func(s *Second) uint64 { return s.Asked }), r.stairs("sent", func(s *Second) uint64 { return s.Sent }),
		r.stairs("answers", func(s *Second) uint64 { return s.Answers }),
	}}
	p.Lines[0].Fill = true
	if r.Answered < r.Due {
		p.Lines = append(p.Lines, r.stairs("errors", func(s *Second) uint64 { return s.Errors }))
	}
	for i := range r.Series {
		s := &r.Series[i]
		p.Notes = append(p.Notes, fmt.Sprintf("second %d\nasked %d\nsent %d\nanswers %d\nerrors %d", s.Second, s.Asked, s.Sent, s.Answers, s.Errors))
	}
	return p
}

func percentileAxis() plot.Axis {
	return plot.Axis{Title: "percentile", Kind: plot.Nines, Format: plot.Percent}
}

// byPercentile is a distribution as a line. The last percentile, 100, has no place on an axis of nines: it stands where one of them all is half over.
func byPercentile(name string, f Full) plot.Line {
	l := plot.Line{Name: name}
	for _, p := range f.Percentiles {
		l.Points = append(l.Points, plot.Point{X: min(p.Percentile, 100*(1-0.5/float64(f.Count))), Y: float64(p.Value)})
	}
	return l
}

func (r *Report) latencyByPercentile() *plot.Plot {
	p := &plot.Plot{Name: "Latency by percentile", X: percentileAxis(), Y: latencyAxis(), Lines: []plot.Line{byPercentile("all", r.Latency)}}
	if len(r.Outcomes) > 1 {
		for _, c := range r.Outcomes {
			p.Lines = append(p.Lines, byPercentile(c.Outcome.String(), c.Latency))
		}
	}
	return p
}

func (r *Report) ageShares() *plot.Plot {
	l := plot.Line{Name: "share of the answers", Step: true, Fill: true}
	p := &plot.Plot{Name: "Age of answers", X: plot.Axis{Title: "ms", Format: plot.Number}, Y: plot.Axis{Title: "% of the answers", Format: plot.Number}}
	for _, b := range r.AgeShares {
		l.Points = append(l.Points, plot.Point{X: float64(b.From), Y: b.Share * 100})
		p.Notes = append(p.Notes, fmt.Sprintf("from %s to %s ms\n%.2f%% of the answers", short(b.From), short(b.To), b.Share*100))
	}
	if n := len(r.AgeShares); n > 0 {
		l.Points = append(l.Points, plot.Point{X: float64(r.AgeShares[n-1].To), Y: r.AgeShares[n-1].Share * 100})
	}
	p.Lines = []plot.Line{l}
	return p
}

func (r *Report) watchersByPercentile() *plot.Plot {
	return &plot.Plot{Name: "Watchers", X: percentileAxis(), Y: plot.Axis{Format: duration}, Lines: []plot.Line{
		byPercentile("silence", r.Watching.Silence), byPercentile("behind", r.Watching.Behind),
	}}
}
