package audit

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// mostShown of the findings of a node: of a node that is far behind, the first tell enough.
const mostShown = 20

// Write writes the report for people.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	switch {
	case r.BookingSilent != "":
		fmt.Fprintf(&b, "! the booking system's list could not be had: %s\n", r.BookingSilent)
	case len(r.Booking) > 0:
		fmt.Fprintf(&b, "! %d runs of the booking system are not in the feed as they should be; have it publish them again: bookingd resync\n", len(r.Booking))
		writeFindings(&b, r.Booking)
	default:
		fmt.Fprintf(&b, "%d runs; the feed has all that the booking system has published\n", r.Runs)
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nnode\tid\tequal\tmoving\tfindings\tmended")
	for i := range r.Nodes {
		n := &r.Nodes[i]
		if n.Silent != "" {
			fmt.Fprintf(t, "%s\t%s\tcould not be looked at: %s\n", n.Name, n.ID, n.Silent)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\n", n.Name, n.ID, n.Compared, n.Moving, len(n.Findings), n.mended())
	}
	_ = t.Flush() // to memory
	for i := range r.Nodes {
		if n := &r.Nodes[i]; len(n.Findings) > 0 {
			fmt.Fprintf(&b, "\n%s:\n", n.Name)
			writeFindings(&b, n.Findings)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (n *Node) mended() (count int) {
	for i := range n.Findings {
		if n.Findings[i].Mended {
			count++
		}
	}
	return count
}

func writeFindings(b *strings.Builder, all []Finding) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for i := range all[:min(len(all), mostShown)] {
		f := &all[i]
		after := ""
		switch {
		case f.Mended:
			after = "mended"
		case f.Failed != "":
			after = "not mended: " + f.Failed
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", f.Run, f.Kind, f.Text, after)
	}
	_ = t.Flush() // to memory
	if more := len(all) - mostShown; more > 0 {
		fmt.Fprintf(b, "  and %d more; --json shows all\n", more)
	}
}
