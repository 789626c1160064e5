package node_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// listen keeps what a stream said last of a run.
func listen(t *testing.T, n *node.Node, run rail.RunID) *atomic.Pointer[string] {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/v1/stream?from=BJP&to=SHH&date=%s", n.Address(), run.Date), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	last, done := &atomic.Pointer[string]{}, make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewScanner(response.Body)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			if text := in.Text(); strings.Contains(text, run.String()) {
				last.Store(&text)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = response.Body.Close()
	})
	return last
}

func says(last *atomic.Pointer[string], word string) bool {
	text := last.Load()
	return text != nil && strings.Contains(*text, word)
}

// F6: what an operator does to a run is seen in the answers of every node, though a long TTL holds, and in every open stream; it is undone as fast; and nodes that start later have it.
func TestRunActs(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host := testkit.Broker(t)
	_, _, ids := publish(ctx, t, host, 5)
	over := fleet.NewOperator(testkit.Conn(t, host))
	var nodes []*node.Node
	var streams []*atomic.Pointer[string]
	for range 3 {
		n := startGuarded(t, host)
		testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
		nodes, streams = append(nodes, n), append(streams, listen(t, n, ids[0]))
	}
	if _, _, err := over.Share(ctx, fleet.Proposal{Document: "freshness:\n  ttl: 10m\n  client_max_age: 60s\n", By: "ann"}); err != nil {
		t.Fatal(err)
	}
	search := fmt.Sprintf("/v1/availability?from=BJP&to=SHH&date=%s", ids[0].Date)
	shown := func(n *node.Node, want string) bool {
		_, body := get(t, n.Address(), search)
		_, whole := get(t, n.Address(), "/v1/runs/"+ids[0].String())
		return strings.Contains(body, want) && strings.Contains(whole, want)
	}
	everywhere := func(want string) func() bool {
		return func() bool {
			for i, n := range nodes {
				if !shown(n, want) || !says(streams[i], want) {
					return false
				}
			}
			return true
		}
	}
	testkit.Eventually(t, "a first look", func() bool {
		return everywhere("AVAILABLE")() && strings.Contains(header(t, "http://"+nodes[0].Address()+search, "Cache-Control"), "max-age")
	})
	through := &admin.Client{Server: "http://" + nodes[0].AdminAddress(), Token: token32}
	act := func(f admin.Fleet, a, run, want string) {
		t.Helper()
		began := time.Now()
		version, verdicts, err := f.OnRun(ctx, fleet.RunAct{Act: a, Run: run, Reason: "a tree on the line", By: "ann"})
		if err != nil || len(verdicts) != 3 || version == 0 {
			t.Fatalf("%s: %v %d %+v", a, err, version, verdicts)
		}
		for _, v := range verdicts {
			if v.Refused != "" {
				t.Errorf("%s: %+v", a, v)
			}
		}
		testkit.Eventually(t, a, everywhere(want))
		seen := time.Now()
		held, err := f.Holds(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: in the answers and streams of all nodes %s after it was asked for, %s after it was stored", a, seen.Sub(began).Round(time.Millisecond), seen.Sub(held.At).Round(time.Millisecond))
	}
	act(over, fleet.Suspend, ids[0].String(), "a tree on the line")
	act(through, fleet.Resume, ids[0].String(), "AVAILABLE")
	act(over, fleet.Suspend, ids[0].String(), "a tree on the line")
	later := startGuarded(t, host)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, later.Address(), "/readyz"); return code == 200 })
	if !shown(later, "a tree on the line") {
		t.Error("a node that started later does not know")
	}
	act2 := func(a, want string) { // four nodes are there now
		t.Helper()
		if _, verdicts, err := through.OnRun(ctx, fleet.RunAct{Act: a, Run: ids[0].String(), By: "bob"}); err != nil || len(verdicts) != 4 {
			t.Fatalf("%s: %v %+v", a, err, verdicts)
		}
		testkit.Eventually(t, a, everywhere(want))
	}
	act2(fleet.Resume, "AVAILABLE")
	act2(fleet.Pin, "AVAILABLE")
	testkit.Eventually(t, "a pinned run's answers to be exact", func() bool {
		return header(t, "http://"+nodes[0].Address()+search, "Cache-Control") == "no-cache"
	})
	held, err := over.Holds(ctx)
	if err != nil || len(held.Runs) != 1 || !held.Runs[0].Pinned || held.Runs[0].Suspended || held.Runs[0].By != "bob" {
		t.Errorf("%v %+v", err, held)
	}
	act2(fleet.Unpin, "AVAILABLE")
	testkit.Eventually(t, "the rules to hold again", func() bool {
		return strings.Contains(header(t, "http://"+nodes[0].Address()+search, "Cache-Control"), "max-age")
	})
	act2(fleet.Purge, "AVAILABLE")
	for a, want := range map[fleet.RunAct]string{
		{Act: "stop", Run: ids[0].String(), By: "ann"}:                          `act is "stop"`,
		{Act: fleet.Suspend, Run: ids[0].String(), By: "ann"}:                   "reason is empty",
		{Act: fleet.Purge, Run: ids[0].String()}:                                "by is",
		{Act: fleet.Purge, Run: "G1", By: "ann"}:                                `run is "G1"`,
		{Act: fleet.Purge, Run: "20261201.nobody", By: "ann"}:                   "no node that answers has a run 20261201.nobody",
		{Act: fleet.Purge, Run: "G1@yesterday", By: "ann"}:                      "want the train's number and its date",
		{Act: fleet.Purge, Run: "G1@" + ids[0].Date.String(), By: "ann"}:        "may be any of " + ids[0].String(),
		{Act: fleet.Pin, Run: ids[0].String(), By: "ann", Reason: "two\nlines"}: "one line",
	} {
		if _, _, err := over.OnRun(ctx, a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %s", a, err, want)
		}
	}
}
