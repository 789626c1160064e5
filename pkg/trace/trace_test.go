package trace

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// receiver is a collector that keeps what it is told.
type receiver struct {
	mu  sync.Mutex // guards all
	all []*spans.Span
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var told collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &told)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range told.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.all = append(c.all, scope.GetSpans()...)
		}
	}
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// S1: a trace goes on as its parent decided; of others a share is told.
func TestTell(t *testing.T) {
	for _, share := range []float64{0, 1} {
		c := &receiver{}
		server := httptest.NewServer(c)
		tracer, err := New(t.Context(), Options{Endpoint: server.URL, Sample: share, Service: "yupiaod", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, p := range []string{parent, strings.TrimSuffix(parent, "01") + "00", "", "nonsense"} {
			tracer.Tell(&Request{Parent: p, Method: "GET", Route: "availability", Outcome: "ok", Status: 200, Began: began, Took: time.Millisecond})
		}
		if err := tracer.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		server.Close()
		if want := 1 + 2*int(share); len(c.all) != want {
			t.Fatalf("share %g: %d spans; want %d", share, len(c.all), want)
		}
		s := c.all[0]
		if hex.EncodeToString(s.GetTraceId()) != "0af7651916cd43dd8448eb211c80319c" || hex.EncodeToString(s.GetParentSpanId()) != "b7ad6b7169203331" || s.GetName() != "GET availability" ||
			s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano() != uint64(time.Millisecond) {
			t.Errorf("%v", s)
		}
	}
}

// S2: a collector that never answers delays nobody, and the log tells of it once.
func TestNobodyListens(t *testing.T) {
	log := &testkit.Log{}
	tracer, err := New(t.Context(), Options{Endpoint: "http://127.0.0.1:1", Sample: 1, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * mostWaiting {
		tracer.Tell(&Request{Method: "GET", Route: "run", Status: 500})
	}
	testkit.Eventually(t, "a line in the log", func() bool { return strings.Contains(log.String(), "traces are not told") })
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	_ = tracer.Close(ctx) // it could tell nobody
	if n := strings.Count(log.String(), "traces are not told"); n != 1 {
		t.Errorf("%d lines", n)
	}
}

func TestOff(t *testing.T) {
	tracer, err := New(t.Context(), Options{})
	if tracer != nil || err != nil {
		t.Errorf("%v %v", tracer, err)
	}
	tracer.Tell(&Request{})
	if err := tracer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, endpoint := range []string{"collector:4318", "ftp://a", "http://", "http://ann:secret@a"} {
		if _, err := New(t.Context(), Options{Endpoint: endpoint}); err == nil || !strings.Contains(err.Error(), "trace.endpoint") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func BenchmarkTellUnsampled(b *testing.B) {
	tracer, err := New(b.Context(), Options{Endpoint: "http://127.0.0.1:1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		tracer.Tell(&Request{Method: "GET", Route: "availability", Status: 200})
	}
}
