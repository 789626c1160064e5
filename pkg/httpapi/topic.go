package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/view"
)

// topic watches one query for all its subscribers: it looks often, renders when something changed, and sends what differs.
type topic struct {
	hub    *hub
	key    topicKey
	query  *view.Query
	lang   rail.Lang
	ctx    context.Context
	end    context.CancelFunc
	answer *view.Answer // of the topic's goroutine

	mu          sync.Mutex // guards what follows
	subscribers map[*subscriber]struct{}
	last        *snapshot
}

// subscriber is a client of a topic. lost is closed when it fell too far behind.
type subscriber struct {
	events chan []byte
	lost   chan struct{}
}

// snapshot is a rendered answer. It is not changed after it was made.
type snapshot struct {
	*render.Draft
	tag string // without quotes
}

// lookout is where topics look, one at a time in each; what is kept has no room to spare.
type lookout struct {
	view  view.Scratch
	draft render.Draft
}

var lookouts = sync.Pool{New: func() any { return new(lookout) }}

func newTopic(h *hub, key topicKey, q *view.Query, lang rail.Lang) *topic {
	t := &topic{hub: h, key: key, query: q, lang: lang, subscribers: map[*subscriber]struct{}{}}
	t.ctx, t.end = context.WithCancel(h.ctx)
	t.last = t.look(&snapshot{Draft: &render.Draft{}})
	return t
}

// look renders the answer as it is now, by what was rendered before.
func (t *topic) look(before *snapshot) *snapshot {
	o := lookouts.Get().(*lookout)
	defer lookouts.Put(o)
	r := t.hub.server.source.Replica()
	t.answer = o.view.Look(r, t.query, t.hub.server.clock(), t.answer)
	render.Printer{Index: r.Index(), Lang: t.lang}.Renew(&o.draft, before.Draft, t.query, t.answer)
	t.answer.Offers = nil // they are the lookout's
	tag := render.Tag(o.draft.Body)
	return &snapshot{Draft: o.draft.Clone(), tag: tag[1 : len(tag)-1]}
}

func (t *topic) subscribe() (*subscriber, *snapshot) {
	sub := &subscriber{events: make(chan []byte, backlog), lost: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscribers[sub] = struct{}{}
	return sub, t.last
}

// unsubscribe returns how many are left.
func (t *topic) unsubscribe(sub *subscriber) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscribers, sub)
	return len(t.subscribers)
}

func (t *topic) run() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	sent, told := time.Now(), time.Time{}
	for {
		select {
		case <-t.ctx.Done():
			return
		case now := <-ticker.C:
			if now.Sub(sent) >= pause(t.last.Runs()) && t.changed() { // only this goroutine replaces it
				t.publish(t.look(t.last))
				sent = now
			}
			if now.Sub(told) >= statusEvery {
				t.broadcast(t.status())
				told = now
			}
		}
	}
}

// pause is how long a topic rests after an event, by the number of its runs. An answer of 200 trains nearly always has one that was just sold, and each look at it costs as much as
// ten at one of 20: it is looked at a third as often.
func pause(runs int) time.Duration {
	const many = 100
	return sendEvery * time.Duration(1+min(runs/many, 2))
}

func (t *topic) changed() bool {
	return !t.answer.Current(t.hub.server.source.Replica(), t.hub.server.clock())
}

// publish sends what differs between the last snapshot and the next.
func (t *topic) publish(next *snapshot) {
	t.mu.Lock()
	last := t.last
	t.last = next
	t.mu.Unlock()
	if last.tag != next.tag {
		t.broadcast(next.since(last))
	}
}

// broadcast gives an event to every subscriber. One whose backlog is full is told that it is lost.
func (t *topic) broadcast(event []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
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
func (t *topic) status() []byte {
	s := t.hub.server
	f := s.freshness(s.source.Replica(), s.clock(), t.answer.Behind)
	data := map[string]string{"state": f.state}
	if f.proved {
		data["as_of"] = f.asOf.UTC().Format(timeLayout)
	}
	text, _ := json.Marshal(data) // strings cannot fail
	return append(append([]byte(": beat\nevent: status\ndata: "), text...), "\n\n"...)
}

// event is the snapshot as a whole.
func (s *snapshot) event() []byte {
	return bytes.Join([][]byte{[]byte("event: answer\nid: " + s.tag + "\ndata: "), s.Body, []byte("\n\n")}, nil)
}

// since is what turns the snapshot before into this one (H4): runs that are new or changed, those that are gone, and the order if it is another.
func (s *snapshot) since(before *snapshot) []byte {
	out := []byte("event: runs\nid: " + s.tag + "\ndata: {\"runs\":[")
	if s.SameRuns(before.Draft) {
		return append(s.appendRuns(out, func(i int) []byte { return before.Run(i) }), "],\"gone\":[]}\n\n"...)
	}
	names, was := s.names(), before.names()
	old := make(map[string]int, len(was))
	for i, name := range was {
		old[name] = i
	}
	out = s.appendRuns(out, func(i int) []byte {
		if j, ok := old[names[i]]; ok {
			return before.Run(j)
		}
		return nil
	})
	gone := slices.DeleteFunc(slices.Clone(was), func(name string) bool { return slices.Contains(names, name) })
	out = appendKeys(append(out, "],\"gone\":"...), gone)
	if !slices.Equal(names, was) {
		out = appendKeys(append(out, ",\"order\":"...), names)
	}
	return append(out, "}\n\n"...)
}

// appendRuns appends the runs that are not as they were.
func (s *snapshot) appendRuns(out []byte, was func(i int) []byte) []byte {
	first := true
	for i := range s.Runs() {
		if bytes.Equal(s.Run(i), was(i)) {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(out, s.Run(i)...)
	}
	return out
}

// names of the runs, in order.
func (s *snapshot) names() []string {
	names := make([]string, s.Runs())
	for i := range names {
		names[i] = s.Name(i)
	}
	return names
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
