package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that is known at the end.
type report struct {
	Machine     string        `json:"machine"`
	At          time.Time     `json:"at"`
	Seconds     int           `json:"seconds"`
	Connections int           `json:"connections"`
	Rounds      int           `json:"rounds"`
	Changes     float64       `json:"changes"`
	Runs        int           `json:"runs"`
	Bytes       int           `json:"bytes"`
	Turns       []measurement `json:"turns"`
	Rows        []row         `json:"rows"`
	designs     []design
}

func newReport(s *settings) *report {
	return &report{
		Machine: machine(s.designs), At: time.Now().UTC().Truncate(time.Second), Seconds: s.seconds, Connections: s.connections, Rounds: s.rounds,
		Changes: s.changes, Runs: (hotTrains + s.others) * saleDays, designs: s.designs,
	}
}

// spread is a figure over all rounds.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf figures, at least one.
func spreadOf(all []float64) spread {
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return spread{Median: (all[(n-1)/2] + all[n/2]) / 2, Min: all[0], Max: all[n-1]}
}

// row is a design over all rounds. CPU and Less are in microseconds a request, Rate in requests a second, P50 and P99 in milliseconds.
type row struct {
	Design    string    `json:"design"`
	CPU       spread    `json:"cpu_us"`
	Less      spread    `json:"cpu_less_changes_us"`
	Rate      spread    `json:"rate"`
	Busy      spread    `json:"busy"`
	P50       spread    `json:"p50_ms"`
	P99       spread    `json:"p99_ms"`
	Idle      spread    `json:"idle_ms_per_s"`
	Behind    spread    `json:"behind_per_s"`
	Changes   spread    `json:"changes_per_s"`
	Staleness staleness `json:"staleness"`
	title     string
	live      bool
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// rows sums the turns up, in the order of the designs.
func (r *report) rows() (rows []row) {
	for _, d := range r.designs {
		var mine []*measurement
		out := row{Design: d.name, title: d.title, live: d.live}
		for i := range r.Turns {
			if m := &r.Turns[i]; m.Design == d.name {
				mine = append(mine, m)
				out.Staleness = out.Staleness.plus(m.Staleness)
			}
		}
		if len(mine) == 0 {
			continue
		}
		over := func(figure func(*measurement) float64) spread {
			var all []float64
			for _, m := range mine {
				all = append(all, figure(m))
			}
			return spreadOf(all)
		}
		out.CPU = over(func(m *measurement) float64 { return micros(m.perRequest()) })
		out.Less = over(func(m *measurement) float64 { return micros(m.less()) })
		out.Rate, out.Busy = over((*measurement).rate), over((*measurement).busy)
		out.P50, out.P99 = over(func(m *measurement) float64 { return millis(m.P50) }), over(func(m *measurement) float64 { return millis(m.P99) })
		out.Idle = over(func(m *measurement) float64 { return millis(m.Idle) })
		out.Behind = over(func(m *measurement) float64 { return m.perSecond(m.Behind) })
		out.Changes = over(func(m *measurement) float64 { return m.perSecond(m.Changes) })
		rows = append(rows, out)
	}
	return rows
}

// median CPU of a design; 0 if it was not measured.
func (r *report) median(design string) float64 {
	for _, row := range r.Rows {
		if row.Design == design {
			return row.CPU.Median
		}
	}
	return 0
}

// ratio of two medians; a dash if one of them was not measured.
func ratio(of, to float64) string {
	if of == 0 || to == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", of/to)
}

// write writes the report as text.
func (r *report) write(out io.Writer) {
	r.Rows = r.rows()
	fmt.Fprintf(out, `The same answer by several designs: %d trains x %d classes, %d bytes of JSON, byte for byte the same in all of them.
%s
%s; %d rounds of %d s; wrk with 1 thread and %d connections; server and load each on a core of its own.

wrk is a closed loop: each connection asks again when it was answered. Requests/s and latencies are those of a design at its limit, or of wrk's
at its own where the design is not busy. CPU is of all processes of a design, proxy, backend and redis-server included, and includes what
following the changes costs; "less changes" is without that.

`, hotTrains, len(classes), r.Bytes, r.Machine, r.At.Format(time.RFC3339), r.Rounds, r.Seconds, r.Connections)
	r.costs(out)
	r.truths(out)
	r.raw(out)
}

// costs is the table of CPU and rates.
func (r *report) costs(out io.Writer) {
	t := newTable(out)
	t.line("design", "CPU/request", "min-max", "less changes", "/ nginx static", "/ fasthttp", "ours / this", "requests/s", "min-max", "busy", "p50", "p99")
	for _, row := range r.Rows {
		t.line(row.title, fmt.Sprintf("%.1f us", row.CPU.Median), fmt.Sprintf("%.1f-%.1f", row.CPU.Min, row.CPU.Max), fmt.Sprintf("%.1f us", row.Less.Median),
			ratio(row.CPU.Median, r.median(nameStatic)), ratio(row.CPU.Median, r.median(nameFastHTTP)), ratio(r.median(nameOurs), row.CPU.Median),
			fmt.Sprintf("%.0f", row.Rate.Median), fmt.Sprintf("%.0f-%.0f", row.Rate.Min, row.Rate.Max), fmt.Sprintf("%.0f%%", 100*row.Busy.Median),
			fmt.Sprintf("%.2f ms", row.P50.Median), fmt.Sprintf("%.2f ms", row.P99.Median))
	}
	t.end()
}

// truths is the table of how right the answers were.
func (r *report) truths(out io.Writer) {
	if !slices.ContainsFunc(r.Rows, func(r row) bool { return r.live }) {
		return
	}
	fmt.Fprintf(out, `
How right they were, while %g changes/s were spread evenly over %d runs. A prober asks every %s over a connection of its own; an answer is wrong if a
number in it was no longer true when it was asked for, and its age is how long not. For ours that is the feed's lag: the publisher's wait for more (feed.Rest),
NATS and the node, on a machine where they share a core with wrk; for Redis the updater's, which waits as long. "Behind" is what reached the backend
of a cache; for ours it is renderings, and nothing of ours ever asks the booking system. "Changes alone" is the CPU without any request.

`, r.Changes, r.Runs, probeEvery)
	t := newTable(out)
	t.line("design", "asked", "wrong", "age of wrong, mean", "max", "behind/s", "changes/s", "changes alone")
	for _, row := range r.Rows {
		if row.live {
			s := row.Staleness
			t.line(row.title, fmt.Sprint(s.Asked), fmt.Sprintf("%.2f%%", 100*float64(s.Wrong)/float64(max(s.Asked, 1))),
				fmt.Sprintf("%.1f ms", millis(s.Sum/time.Duration(max(s.Wrong, 1)))), fmt.Sprintf("%.1f ms", millis(s.Max)),
				fmt.Sprintf("%.1f", row.Behind.Median), fmt.Sprintf("%.0f", row.Changes.Median), fmt.Sprintf("%.0f ms/s", row.Idle.Median))
		}
	}
	t.end()
}

// raw is every turn as it was.
func (r *report) raw(out io.Writer) {
	fmt.Fprintf(out, "\nAll turns, with the CPU of each part of a design. Strangers is what others on the machine took, of one core: figures of a turn with much of it are noisy.\n\n")
	t := newTable(out)
	t.line("round", "design", "CPU/request", "requests", "seconds", "failed", "p50", "p99", "busy", "strangers", "wrong", "parts")
	for i := range r.Turns {
		m := &r.Turns[i]
		var parts []string
		for _, s := range m.CPU {
			parts = append(parts, fmt.Sprintf("%s %.2fs", s.Part, s.Spent.Seconds()))
		}
		t.line(fmt.Sprint(m.Round), m.Design, fmt.Sprintf("%.1f us", micros(m.perRequest())), fmt.Sprint(m.Requests), fmt.Sprintf("%.2f", m.Took.Seconds()),
			fmt.Sprint(m.Failed), fmt.Sprintf("%.2f ms", millis(m.P50)), fmt.Sprintf("%.2f ms", millis(m.P99)), fmt.Sprintf("%.0f%%", 100*m.busy()),
			fmt.Sprintf("%.0f%%", 100*m.noise()), fmt.Sprintf("%d/%d", m.Staleness.Wrong, m.Staleness.Asked), strings.Join(parts, ", "))
	}
	t.end()
}

// save writes the report as JSON.
func (r *report) save(file string) error {
	r.Rows = r.rows()
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// table writes aligned columns.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer) table {
	return table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
}

func (t table) line(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

func (t table) end() { _ = t.w.Flush() } // the report goes where it can
