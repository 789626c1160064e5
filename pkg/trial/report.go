package trial

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

// Report holds two rule sets beside each other.
type Report struct {
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end"`
	// Requests of the stretch, how many of them were recorded, and of how many queries, of which hot.
	Requests uint64 `json:"requests"`
	Recorded uint64 `json:"recorded"`
	Keys     int    `json:"keys"`
	HotKeys  int    `json:"hot_keys"`
	// SamplingRate is the share of the queries that are not hot of which the requests were recorded.
	SamplingRate float64 `json:"sampling_rate"`
	// Unseen counts changes whose bytes were looked at late.
	Unseen  uint64 `json:"unseen"`
	InForce Result `json:"in_force"`
	Tried   Result `json:"tried"`
	// Curve is what constant TTLs would give.
	Curve []Point `json:"curve"`
}

// Compare simulates the policy that is in force and one that is tried.
func Compare(s *Sample, inForce, tried *policy.Policy, c Costs) *Report {
	return &Report{Begin: s.Begin, End: s.End, Requests: s.Requests, Recorded: s.Recorded, Keys: s.Keys, HotKeys: s.HotKeys, SamplingRate: s.Rate, Unseen: s.Unseen,
		InForce: Simulate(s, inForce, c), Tried: Simulate(s, tried, c), Curve: Curve(s, c, TTLs)}
}

// WriteText writes the report for a terminal of 100 columns. It returns the writer's error.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "sample of %.0f s: %d of %d requests, by %d queries: %d hot ones, and %s of the others\n",
		r.InForce.Seconds, r.Recorded, r.Requests, r.Keys, r.HotKeys, percent(r.SamplingRate))
	if r.Unseen > 0 {
		fmt.Fprintf(&b, "%d changes came too fast to be looked at in time and are taken to have changed the answer: fewer may be wrong than it seems\n", r.Unseen)
	}
	b.WriteByte('\n')
	r.writeBoth(&b)
	writeRules(&b, "in force", r.InForce.ByRule)
	writeRules(&b, "tried", r.Tried.ByRule)
	r.writeCurve(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func columns(b *strings.Builder) *tabwriter.Writer {
	return tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
}

func (r *Report) writeBoth(b *strings.Builder) {
	t := columns(b)
	fmt.Fprintln(t, "\tin force\ttried\tchange\t")
	for _, row := range []struct {
		name   string
		of     func(*Result) float64
		format func(float64) string
	}{
		{"requests/s", func(r *Result) float64 { return r.Requests }, number},
		{"TTL hits/s", func(r *Result) float64 { return r.TTLHits }, number},
		{"stamp hits/s", func(r *Result) float64 { return r.StampHits }, number},
		{"renders/s", func(r *Result) float64 { return r.Renders }, number},
		{"hit ratio", func(r *Result) float64 { return r.HitRatio }, percent},
		{"CPU of one core", func(r *Result) float64 { return r.CPU }, percent},
		{"wrong answers", func(r *Result) float64 { return r.Wrong }, percent},
		{"wrong by, seats, mean", func(r *Result) float64 { return r.Off.Mean }, number},
		{"wrong by, seats, p99", func(r *Result) float64 { return float64(r.Off.P99) }, number},
	} {
		old, tried := row.of(&r.InForce), row.of(&r.Tried)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", row.name, row.format(old), row.format(tried), differs(old, tried))
	}
	_ = t.Flush() // to memory
}

func writeRules(b *strings.Builder, which string, rules []RuleResult) {
	t := columns(b)
	fmt.Fprintf(t, "\nrules %s\trequests\thit ratio\twrong\t\n", which)
	for _, r := range rules {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", plain(r.Rule), percent(r.Share), percent(r.HitRatio), percent(r.Wrong))
	}
	_ = t.Flush() // to memory
}

func (r *Report) writeCurve(b *strings.Builder) {
	t := columns(b)
	fmt.Fprintln(t, "\none TTL for all\thit ratio\tCPU\twrong\t")
	for _, p := range r.Curve {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t  hit %s  wrong %s\n", p.TTL, percent(p.HitRatio), percent(p.CPU), percent(p.Wrong), bar(p.HitRatio), bar(p.Wrong))
	}
	_ = t.Flush() // to memory
}

// bar is a share of 20 characters.
func bar(share float64) string {
	n := int(math.Round(min(max(share, 0), 1) * 20))
	return strings.Repeat("#", n) + strings.Repeat(".", 20-n)
}

func percent(share float64) string { return fmt.Sprintf("%.2f%%", share*100) }

func number(v float64) string {
	if v >= 100 || v == math.Trunc(v) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// differs is by how much a number would be another, as a share of what it is.
func differs(from, to float64) string {
	switch {
	case from == to:
		return "="
	case from == 0:
		return "new"
	default:
		return fmt.Sprintf("%+.1f%%", (to-from)/from*100)
	}
}

// plain is a name without what would break a table or a terminal.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, name)
}
