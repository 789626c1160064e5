package load

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Outcome is what became of a request.
type Outcome int

// Outcomes.
const (
	OK          Outcome = iota // 200
	NotModified                // 304
	TooMany                    // 429
	Unavailable                // 503
	Other                      // any other status
	Failed                     // no whole answer in time
	Unsent                     // given up before it was sent
	outcomes
)

// String is the status, or a word.
func (o Outcome) String() string {
	return [...]string{"200", "304", "429", "503", "other", "error", "unsent"}[o]
}

// MarshalText is String.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// answered is whether it was an answer of the server.
func (o Outcome) answered() bool { return o < Failed }

func outcomeOf(status int) Outcome {
	switch status {
	case http.StatusOK:
		return OK
	case http.StatusNotModified:
		return NotModified
	case http.StatusTooManyRequests:
		return TooMany
	case http.StatusServiceUnavailable:
		return Unavailable
	default:
		return Other
	}
}

// result is a request that is over.
type result struct {
	due, done time.Duration // since the beginning; done when the last byte was read, or it was given up
	outcome   Outcome
	status    int
	failure   string // of Failed
	size      int64  // bytes of the body as they came
	age       time.Duration
	aged      bool // whether the age is known
}

// histogram counts times of a microsecond to an hour with a number of exact digits.
type histogram struct{ *hdrhistogram.Histogram }

const (
	longest = time.Hour
	fine    = 3 // digits
	coarse  = 2 // digits, where there is a histogram for each second
)

func newHistogram(digits int) histogram {
	return histogram{hdrhistogram.New(1, int64(longest/time.Microsecond), digits)}
}

// record counts a time; one beyond the bounds counts as the bound.
func (h histogram) record(d time.Duration) {
	_ = h.RecordValue(int64((min(max(d, 0), longest) + 500) / time.Microsecond)) // within the bounds
}

// at is a percentile, 0 to 100.
func (h histogram) at(percentile float64) time.Duration {
	return time.Duration(h.ValueAtPercentile(percentile)) * time.Microsecond
}

// tally is what is known of a second.
type tally struct {
	Second
	settled uint64    // requests that were due in it and are over
	live    histogram // of their latencies, until all are
	closed  bool
}

// recorder counts. All its methods may be called at once.
type recorder struct {
	mu          sync.Mutex // guards what follows
	latency     histogram
	outcomes    [outcomes]histogram
	ages, lag   histogram
	size        int64
	failures    map[string]uint64 // and statuses that are none of the outcomes
	reconnects  uint64
	seconds     []tally
	recent      histogram // answers since the last tick
	free        []histogram
	sentCount   uint64
	mostWaiting uint64
	waiting     uint64
}

func newRecorder() *recorder {
	r := &recorder{latency: newHistogram(fine), ages: newHistogram(fine), lag: newHistogram(fine), recent: newHistogram(coarse), failures: map[string]uint64{}}
	for i := range r.outcomes {
		r.outcomes[i] = newHistogram(fine)
	}
	return r
}

// second is the tally of the second in which a time is.
func (r *recorder) second(at time.Duration) *tally {
	for n := int(at / time.Second); n >= len(r.seconds); {
		r.seconds = append(r.seconds, tally{Second: Second{Second: len(r.seconds)}})
	}
	return &r.seconds[at/time.Second]
}

// latencies is the second's histogram.
func (r *recorder) latencies(t *tally) histogram {
	if t.live.Histogram != nil {
		return t.live
	}
	if last := len(r.free) - 1; last >= 0 {
		t.live, r.free = r.free[last], r.free[:last]
	} else {
		t.live = newHistogram(coarse)
	}
	return t.live
}

// sent counts a request that was handed to a connection, how late the generator was (L6), and how many others were due and waited.
func (r *recorder) sent(now, late time.Duration, waiting uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sentCount++
	r.second(now).Sent++
	r.lag.record(late)
	r.waiting, r.mostWaiting = waiting, max(r.mostWaiting, waiting)
}

func (r *recorder) reconnected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reconnects++
}

// settled counts a request that is over (L2, L3).
func (r *recorder) settled(res result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	latency := res.done - res.due
	r.latency.record(latency)
	r.outcomes[res.outcome].record(latency)
	r.recent.record(latency)
	r.size += res.size
	r.second(max(res.due, res.done)) // no tally moves from here on
	due, done := r.second(res.due), r.second(res.done)
	due.settled++
	r.latencies(due).record(latency)
	done.Bytes += uint64(res.size)
	switch {
	case res.outcome.answered():
		done.Answers++
	default:
		done.Errors++
	}
	if res.aged {
		r.ages.record(res.age)
		done.MaxAge = max(done.MaxAge, Milliseconds(res.age.Seconds()*1000))
	}
	if res.outcome == Failed {
		r.failures[res.failure]++
	}
	if res.outcome == Other {
		r.failures["status "+strconv.Itoa(res.status)]++
	}
}

// tick is for when a second is over. It gives what there is to say of it, and closes the seconds of which all requests are over.
func (r *recorder) tick(second int, p *plan) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Duration(second+1) * time.Second
	t := r.second(now - 1)
	out := Progress{
		Elapsed: now, Asked: p.count(now) - p.count(now-time.Second), Sent: t.Sent, Answers: t.Answers, Errors: t.Errors, Waiting: r.waiting,
		P50: r.recent.at(50), P99: r.recent.at(99),
	}
	r.recent.Reset()
	for i := range r.seconds[:second+1] {
		if t := &r.seconds[i]; !t.closed && t.settled == p.count(time.Duration(i+1)*time.Second)-p.count(time.Duration(i)*time.Second) {
			r.close(t)
		}
	}
	return out
}

// close reads the percentiles of a second and gives its histogram back.
func (r *recorder) close(t *tally) {
	t.closed, t.Asked = true, t.settled
	if t.live.Histogram == nil {
		return
	}
	t.Latency = distributionOf(t.live)
	t.live.Reset()
	r.free = append(r.free, t.live)
	t.live = histogram{}
}

// series is all seconds, when the run is over.
func (r *recorder) series() (all []Second) {
	for i := range r.seconds {
		if t := &r.seconds[i]; !t.closed {
			r.close(t)
		}
		all = append(all, r.seconds[i].Second)
	}
	return all
}
