//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/yupiao/yupiao/pkg/country"
)

// Result is all that was measured. Memory is in bytes, latencies in milliseconds, lists are by round.
type Result struct {
	Machine    string        `json:"machine"`
	Scale      float64       `json:"scale"`
	Seed       uint64        `json:"seed"`
	Rounds     int           `json:"rounds"`
	Shape      country.Shape `json:"shape"`
	Publish    Publish       `json:"publish"`
	SampleRuns int           `json:"sample_runs"`
	Load       Load          `json:"load"`
	Visible    []Visible     `json:"visible"`
	Traffic    Traffic       `json:"traffic"`
	Queries    Queries       `json:"queries"`
	Alike      Queries       `json:"alike"`
	Watched    Watched       `json:"watched"`
	Roll       Roll          `json:"roll"`
}

// Publish is the opening of all runs.
type Publish struct {
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"`
}

// Load is the way from the start of the process to /readyz.
type Load struct {
	Runs     int       `json:"runs"`
	Seconds  []float64 `json:"seconds"`
	Resident []int64   `json:"resident"`
	Peak     []int64   `json:"peak"`
	GC       GC        `json:"gc"`
}

// GC is the garbage collector: pauses since the process started, in milliseconds, and its share of the processor time that the process used.
type GC struct {
	Collections int     `json:"collections"`
	PauseMedian float64 `json:"pause_median"`
	PauseMax    float64 `json:"pause_max"`
	Share       float64 `json:"share"`
}

// Visible is the time from a commit to the changed number, at a rate of changes a second.
type Visible struct {
	Wanted  int     `json:"wanted"`
	Reached float64 `json:"reached"`
	Samples int     `json:"samples"`
	// Unseen were not visible half a minute later.
	Unseen int     `json:"unseen"`
	P50    float64 `json:"p50"`
	P99    float64 `json:"p99"`
	P999   float64 `json:"p999"`
	// Age of the node's data at the end, and how long it then took until it had all, in seconds.
	Age     float64 `json:"age"`
	CatchUp float64 `json:"catch_up"`
}

// Traffic is the node after all rates of changes.
type Traffic struct {
	Seconds     float64 `json:"seconds"`
	Resident    int64   `json:"resident"`
	Peak        int64   `json:"peak"`
	GC          GC      `json:"gc"`
	Quarantined int     `json:"quarantined"`
	Gaps        int     `json:"gaps"`
}

// Queries are what they cost by round, and the processor time of the country's over that of the sample network's.
type Queries struct {
	Country []Query   `json:"country"`
	Sample  []Query   `json:"sample"`
	Ratio   []float64 `json:"ratio"`
}

// Query is what one costs on average: processor time in microseconds, how long its answer is, and which share of the answers had to be rendered.
type Query struct {
	Asked    int     `json:"asked"`
	CPU      float64 `json:"cpu"`
	Bytes    int     `json:"bytes"`
	Rendered float64 `json:"rendered"`
}

func (q Query) String() string { return fmt.Sprintf("%.1f us for %d bytes", q.CPU, q.Bytes) }

// Roll is what those who ask feel, without and with a change of the dates.
type Roll struct {
	Quiet Latency `json:"quiet"`
	In    Latency `json:"in"`
	Out   Latency `json:"out"`
}

// Latency of queries at a constant rate, from the moment at which each was due. Seconds is how long what was done meanwhile took.
type Latency struct {
	Seconds float64 `json:"seconds"`
	Queries int     `json:"queries"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Worst   float64 `json:"worst"`
}

// Print writes the table.
func (r *Result) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = t.Flush() }() // what cannot be written cannot be told either
	line := func(what, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	line("machine", "%s, %s", r.Machine, runtime.Version())
	line("country", "scale %g, seed %d: %s", r.Scale, r.Seed, r.Shape)
	line("publish", "%d runs in %.1f s, %.0f/s", r.Publish.Runs, r.Publish.Seconds, float64(r.Publish.Runs)/r.Publish.Seconds)
	ready := median(r.Load.Seconds)
	line("start to ready", "median %.2f s of %s; %.0f runs/s", ready, list(r.Load.Seconds, "%.2f"), float64(r.Load.Runs)/ready)
	resident := slices.Sorted(slices.Values(r.Load.Resident))[len(r.Load.Resident)/2]
	peak := slices.Sorted(slices.Values(r.Load.Peak))[len(r.Load.Peak)/2]
	line("memory, loaded", "%s resident, at most %s; %.0f bytes a run", bytes(resident), bytes(peak), float64(resident)/float64(r.Load.Runs))
	line("memory, changed", "%s resident, at most %s, after %.0f s of changes; %.0f bytes a run", bytes(r.Traffic.Resident), bytes(r.Traffic.Peak), r.Traffic.Seconds,
		float64(r.Traffic.Resident)/float64(r.Load.Runs))
	line("GC, loading", "%s", r.Load.GC)
	line("GC, changes", "%s", r.Traffic.GC)
	for _, v := range r.Visible {
		line(fmt.Sprintf("visible, %d/s", v.Wanted), "p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms of %d; %.0f/s reached, %d never seen; the node %.2f s old, fresh after %.2f s",
			v.P50, v.P99, v.P999, v.Samples, v.Reached, v.Unseen, v.Age, v.CatchUp)
	}
	line("in trouble", "%d runs quarantined, %d gaps", r.Traffic.Quarantined, r.Traffic.Gaps)
	line("query, country", "%s", queries(r.Queries.Country))
	line("query, sample", "%s; %d runs", queries(r.Queries.Sample), r.SampleRuns)
	line("query, ratio", "%.2f of %s", median(r.Queries.Ratio), list(r.Queries.Ratio, "%.2f"))
	line("alike, country", "%s", queries(r.Alike.Country))
	line("alike, sample", "%s", queries(r.Alike.Sample))
	line("alike, ratio", "%.2f of %s", median(r.Alike.Ratio), list(r.Alike.Ratio, "%.2f"))
	line("streams", "%s", r.Watched)
	line("query, quiet", "%s", r.Roll.Quiet)
	line("query, date in", "%s, in %.2f s", r.Roll.In, r.Roll.In.Seconds)
	line("query, date out", "%s, in %.2f s", r.Roll.Out, r.Roll.Out.Seconds)
}

func (g GC) String() string {
	return fmt.Sprintf("%d collections, pauses median %.2f ms, longest %.2f ms; %.1f %% of the CPU", g.Collections, g.PauseMedian, g.PauseMax, 100*g.Share)
}

func (l Latency) String() string {
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, worst %.2f ms of %d at %d/s", l.P50, l.P99, l.Worst, l.Queries, perSecond)
}

func queries(all []Query) string {
	var cpu, size, rendered []float64
	for _, q := range all {
		cpu, size, rendered = append(cpu, q.CPU), append(size, float64(q.Bytes)), append(rendered, 100*q.Rendered)
	}
	return fmt.Sprintf("median %.1f us of CPU of %s; answers of %.0f bytes, %.1f %% of them rendered", median(cpu), list(cpu, "%.1f"), median(size), median(rendered))
}

func list(all []float64, format string) string {
	texts := make([]string, 0, len(all))
	for _, f := range all {
		texts = append(texts, fmt.Sprintf(format, f))
	}
	return strings.Join(texts, ", ")
}

// bytes is a size for people.
func bytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
