package feed_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// heard is what a subscription to outcomes has handed over.
type heard struct {
	mu     sync.Mutex // guards what follows
	all    []offer.Outcome
	broken []string
}

// listen hears outcomes until the test ends, and is sure to hear those that are published after it returns.
func (l *line) listen() *heard {
	l.t.Helper()
	h, ended := &heard{}, make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- feed.Outcomes(ctx, testkit.Conn(l.t, l.server), h.take, h.tell) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	})
	testkit.Eventually(l.t, "a subscription", func() bool {
		l.must(l.plain.Publish("yupiao.v1.outcome", []byte("is anybody there?")))
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.broken) > 0
	})
	return h
}

func (h *heard) take(o offer.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, o)
}

func (h *heard) tell(where feed.Position, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = append(h.broken, where.Subject+": "+err.Error())
	if !errors.Is(err, event.ErrBroken) {
		h.broken = append(h.broken, "not ErrBroken")
	}
}

// Outcomes arrive as they were sent, in order, in both codings; a broken one is told and does no harm to the next.
func TestOutcomes(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	h := l.listen()
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	sent := offer.Outcome{
		Offer:  offer.Offer{Run: l.run, Class: "O", To: 2, Version: rail.Version{Epoch: 1, Revision: 3}, Age: 90 * time.Millisecond, At: at},
		Result: offer.Held, At: at.Add(time.Minute),
	}
	l.must(l.publisher.Outcome(sent))
	sent.Result = 0
	l.must(l.publisher.Outcome(sent)) // nonsense is for the reader to refuse
	sent.Result = offer.Refused
	l.must(l.publisher.Outcome(sent))
	l.must(l.plain.PublishMsg(&nats.Msg{Subject: "yupiao.v1.outcome", Header: nats.Header{"Content-Type": {"application/json"}}, Data: []byte(
		`{"run":"20261201.G1","class":"O","to":2,"version":{"revision":"1"},"shownAt":"2026-11-23T07:00:00Z","at":"2026-11-23T07:01:00Z","result":"SOLD_OUT"}`)}))
	testkit.Eventually(t, "three outcomes", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.all) == 3
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	results := map[offer.Result]offer.Outcome{}
	for _, o := range h.all {
		results[o.Result] = o
	}
	want := sent
	for _, want.Result = range []offer.Result{offer.Held, offer.Refused} {
		if got := results[want.Result]; got != want {
			t.Errorf("got %+v; want %+v", got, want)
		}
	}
	if results[offer.SoldOut].Offer.Run.Trip != "G1" {
		t.Errorf("the one in JSON: %+v", results)
	}
	if all := strings.Join(h.broken, "\n"); !strings.Contains(all, "yupiao.v1.outcome: broken message: outcome: result is RESULT_UNSPECIFIED") || strings.Contains(all, "not ErrBroken") {
		t.Errorf("told of %s", all)
	}
	if n := l.publisher.Stats().Outcomes; n != 3 {
		t.Errorf("counted %d", n)
	}
}

// A connection that is closed says so to both sides.
func TestOutcomesWithoutConnection(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	conn := testkit.Conn(t, l.server)
	conn.Close()
	if err := feed.Outcomes(t.Context(), conn, nil, nil); err == nil || !strings.Contains(err.Error(), "subscribe to yupiao.v1.outcome") {
		t.Errorf("got %v", err)
	}
}
