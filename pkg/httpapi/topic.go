package httpapi

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/view"
)

// topic watches one query for all its subscribers: it looks at what has changed, and sends what differs.
type topic struct {
	hub    *hub
	number int
	key    topicKey
	query  *view.Query
	parts  int // who is about to subscribe or does; guarded by the hub's mu

	mu          sync.Mutex // guards what follows
	subscribers map[*subscriber]struct{}
	watch       *view.Watch
	printer     render.Printer
	pieces      [][]byte  // what was rendered, by the watch's numbers of the runs; empty for one that is not shown
	tag         string    // of the whole, without quotes; empty before the first look
	sent, told  time.Time // when the last event and the last status went out
}

// subscriber is a client of a topic. lost is closed when it fell too far behind.
type subscriber struct {
	events chan []byte
	lost   chan struct{}
}

// lookout is where topics look, one after the other.
type lookout struct {
	view    view.Scratch
	offer   []byte
	changed []int   // runs whose pieces are others
	order   []int32 // before
}

func newTopic(h *hub, number int, key topicKey, q *view.Query) *topic {
	return &topic{hub: h, number: number, key: key, query: q, subscribers: map[*subscriber]struct{}{}, watch: view.NewWatch(q)}
}

// subscribe returns the answer as an event, and its tag.
func (t *topic) subscribe() (sub *subscriber, hello []byte, tag string) {
	sub = &subscriber{events: make(chan []byte, backlog), lost: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tag == "" {
		t.look(new(lookout), t.hub.server.clock())
	}
	t.subscribers[sub] = struct{}{}
	hello = append(make([]byte, 0, t.size()), "event: answer\nid: "+t.tag+"\ndata: "...)
	hello = t.printer.Join(hello, t.query, t.shown)
	return sub, append(hello, "\n\n"...), t.tag
}

func (t *topic) unsubscribe(sub *subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscribers, sub)
}

// restart has some subscribers begin anew, and returns how many.
func (t *topic) restart(most int) (told int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for sub := range t.subscribers {
		if told >= most {
			break
		}
		close(sub.lost)
		delete(t.subscribers, sub)
		told++
	}
	return told
}

// sweep does what is due.
func (t *topic) sweep(o *lookout, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tag == "" {
		return // its first subscriber is about to look
	}
	clock := t.hub.server.clock()
	if now.Sub(t.sent) >= sendEvery && !t.watch.Current(t.hub.server.source.Replica(), clock) {
		if event := t.look(o, clock); event != nil {
			t.broadcast(event)
			t.sent = now
		}
	}
	if now.Sub(t.told) >= statusEvery {
		t.broadcast(t.status(clock))
		t.told = now
	}
}

// look reads and renders what has changed. The event is what turns the answer before into this one (H4), nil if they are equal or there was none.
func (t *topic) look(o *lookout, now time.Time) (event []byte) {
	r := t.hub.server.source.Replica()
	t.printer = render.Printer{Index: r.Index(), Lang: t.key.lang}
	o.changed, o.order = o.changed[:0], append(o.order[:0], t.watch.Order()...)
	var was []string             // the keys before, if they are not those of now
	var before map[string][]byte // the pieces by them, if the runs were listed anew
	t.watch.Look(&o.view, r, now, func() {
		if before == nil {
			was, before = t.keys(o.order), map[string][]byte{}
			for i, n := range o.order {
				before[was[i]] = t.pieces[n]
			}
		}
		t.pieces, o.changed = nil, o.changed[:0]
	}, func(i int, offer *view.Offer) { t.draw(o, i, offer) })
	tag := strings.Trim(t.printer.JoinedTag(t.query, t.shown), `"`)
	first, same := t.tag == "", t.tag == tag
	t.tag = tag
	switch {
	case first || same:
		return nil
	case before != nil:
		o.changed = slices.DeleteFunc(o.changed, func(i int) bool { return bytes.Equal(before[t.name(i)], t.pieces[i]) })
	case slices.Equal(o.order, t.watch.Order()):
		return t.event(o.changed, nil, nil)
	default:
		was = t.keys(o.order)
	}
	return t.event(o.changed, was, t.keys(t.watch.Order()))
}

// draw renders a run, in the memory of its piece before.
func (t *topic) draw(o *lookout, i int, offer *view.Offer) {
	if t.pieces == nil {
		t.pieces = make([][]byte, t.watch.Runs())
	}
	o.offer = o.offer[:0]
	if offer != nil {
		o.offer = t.printer.Offer(o.offer, offer)
	}
	if bytes.Equal(t.pieces[i], o.offer) {
		return
	}
	t.pieces[i] = append(t.pieces[i][:0], o.offer...)
	if !slices.Contains(o.changed, i) {
		o.changed = append(o.changed, i)
	}
}

// shown yields the pieces of the answer.
func (t *topic) shown(yield func([]byte) bool) {
	for _, i := range t.watch.Order() {
		if !yield(t.pieces[i]) {
			return
		}
	}
}

// size is a little more than that of the answer as an event.
func (t *topic) size() int {
	n := 1 << 10
	for piece := range t.shown {
		n += len(piece) + 1
	}
	return n
}

// event tells of the runs that are new or changed, of those that are gone, and the order if it is another.
func (t *topic) event(changed []int, was, is []string) []byte {
	out := []byte("event: runs\nid: " + t.tag + "\ndata: {\"runs\":[")
	first := true
	for _, i := range changed {
		if len(t.pieces[i]) == 0 {
			continue // gone
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(out, t.pieces[i]...)
	}
	gone := slices.DeleteFunc(slices.Clone(was), func(key string) bool { return slices.Contains(is, key) })
	out = appendKeys(append(out, "],\"gone\":"...), gone)
	if !slices.Equal(was, is) {
		out = appendKeys(append(out, ",\"order\":"...), is)
	}
	return append(out, "}\n\n"...)
}

// keys of runs, by their numbers.
func (t *topic) keys(numbers []int32) []string {
	keys := make([]string, len(numbers))
	for i, n := range numbers {
		keys[i] = t.name(int(n))
	}
	return keys
}

// name tells a run from all others of the answer: its id and its stops, as in 20261201.G1/0-2.
func (t *topic) name(i int) string {
	run, from, to := t.watch.Run(i)
	return run.String() + "/" + strconv.Itoa(int(from)) + "-" + strconv.Itoa(int(to))
}

// broadcast gives an event to every subscriber. One whose backlog is full is told that it is lost. The caller holds mu.
func (t *topic) broadcast(event []byte) {
	t.hub.server.traffic.events.Add(uint64(len(t.subscribers)))
	for sub := range t.subscribers {
		select {
		case sub.events <- event:
		default:
			close(sub.lost)
			delete(t.subscribers, sub)
		}
	}
}

// status tells how fresh the data are. Its comment is the heartbeat for those who listen to no status.
func (t *topic) status(now time.Time) []byte {
	s := t.hub.server
	f := s.freshness(s.source.Replica(), now, t.watch.Behind())
	data := map[string]string{"state": f.state}
	if f.proved {
		data["as_of"] = f.asOf.UTC().Format(timeLayout)
	}
	text, _ := json.Marshal(data) // strings cannot fail
	return append(append([]byte(": beat\nevent: status\ndata: "), text...), "\n\n"...)
}

// appendKeys writes keys, which need no escapes, as a JSON array.
func appendKeys(dst []byte, keys []string) []byte {
	dst = append(dst, '[')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), key...), '"')
	}
	return append(dst, ']')
}
