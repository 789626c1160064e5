package load

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// short writes a time in milliseconds with three digits.
func short(m Milliseconds) string {
	if m >= 100 {
		return strconv.FormatFloat(math.Round(float64(m)), 'f', -1, 64)
	}
	return strconv.FormatFloat(float64(m), 'g', 3, 64)
}

// String is the line that is shown while a run is under way.
func (p Progress) String() string {
	line := fmt.Sprintf("%5.0fs  asked %d/s  sent %d/s  answers %d/s  p50 %s ms  p99 %s ms  errors %d", p.Elapsed.Seconds(), p.Asked, p.Sent, p.Answers,
		short(milliseconds(p.P50)), short(milliseconds(p.P99)), p.Errors)
	if p.Waiting > 0 {
		line += fmt.Sprintf("  waiting %d", p.Waiting)
	}
	return line
}

// Headline says what was asked, in a line.
func (s *Settings) Headline() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %g requests/s for %s over %d connections; %d pairs of places, %d dates", s.Server, s.Rate, s.For, s.Connections, s.Pairs, len(s.Dates))
	if s.Shift != "" {
		fmt.Fprintf(&b, "; other pairs are wanted every %s", s.Shift)
	}
	if s.Rush != nil {
		fmt.Fprintf(&b, "; a rush of %g times as many at %s for %s", s.Rush.Factor, s.Rush.At, s.Rush.For)
	}
	if s.Conditional > 0 {
		fmt.Fprintf(&b, "; %g%% conditional", s.Conditional*100)
	}
	if s.Gzip > 0 {
		fmt.Fprintf(&b, "; %g%% accept gzip", s.Gzip*100)
	}
	if s.Watchers > 0 {
		fmt.Fprintf(&b, "; %d watchers", s.Watchers)
	}
	return b.String() + fmt.Sprintf("; seed %d", s.Seed)
}

// WriteText writes the report for a terminal. It returns the writer's error.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.Settings.Headline())
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "ms\tcount\tshare\tmean\tp50\tp90\tp99\tp99.9\tmax\t\n")
	for _, row := range r.rows() {
		d := row.d
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", row.name, d.Count, row.share, short(d.Mean), short(d.P50), short(d.P90), short(d.P99), short(d.P999), short(d.Max))
	}
	_ = t.Flush() // to memory
	fmt.Fprintf(&b, "\nanswers %.1f/s, %.2f MB/s; most requests that waited %d; connections opened again %d; processors used by this program %.2f of %d, waited for one %.0f%%\n",
		r.perSecond(r.Answered), r.perSecond(r.Bytes)/1e6, r.MostWaiting, r.Reconnects, r.Generator.Processors, r.Generator.Available, r.Generator.Starved*100)
	if r.Watching != nil {
		fmt.Fprintln(&b, r.Watching.summary())
	}
	for _, note := range r.Notes {
		fmt.Fprintln(&b, "!", note)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// row is a row of the table.
type row struct {
	name  string
	share string
	d     Distribution
}

func (r *Report) rows() []row {
	rows := []row{{"all requests", "100%", r.Latency.Distribution}}
	for _, c := range r.Outcomes {
		rows = append(rows, row{c.Outcome.String(), fmt.Sprintf("%.4g%%", c.Share*100), c.Latency.Distribution})
	}
	rows = append(rows, row{"age of answers", "", r.Age.Distribution}, row{"generator late", "", r.Generator.Lag.Distribution})
	if r.Watching != nil {
		rows = append(rows, row{"watcher's silence", "", r.Watching.Silence.Distribution}, row{"watcher behind", "", r.Watching.Behind.Distribution})
	}
	return rows
}

// perSecond is how many a second there were of something, until the last request was over.
func (r *Report) perSecond(n uint64) float64 {
	return float64(n) / max(r.Until, time.Nanosecond.Seconds())
}

func (w *Watching) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "watchers %d: streams %d, opened again %d, lost %d; events", w.Watchers, w.Streams, w.Reconnects, w.Lost)
	writeCounts(&b, w.Events)
	if len(w.Refused) > 0 {
		b.WriteString("; refused")
		writeCounts(&b, w.Refused)
	}
	return b.String()
}

func writeCounts(b *strings.Builder, counts map[string]uint64) {
	if len(counts) == 0 {
		b.WriteString(" none")
	}
	for i, name := range slices.Sorted(maps.Keys(counts)) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, " %s %d", name, counts[name])
	}
}
