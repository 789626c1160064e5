//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/cluster"
)

// row is what came of a fault.
type row struct {
	name     string
	lacks    string
	balanced tally
	direct   tally
	verdict
	unkept   int
	oldest   time.Duration
	marked   time.Duration // from the fault to the first marked answer; negative for none
	recovery time.Duration // from its end until all nodes are live; negative for never
}

// good: nothing was wrong, and all came back.
func (r *row) good() bool { return r.lacks != "" || r.wrong == 0 && r.recovery >= 0 }

const (
	// recoverWithin is how long all nodes may take to be live again.
	recoverWithin = time.Minute
	// actWithin is how long what ends by itself may take: three nodes that drain, each for ten seconds.
	actWithin = 2 * time.Minute
	calm      = time.Second // before and after a fault
)

// await waits until something holds.
func await(ctx context.Context, what string, holds func() bool) error {
	return process.Await(ctx, actWithin, 10*time.Millisecond, what, func(context.Context) bool { return holds() })
}

// recovered waits until all nodes show what is newer than a moment, and the balancer finds them ready. Negative: they did not in time.
func (s *stage) recovered(ctx context.Context, since time.Time) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	if await(ctx, "all is well", func() bool { return s.askers.fresh(since) == cluster.Nodes && s.cluster.Ready() == cluster.Nodes }) != nil {
		return -1
	}
	return time.Since(since)
}

// play tries the faults that are wanted.
func (s *stage) play(ctx context.Context, all []fault) (rows []row, err error) {
	if _, err := s.judge.learn(ctx); err != nil {
		return nil, err
	}
	for _, f := range all {
		if !s.only.MatchString(f.name) {
			continue
		}
		r := row{name: f.name, lacks: f.lacks}
		if f.lacks == "" {
			if r, err = s.try(ctx, f); err != nil {
				return rows, fmt.Errorf("%s: %w", f.name, err)
			}
		}
		rows = append(rows, r)
		s.say("%s", r.line())
		for _, example := range r.examples {
			s.say("  %s", example)
		}
	}
	return rows, nil
}

// try does one fault, lifts it, waits for recovery, and judges all that was answered.
func (s *stage) try(ctx context.Context, f fault) (r row, err error) {
	r.name = f.name
	if s.recovered(ctx, time.Now()) < 0 {
		return r, errors.New("the cluster is not live before it")
	}
	if err := process.Sleep(ctx, calm); err != nil {
		return r, err
	}
	s.askers.reset()
	began := time.Now()
	if err := f.do(ctx); err != nil {
		return r, err
	}
	if f.lift != nil {
		if err := process.Sleep(ctx, s.hold); err != nil {
			return r, err
		}
		if err := f.lift(ctx); err != nil {
			return r, err
		}
	}
	r.recovery = s.recovered(ctx, time.Now())
	if err := process.Sleep(ctx, calm); err != nil {
		return r, err
	}
	answers := s.askers.report(&r, began)
	r.verdict, err = s.judge.try(ctx, answers)
	return r, err
}

// report fills in what came of the queries, and gives the answers.
func (a *askers) report(r *row, began time.Time) []answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.balanced, r.direct, r.unkept, r.oldest = a.balanced, a.direct, a.unkept, a.oldest
	r.balanced.why, r.direct.why = maps.Clone(r.balanced.why), maps.Clone(r.direct.why)
	if r.marked = -1; !a.marked.IsZero() {
		r.marked = max(a.marked.Sub(began), 0)
	}
	return a.answers
}

func share(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	if part == whole {
		return "100 %"
	}
	return fmt.Sprintf("%.2f %%", 100*float64(part)/float64(whole))
}

func seconds(d time.Duration) string {
	if d < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", d.Seconds())
}

func (r *row) cells() []string {
	if r.lacks != "" {
		return []string{r.name, "not tried: " + r.lacks}
	}
	return []string{
		r.name, fmt.Sprint(r.balanced.asked), share(r.balanced.answered, r.balanced.asked), fmt.Sprint(r.direct.asked), share(r.direct.answered, r.direct.asked),
		share(r.balanced.degraded+r.direct.degraded, r.balanced.answered+r.direct.answered), fmt.Sprint(r.changes), fmt.Sprint(r.judged), fmt.Sprint(r.numbers),
		fmt.Sprint(r.wrong), fmt.Sprint(r.wrongAside), seconds(r.oldest), seconds(r.marked), seconds(r.recovery),
	}
}

var heads = []string{"fault", "asked", "answered", "asked at nodes", "answered", "marked", "changes", "judged", "numbers", "wrong unmarked", "wrong marked", "oldest unmarked s", "marked after s",
	"recovered after s"}

// line is a row as it is told on the way.
func (r *row) line() string {
	var b strings.Builder
	for i, cell := range r.cells() {
		if i > 0 {
			fmt.Fprintf(&b, ", %s ", heads[i])
		}
		b.WriteString(cell)
	}
	for _, why := range []map[string]int{r.balanced.why, r.direct.why} {
		for _, text := range slices.SortedFunc(maps.Keys(why), func(x, y string) int { return cmp.Compare(why[y], why[x]) }) {
			fmt.Fprintf(&b, "; %dx %s", why[text], text)
		}
	}
	return b.String()
}

// printTable prints the rows as Markdown that can be read as it is.
func printTable(w io.Writer, s *stage, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	line := func(cells []string) { fmt.Fprintln(t, "| "+strings.Join(cells, "\t| ")+"\t|") }
	line(heads)
	rule := make([]string, len(heads))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for i := range rows {
		line(append(rows[i].cells(), make([]string, len(heads)-len(rows[i].cells()))...))
	}
	_ = t.Flush() // to the terminal
	var unkept int
	for i := range rows {
		unkept += rows[i].unkept
	}
	fmt.Fprintf(w, "\n%g queries/s through the balancer and %g at each node, %g acts/s of buyers; each fault for %s; %s in all. %d answers were not kept to be judged.\n",
		s.balanced, s.direct, s.sales, s.hold, time.Since(s.began).Round(time.Second), unkept)
}
