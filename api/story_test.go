package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/httpapi"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// publisher stands in for somebody who has nothing but the documents and a NATS client.
type publisher struct {
	t  *testing.T
	nc *nats.Conn
}

// ask makes a JetStream request, which has an answer without an error.
func (p *publisher) ask(m *nats.Msg) {
	p.t.Helper()
	answer, err := p.nc.RequestMsg(m, testkit.Patience)
	if err != nil {
		p.t.Fatalf("%s: %v", m.Subject, err)
	}
	var ack struct{ Error any }
	if err := json.Unmarshal(answer.Data, &ack); err != nil || ack.Error != nil {
		p.t.Fatalf("%s: %v %s", m.Subject, err, answer.Data)
	}
}

func (p *publisher) createStreams() {
	p.t.Helper()
	for _, settings := range loadAsyncAPI(p.t).Streams {
		body, err := json.Marshal(settings)
		if err != nil {
			p.t.Fatal(err)
		}
		name, _ := settings["name"].(string)
		p.ask(&nats.Msg{Subject: "$JS.API.STREAM.CREATE." + name, Data: body})
	}
}

// message is an example with headers in pairs.
func (p *publisher) message(subject, name string, headers ...string) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: example(p.t, name), Header: nats.Header{"Content-Type": {"application/json"}}}
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	return m
}

// follow starts a node's replica, which lives as long as the test, and waits until it is ready.
func follow(t *testing.T, host *testkit.Host, clock func() time.Time) *replica.Follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := replica.NewFollower(testkit.Conn(t, host), replica.Options{Clock: clock})
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	testkit.Eventually(t, "the node to be ready", func() bool { return f.Replica() != nil })
	return f
}

// A3: the examples, published by the document, make the example answers.
func TestStory(t *testing.T) {
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	host := testkit.Broker(t)
	p := &publisher{t, testkit.Plain(t, host)}
	p.createStreams()
	p.ask(p.message("yupiao.v1.network", "network"))
	p.ask(p.message("yupiao.v1.pattern.G1-2026a", "pattern"))
	p.ask(p.message("yupiao.v1.state.20261201.24000000G10C", "state", "Nats-TTL", "240h"))
	f := follow(t, host, clock)
	p.ask(p.message("yupiao.v1.delta.12", "delta", "Nats-Expected-Last-Subject-Sequence", "0", "Nats-Expected-Stream", "YUPIAO_DELTA"))
	testkit.Eventually(t, "a proof of freshness", func() bool {
		_ = p.nc.PublishMsg(p.message("yupiao.v1.heartbeat", "heartbeat")) // as often as it takes
		asOf, proved := f.Replica().AsOf()
		return proved && asOf.Equal(now)
	})
	// Network, pattern, state and sale are new; the state told the opening before its delta did.
	if s := f.Replica().Stats(); s.Applied != 4 || s.Duplicate != 1 || s.Broken != 0 || s.Digests != 1 || s.Differing != 0 {
		t.Errorf("%+v", s)
	}
	answers, err := answer.New(answer.Options{Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	server, err := httpapi.New(t.Context(), httpapi.Options{Source: f, Clock: clock, Answers: answers})
	if err != nil {
		t.Fatal(err)
	}
	answersAsShown(t, server)
}

func answersAsShown(t *testing.T, server http.Handler) {
	t.Helper()
	for name, target := range map[string]string{
		"availability": "/v1/availability?from=BJP&to=SHH&date=2026-12-01", "run": "/v1/runs/20261201.24000000G10C",
		"stations": "/v1/stations?q=bei", "problem": "/v1/availability?from=beijin&to=SHH&date=2026-12-01",
	} {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		var want bytes.Buffer
		if err := json.Compact(&want, example(t, name)); err != nil {
			t.Fatal(err)
		}
		if w.Body.String() != want.String() {
			t.Errorf("%s answers\n%s\nthe example is\n%s", target, w.Body, &want)
		}
		if h := w.Header(); name == "availability" && (h.Get("Yupiao-State") != "live" || !bytes.Contains(api.OpenAPI, []byte(h.Get("ETag")))) {
			t.Errorf("%s has %v; openapi.yaml shows another tag", target, h)
		}
	}
}

// A3: the event that tells a stream's client of the delta has the run of the answer after it.
func TestRunsEvent(t *testing.T) {
	event, answer := parse(t, example(t, "runs-event")).(map[string]any), parse(t, example(t, "availability")).(map[string]any)
	if !reflect.DeepEqual(event["runs"], answer["runs"]) {
		t.Error("they differ")
	}
}
