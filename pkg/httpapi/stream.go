package httpapi

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/view"
)

const (
	lookEvery   = 50 * time.Millisecond  // how soon a change is noticed
	sendEvery   = 250 * time.Millisecond // at most four events a second
	statusEvery = time.Second
	writeWithin = 10 * time.Second // a client that takes nothing for so long is cut off
	backlog     = 16               // events a client may be behind: four seconds
)

// hub shares the work of streams: one topic for each different query, however many clients watch it.
type hub struct {
	ctx      context.Context
	server   *Server
	sweepers int

	mu      sync.Mutex // guards what follows
	made    int        // topics
	topics  map[topicKey]*topic
	clients map[netip.Addr]int
	streams int
}

// topicKey is a query string in its parsed form, so that parameters in another order are the same topic.
type topicKey struct {
	query string
	lang  rail.Lang
}

func newHub(ctx context.Context, s *Server) *hub {
	h := &hub{ctx: ctx, server: s, topics: map[topicKey]*topic{}, clients: map[netip.Addr]int{}, sweepers: max(1, runtime.GOMAXPROCS(0)/2)}
	for n := range h.sweepers {
		go h.sweep(n)
	}
	return h
}

// sweep looks after every so-many-th topic until the hub's context ends. All sweepers together take no more than half of the processors: however much is watched, the other half is left
// to those who ask.
func (h *hub) sweep(n int) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var topics []*topic
	var o lookout
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-ticker.C:
		}
		topics = h.list(topics[:0], n)
		for _, t := range topics {
			t.sweep(&o, time.Now())
		}
		clear(topics)
	}
}

// list appends a sweeper's topics.
func (h *hub) list(topics []*topic, n int) []*topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.topics {
		if t.number%h.sweepers == n {
			topics = append(topics, t)
		}
	}
	return topics
}

// restartEvery is how often a part of the streams is told to begin anew.
const restartEvery = 50 * time.Millisecond

// restart has all streams begin anew, elsewhere if there is a balancer, spread over a time so that the others are not overrun: the thousands that watch one hot search as well. It ends
// when none is left or ctx ends. No stream is admitted meanwhile.
func (h *hub) restart(ctx context.Context, over time.Duration) {
	ticker := time.NewTicker(restartEvery)
	defer ticker.Stop()
	for steps := int(over / restartEvery); ; steps-- {
		h.mu.Lock()
		streams, topics := h.streams, slices.Collect(maps.Values(h.topics))
		h.mu.Unlock()
		if streams == 0 {
			return
		}
		most := streams // those that were slow to subscribe
		if steps > 1 {
			most = (streams + steps - 1) / steps
		}
		for _, t := range topics {
			most -= t.restart(most)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// admit counts a stream in, or says why not.
func (h *hub) admit(client netip.Addr) *Problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	set := h.server.settings.Load()
	switch {
	case h.server.draining.Load(): // under mu, so that restart knows of every stream that was admitted before
		return &Problem{Kind: leaving, Detail: "it opens no streams any more; others do", RetryAfter: time.Second}
	case h.streams >= set.MaxStreams:
		return &Problem{Kind: tooManyStreams, Detail: fmt.Sprintf("this node has %d open streams, its limit", h.streams), RetryAfter: 5 * time.Second}
	case h.clients[client] >= set.MaxStreamsPerClient:
		return &Problem{Kind: tooManyStreams, Detail: fmt.Sprintf("your address has %d open streams, its limit", h.clients[client]), RetryAfter: 5 * time.Second}
	}
	h.streams++
	h.clients[client]++
	return nil
}

func (h *hub) leave(client netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams--
	if h.clients[client]--; h.clients[client] == 0 {
		delete(h.clients, client)
	}
}

// join finds or makes a query's topic, in which the caller has a part from now on.
func (h *hub) join(q *view.Query, lang rail.Lang) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := topicKey{fmt.Sprintf("%+v", *q), lang}
	t := h.topics[key]
	if t == nil {
		t = newTopic(h, h.made, key, q)
		h.topics[key] = t
		h.made++
	}
	t.parts++
	return t
}

// part gives it back; a topic in which nobody has a part ends.
func (h *hub) part(t *topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.parts--; t.parts == 0 {
		delete(h.topics, t.key)
	}
}

// stream is GET /v1/stream.
func (s *Server) stream(c *gin.Context) {
	began := time.Now()
	asked := s.search(c)
	if asked == nil {
		return
	}
	client := s.buckets.Whole(s.address(c.Request))
	if problem := s.hub.admit(client); problem != nil {
		fail(c, problem)
		return
	}
	defer s.hub.leave(client)
	t := s.hub.join(asked.query, asked.lang)
	defer s.hub.part(t)
	sub, hello, tag := t.subscribe()
	defer t.unsubscribe(sub)
	c.Header("Content-Type", "text/event-stream")
	c.Header("Cache-Control", "no-store")
	c.Header("X-Accel-Buffering", "no") // nginx would hold events back
	w := &eventWriter{w: c.Writer, control: http.NewResponseController(c.Writer)}
	w.write([]byte("retry: 1000\n\n"))
	if c.GetHeader("Last-Event-ID") == tag {
		w.write([]byte(": nothing has changed since\n\n"))
	} else {
		w.write(hello)
	}
	s.traffic.took[toStream][ok].Record(time.Since(began))
	w.pump(c.Request.Context(), s.hub.ctx, sub)
}

// eventWriter writes events at once, each within a time.
type eventWriter struct {
	w       gin.ResponseWriter
	control *http.ResponseController
	failed  bool
}

func (e *eventWriter) write(event []byte) {
	if e.failed {
		return
	}
	_ = e.control.SetWriteDeadline(time.Now().Add(writeWithin)) // not every transport has deadlines
	_, err := e.w.Write(event)
	if err == nil {
		err = e.control.Flush()
	}
	e.failed = err != nil
}

// pump hands events on until the client goes, cannot keep up, or the server ends; the latter two are told to start anew (H4).
func (e *eventWriter) pump(client, server context.Context, sub *subscriber) {
	for !e.failed {
		select {
		case event := <-sub.events:
			e.write(event)
			continue
		case <-client.Done():
			return
		case <-sub.lost:
		case <-server.Done():
		}
		e.write([]byte("event: restart\ndata: {}\n\n"))
		return
	}
}
