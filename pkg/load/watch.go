package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// opening is how many watchers connect at once.
	opening = 128
	// again is after what time a watcher whose stream ended connects again; servers ask for it.
	again = time.Second
	// usual is the longest silence that means nothing: status events come every second.
	usual = 2 * time.Second
)

// watchers hold streams open and listen.
type watchers struct {
	*run
	opening chan struct{}

	mu            sync.Mutex // guards what follows
	events        map[string]uint64
	silence, late histogram
	opened        uint64 // streams that were opened, again and again
	reconnects    uint64
	refused       map[string]uint64
	lost          uint64 // streams that ended without a restart
	unproved      uint64 // status events without as_of
	silent        int    // watchers that heard nothing at all
}

func newWatchers(r *run) *watchers {
	return &watchers{
		run: r, opening: make(chan struct{}, opening), events: map[string]uint64{}, refused: map[string]uint64{}, silence: newHistogram(fine), late: newHistogram(fine),
	}
}

// start lets all watchers connect, and returns when each has tried, at the latest after Timeout. They listen until ctx ends; wait waits until they have left.
func (w *watchers) start(ctx context.Context) (wait func()) {
	var tried, all sync.WaitGroup
	traffic := newTraffic(w.Options)
	rng := rand.New(rand.NewPCG(w.Seed, 1)) // another sequence than that of the requests
	for range w.Watchers {
		one := &watcher{watchers: w, question: traffic.pick(rng)}
		tried.Add(1)
		all.Go(func() { one.watch(ctx, sync.OnceFunc(tried.Done)) })
	}
	ready := make(chan struct{})
	go func() {
		tried.Wait()
		close(ready)
	}()
	patience := time.NewTimer(w.Timeout)
	defer patience.Stop()
	select {
	case <-ready:
	case <-patience.C:
	}
	return all.Wait
}

// watcher is one of them.
type watcher struct {
	*watchers
	question question
	last     string    // id of the last event
	heard    time.Time // when the last event came, or it began to listen
	events   int
	open     bool // whether a stream was open before
}

// watch listens until ctx ends. tried is called when the first stream is open, or is not to be had.
func (w *watcher) watch(ctx context.Context, tried func()) {
	defer tried()
	w.heard = time.Now()
	for ctx.Err() == nil {
		pause := w.listen(ctx, tried)
		tried()
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if since := time.Since(w.heard); since > usual { // it was in silence when the run ended
		w.silence.record(since)
	}
	if w.events == 0 {
		w.silent++
	}
}

// listen opens a stream and reads it to its end. It gives how long to wait before the next.
func (w *watcher) listen(ctx context.Context, opened func()) (pause time.Duration) {
	w.watchers.opening <- struct{}{}
	in, h, leave, err := w.connect(ctx)
	<-w.watchers.opening
	if err != nil {
		w.refuse(ctx, "no connection")
		return again
	}
	defer leave()
	if h.status != http.StatusOK {
		w.refuse(ctx, strconv.Itoa(h.status))
		return max(h.retry, again)
	}
	opened()
	w.mu.Lock()
	w.watchers.opened++
	if w.open {
		w.reconnects++
	}
	w.mu.Unlock()
	w.open = true
	restarted := w.read(in)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !restarted && ctx.Err() == nil {
		w.lost++
	}
	return again
}

func (w *watcher) refuse(ctx context.Context, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() == nil {
		w.refused[why]++
	}
}

// patient sets a new deadline before each read: a stream may last, but not be silent.
type patient struct {
	conn interface {
		io.Reader
		SetReadDeadline(t time.Time) error
	}
	timeout time.Duration
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.conn.Read(b)
}

// connect asks for the stream. leave must be called if there is no error.
func (w *watcher) connect(ctx context.Context) (in *bufio.Reader, h *head, leave func(), err error) {
	dialling, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	conn, err := w.dial(dialling)
	if err != nil {
		return nil, nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // what mattered was read
	leave = func() {
		if stop() {
			_ = conn.Close() // the stream is over
		}
	}
	raw := bufio.NewReader(patient{conn, w.Timeout})
	h = &head{}
	if _, err = conn.Write(w.requests.stream(nil, w.question, w.last)); err == nil {
		err = h.read(raw)
	}
	if err != nil {
		leave()
		return nil, nil, nil, err
	}
	return bufio.NewReader(h.body(raw)), h, leave, nil
}

// event is an event that is being read. Its data is of no interest but that of a status.
type event struct {
	name, id string
	data     []byte
	some     bool // whether it has any of them
}

// read reads events until the stream ends, and reports whether the server said that it would.
func (w *watcher) read(in *bufio.Reader) (restarted bool) {
	var e event
	for {
		text, err := prefix(in)
		switch {
		case err != nil:
			return restarted
		case len(text) > 0:
			e.field(text)
		case e.some:
			restarted = e.name == "restart"
			w.hear(&e, time.Now())
			e = event{data: e.data[:0]}
		}
	}
}

// prefix reads a line and gives its beginning, as much as fits into the buffer. It is good until the next read.
func prefix(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		text = bytes.Clone(text)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
	}
	return bytes.TrimRight(text, "\r\n"), err
}

// field takes a line of an event. Comments and what is not known are passed over.
func (e *event) field(text []byte) {
	name, value, _ := bytes.Cut(text, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		e.name, e.some = string(value), true
	case "id":
		e.id, e.some = string(value), true
	case "data":
		e.data, e.some = append(e.data[:0], value...), true
	}
}

// hear counts an event.
func (w *watcher) hear(e *event, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchers.events[e.name]++
	w.events++
	if e.id != "" {
		w.last = e.id
	}
	w.silence.record(now.Sub(w.heard))
	w.heard = now
	if e.name != "status" {
		return
	}
	var status struct {
		AsOf time.Time `json:"as_of"`
	}
	if json.Unmarshal(e.data, &status) != nil || status.AsOf.IsZero() {
		w.unproved++
		return
	}
	w.late.record(now.Sub(status.AsOf))
}
