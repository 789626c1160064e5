package fleet

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

const timeLayout = "2006-01-02 15:04:05"

// WriteStatus writes what is in force on each node, and where it comes from: nodes with the same settings together. last is what was stored last, nil for nothing.
func WriteStatus(w io.Writer, nodes []Status, last *Version, now time.Time) error {
	var b strings.Builder
	if last == nil {
		b.WriteString("no settings are shared\n")
	} else {
		writeVersion(&b, last, now)
	}
	if len(nodes) == 0 {
		b.WriteString("no node answers\n")
	}
	for i := range nodes {
		if nodes[i].Silent != "" {
			fmt.Fprintf(&b, "! %s: %s\n", plain(nodes[i].Name), plain(nodes[i].Silent))
		}
	}
	nodes = speaking(slices.Clone(nodes))
	writeNodes(&b, nodes, last)
	for _, group := range alike(nodes) {
		writeSettings(&b, group)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeVersion(b *strings.Builder, v *Version, now time.Time) {
	fmt.Fprintf(b, "shared settings: version %d, by %s, %s (%s ago)", v.Number, plain(v.By), v.At.Local().Format(timeLayout), now.Sub(v.At).Round(time.Second))
	if v.Note != "" {
		fmt.Fprintf(b, ": %s", plain(v.Note))
	}
	b.WriteByte('\n')
}

// WriteFleet writes what all nodes say of themselves, and below it what an operator should know.
func WriteFleet(w io.Writer, nodes []Status, now time.Time) error {
	var b strings.Builder
	if len(nodes) == 0 {
		b.WriteString("no node answers\n")
	} else {
		t := columns(&b)
		fmt.Fprintln(t, "node\tid\tprogram\tstate\tage\tlag\truns\tmemory\trequests/s\thit ratio\tp99\tstreams\tCPU\tsettings\tup")
		for i := range nodes {
			nodes[i].row(t, now)
		}
		_ = t.Flush() // to memory
	}
	for _, warning := range Warnings(nodes) {
		fmt.Fprintf(&b, "! %s\n", plain(warning))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (n *Status) row(w io.Writer, now time.Time) {
	if n.Silent != "" {
		fmt.Fprintf(w, "%s\t%s\t%s\tsilent%s\n", plain(n.Name), plain(n.ID), plain(cmp.Or(n.Program, "-")), strings.Repeat("\t-", 11)) // a row of fewer cells would part the table in two
		return
	}
	age, runs, memory, settings, up := "-", fmt.Sprint(n.Runs), "-", "own", "-"
	if n.Age != nil {
		age = fmt.Sprintf("%.1f s", *n.Age)
	}
	if n.Behind+n.Quarantined > 0 {
		runs += fmt.Sprintf(" (%d behind, %d hidden)", n.Behind, n.Quarantined)
	}
	if n.Memory > 0 {
		memory = fmt.Sprintf("%d MiB", n.Memory>>20)
	}
	if n.Settings.Version > 0 {
		settings = fmt.Sprint(n.Settings.Version)
	}
	if !n.Started.IsZero() {
		up = now.Sub(n.Started).Round(time.Second).String()
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%.0f\t%.1f%%\t%.1f ms\t%d\t%.0f%%\t%s\t%s\n", plain(n.Name), plain(n.ID), plain(cmp.Or(n.Program, "-")), plain(cmp.Or(n.State, "-")), age, n.Lag, runs, memory,
		n.Requests, 100*n.HitRatio, 1000*n.P99, n.Streams, 100*n.CPU, settings, up)
}

// Warnings are what an operator should know of a fleet beside what each node says.
func Warnings(nodes []Status) (all []string) {
	names, programs, settings, holds := map[string]int{}, map[string]bool{}, map[uint64]bool{}, map[uint64]bool{}
	for i := range nodes {
		n := &nodes[i]
		names[n.Name]++
		if n.Program != "" {
			programs[n.Program] = true
		}
		if n.Silent != "" {
			all = append(all, n.Name+": "+n.Silent)
			continue
		}
		settings[n.Settings.Version], holds[n.HoldsVersion] = true, true
		for _, why := range []string{n.Settings.Refused, n.Settings.FileRefused} {
			if why != "" {
				all = append(all, n.Name+": "+why)
			}
		}
		if n.Lacking > 0 {
			all = append(all, fmt.Sprintf("%s: no room for runs of %d dates, by partition (feed.max_runs, feed.max_memory_mib); its log tells which", n.Name, n.Lacking))
		}
		if n.Errors > 0 {
			all = append(all, fmt.Sprintf("%s: %.1f errors/s; its log tells", n.Name, n.Errors))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if names[name] > 1 {
			all = append(all, fmt.Sprintf("%d nodes are called %s: only their ids tell them apart", names[name], name))
		}
	}
	if len(programs) > 1 {
		all = append(all, "nodes of different programs: "+strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
	}
	if len(settings) > 1 {
		all = append(all, "nodes have different versions of the shared settings")
	}
	if len(holds) > 1 {
		all = append(all, "nodes have different versions of the holds of runs")
	}
	return all
}

// WriteActs writes what operators have done.
func WriteActs(w io.Writer, acts []Act) error {
	var b strings.Builder
	if len(acts) == 0 {
		b.WriteString("nothing was done yet\n")
	} else {
		t := columns(&b)
		fmt.Fprintln(t, "when\tby\twhat\tof\tbefore\tafter\tdone on\tnote")
		for i := range acts {
			a := &acts[i]
			done := "-"
			if len(a.Nodes) > 0 {
				var refused strings.Builder
				done = fmt.Sprintf("%d of %d", writeRefusals(&refused, a.Nodes), len(a.Nodes))
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.At.Local().Format(timeLayout), plain(a.By), plain(a.What), plain(cmp.Or(a.Target, "-")), plain(cmp.Or(a.Before, "-")),
				plain(cmp.Or(a.After, "-")), done, plain(a.Note))
		}
		_ = t.Flush() // to memory
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteDrained writes what became of a DrainOrder.
func WriteDrained(w io.Writer, d *DrainOrder, verdicts []Verdict) error {
	var b strings.Builder
	if writeRefusals(&b, verdicts) == len(verdicts) {
		fmt.Fprintf(&b, "%s: ", plain(d.Node))
		if d.Draining {
			b.WriteString("drained. Balancers that ask /readyz send it nobody any more; it goes on following the feed. To undo: --return\n")
		} else {
			b.WriteString("it is back\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func columns(b *strings.Builder) *tabwriter.Writer { return tabwriter.NewWriter(b, 0, 0, 2, ' ', 0) }

func writeNodes(b *strings.Builder, nodes []Status, last *Version) {
	if len(nodes) == 0 {
		return
	}
	t := columns(b)
	fmt.Fprintln(t, "\nnode\tid\tsettings\trequests/s\thit ratio\tCPU\tage")
	for i := range nodes {
		n := &nodes[i]
		age := "-"
		if n.Age != nil {
			age = fmt.Sprintf("%.1f s", *n.Age)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f\t%.1f%%\t%.0f%%\t%s\n", plain(n.Name), plain(n.ID), n.Settings.state(last), n.Requests, 100*n.HitRatio, 100*n.CPU, age)
	}
	_ = t.Flush() // to memory
	for i := range nodes {
		for _, why := range []string{nodes[i].Settings.Refused, nodes[i].Settings.FileRefused} {
			if why != "" {
				fmt.Fprintf(b, "! %s: %s\n", plain(nodes[i].Name), plain(why))
			}
		}
	}
}

func (s *Settings) state(last *Version) string {
	text := "its own"
	if s.Version > 0 {
		text = fmt.Sprint(s.Version)
	}
	switch {
	case s.Refused != "":
		return fmt.Sprintf("%s, refused %d", text, s.RefusedVersion)
	case last != nil && s.Version < last.Number:
		return text + ", late"
	default:
		return text
	}
}

// alike groups nodes with the same settings.
func alike(nodes []Status) [][]Status {
	var groups [][]Status
next:
	for _, n := range nodes {
		for i, group := range groups {
			if same(&group[0].Settings, &n.Settings) {
				groups[i] = append(group, n)
				continue next
			}
		}
		groups = append(groups, []Status{n})
	}
	return groups
}

// same compares what was written; a node's own TTLs may differ.
func same(a, b *Settings) bool {
	if len(a.Values) != len(b.Values) || len(a.Rules) != len(b.Rules) {
		return false
	}
	for i := range a.Values {
		if a.Values[i] != b.Values[i] {
			return false
		}
	}
	for i := range a.Rules {
		x, y := a.Rules[i], b.Rules[i]
		x.TTL, x.Why, y.TTL, y.Why = "", "", "", ""
		if x != y {
			return false
		}
	}
	return true
}

func writeSettings(b *strings.Builder, group []Status) {
	names := make([]string, len(group))
	for i := range group {
		names[i] = plain(group[i].Name)
	}
	fmt.Fprintf(b, "\non %s:\n", strings.Join(names, ", "))
	t := columns(b)
	for _, v := range group[0].Settings.Values {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", v.Key, plain(v.Value), plain(v.From))
	}
	_ = t.Flush() // to memory
	for i, r := range group[0].Settings.Rules {
		fmt.Fprintf(b, "  rule %d, %s (%s): when %s: %s", i+1, plain(r.Name), plain(r.From), plain(r.When), plain(r.Effects))
		if r.Auto != "" {
			fmt.Fprintf(b, " (%s)", plain(r.Auto))
		}
		b.WriteByte('\n')
		for k := range group {
			if own := group[k].Settings.Rules[i]; own.TTL != "" {
				fmt.Fprintf(b, "    %s: %s; %s\n", names[k], plain(own.TTL), plain(own.Why))
			}
		}
	}
}

// WriteHistory writes versions, the newest first, a line each.
func WriteHistory(w io.Writer, versions []Version) error {
	var b strings.Builder
	t := columns(&b)
	fmt.Fprintln(t, "version\tstored\tby\twhat")
	for i := range versions {
		v := &versions[i]
		what := fmt.Sprintf("%d lines", strings.Count(v.Document, "\n"))
		switch {
		case v.Restores > 0:
			what = fmt.Sprintf("version %d again", v.Restores)
		case v.Document == "":
			what = "nothing shared"
		}
		if v.Note != "" {
			what += ": " + v.Note
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", v.Number, v.At.Local().Format(timeLayout), plain(v.By), plain(what))
	}
	_ = t.Flush() // to memory
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteVerdicts writes what became of a version on each node.
func WriteVerdicts(w io.Writer, number uint64, verdicts []Verdict) error {
	var b strings.Builder
	fmt.Fprintf(&b, "version %d is stored, and in force on %d of %d nodes\n", number, writeRefusals(&b, verdicts), len(verdicts))
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRefusals writes what stands against it, and returns how many nodes have it.
func writeRefusals(b *strings.Builder, verdicts []Verdict) (done int) {
	for _, v := range verdicts {
		if v.Refused == "" {
			done++
		} else {
			fmt.Fprintf(b, "! %s: %s\n", plain(v.Name), plain(v.Refused))
		}
	}
	return done
}

// WriteRunVerdicts writes what became of an act on a run on each node.
func WriteRunVerdicts(w io.Writer, a *RunAct, version uint64, verdicts []Verdict) error {
	var b strings.Builder
	done := writeRefusals(&b, verdicts)
	fmt.Fprintf(&b, "%s %s: done on %d of %d nodes", a.Act, plain(a.Run), done, len(verdicts))
	if version > 0 {
		fmt.Fprintf(&b, " (version %d of the holds)", version)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteHolds writes which runs are held.
func WriteHolds(w io.Writer, h *Holding) error {
	var b strings.Builder
	if len(h.Runs) == 0 {
		b.WriteString("no run is held\n")
	} else {
		t := columns(&b)
		fmt.Fprintln(t, "run\theld\tby\tsince\treason")
		for _, r := range h.Runs {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", plain(r.Run), r.words(), plain(r.By), r.At.Local().Format(timeLayout), plain(r.Reason))
		}
		_ = t.Flush() // to memory
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// plain is a text without what would break a table or steer a terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
