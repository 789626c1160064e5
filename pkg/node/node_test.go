package node_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

func settings() config.Node {
	s := config.DefaultNode()
	s.HTTP.Address, s.Admin.Address = "127.0.0.1:0", "127.0.0.1:0"
	return s
}

// start runs a node; stop ends it and returns what Run returned.
func start(t *testing.T, host *testkit.Host, log *testkit.Log) (n *node.Node, stop func() error) {
	t.Helper()
	n, err := node.New(settings(), node.Options{InProcess: host, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n, func() error {
		cancel()
		return <-done
	}
}

func get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// publish opens runs tomorrow and returns how to change them.
func publish(ctx context.Context, t *testing.T, host *testkit.Host, runs int) (*testkit.Ledger, *feed.Publisher, []rail.RunID) {
	t.Helper()
	return publishBy(ctx, t, host, runs, feed.PublisherOptions{})
}

// publishBy is publish with a publisher's options.
func publishBy(ctx context.Context, t *testing.T, host *testkit.Host, runs int, o feed.PublisherOptions) (*testkit.Ledger, *feed.Publisher, []rail.RunID) {
	t.Helper()
	return publishOver(ctx, t, testkit.Conn(t, host), runs, o)
}

// publishOver is publishBy over a connection.
func publishOver(ctx context.Context, t *testing.T, conn *feed.Conn, runs int, o feed.PublisherOptions) (*testkit.Ledger, *feed.Publisher, []rail.RunID) {
	t.Helper()
	p := testkit.Pattern("G1", 600)
	ledger := testkit.NewLedger(p)
	publisher, err := feed.NewPublisher(ctx, conn, ledger, o)
	if err == nil {
		err = errors.Join(publisher.Network(ctx, testkit.Network()), publisher.Patterns(ctx, []*timetable.Pattern{p}))
	}
	var ids []rail.RunID
	var changes []feed.Change
	for i := range runs {
		ids = append(ids, rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + 2, Trip: rail.TripID(fmt.Sprint("G", i))})
		changes = append(changes, ledger.Open(ids[i], 1))
	}
	if err = errors.Join(err, publisher.Publish(ctx, changes)); err != nil {
		t.Fatal(err)
	}
	go func() { _ = publisher.Serve(ctx) }()
	publisher.Complete(time.Now())
	return ledger, publisher, ids
}

// N1: alive at once, ready when the booking system has spoken, whoever starts first.
func TestNodeStartsBeforeThePublisher(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host, log := testkit.Broker(t), &testkit.Log{}
	n, stop := start(t, host, log)
	testkit.Eventually(t, "a log line that says what is missing", func() bool { return strings.Contains(log.String(), "YUPIAO_REFERENCE") })
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/v1/availability?from=BJP&to=SHH&date=2026-12-01": 503, "/openapi.yaml": 200, "/asyncapi.yaml": 200, "/": 200, "/static/app.js": 200} {
		if code, body := get(t, n.Address(), path); code != want {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
	ledger, publisher, ids := publish(ctx, t, host, 20)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
	if err := publisher.Publish(ctx, []feed.Change{ledger.Sell(ids[3], 7)}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the sale in an answer", func() bool {
		_, body := get(t, n.Address(), "/v1/runs/"+ids[3].String())
		return strings.Contains(body, `"remaining":93`)
	})
	testkit.Eventually(t, "an age in the metrics", func() bool {
		_, metrics := get(t, n.AdminAddress(), "/metrics")
		return strings.Contains(metrics, "\nyupiao_age_seconds ")
	})
	_, metrics := get(t, n.AdminAddress(), "/metrics")
	for _, want := range []string{"yupiao_ready 1", "yupiao_runs 20", "yupiao_runs_behind 0", "yupiao_events_broken_total 0", "go_goroutines"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// N2: a node that stops tells its streams to start anew, and leaves nothing behind.
func TestNodeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host := testkit.Broker(t)
	_, _, ids := publish(ctx, t, host, 1)
	n, stop := start(t, host, &testkit.Log{})
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
	stream, err := http.Get("http://" + n.Address() + "/v1/stream?from=BJP&to=SHH&date=" + ids[0].Date.String())
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stream.Body)
	for lines.Scan() && lines.Text() != "event: answer" {
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	told := false
	for lines.Scan() {
		told = told || lines.Text() == "event: restart"
	}
	if !told {
		t.Error("the stream was not told to start anew")
	}
	_ = stream.Body.Close()
	testkit.Eventually(t, "the node's goroutines to end", func() bool {
		stacks := make([]byte, 1<<20)
		text := string(stacks[:runtime.Stack(stacks, true)])
		return !slices.ContainsFunc([]string{"/pkg/replica.", "/pkg/httpapi.", "/pkg/node.", "feed.(*Reader)"}, func(part string) bool { return strings.Contains(text, part) })
	})
}

// inLane is a node with its fast lane, or by gin alone.
func inLane(t *testing.T, host *testkit.Host, fast bool) *node.Node {
	t.Helper()
	s := settings()
	s.HTTP.FastLane = fast
	n, err := node.New(s, node.Options{InProcess: host})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// N2: clients that ask on and on over their connections, searches and other things, lose no request when the node stops: its last answers tell them to go elsewhere. In the lane, and by
// gin alone.
func TestNodeDrains(t *testing.T) {
	for _, fast := range []bool{true, false} {
		t.Run(fmt.Sprint("fast_lane=", fast), func(t *testing.T) {
			host := testkit.Broker(t)
			_, _, ids := publish(t.Context(), t, host, 1)
			n := inLane(t, host, fast)
			stop := testkit.Run(t, n.Run)
			testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
			search := "/v1/availability?from=BJP&to=SHH&date=" + ids[0].Date.String()
			var asking sync.WaitGroup
			var answers atomic.Int64
			for i := range 8 {
				asking.Go(func() {
					askUntilTold(t.Context(), t, "http://"+n.Address()+[]string{search, "/healthz"}[i%2], &answers)
				})
			}
			testkit.Eventually(t, "answers", func() bool { return answers.Load() > 200 })
			stop()
			asking.Wait()
			t.Logf("%d answers, none lost", answers.Load())
		})
	}
}

// N3: a drained node says so, has its streams begin anew and opens none, and loses no request of those who ask on; when it is taken back, all is as before.
func TestNodeIsDrainedAndReturns(t *testing.T) {
	for _, fast := range []bool{true, false} {
		t.Run(fmt.Sprint("fast_lane=", fast), func(t *testing.T) {
			host := testkit.Broker(t)
			_, _, ids := publish(t.Context(), t, host, 1)
			n := inLane(t, host, fast)
			testkit.Run(t, n.Run)
			ready := func(want int) func() bool {
				return func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == want }
			}
			testkit.Eventually(t, "a ready node", ready(200))
			search := "?from=BJP&to=SHH&date=" + ids[0].Date.String()
			stream, err := http.Get("http://" + n.Address() + "/v1/stream" + search)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stream.Body.Close() }()
			load, ease := context.WithCancel(t.Context())
			var asking sync.WaitGroup
			var answers atomic.Int64
			for i := range 4 {
				asking.Go(func() {
					for load.Err() == nil {
						askUntilTold(load, t, "http://"+n.Address()+[]string{"/v1/availability" + search, "/healthz"}[i%2], &answers)
					}
				})
			}
			o := fleet.NewOperator(testkit.Conn(t, host))
			drain := func(on bool, state string) {
				t.Helper()
				if verdicts, err := o.Drain(t.Context(), fleet.DrainOrder{Node: "yupiaod", Draining: on, By: "ann"}); err != nil || len(verdicts) != 1 || verdicts[0].Refused != "" {
					t.Fatalf("%v %+v", err, verdicts)
				}
				nodes, err := o.Nodes(t.Context())
				if err != nil || len(nodes) != 1 || nodes[0].State != state {
					t.Errorf("%v %+v; want %s", err, nodes, state)
				}
			}
			drain(true, fleet.Draining)
			if code, body := get(t, n.Address(), "/readyz"); code != 503 || !strings.Contains(body, "draining") {
				t.Errorf("/readyz: %d %s", code, body)
			}
			if code, body := get(t, n.Address(), "/v1/stream"+search); code != 503 || !strings.Contains(body, "draining") {
				t.Errorf("a new stream: %d %s", code, body)
			}
			said, err := io.ReadAll(stream.Body)
			if err != nil || !strings.Contains(string(said), "event: restart") {
				t.Errorf("the stream ended with %v, after %.300s", err, said)
			}
			before := answers.Load()
			testkit.Eventually(t, "answers of a drained node", func() bool { return answers.Load() > before+50 })
			drain(false, fleet.Live)
			testkit.Eventually(t, "a ready node", ready(200))
			again, err := http.Get("http://" + n.Address() + "/v1/stream" + search)
			if err != nil || again.StatusCode != 200 {
				t.Fatal(err, again)
			}
			_ = again.Body.Close()
			ease()
			asking.Wait()
			t.Logf("%d answers, none lost", answers.Load())
		})
	}
}

// askUntilTold asks over one connection until an answer says that it is the last one, or nobody wants any more.
func askUntilTold(while context.Context, t *testing.T, url string, answers *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for last := false; !last && while.Err() == nil; answers.Add(1) {
		r, err := client.Get(url)
		if err != nil {
			t.Errorf("lost: %v", err)
			return
		}
		_, err = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		if err != nil {
			t.Errorf("lost: %v", err)
			return
		}
		last = r.Close
	}
}

// What cannot work is said at once, with the setting's name.
func TestNodeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	host := testkit.Broker(t)
	s := settings()
	s.HTTP.Address = taken.Addr().String()
	if _, err := node.New(s, node.Options{InProcess: host}); err == nil || !strings.Contains(err.Error(), "http.address") {
		t.Errorf("a taken port: %v", err)
	}
	s = settings()
	s.Admin.Address = taken.Addr().String()
	if _, err := node.New(s, node.Options{InProcess: host}); err == nil || !strings.Contains(err.Error(), "admin.address") {
		t.Errorf("a taken admin port: %v", err)
	}
	s = settings()
	s.Feed.URL = "nats://127.0.0.1:1"
	if _, err := node.New(s, node.Options{}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("no server: %v", err)
	}
}
