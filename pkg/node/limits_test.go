package node_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// The limits of a node change while it runs, and its metrics tell what they refuse; the operators' listener has none.
func TestNodeLimits(t *testing.T) {
	host := testkit.Broker(t)
	_, _, ids := publish(t.Context(), t, host, 1)
	s := settings()
	n, err := node.New(s, node.Options{InProcess: host})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, n.Run)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
	search := "/v1/availability?from=BJP&to=SHH&date=" + ids[0].Date.String()
	for range 5 {
		if code, body := get(t, n.Address(), search); code != http.StatusOK {
			t.Fatalf("without a limit: %d %s", code, body)
		}
	}
	s.Limits.RequestsPerSecond, s.Limits.Burst = 0.001, 1
	n.Follow(&s)
	for i, path := range []string{search, search, "/v1/stations?q=bei", "/healthz", "/readyz"} {
		want := http.StatusOK
		if i == 1 || i == 2 {
			want = http.StatusTooManyRequests
		}
		if code, body := get(t, n.Address(), path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	s.Limits.RequestsPerSecond, s.Limits.ConnectionsPerClient = 0, 1
	n.Follow(&s)
	http.DefaultClient.CloseIdleConnections()
	testkit.Eventually(t, "no connection", func() bool { return samples(scrape(t, n))["yupiao_connections_open{}"] == 0 })
	held, err := net.Dial("tcp", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	testkit.Eventually(t, "the connection", func() bool { return samples(scrape(t, n))["yupiao_connections_open{}"] == 1 })
	second, err := net.Dial("tcp", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	_ = second.SetReadDeadline(time.Now().Add(testkit.Patience))
	if text, err := io.ReadAll(second); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 503 ") {
		t.Errorf("got %q, %v", text, err)
	}
	_ = second.Close()
	have := samples(scrape(t, n))
	for name, want := range map[string]float64{
		`yupiao_http_request_duration_seconds_count{outcome="limited",route="availability"}`: 1, `yupiao_http_request_duration_seconds_count{outcome="limited",route="stations"}`: 1,
		`yupiao_http_request_duration_seconds_count{outcome="shed",route="availability"}`: 0, `yupiao_connections_refused_total{bound="client"}`: 1,
		`yupiao_connections_refused_total{bound="total"}`: 0, `yupiao_connections_refused_total{bound="wait"}`: 0, "yupiao_work_in_flight{}": 0, "yupiao_work_waiting{}": 0, "yupiao_clients_forgotten_total{}": 0,
	} {
		if got, ok := have[name]; !ok || got != want {
			t.Errorf("%s is %v; want %v", name, got, want)
		}
	}
	if have["yupiao_work_limit{}"] <= 0 {
		t.Errorf("a limit of %v", have["yupiao_work_limit{}"])
	}
}
