package console_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/console"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

const token = "0123456789abcdef0123456789abcdef"

// Q1: the page and its files tell nothing, let the browser speak to their origin alone, and have tags.
func TestHandler(t *testing.T) {
	h := console.Handler()
	for path, want := range map[string]int{"/": 200, "/static/app.js": 200, "/static/dom.js": 200, "/static/style.css": 200, "/static/nothing.js": 404} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if policy := w.Header().Get("Content-Security-Policy"); w.Code != want || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "connect-src 'self';") {
			t.Errorf("%s: %d %s", path, w.Code, policy)
		}
		if want != 200 {
			continue
		}
		again := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		if h.ServeHTTP(again, r); again.Code != http.StatusNotModified {
			t.Errorf("%s with its tag: %d", path, again.Code)
		}
	}
}

// railway is a feed with a few runs, and nodes that follow it.
func railway(t *testing.T, names ...string) (nodes []*node.Node, stops []func(), runs []rail.RunID) {
	t.Helper()
	host := testkit.Broker(t)
	pattern := testkit.Pattern("G1", 600)
	ledger := testkit.NewLedger(pattern)
	publisher, err := feed.NewPublisher(t.Context(), testkit.Conn(t, host), ledger, feed.PublisherOptions{})
	if err == nil {
		err = errors.Join(publisher.Network(t.Context(), testkit.Network()), publisher.Patterns(t.Context(), []*timetable.Pattern{pattern}))
	}
	var changes []feed.Change
	for i := range 3 {
		runs = append(runs, rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + 2, Trip: rail.TripID(fmt.Sprint("G", i))})
		changes = append(changes, ledger.Open(runs[i], 1))
	}
	if err = errors.Join(err, publisher.Publish(t.Context(), changes)); err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, publisher.Serve)
	testkit.Run(t, func(ctx context.Context) error { // nothing is sold: what is published is complete at any time
		for ctx.Err() == nil {
			publisher.Complete(time.Now())
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		return nil
	})
	for _, name := range names {
		s := config.DefaultNode()
		s.HTTP.Address, s.Admin.Address, s.Admin.Token, s.Feed.Name = "127.0.0.1:0", "127.0.0.1:0", token, name
		n, err := node.New(s, node.Options{InProcess: host})
		if err != nil {
			t.Fatal(err)
		}
		nodes, stops = append(nodes, n), append(stops, testkit.Run(t, n.Run))
		<-n.Follower().Ready()
	}
	return nodes, stops, runs
}

// browser is headless Chromium with one page, and what it complained of.
func browser(t *testing.T) (ctx context.Context, complaints func() string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs Chromium to open the page: apt-get install chromium")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.Flag("disable-quic", true))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	said := &testkit.Log{}
	ctx, cancel = chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		if kind := fmt.Sprintf("%T", event); strings.Contains(kind, "ExceptionThrown") || strings.Contains(kind, "EntryAdded") {
			_, _ = fmt.Fprintf(said, "%s %+v\n", kind, event)
		}
	}))
	t.Cleanup(cancel)
	return ctx, said.String
}

// Q1, Q2, Q3: the page asks for the token, shows the fleet, acts on it and says where, and says when a node is gone; on a phone nothing is cut off.
func TestConsoleInBrowser(t *testing.T) {
	ctx, complaints := browser(t)
	nodes, stops, runs := railway(t, "node-1", "node-2")
	if err := chromedp.Do(ctx, chromedp.Navigate("http://"+nodes[0].AdminAddress()+"/")); err != nil {
		t.Fatal(err) // the first action starts the browser, so it has no timeout of its own
	}
	ctx, cancel := context.WithTimeout(ctx, 3*testkit.Patience)
	defer cancel()
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			text, _ := chromedp.Run(ctx, chromedp.Text("body"))
			t.Fatalf("%s: %v\n%s", what, err, text)
		}
	}
	says := func(selector, want string) {
		t.Helper()
		text, holds := "", false
		for deadline := time.Now().Add(testkit.Patience / 2); !holds && time.Now().Before(deadline); {
			text, _ = chromedp.Run(ctx, chromedp.Text(selector))
			holds = strings.Contains(text, want)
		}
		if !holds {
			t.Fatalf("%s says %q; want %s", selector, text, want)
		}
	}
	shot := func(name string) {
		folder := os.Getenv("YUPIAO_SCREENSHOTS")
		if folder == "" {
			return
		}
		image, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name+".png"), image, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
	says("#verdict", "wants its token")
	do("a wrong token", chromedp.WaitVisible("#token"), chromedp.SendKeys("#token", "wrong"), chromedp.Click("#ask-token button"), chromedp.WaitVisible("#token-refused"))
	do("the token", chromedp.SendKeys("#token", token), chromedp.Click("#ask-token button"))
	says("#verdict", "All 2 nodes are live")
	do("drain without a name", chromedp.Click("#fleet tbody tr:nth-child(2) button"))
	says("#message", "Say who you are")
	do("a name", chromedp.SendKeys("#by", "ann"))
	do("drain", chromedp.Click("#fleet tbody tr:nth-child(2) button"))
	says("#fleet tbody tr:nth-child(2) button", "Really drain?")
	do("really", chromedp.Click("#fleet tbody tr:nth-child(2) button"))
	says("#message", "Drain node-2: done on 1 of 1 nodes")
	says("#verdict", "node-2 is draining")
	do("return", chromedp.Click("#fleet tbody tr:nth-child(2) button"), chromedp.Click("#fleet tbody tr:nth-child(2) button"))
	says("#verdict", "All 2 nodes are live")
	do("suspend", chromedp.SendKeys("#run", runs[0].String()), chromedp.SendKeys("#reason", "a tree on the line"), chromedp.Click("#run-act button"))
	says("#message", "done on 2 of 2 nodes")
	says("#runs tbody", "a tree on the line")
	says("#acts tbody", "suspend")
	do("a bad document", chromedp.SendKeys("#document", "freshness:\n  ttl: 2x\n"), chromedp.Click("#share"))
	says("#message", `ttl is "2x"`)
	set := chromedp.Evaluate[bool](`(document.getElementById("document").value = "freshness:\n  ttl: 2s\n") !== ""`)
	if _, err := chromedp.Run(ctx, set); err != nil {
		t.Fatal(err)
	}
	do("share", chromedp.SendKeys("#note", "a rush"), chromedp.Click("#share"))
	says("#message", "Share the rules: done on 2 of 2 nodes")
	says("#rules-version", "Version 1, by ann")
	says("#config", "Settings of this node")
	for name, width := range map[string]int64{"wide": 1280, "phone": 390} {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900)); err != nil {
			t.Fatal(err)
		}
		if wide, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`)); err != nil || wide {
			t.Errorf("at %d pixels something is cut off: %v", width, err)
		}
		shot("console-" + name)
	}
	stops[1]()
	says("#verdict", "node-2 does not answer")
	says("#fleet tbody tr:nth-child(2)", "gone since")
	stops[0]()
	says("#verdict", "the node does not answer: what is below is old")
	if old, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.getElementById("fleet").classList.contains("old")`)); err != nil || !old {
		t.Errorf("Q2: old numbers are shown as new: %v", err)
	}
	shot("console-gone")
	if said := complaints(); strings.Contains(said, "Exception") || strings.Contains(said, "Content Security Policy") {
		t.Errorf("the page complains: %s", said)
	}
}
