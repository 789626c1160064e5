//go:build linux

package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/rail"
)

// TestMain plays a part if the test's own program was started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{brokerPart, publisherPart, nodePart}, os.Args[1]) {
		os.Exit(execute(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// small is a record of a small country with its dates on sale.
func small(t *testing.T) *record {
	t.Helper()
	first := rail.DateOf(time.Now(), time.UTC)
	s, err := timetableOf(1, 0.01, first, country.SaleDays+5)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecord(country.NewBook(country.BookOptions{Seed: 1, Schedule: s, Today: first}), s, time.UTC)
	r.openFirst(first, country.SaleDays)
	return r
}

// truth is the answer to a question as it would be now.
func truth(t *testing.T, r *record, q *question) *answered {
	t.Helper()
	type class = struct {
		Class     rail.Class
		State     string
		Remaining *rail.SeatCount
	}
	a := &answered{}
	for id, rides := range q.rides {
		state, ok := r.book.State(id)
		if !ok {
			t.Fatalf("the book has no %s", id)
		}
		for _, ride := range rides {
			a.Runs = append(a.Runs, struct {
				Run     string
				From    struct{ Stop rail.StopIndex }
				To      struct{ Stop rail.StopIndex }
				Behind  bool
				Reason  string
				Classes []class
			}{Run: id.String()})
			run := &a.Runs[len(a.Runs)-1]
			run.From.Stop, run.To.Stop = ride.From, ride.To
			for i := range state.Classes {
				n := remaining(&state.Classes[i], ride.From, ride.To)
				run.Classes = append(run.Classes, class{Class: state.Classes[i].Class, Remaining: &n})
			}
		}
	}
	return a
}

// An answer that calls itself live is right if it was true at some moment between its as-of and now; any other is found.
func TestWrongAnswersAreFound(t *testing.T) {
	r := small(t)
	asks := r.questions(rand.New(rand.NewPCG(1, 1)), r.today(), nil)
	q := asks[0]
	judge := func(a *answered, from, to time.Time) (string, bool) {
		body, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		return r.judge(q, body, from, to)
	}
	begin := time.Now()
	before := truth(t, r, q)
	if wrong, judged := judge(before, begin, begin); wrong != "" || !judged {
		t.Fatalf("the truth is wrong: %s", wrong)
	}
	if _, judged := judge(before, q.since.Add(-time.Second), begin); judged {
		t.Error("an answer from before its runs were watched was judged")
	}

	changed := false // something that the question asks for
	for !changed {
		r.act(1)
		now := truth(t, r, q)
		was, _ := judge(before, time.Now(), time.Now())
		is, _ := judge(now, time.Now(), time.Now())
		if is != "" {
			t.Fatalf("the truth is wrong: %s", is)
		}
		changed = was != ""
	}
	if wrong, _ := judge(before, begin, time.Now()); wrong != "" {
		t.Errorf("what was true since its as-of is wrong: %s", wrong)
	}

	now := time.Now()
	planted := truth(t, r, q)
	*planted.Runs[0].Classes[0].Remaining += 1000 // one more was true a moment ago
	if wrong, _ := judge(planted, begin, now); !strings.Contains(wrong, planted.Runs[0].Run) {
		t.Errorf("a count that was never true was not found: %q", wrong)
	}
	planted.Runs[0].Behind = true
	if wrong, _ := judge(planted, begin, now); wrong != "" {
		t.Errorf("a run that says that it is behind is held to be wrong: %s", wrong)
	}
	lacking := truth(t, r, q)
	lacking.Runs = lacking.Runs[1:]
	if wrong, _ := judge(lacking, begin, now); !strings.Contains(wrong, "missing") {
		t.Errorf("a run that is missing was not found: %q", wrong)
	}
	foreign := truth(t, r, q)
	foreign.Runs[0].Run = rail.RunID{Date: r.today(), Trip: "nobody"}.String()
	if wrong, _ := judge(foreign, begin, now); wrong == "" {
		t.Error("a run that does not serve the question was not found")
	}
	if wrong, _ := r.judge(q, []byte("{"), begin, now); wrong == "" {
		t.Error("half an answer was not found")
	}
	r.questions(rand.New(rand.NewPCG(1, 2)), r.today(), asks)
	if _, judged := judge(planted, begin, now); judged {
		t.Error("an answer to a question that is over was judged")
	}
}

// Times of the railway's clock are those of ours, whichever day it was by then.
func TestClock(t *testing.T) {
	r := small(t)
	early := time.Now()
	r.roll()
	late := time.Now()
	for _, c := range []struct {
		name     string
		at, want time.Time
	}{
		{"before the jump", early, early}, {"after it", late.Add(24 * time.Hour), late}, {"jumped over", early.Add(5 * time.Hour), r.rolls[1].at},
	} {
		if got := r.real(c.at); !got.Equal(c.want) {
			t.Errorf("%s: %s is %s; want %s", c.name, c.at, got, c.want)
		}
	}
}

// A publisher that comes after one that was killed gets all again that was not done, and the versions that were.
func TestOutbox(t *testing.T) {
	r := small(t)
	d := &desk{r}
	var first, second Term
	var b Batch
	for _, err := range []error{d.Begin(struct{}{}, &first), d.Take(Progress{Term: first.Number, Published: 100}, &b), d.Done(Progress{Term: first.Number, Published: 60}, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(first.Published) != 0 || len(b.Changes) != 100 || b.All || !b.Complete.Before(time.Now()) {
		t.Errorf("%d published, %d taken, all %v", len(first.Published), len(b.Changes), b.All)
	}
	r.act(50)
	if err := d.Begin(struct{}{}, &second); err != nil {
		t.Fatal(err)
	}
	if err := d.Take(Progress{Term: first.Number, Published: 1}, &b); err == nil {
		t.Error("a publisher that was replaced was given more")
	}
	if err := d.Done(Progress{Term: first.Number, Published: 1}, nil); err == nil {
		t.Error("a publisher that was replaced was believed")
	}
	if len(second.Published) != 60 {
		t.Errorf("%d runs are published; want 60", len(second.Published))
	}
	again := Batch{}
	if err := d.Take(Progress{Term: second.Number, Published: 1 << 20}, &again); err != nil {
		t.Fatal(err)
	}
	if again.Changes[0].Delta.Run != b.Changes[60].Delta.Run || !again.All {
		t.Errorf("the next is %v; want %v", again.Changes[0].Delta.Run, b.Changes[60].Delta.Run)
	}
	next := map[rail.RunID]rail.Version{}
	for _, p := range second.Published {
		next[p.Run] = p.Version
	}
	for i := range again.Changes {
		c := &again.Changes[i].Delta
		if v := next[c.Run]; v != (rail.Version{}) && !c.Version.Follows(v) {
			t.Fatalf("%s goes on with %s after %s", c.Run, c.Version, v)
		}
		next[c.Run] = c.Version
	}
}

// What a node lacks, has too early, or does not vouch for is found; what was only on its way is not.
func TestDivergenceIsFound(t *testing.T) {
	run := func(n string) rail.RunID { return rail.RunID{Date: 1, Trip: rail.TripID(n)} }
	v := func(n uint64) rail.Version { return rail.Version{Epoch: 1, Revision: n} }
	before := map[rail.RunID]rail.Version{run("good"): v(5), run("moved"): v(5), run("behind"): v(5), run("ahead"): v(5), run("lost"): v(5), run("sick"): v(5)}
	after := map[rail.RunID]rail.Version{run("good"): v(5), run("moved"): v(9), run("behind"): v(5), run("ahead"): v(5), run("lost"): v(5), run("sick"): v(5)}
	held := map[rail.RunID]fleet.RunSum{}
	for name, revision := range map[string]uint64{"good": 5, "moved": 7, "behind": 4, "ahead": 6, "sick": 5, "invented": 1} {
		held[run(name)] = fleet.RunSum{Epoch: 1, Revision: revision, Health: "live"}
	}
	sick := held[run("sick")]
	sick.Health = "quarantined"
	held[run("sick")] = sick
	var found []string
	for _, id := range lagging(before, after, held) {
		found = append(found, string(id.Trip))
	}
	slices.Sort(found)
	if want := []string{"ahead", "behind", "invented", "lost", "sick"}; !slices.Equal(found, want) {
		t.Errorf("found %v; want %v", found, want)
	}
}

// A leak is told from noise, from a step that stays, and from peaks that go.
func TestLeaksAreFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name string
		of   func(minute float64) float64
		want word
	}{
		{"flat", func(float64) float64 { return 700 }, holds},
		{"noise", func(float64) float64 { return 700 + 60*rng.Float64() }, holds},
		{"peaks", func(m float64) float64 { return 700 + 500*max(0, 4-math.Mod(m, 12)) }, holds},
		{"leak of 1 MiB a minute", func(m float64) float64 { return 700 + m + 10*rng.Float64() }, fails},
		{"leak under peaks", func(m float64) float64 { return 700 + m + 500*max(0, 4-math.Mod(m, 12)) }, fails},
		{"shrinks", func(m float64) float64 { return 700 - m }, holds},
	} {
		var at, values []float64
		for s := 0.; s < 3600; s += 5 {
			at, values = append(at, s), append(values, c.of(s/60))
		}
		r := &result{}
		r.flat(c.name, "MiB", at, values)
		if got := r.verdicts[0]; got.Word != c.want || r.held() != (c.want == holds) {
			t.Errorf("%s: %s (%s); want %s", c.name, got.Word, got.Figure, c.want)
		}
		short := &result{}
		if short.flat(c.name, "MiB", at[:20], values[:20]); short.verdicts[0].Word != notJudged {
			t.Errorf("%s: 100 s were judged", c.name)
		}
	}
	r := &result{}
	r.flat("nothing", "", nil, nil)
	if r.verdicts[0].Word != notJudged {
		t.Error("nothing was judged")
	}
}

// Each verdict can fail, and what is not known does not hold.
func TestVerdicts(t *testing.T) {
	good := func() *result {
		r := &result{options: options{rate: 100}, findings: &findings{Judged: 9, Exact: 9, Compared: 9}, crowd: crowdResult{due: 1000, good: 1000}}
		r.samples = []sample{{at: -5, changes: 0}, {at: 5, changes: 100}}
		return r
	}
	fails := func(r *result, surprises int) (failed int) {
		r.judge(figures{}, surprises)
		for _, v := range r.verdicts {
			if v.Word != holds && v.Word != notJudged {
				failed++
			}
		}
		return failed
	}
	if n := fails(good(), 0); n != 0 {
		t.Errorf("%d verdicts fail where all is well", n)
	}
	if n := fails(good(), 1); n != 1 {
		t.Errorf("a process that ended by itself: %d verdicts fail", n)
	}
	for name, spoil := range map[string]func(*result){
		"a wrong answer": func(r *result) { r.findings.Wrong = []string{"x"} }, "nothing judged": func(r *result) { r.findings.Judged = 0 },
		"a wrong number": func(r *result) { r.findings.Inexact = []string{"x"} }, "nothing compared": func(r *result) { r.findings.Compared = 0 },
		"divergence": func(r *result) { r.findings.Diverged = []string{"x"} }, "slow": func(r *result) { r.samples[1].changes = 90 },
		"no recovery": func(r *result) { r.events = []mishap{{Recovered: math.NaN()}} }, "refused": func(r *result) { r.crowd.good = 990 },
		"a fault that could not be": func(r *result) { r.events = []mishap{{Failed: "x"}} },
	} {
		r := good()
		spoil(r)
		if n := fails(r, 0); n != 1 {
			t.Errorf("%s: %d verdicts fail; want 1", name, n)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{}, {"more", "--out", "x"}, {"--nonsense"}, {"--out", "x", "--for", "1s"}, {"--out", "x", "--rate", "0"}} {
		if _, err := play(t.Context(), args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

// All processes of a small soak, with one fault of each of the first kinds: nothing is wrong, and the report is there. How fast it was is not judged: the machine may be anybody's.
func TestSoak(t *testing.T) {
	out := filepath.Join(t.TempDir(), "results", "soak")
	o := options{
		length: 13 * time.Second, warmUp: 2 * time.Second, scale: 0.02, rate: 300, queries: 20, watchers: 5, seed: 1, out: out,
		day: 6 * time.Second, faultEvery: 6 * time.Second, reloadEvery: 7 * time.Second,
	}
	if _, err := soak(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out + ".md")
	if err != nil {
		t.Fatal(err)
	}
	for _, goal := range []string{"no answer is wrong and not marked", "all numbers of a run are those of its version", "no process ends by itself"} {
		if !strings.Contains(string(text), "holds       "+goal) {
			t.Errorf("%q does not hold in\n%s", goal, text)
		}
	}
	if strings.Contains(string(text), "wrong: ") || strings.Contains(string(text), "diverged: ") {
		t.Errorf("findings in\n%s", text)
	}
	for _, name := range []string{".html", ".csv"} {
		if s, err := os.Stat(out + name); err != nil || s.Size() < 500 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
