package load

import (
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"
)

// Milliseconds is a time in a report.
type Milliseconds float64

func milliseconds(d time.Duration) Milliseconds {
	return Milliseconds(d.Round(time.Microsecond).Seconds() * 1000)
}

// Distribution is times in short. All are 0 where none was counted.
type Distribution struct {
	Count uint64       `json:"count"`
	Mean  Milliseconds `json:"mean_ms"`
	P50   Milliseconds `json:"p50_ms"`
	P90   Milliseconds `json:"p90_ms"`
	P99   Milliseconds `json:"p99_ms"`
	P999  Milliseconds `json:"p99_9_ms"`
	Max   Milliseconds `json:"max_ms"`
}

func distributionOf(h histogram) Distribution {
	return Distribution{
		Count: uint64(h.TotalCount()), Mean: milliseconds(time.Duration(h.Mean() * float64(time.Microsecond))),
		P50: milliseconds(h.at(50)), P90: milliseconds(h.at(90)), P99: milliseconds(h.at(99)), P999: milliseconds(h.at(99.9)),
		Max: milliseconds(time.Duration(h.Histogram.Max()) * time.Microsecond),
	}
}

// Point is a percentile, 0 to 100: so many of all were no more than so long.
type Point struct {
	Percentile float64      `json:"percentile"`
	Value      Milliseconds `json:"ms"`
	Count      uint64       `json:"count"`
}

// Full is a distribution with all its percentiles, the denser the higher.
type Full struct {
	Distribution
	Percentiles []Point `json:"percentiles,omitempty"`
}

// ticks are percentiles for each halving of what is left to 100.
const ticks = 5

func fullOf(h histogram) Full {
	f := Full{Distribution: distributionOf(h)}
	if f.Count == 0 {
		return f
	}
	for _, b := range h.CumulativeDistributionWithTicks(ticks) {
		f.Percentiles = append(f.Percentiles, Point{Percentile: b.Quantile, Value: milliseconds(time.Duration(b.ValueAt) * time.Microsecond), Count: uint64(b.Count)})
	}
	return f
}

// Class is the requests that came to the same end.
type Class struct {
	Outcome Outcome `json:"outcome"`
	// Share of all requests, 0 to 1.
	Share   float64 `json:"share"`
	Latency Full    `json:"latency"`
}

// Second is a second of a run.
type Second struct {
	// Second is its number from 0.
	Second int `json:"second"`
	// Asked is the requests that were due in it; Sent, Answers, Errors and Bytes count what happened in it, whenever it was due.
	Asked   uint64 `json:"asked"`
	Sent    uint64 `json:"sent"`
	Answers uint64 `json:"answers"`
	Errors  uint64 `json:"errors"`
	Bytes   uint64 `json:"bytes"`
	// Latency is of the requests that were due in it.
	Latency Distribution `json:"latency"`
	// MaxAge is how old the oldest answer was.
	MaxAge Milliseconds `json:"max_age_ms"`
}

// Progress is what there is to say of a second as soon as it is over.
type Progress struct {
	// Elapsed is the time since the beginning, whole seconds.
	Elapsed time.Duration
	// Asked, Sent, Answers and Errors count as in Second; Waiting is how many requests were due and unsent.
	Asked, Sent, Answers, Errors, Waiting uint64
	// P50 and P99 are of the latencies of all that ended in the second.
	P50, P99 time.Duration
}

// Bin is the answers that were so old: at least From, less than To, but for the last, which has all that were older, too.
type Bin struct {
	From  Milliseconds `json:"from_ms"`
	To    Milliseconds `json:"to_ms"`
	Share float64      `json:"share"`
}

// Generator is how the load side itself fared.
type Generator struct {
	// Lag is for how long requests were due, and a connection free, before they were sent (L6).
	Lag Full `json:"lag"`
	// Processors is how many processors this process used, on average; 0 if that is not known. It includes a server within the same process.
	Processors float64 `json:"processors"`
	// Starved is the share of the time in which it was ready to run but had to wait for a processor, 0 to 1; 0 if that is not known.
	Starved float64 `json:"starved"`
	// Available is how many it may use at once.
	Available int `json:"available"`
}

// Watching is what the watchers heard.
type Watching struct {
	Watchers int `json:"watchers"`
	// Streams is how many were opened; of them, Reconnects again after one had ended: with a restart event, or Lost, without a word.
	Streams    uint64 `json:"streams"`
	Reconnects uint64 `json:"reconnects"`
	Lost       uint64 `json:"lost"`
	// Refused counts by status, and "no connection", what became of the others.
	Refused map[string]uint64 `json:"refused,omitempty"`
	// Events counts by name.
	Events map[string]uint64 `json:"events"`
	// Silence is the times between two events of a watcher, its reconnecting included. Silent is how many watchers heard nothing at all.
	Silence Full `json:"silence"`
	Silent  int  `json:"silent"`
	// Behind is how long ago the as_of of status events was when they came; Unproved counts those without one.
	Behind   Full   `json:"behind"`
	Unproved uint64 `json:"unproved"`
}

// Report is a run.
type Report struct {
	Settings Settings  `json:"settings"`
	Begin    time.Time `json:"begin"`
	// Seconds is how long requests were due, and Until when the last was over. Early is whether the run was ended before its time.
	Seconds float64 `json:"seconds"`
	Until   float64 `json:"until_seconds"`
	Early   bool    `json:"early"`
	// Due = the counts of all Outcomes together (L3). Sent is without the Unsent, Answered also without the Failed.
	Due      uint64 `json:"due"`
	Sent     uint64 `json:"sent"`
	Answered uint64 `json:"answered"`
	// Bytes of bodies, as they came.
	Bytes uint64 `json:"bytes"`
	// MostWaiting is the most requests that were due and waited for a connection. Reconnects counts connections that had to be opened again.
	MostWaiting uint64 `json:"most_waiting"`
	Reconnects  uint64 `json:"reconnects"`
	// Latency is of all requests, whatever became of them (L2); Outcomes has those that occurred.
	Latency  Full    `json:"latency"`
	Outcomes []Class `json:"outcomes"`
	// Problems counts failures in words, and statuses that are no outcome of their own.
	Problems map[string]uint64 `json:"problems,omitempty"`
	// Age is how old answers were when they had come, by Yupiao-As-Of, or Age where there is none.
	Age       Full      `json:"age"`
	AgeShares []Bin     `json:"age_shares,omitempty"`
	Generator Generator `json:"generator"`
	Watching  *Watching `json:"watching,omitempty"`
	Series    []Second  `json:"series"`
	// Notes are what a reader must know before trusting the numbers.
	Notes []string `json:"notes,omitempty"`
}

// Settings are the options of a run, as a report shows them.
type Settings struct {
	Server      string        `json:"server"`
	Rate        float64       `json:"rate"`
	For         string        `json:"for"`
	Connections int           `json:"connections"`
	Queue       int           `json:"queue"`
	Timeout     string        `json:"timeout"`
	Pairs       int           `json:"pairs"`
	Dates       []string      `json:"dates"`
	Shift       string        `json:"shift,omitempty"`
	Rush        *RushSettings `json:"rush,omitempty"`
	Conditional float64       `json:"conditional"`
	Gzip        float64       `json:"gzip"`
	Watchers    int           `json:"watchers"`
	Seed        uint64        `json:"seed"`
}

// RushSettings are a Rush.
type RushSettings struct {
	At     string  `json:"at"`
	For    string  `json:"for"`
	Factor float64 `json:"factor"`
}

func settingsOf(o *Options) Settings {
	s := Settings{
		Server: o.Server, Rate: o.Rate, For: o.For.String(), Connections: o.Connections, Queue: o.Queue, Timeout: o.Timeout.String(), Pairs: o.Demand.Len(),
		Conditional: o.Conditional, Gzip: o.Gzip, Watchers: o.Watchers, Seed: o.Seed,
	}
	for _, d := range o.Dates {
		s.Dates = append(s.Dates, d.String())
	}
	if o.Shift > 0 {
		s.Shift = o.Shift.String()
	}
	if o.Rush.For > 0 {
		s.Rush = &RushSettings{At: o.Rush.At.String(), For: o.Rush.For.String(), Factor: o.Rush.Factor}
	}
	return s
}

// report is the run, when it is over.
func (r *run) report(until time.Duration, had processors) *Report {
	c := r.recorder
	out := &Report{
		Settings: settingsOf(r.Options), Begin: r.begin.Round(0), Seconds: r.length().Seconds(), Until: until.Seconds(), Early: r.length() < r.For,
		Due: r.gate.next, Sent: c.sentCount, Bytes: uint64(c.size), MostWaiting: c.mostWaiting, Reconnects: c.reconnects,
		Latency: fullOf(c.latency), Problems: c.failures, Age: fullOf(c.ages), AgeShares: shares(c.ages), Series: c.series(),
		Generator: Generator{Lag: fullOf(c.lag), Processors: had.used.Seconds() / until.Seconds(), Starved: had.starved(), Available: runtime.GOMAXPROCS(0)},
	}
	for outcome := range outcomes {
		latency := fullOf(c.outcomes[outcome])
		if latency.Count == 0 {
			continue
		}
		if outcome.answered() {
			out.Answered += latency.Count
		}
		out.Outcomes = append(out.Outcomes, Class{Outcome: outcome, Share: float64(latency.Count) / float64(out.Due), Latency: latency})
	}
	if r.Watchers > 0 {
		out.Watching = r.watchers.report()
	}
	out.Notes = out.notes()
	return out
}

// starved is the share of the time in which a processor was wanted and not had.
func (p processors) starved() float64 {
	if p.waited == 0 {
		return 0
	}
	return p.waited.Seconds() / (p.waited + p.used).Seconds()
}

func (w *watchers) report() *Watching {
	return &Watching{
		Watchers: w.Watchers, Streams: w.opened, Reconnects: w.reconnects, Lost: w.lost, Refused: w.refused, Events: w.events, Silence: fullOf(w.silence),
		Silent: w.silent, Behind: fullOf(w.late), Unproved: w.unproved,
	}
}

// bins is how many stretches of the same length the ages up to their 99th percentile are put into.
const bins = 30

// shares puts ages into bins.
func shares(h histogram) []Bin {
	total := float64(h.TotalCount())
	if total == 0 {
		return nil
	}
	size := max(h.at(99)/bins, time.Millisecond)
	out := make([]Bin, bins)
	for i := range out {
		out[i].From, out[i].To = milliseconds(time.Duration(i)*size), milliseconds(time.Duration(i+1)*size)
	}
	for _, bar := range h.Distribution() {
		i := min(int(time.Duration(bar.From)*time.Microsecond/size), bins-1)
		out[i].Share += float64(bar.Count) / total
	}
	return out
}

const (
	// tooLate is a lag of the generator that is no longer small beside what it measures.
	tooLate = time.Millisecond
	// tooStarved is a share of waiting for a processor that shows in latencies: answers lie unread meanwhile.
	tooStarved = 0.2
)

// notes are what a reader must know before trusting the numbers.
func (r *Report) notes() (notes []string) {
	say := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.Early {
		say("The run was ended early, after %.1f of %s.", r.Seconds, r.Settings.For)
	}
	lag := r.Generator.Lag
	if lag.P99 > milliseconds(tooLate) {
		say("The generator itself could not keep up: one request in a hundred was sent %s ms or more after it was due although a connection was free. That is in the latencies. Give it more processor, or ask for less.", short(lag.P99))
	}
	if r.Generator.Starved > tooStarved {
		say("The generator itself had too little of the machine: %.0f%% of the time in which it was ready to run, others had all processors. Answers lay unread meanwhile, so latencies are longer than the server made them. Pin the two to different processors (taskset -c).", r.Generator.Starved*100)
	}
	if unsent := r.Due - r.Sent; unsent > 0 {
		say("%d requests were given up before they were sent: all %d connections waited for answers.", unsent, r.Settings.Connections)
	} else if r.MostWaiting > uint64(r.Settings.Connections) {
		say("Up to %d requests waited for one of %d connections. Their wait is in the latencies, as a traveller would have waited.", r.MostWaiting, r.Settings.Connections)
	}
	for _, what := range slices.Sorted(maps.Keys(r.Problems)) {
		say("%d requests: %s.", r.Problems[what], what)
	}
	if w := r.Watching; w != nil && w.Silent > 0 {
		say("%d of %d watchers heard nothing at all.", w.Silent, w.Watchers)
	}
	return notes
}

// JSON is the report with all its figures.
func (r *Report) JSON() []byte {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic("load: report: " + err.Error()) // numbers and texts alone; held by the tests
	}
	return append(text, '\n')
}
