//go:build linux

package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/plot"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("soak").Parse(pageText))

// verdict is a goal and what came of it.
type verdict struct {
	Goal, Figure string
	Word         word
}

// word is a verdict in a word.
type word string

// The words.
const (
	holds     word = "holds"
	fails     word = "FAILS"
	notJudged word = "not judged"
)

func wordOf(reached bool) word {
	if reached {
		return holds
	}
	return fails
}

// result is what a report tells.
type result struct {
	options
	began    time.Time
	seconds  float64 // measured
	samples  []sample
	events   []mishap
	rolled   []float64
	shared   []float64
	findings *findings
	crowd    crowdResult
	troubles []string
	country  string
	verdicts []verdict
}

// crowdResult is the queries of the crowd.
type crowdResult struct {
	due, good              uint64
	outcomes, problems     map[string]uint64
	p50, p99, p999         float64
	streams, again, events uint64
	failed                 string
}

// report is what is known when it is over.
func (w *watch) report() *result {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &result{
		options: w.options, began: w.began, seconds: max(min(w.at(), w.length.Seconds()), 0), samples: w.samples, events: w.events, rolled: w.rolled, shared: w.shared, findings: &w.findings,
		troubles: append(slices.Clone(w.troubles), w.surprises...),
		country:  fmt.Sprintf("%d trips, %d service dates rolled", len(w.record.schedule.Trips), len(w.rolled)),
	}
	c := w.load
	r.crowd = crowdResult{p50: c.quantile(0.5), p99: c.quantile(0.99), p999: c.quantile(0.999)}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.crowd.due, r.crowd.good, r.crowd.outcomes, r.crowd.problems = c.due, c.good, c.outcomes, c.problems
	r.crowd.streams, r.crowd.again, r.crowd.events, r.crowd.failed = c.streams, c.lost, c.events, c.failed
	r.judge(w.record.figures(), len(w.surprises))
	return r
}

// Limits of the verdicts.
const (
	mostGrowth  = 0.05 // of memory, an hour
	leastAnswer = 0.999
	leastRate   = 0.99
	shortest    = 600. // seconds in which growth can be told from noise
)

// judge makes the verdicts.
func (r *result) judge(f figures, surprises int) {
	say := func(reached bool, goal, format string, args ...any) {
		r.verdicts = append(r.verdicts, verdict{goal, fmt.Sprintf(format, args...), wordOf(reached)})
	}
	c, all := r.findings, after(r.samples)
	say(len(c.Wrong) == 0 && c.Judged > 0, "no answer is wrong and not marked", "%d of %d answers that called themselves live, held against what was true between their as-of and now", len(c.Wrong), c.Judged)
	say(len(c.Inexact) == 0 && c.Exact > 0, "all numbers of a run are those of its version", "%d of %d runs at random are not", len(c.Inexact), c.Exact+len(c.Inexact))
	say(len(c.Diverged) == 0 && c.Compared > 0, "no node diverges from the record, nor from the other", "%d of %d runs, in %d looks at everything", len(c.Diverged), c.Compared, c.Looks)
	lost := 0
	for i := range r.events {
		if math.IsNaN(r.events[i].Recovered) || r.events[i].Failed != "" {
			lost++
		}
	}
	say(lost == 0, "after each fault all is well again within a minute", "%d of %d faults", len(r.events)-lost, len(r.events))
	say(surprises == 0, "no process ends by itself", "%d did", surprises)
	_, rates := series(all, func(s *sample) float64 { return s.changes })
	rate := mean(rates)
	say(rate >= leastRate*float64(r.rate), fmt.Sprintf("%d changes/s are sold and published", r.rate), "%.0f/s; %d of %d published at the end, %d sales refused", rate, f.acked, f.committed, f.withheld)
	share := float64(r.crowd.good) / float64(max(r.crowd.due, 1))
	say(share >= leastAnswer && r.crowd.due > 0, fmt.Sprintf("at least %.1f %% of the queries are answered", 100*leastAnswer), "%.3f %% of %d, over a balancer", 100*share, r.crowd.due)
	for _, m := range []struct {
		name, unit string
		of         func(*sample) float64
	}{
		{"resident memory of node a", "MiB", func(s *sample) float64 { return s.nodes[0].resident }},
		{"heap of node a after a collection", "MiB", func(s *sample) float64 { return s.nodes[0].live }},
		{"goroutines of node a", "", func(s *sample) float64 { return s.nodes[0].goroutines }},
		{"open files of node a", "", func(s *sample) float64 { return s.nodes[0].files }},
	} {
		at, values := series(all, m.of)
		r.flat(m.name, m.unit, at, values)
	}
	at, values := grown(all)
	r.flat("resident memory of node b, 40 to 60 s after each start", "MiB", at, values)
}

// flat is the verdict that something does not grow.
func (r *result) flat(name, unit string, at, values []float64) {
	g := growth(at, values)
	v := verdict{
		fmt.Sprintf("%s grows by no more than %.0f %% an hour", name, 100*mostGrowth),
		fmt.Sprintf("%+.1f %%; median %.0f %s, %.0f to %.0f in %d samples", 100*g, median(values), unit, quantile(values, 0), highest(values), len(values)), wordOf(g <= mostGrowth),
	}
	if len(at) < 4 || at[len(at)-1]-at[0] < shortest {
		v.Word = notJudged
	}
	r.verdicts = append(r.verdicts, v)
}

// grown is node b's memory at about the same age of each of its lives: their medians.
func grown(all []sample) (at, values []float64) {
	lives := map[int][]float64{}
	begins := map[int]float64{}
	for i := range all {
		n := &all[i].nodes[1]
		if n.uptime >= 40 && n.uptime <= 60 && !math.IsNaN(n.resident) {
			lives[n.life] = append(lives[n.life], n.resident)
			begins[n.life] = all[i].at
		}
	}
	for _, life := range slices.Sorted(maps.Keys(lives)) {
		at, values = append(at, begins[life]), append(values, median(lives[life]))
	}
	return at, values
}

func mean(all []float64) (sum float64) {
	for _, v := range all {
		sum += v / float64(len(all))
	}
	return sum
}

// held is whether all goals are reached.
func (r *result) held() bool {
	return !slices.ContainsFunc(r.verdicts, func(v verdict) bool { return v.Word == fails })
}

func (r *result) title() string {
	return fmt.Sprintf("A country for %s with a fault every %s", time.Duration(r.seconds*float64(time.Second)).Round(time.Second), r.faultEvery)
}

// intro says what was done.
func (r *result) intro() []string {
	_, used := series(after(r.samples), func(s *sample) float64 { return s.processor })
	_, runs := series(after(r.samples), func(s *sample) float64 { return s.nodes[0].runs })
	c := r.findings
	return []string{
		fmt.Sprintf("%s, after a warm-up of %s; %s, %s", r.began.UTC().Format(time.RFC1123), r.warmUp, process.Machine(), runtime.Version()),
		fmt.Sprintf("Country at scale %g, seed %d: %s, a day every %s; %.0f runs on a node. %d changes/s wanted, %g queries/s, %d watchers; settings changed %d times. All processes used %.2f processors at the median.",
			r.scale, r.seed, r.country, r.day, median(runs), r.rate, r.queries, r.watchers, len(r.shared), median(used)),
		fmt.Sprintf("Queries of the crowd: p50 %.1f, p99 %.0f, p99.9 %.0f ms from when they were due; outcomes %v; without an answer %v. Watchers: %d streams, %d opened anew within their minute, %d events.",
			r.crowd.p50, r.crowd.p99, r.crowd.p999, r.crowd.outcomes, r.crowd.problems, r.crowd.streams, r.crowd.again, r.crowd.events),
		fmt.Sprintf("Answers asked for by the checks, of each node by itself: %d; %d live, of which %d judged (the others were from before their runs were watched), %d marked degraded (%.2f %%), %d refused; %d were 304. %d requests had no answer: the node was dead or halted.",
			c.Asked, c.Live, c.Judged, c.Degraded, 100*float64(c.Degraded)/float64(max(c.Asked, 1)), c.Refused, c.Same, c.Failed),
	}
}

// kind is all faults of a kind.
type kind struct{ Code, Name, Times, Held, Noticed, Recovered, Answered string }

func (r *result) kinds() (all []kind) {
	by := map[string][]mishap{}
	for _, e := range r.events {
		by[e.Code] = append(by[e.Code], e)
	}
	for _, code := range slices.Sorted(maps.Keys(by)) {
		events := by[code]
		of := func(f func(*mishap) float64) string {
			var values []float64
			for i := range events {
				values = append(values, f(&events[i]))
			}
			missing := slices.ContainsFunc(values, math.IsNaN)
			text := fmt.Sprintf("%.1f (%.1f)", median(values), highest(values))
			switch {
			case math.IsNaN(median(values)):
				return "never"
			case missing:
				return text + ", or never"
			}
			return text
		}
		var asked, answered uint64
		for _, e := range events {
			asked, answered = asked+e.Asked, answered+e.Answered
		}
		all = append(all, kind{
			code, events[0].Name, fmt.Sprint(len(events)), of(func(e *mishap) float64 { return e.Held }), of(func(e *mishap) float64 { return e.Noticed }),
			of(func(e *mishap) float64 { return e.Recovered }), shareOf(answered, asked),
		})
	}
	return all
}

func shareOf(part, whole uint64) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f %% of %d", min(100*float64(part)/float64(whole), 100), whole)
}

// row is an event in words.
type row struct{ Minute, Code, Name, Failed, Held, Noticed, Recovered, Answered string }

func (r *result) rows() (all []row) {
	seconds := func(v float64) string {
		if math.IsNaN(v) {
			return "never"
		}
		return fmt.Sprintf("%.1f", v)
	}
	for _, e := range r.events {
		all = append(all, row{fmt.Sprintf("%.1f", e.At/60), e.Code, e.Name, e.Failed, seconds(e.Held), seconds(e.Noticed), seconds(e.Recovered), shareOf(e.Answered, e.Asked)})
	}
	return all
}

// notes are findings, and what could not be done.
func (r *result) notes() (all []string) {
	add := func(what string, texts []string) {
		for i, text := range texts {
			if text == "" {
				all = append(all, fmt.Sprintf("%s: and %d more", what, len(texts)-i))
				return
			}
			all = append(all, what+": "+text)
		}
	}
	add("wrong", r.findings.Wrong)
	add("inexact", r.findings.Inexact)
	add("diverged", r.findings.Diverged)
	add("trouble", r.troubles)
	if r.crowd.failed != "" {
		all = append(all, "crowd: "+r.crowd.failed)
	}
	return all
}

// text is the report for a terminal.
func (r *result) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.title())
	for _, line := range r.intro() {
		fmt.Fprintf(&b, "%s\n\n", line)
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(t, "    "+strings.Join(cells, "\t")) } // to memory
	for _, v := range r.verdicts {
		line(string(v.Word), v.Goal, v.Figure)
	}
	_ = t.Flush()
	_, _ = fmt.Fprintln(t)
	line("fault", "times", "lasted s", "noticed s", "recovered s", "queries answered")
	for _, k := range r.kinds() {
		line(k.Code+" "+k.Name, k.Times, k.Held, k.Noticed, k.Recovered, k.Answered)
	}
	_ = t.Flush()
	for _, note := range r.notes() {
		fmt.Fprintf(&b, "\n- %s", note)
	}
	return b.String() + "\n"
}

// figure is a picture with what it shows.
type figure struct {
	Name, About string
	SVG         template.HTML
}

// spans are the faults.
func (r *result) spans() (all []plot.Span) {
	for _, e := range r.events {
		end := e.At + e.Held
		if !math.IsNaN(e.Recovered) {
			end += e.Recovered
		}
		all = append(all, plot.Span{From: e.At / 60, To: end / 60, Name: e.Code})
	}
	return all
}

// curve is a number over the time.
type curve struct {
	name string
	of   func(*sample) float64
}

func (r *result) figures() (all []figure) {
	draw := func(name, about string, y plot.Axis, curves ...curve) {
		p := &plot.Plot{Name: name, X: plot.Axis{Title: "minutes"}, Y: y, Spans: r.spans()}
		for _, c := range curves {
			l := plot.Line{Name: c.name}
			for i := range r.samples {
				if s := &r.samples[i]; s.at >= 0 {
					l.Points = append(l.Points, plot.Point{X: s.at / 60, Y: c.of(s)})
				}
			}
			p.Lines = append(p.Lines, l)
		}
		all = append(all, figure{name, about, template.HTML(p.SVG())}) //nolint:gosec // it escapes its texts (P1)
	}
	plain, log := plot.Axis{Format: plot.Number}, plot.Axis{Kind: plot.Log, Format: plot.Number}
	with := func(a plot.Axis, title string) plot.Axis { a.Title = title; return a }
	draw("Changes", "Sold and published. A publisher that was away catches up.", with(plain, "per second"), curve{"sold", func(s *sample) float64 { return s.committed }},
		curve{"published", func(s *sample) float64 { return s.changes }})
	draw("From a sale to its number on a node", "Median of five seconds; seen by asking over NATS, at first every millisecond.", with(log, "ms"),
		curve{"node a", func(s *sample) float64 { return s.visible[0] }}, curve{"node b", func(s *sample) float64 { return s.visible[1] }})
	draw("Age of the data", "What the nodes say at the moment of the sample.", with(plain, "seconds"), curve{"node a", func(s *sample) float64 { return s.nodes[0].age }},
		curve{"node b", func(s *sample) float64 { return s.nodes[1].age }})
	draw("Marked, or silent", "1 while a node says that it is not live, or does not answer.", with(plain, ""), curve{"node a", func(s *sample) float64 { return s.nodes[0].degraded }},
		curve{"node b", func(s *sample) float64 { return s.nodes[1].degraded }})
	draw("Queries answered", "Of the crowd, over the balancer.", with(plain, "per second"), curve{"answers", func(s *sample) float64 { return s.queries }})
	draw("Latency of queries", "From when they were due: the worst second of five, and the median.", with(log, "ms"), curve{"p99", func(s *sample) float64 { return s.p99 }},
		curve{"p50", func(s *sample) float64 { return s.p50 }})
	draw("Memory of node a", "Its life is never broken. A replica that is loaded anew stands beside the old one for a moment.", with(plain, "MiB"),
		curve{"resident", func(s *sample) float64 { return s.nodes[0].resident }}, curve{"heap in use", func(s *sample) float64 { return s.nodes[0].heap }},
		curve{"after collection", func(s *sample) float64 { return s.nodes[0].live }})
	draw("Memory of the others", "Resident.", with(plain, "MiB"), curve{"node b", func(s *sample) float64 { return s.nodes[1].resident }},
		curve{"publisher", func(s *sample) float64 { return s.publisher }}, curve{"NATS", func(s *sample) float64 { return s.broker }})
	draw("Goroutines and open files of node a", "", with(plain, ""), curve{"goroutines", func(s *sample) float64 { return s.nodes[0].goroutines }},
		curve{"files", func(s *sample) float64 { return s.nodes[0].files }}, curve{"streams", func(s *sample) float64 { return s.nodes[0].streams }})
	draw("Processors", "All processes together, the load and the checks among them.", with(plain, ""), curve{"used", func(s *sample) float64 { return s.processor }})
	return all
}

// html is the report as a page that needs nothing else.
func (r *result) html() ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, map[string]any{
		"Style": template.CSS(plot.Style), //nolint:gosec // of this program, as are the plots, which escape their texts (P1)
		"Title": r.title(), "Intro": r.intro(), "Verdicts": r.verdicts, "Figures": r.figures(), "Kinds": r.kinds(), "Events": r.rows(), "Notes": r.notes(),
	})
	return b.Bytes(), err
}

// write writes the report's files.
func (r *result) write(out string) error {
	text, err := r.html()
	if err != nil {
		return err
	}
	var samples bytes.Buffer
	if err := writeCSV(&samples, r.samples); err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(out), 0o755), os.WriteFile(out+".html", text, 0o644),
		os.WriteFile(out+".md", []byte(r.text()), 0o644), os.WriteFile(out+".csv", samples.Bytes(), 0o600))
}
