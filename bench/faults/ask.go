//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/pkg/cluster"
	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/rail"
)

const (
	// patience of who asks through the balancer, and at a node, which is not to be waited for: another would be asked.
	balancedPatience, directPatience = 10 * time.Second, 2 * time.Second
	// detailShare of the queries are for one run with all its ODs and its version.
	detailShare = 0.15
	// mostAnswers and mostBytes bound what is kept of one fault to be judged.
	mostAnswers, mostBytes = 40_000, 256 << 20
	dates                  = 10 // boarding dates that are asked for
)

// answer is one, as it came.
type answer struct {
	got  time.Time
	asOf time.Time // zero if it has none
	live bool
	body *body
}

// body is what one or several answers said.
type body struct {
	detail bool
	text   []byte
}

// tally counts what came of queries.
type tally struct {
	asked, answered, degraded int
	why                       map[string]int // not answered
}

// askers ask the balancer and each node at a constant rate, whatever becomes of it.
type askers struct {
	paths  []string
	cancel context.CancelFunc
	asking sync.WaitGroup
	active [1 + cluster.Nodes + spares]atomic.Bool // targets: the balancer, then the nodes

	mu       sync.Mutex // guards what follows
	balanced tally
	direct   tally
	answers  []answer
	bodies   map[string]*body
	size     int
	unkept   int                                // answers that there was no room for
	latest   [1 + cluster.Nodes + spares]answer // that was answered, by target
	runs     []string                           // that were seen in answers, for details
	marked   time.Time                          // first answer that was marked
	oldest   time.Duration                      // age of the oldest answer that was not
}

func newAskers(ctx context.Context, s *stage) *askers {
	a := &askers{}
	a.reset()
	d := demand.New(s.cluster.Schedule())
	rng, days := rand.New(rand.NewPCG(s.seed, 7)), demand.Days(dates)
	today := rail.DateOf(time.Now(), time.Local)
	for range 512 {
		p := d.Pair(d.Pick(rng))
		a.paths = append(a.paths, fmt.Sprintf("/v1/availability?from=%s&to=%s&date=%s", p.From, p.To, today+1+rail.Date(days.Pick(rng))))
	}
	ctx, a.cancel = context.WithCancel(ctx)
	a.use(0, 1, 2)
	a.asking.Go(func() { a.ask(ctx, 0, s.cluster.URL(), s.balanced, balancedPatience) })
	for i, url := range s.cluster.NodeURLs() {
		a.asking.Go(func() { a.ask(ctx, 1+i, url, s.direct, directPatience) })
	}
	return a
}

func (a *askers) stop() {
	a.cancel()
	a.asking.Wait()
}

// use has these nodes asked, and the others not.
func (a *askers) use(nodes ...int) {
	for i := range a.active {
		a.active[i].Store(i == 0)
	}
	for _, n := range nodes {
		a.active[1+n].Store(true)
	}
}

// reset forgets what came until now.
func (a *askers) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.balanced, a.direct = tally{why: map[string]int{}}, tally{why: map[string]int{}}
	a.answers, a.bodies, a.size, a.unkept = nil, map[string]*body{}, 0, 0
	a.marked, a.oldest = time.Time{}, 0
}

func (a *askers) ask(ctx context.Context, target int, url string, rate float64, patience time.Duration) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: patience}
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if a.active[target].Load() {
			under.Go(func() { a.one(ctx, client, target, url+a.path()) })
		}
	}
}

// path is what somebody asks for.
func (a *askers) path() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if rand.Float64() < detailShare && len(a.runs) > 0 {
		return "/v1/runs/" + a.runs[rand.IntN(len(a.runs))]
	}
	return a.paths[rand.IntN(len(a.paths))]
}

// one asks once and notes what came of it.
func (a *askers) one(ctx context.Context, client *http.Client, target int, url string) {
	got, text, failure := fetch(ctx, client, url)
	if ctx.Err() != nil {
		return // it was given up, not failed
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &a.direct
	if target == 0 {
		t = &a.balanced
	}
	t.asked++
	if failure != "" {
		t.why[failure]++
		return
	}
	t.answered++
	if !got.live {
		t.degraded++
		if a.marked.IsZero() {
			a.marked = got.got
		}
	} else {
		a.oldest = max(a.oldest, got.got.Sub(got.asOf))
	}
	a.keep(got, text)
	if got.asOf.After(a.latest[target].asOf) || !got.live {
		a.latest[target] = got
	}
}

// keep keeps an answer to be judged. Equal bodies are kept once. The caller holds mu.
func (a *askers) keep(got answer, text []byte) {
	key := string(text)
	b := a.bodies[key]
	switch {
	case len(a.answers) >= mostAnswers || b == nil && a.size > mostBytes:
		a.unkept++
		return
	case b == nil:
		b = &body{detail: bytes.HasPrefix(text, []byte(`{"run":`)), text: text}
		a.bodies[key] = b
		a.size += len(text)
		a.note(b)
	}
	got.body = b
	a.answers = append(a.answers, got)
}

// note remembers some runs of an answer, to ask for them.
func (a *askers) note(b *body) {
	const key, mostRuns = `"run":"`, 500
	if _, rest, ok := bytes.Cut(b.text, []byte(key)); ok && !b.detail && len(a.runs) < mostRuns {
		run, _, _ := bytes.Cut(rest, []byte(`"`))
		a.runs = append(a.runs, string(run))
	}
}

// fetch asks. What does not say whether it is live is no answer.
func fetch(ctx context.Context, client *http.Client, url string) (got answer, text []byte, failure string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return got, nil, err.Error()
	}
	response, err := client.Do(r)
	if err != nil {
		return got, nil, short(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err = io.ReadAll(response.Body)
	state := response.Header.Get("Yupiao-State")
	switch {
	case err != nil:
		return got, nil, short(err)
	case response.StatusCode != http.StatusOK:
		return got, nil, response.Status
	case !bytes.HasSuffix(text, []byte("]}")) || state != "live" && state != "degraded":
		return got, nil, fmt.Sprintf("half an answer, state %q", state)
	}
	got = answer{got: time.Now(), live: state == "live"}
	got.asOf, err = time.Parse(time.RFC3339, response.Header.Get("Yupiao-As-Of"))
	if err != nil && got.live {
		return got, nil, "live without a time"
	}
	return got, text, ""
}

// fresh are the active nodes that have said something live of after a moment since they last said otherwise.
func (a *askers) fresh(after time.Time) (count int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := 1; i < len(a.active); i++ {
		if l := a.latest[i]; a.active[i].Load() && l.live && l.asOf.After(after) {
			count++
		}
	}
	return count
}

// short is an error without what differs from request to request.
func short(err error) string {
	for _, known := range []error{context.DeadlineExceeded, syscall.ECONNREFUSED, syscall.ECONNRESET, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if at := net.Error(nil); errors.As(err, &at) && at.Timeout() {
		return "no answer in time"
	}
	return err.Error()
}
