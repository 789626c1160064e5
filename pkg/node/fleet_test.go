package node_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// crowd asks nodes without a pause, and knows what each said last.
type crowd struct {
	answers, failed atomic.Int64
	caching         []atomic.Pointer[string] // of each node's last answer
}

// ask has people ask a node until ctx ends.
func (c *crowd) ask(ctx context.Context, n *node.Node, i int, run rail.RunID) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for k := 0; ctx.Err() == nil; k++ {
		r, err := client.Get(fmt.Sprintf("http://%s/v1/availability?from=BJP&to=SHH&date=%s&seats=%d", n.Address(), run.Date, 1+k%5))
		if err != nil {
			c.failed.Add(1)
			continue
		}
		_, err = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK {
			c.failed.Add(1)
		}
		caching := r.Header.Get("Cache-Control")
		c.caching[i].Store(&caching)
		c.answers.Add(1)
	}
}

// says reports whether all nodes answer with a Cache-Control.
func (c *crowd) says(want string) bool {
	for i := range c.caching {
		if text := c.caching[i].Load(); text == nil || *text != want {
			return false
		}
	}
	return true
}

// say waits until they do.
func (c *crowd) say(t *testing.T, want string) {
	t.Helper()
	testkit.Eventually(t, "all nodes to say "+want, func() bool { return c.says(want) })
}

// when tells the moment at which they do.
func (c *crowd) when(ctx context.Context, want string) <-chan time.Time {
	seen := make(chan time.Time, 1)
	go func() {
		for !c.says(want) && ctx.Err() == nil {
			runtime.Gosched()
		}
		seen <- time.Now()
	}()
	return seen
}

// Three nodes under load change their settings together and lose no request; bad ones change nothing; to go back works; a node that starts later has what holds.
// It is asked for through the admin listener of one node, as well as over NATS.
func TestFleet(t *testing.T) {
	t.Setenv("YUPIAO_ADMIN_TOKEN", "")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host := testkit.Broker(t)
	_, _, ids := publish(ctx, t, host, 5)
	people := &crowd{caching: make([]atomic.Pointer[string], 3)}
	var asking sync.WaitGroup
	load, ease := context.WithCancel(ctx)
	var last *node.Node
	for i := range people.caching {
		n := startGuarded(t, host)
		testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
		asking.Go(func() { people.ask(load, n, i, ids[0]) })
		last = n
	}
	people.say(t, "no-cache")
	over := fleet.NewOperator(testkit.Conn(t, host))
	through := &admin.Client{Server: "http://" + last.AdminAddress(), Token: token32}
	change := func(f admin.Fleet, document string, after uint64, want string) {
		t.Helper()
		seen := people.when(ctx, want)
		number, verdicts, err := f.Share(ctx, fleet.Proposal{Document: document, By: "ann", After: after})
		if err != nil || len(verdicts) != 3 || strings.Contains(fmt.Sprint(verdicts), "version") {
			t.Fatalf("%v: %+v", err, verdicts)
		}
		all, err := f.History(ctx, 1)
		if err != nil || all[0].Number != number {
			t.Fatal(err, all)
		}
		t.Logf("version %d: seen in answers of all three nodes %s after it was stored", number, (<-seen).Sub(all[0].At).Round(100*time.Microsecond))
	}
	age := func(seconds int) string { return fmt.Sprintf("freshness:\n  client_max_age: %ds\n", seconds) }
	change(over, age(7), 0, "public, max-age=7")
	change(through, age(9), 1, "public, max-age=9")
	for _, f := range []admin.Fleet{over, through} {
		if _, _, err := f.Share(ctx, fleet.Proposal{Document: age(7200), By: "ann", After: 2}); err == nil || !strings.Contains(err.Error(), "client_max_age is 2h0m0s") {
			t.Errorf("got %v", err)
		}
	}
	plain := testkit.Plain(t, host)
	if err := plain.Publish("yupiao.v1.settings.node", []byte(`{"format":9}`)); err != nil { // past all checks
		t.Fatal(err)
	}
	testkit.Eventually(t, "a refusal in the metrics", func() bool {
		return strings.Contains(metrics(t, last), "yupiao_settings_refused 1\n")
	})
	people.say(t, "public, max-age=9")
	if !strings.Contains(metrics(t, last), "yupiao_settings_version 2\n") {
		t.Error("the metrics tell another version")
	}
	change(over, age(7), 3, "public, max-age=7")
	ease()
	asking.Wait()
	if n := people.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed", n, people.answers.Load())
	}
	later := startGuarded(t, host)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, later.Address(), "/readyz"); return code == 200 })
	r, err := http.Get(fmt.Sprintf("http://%s/v1/availability?from=BJP&to=SHH&date=%s", later.Address(), ids[0].Date))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if got := r.Header.Get("Cache-Control"); got != "public, max-age=7" {
		t.Errorf("the first answer of a node that started later says %s", got)
	}
	t.Logf("%d answers, none failed", people.answers.Load())
}

const token32 = "0123456789abcdef0123456789abcdef"

// startGuarded runs a node with an admin token until the test ends.
func startGuarded(t *testing.T, host *testkit.Host) *node.Node {
	t.Helper()
	s := settings()
	s.Admin.Token = token32
	n, err := node.New(s, node.Options{InProcess: host})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, n.Run)
	return n
}

func metrics(t *testing.T, n *node.Node) string {
	t.Helper()
	_, text := ask(t, n, http.MethodGet, "/metrics", "", nil)
	return text
}

// What a node would do is told of its live queries; one that was asked nothing says so.
func TestTry(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host := testkit.Broker(t)
	_, _, ids := publish(ctx, t, host, 5)
	n := startGuarded(t, host)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
	o := fleet.NewOperator(testkit.Conn(t, host))
	if _, _, err := o.Try(ctx, "", ""); err == nil || !strings.Contains(err.Error(), "this node was asked nothing") {
		t.Errorf("got %v", err)
	}
	for range 200 {
		get(t, n.Address(), "/v1/availability?from=BJP&to=SHH&date="+ids[0].Date.String())
	}
	status, report, err := o.Try(ctx, "", "freshness:\n  ttl: 1m\n")
	if err != nil || status.Name != "yupiaod" || report.Requests < 190 || report.Keys != 1 || report.Tried.HitRatio < 0.98 || len(report.Curve) < 5 {
		t.Errorf("%v: %+v %+v", err, status, report)
	}
	if report.Tried.CPU < 0 || report.InForce.CPU < report.Tried.CPU {
		t.Errorf("CPU %g in force, %g tried", report.InForce.CPU, report.Tried.CPU)
	}
	if status.Settings.Values[0].Key != "freshness.ttl" || !status.Ready || status.Runs != 5 || status.Started.IsZero() {
		t.Errorf("%+v", status)
	}
}
