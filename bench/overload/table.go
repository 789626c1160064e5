//go:build linux

package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

// row is what one crowd or burst came to.
type row struct {
	name             string
	saturating, peak float64
	peakMade         float64 // answers made a second, the most in a step
	half, full       watched
	recovery         time.Duration
	burst            bool
}

// printTable writes what holds.
func printTable(rows []row) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer func() { _ = t.Flush() }() // what cannot be written cannot be told either
	fmt.Fprintln(t, "\ncrowd\twhat\tfigure\tgoal\tholds")
	for _, r := range rows {
		line := func(what, figure, goal string, holds bool) {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.name, what, figure, goal, map[bool]string{true: "yes", false: "NO"}[holds])
		}
		w := &r.full.whole
		if r.burst {
			line("answered, refused", fmt.Sprintf("%d, %d of %d in %.2f s", w.ok, w.refused+w.limited, w.due, w.at.Seconds()), "", true)
			line("errors", fmt.Sprint(w.failed()), "0", w.failed() == 0)
		} else {
			goodput := float64(w.ok) / w.at.Seconds()
			best := max(r.peak, goodput)
			line("saturating load", fmt.Sprintf("%.0f/s; most answered in a step %.0f/s", r.saturating, r.peak), "", true)
			line("goodput", fmt.Sprintf("%.0f/s, %.0f %% of the peak", goodput, 100*goodput/best), "90 %", goodput >= 0.9*best)
			line("answers made, of these", fmt.Sprintf("%.0f/s, %.0f %% of the peak", float64(w.made)/w.at.Seconds(), 100*float64(w.made)/w.at.Seconds()/max(r.peakMade, 1)), "", true)
			half, full := percentile(r.half.whole.took, 99), percentile(w.took, 99)
			line("p99 of accepted", fmt.Sprintf("%s; %s at half load", ms(full), ms(half)), "5 times", full <= 5*half)
			line("refused", fmt.Sprintf("%d of %d; within %s at the 99th of them", w.refused+w.limited, w.due, ms(percentile(w.refusedIn, 99))), "", true)
			line("errors", fmt.Sprintf("%d %v", w.failed(), w.errors), "0", w.failed() == 0)
			line("recovery", fmt.Sprintf("%.1f s", r.recovery.Seconds()), "2 s", r.recovery <= 2*time.Second)
		}
		p := r.full.probes
		line("admin, worst", ms(percentile(p.admin, 100)), "100 ms", p.adminFailed == 0 && percentile(p.admin, 100) <= 100*time.Millisecond)
		line("readyz, new connections", fmt.Sprintf("p99 %s, worst %s, %d failed", ms(percentile(p.ready, 99)), ms(percentile(p.ready, 100)), p.readyFailed), "answered", p.readyFailed == 0)
		line("memory, goroutines", fmt.Sprintf("at most %d MiB, %d", r.full.memory>>20, r.full.most), "", true)
	}
}
