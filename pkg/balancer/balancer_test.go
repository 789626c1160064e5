package balancer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// backend is a node that does what a test wants.
type backend struct {
	*httptest.Server
	name               string
	ready, cut, refuse atomic.Bool // cut: connections end without an answer; refuse: 503
	silent             atomic.Bool // nothing is answered any more
	mute               atomic.Bool // checks alone are not
	asked              atomic.Int64
	goOn               chan struct{} // what /slow waits for amid its answer
}

func start(t *testing.T, name string) *backend {
	t.Helper()
	b := &backend{name: name, goOn: make(chan struct{})}
	b.ready.Store(true)
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.mute.Load() && r.URL.Path == "/readyz" {
		<-r.Context().Done()
		return
	}
	if b.silent.Load() {
		b.asked.Add(1)
		<-r.Context().Done()
		return
	}
	if r.URL.Path == "/readyz" {
		if !b.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return
	}
	b.asked.Add(1)
	switch {
	case b.cut.Load():
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	case b.refuse.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/stream":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: "+b.name+"\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case r.URL.Path == "/slow":
		_, _ = io.WriteString(w, "begun, ")
		w.(http.Flusher).Flush()
		select {
		case <-b.goOn:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "ended")
	default:
		_, _ = io.WriteString(w, b.name+" "+r.Header.Get("X-Forwarded-For"))
	}
}

// front runs a balancer over nodes until the test ends, and waits until so many are ready.
func front(t *testing.T, ready int, nodes ...string) (*Balancer, *httptest.Server) {
	t.Helper()
	b, err := New(nodes, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, b.Run)
	testkit.Eventually(t, "ready nodes", func() bool { return b.Ready() == ready })
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return b, server
}

func ask(t *testing.T, server *httptest.Server, method, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// L1, L2, L3: nodes take turns; one that breaks off or refuses costs nobody an answer, one that is not ready is asked no more, and without any that is said.
func TestBalance(t *testing.T) {
	one, two := start(t, "one"), start(t, "two")
	b, server := front(t, 2, one.URL, two.URL)
	seen := map[string]int{}
	for range 20 {
		status, body := ask(t, server, "GET", "/")
		name, client, _ := strings.Cut(body, " ")
		seen[name]++
		if status != 200 || client != "127.0.0.1" {
			t.Fatalf("%d %s", status, body)
		}
	}
	if seen["one"] != 10 || seen["two"] != 10 {
		t.Errorf("%v", seen)
	}
	one.refuse.Store(true)
	for range 20 {
		if status, body := ask(t, server, "GET", "/"); status != 200 || !strings.HasPrefix(body, "two") {
			t.Fatalf("one refuses: %d %s", status, body)
		}
	}
	one.refuse.Store(false)
	one.cut.Store(true)
	for range 20 {
		if status, body := ask(t, server, "GET", "/"); status != 200 || !strings.HasPrefix(body, "two") {
			t.Fatalf("one breaks off: %d %s", status, body)
		}
	}
	two.ready.Store(false)
	testkit.Eventually(t, "a node that is not ready", func() bool { return !b.nodes[1].is(ready) })
	asked := two.asked.Load()
	for range 5 {
		_, _ = ask(t, server, "GET", "/")
	}
	if two.asked.Load() != asked {
		t.Error("a node that is not ready was asked")
	}
	one.ready.Store(false)
	testkit.Eventually(t, "no ready node", func() bool { return b.Ready() == 0 })
	if status, body := ask(t, server, "GET", "/"); status != 503 || !strings.Contains(body, "No query node is ready") {
		t.Errorf("without a node: %d %s", status, body)
	}
}

// L2: what may change something is sent once.
func TestPostIsSentOnce(t *testing.T) {
	one, two := start(t, "one"), start(t, "two")
	one.cut.Store(true)
	two.cut.Store(true)
	_, server := front(t, 2, one.URL, two.URL)
	if status, _ := ask(t, server, "POST", "/"); status != 502 || one.asked.Load()+two.asked.Load() != 1 {
		t.Errorf("%d, asked %d and %d times", status, one.asked.Load(), two.asked.Load())
	}
}

// L1: a node that accepts and never answers is found out by its check.
func TestSilentNode(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	_, server := front(t, 1, start(t, "one").URL, "http://"+silent.Addr().String())
	for range 4 {
		if status, body := ask(t, server, "GET", "/"); status != 200 || !strings.HasPrefix(body, "one") {
			t.Errorf("%d %s", status, body)
		}
	}
}

// L1, L2: a node that was ready and falls silent, as one that is halted does: who waits for it is answered by another.
func TestNodeFallsSilent(t *testing.T) {
	one, two := start(t, "one"), start(t, "two")
	b, server := front(t, 2, one.URL, two.URL)
	b.proxy.Transport.(*transport).inner.ResponseHeaderTimeout = 0 // the check alone has to find it
	server.Client().Timeout = testkit.Patience
	one.silent.Store(true)
	for range 4 {
		if status, body := ask(t, server, "GET", "/"); status != 200 || !strings.HasPrefix(body, "two") {
			t.Errorf("%d %s", status, body)
		}
	}
	if one.asked.Load() == 0 || b.nodes[0].is(ready) {
		t.Error("nobody waited for the silent node, or it is still taken for ready")
	}
	one.silent.Store(false)
	testkit.Eventually(t, "the node to be ready again", func() bool { return b.Ready() == 2 })
}

// L1, L3: nodes that are late to say that they are ready, all at once, still answer; when it lasts, nobody is ready.
func TestAllNodesLate(t *testing.T) {
	one, two := start(t, "one"), start(t, "two")
	b, server := front(t, 2, one.URL, two.URL)
	one.mute.Store(true)
	two.mute.Store(true)
	testkit.Eventually(t, "late nodes", func() bool { return b.Ready() == 0 })
	for range 4 {
		if status, body := ask(t, server, "GET", "/"); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	}
	testkit.Eventually(t, "nodes that are taken for dead", func() bool { return b.nodes[0].is(down) && b.nodes[1].is(down) })
	if status, _ := ask(t, server, "GET", "/"); status != 503 {
		t.Errorf("all nodes are silent: %d", status)
	}
}

// L1: what a node has begun to answer goes on while it drains.
func TestDrainCutsNothing(t *testing.T) {
	one := start(t, "one")
	b, server := front(t, 1, one.URL)
	response, err := server.Client().Get(server.URL + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	one.ready.Store(false)
	testkit.Eventually(t, "a node that is not ready", func() bool { return b.Ready() == 0 })
	close(one.goOn)
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "begun, ended" {
		t.Errorf("%q %v", body, err)
	}
}

// L4: a client that breaks its own request takes no node from the others.
func TestBrokenRequest(t *testing.T) {
	b, server := front(t, 2, start(t, "one").URL, start(t, "two").URL)
	for range 4 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n")
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		_ = conn.Close()
		if ready := b.Ready(); err != nil || ready != 2 {
			t.Fatalf("%d nodes are ready; %v", ready, err)
		}
	}
}

// Events pass at once.
func TestStream(t *testing.T) {
	_, server := front(t, 1, start(t, "one").URL)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || line != "data: one\n" {
		t.Errorf("%q %v", line, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, node := range []string{"", "127.0.0.1:8080", "https://a", "http://"} {
		if _, err := New([]string{node}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "want a base URL") {
			t.Errorf("%q: %v", node, err)
		}
	}
}

// Whoever comes after a switch is answered by the new nodes alone, and who was being answered before it by the old.
func TestUse(t *testing.T) {
	blue, green := start(t, "blue"), start(t, "green")
	b, server := front(t, 2, blue.URL, green.URL)
	for _, n := range []*backend{blue, green, blue} {
		if err := b.Use(n.URL); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if status, text := ask(t, server, http.MethodGet, "/"); status != http.StatusOK || !strings.Contains(text, n.name) {
				t.Fatalf("%d %q; want an answer of %s", status, text, n.name)
			}
		}
		if b.Ready() != 1 {
			t.Errorf("%d of one node are ready", b.Ready())
		}
	}
	if err := b.Use("http://127.0.0.1:1"); err == nil {
		t.Error("a node that nobody checks is used")
	}
}
