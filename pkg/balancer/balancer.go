// Package balancer is a plain HTTP balancer for query nodes: a reverse proxy that asks each node whether it is ready, for `yupiao cluster` and for tests. In production any will do that
// does the same; configs/haproxy/haproxy.cfg is one.
//
// Invariants (cited by the tests as L1...):
//
//	L1 A node that does not say that it is ready, or does not say anything in time, is sent nobody new.
//	L2 A GET that a node does not answer is asked of another, as long as nothing of an answer has gone to the client. Whatever may change something is sent once.
//	L3 Without a ready node the answer is a problem that says so, at once.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	checkEvery  = 250 * time.Millisecond
	checkWithin = 500 * time.Millisecond
	// headerWithin is how long a node may take until it answers: more than a request may wait for a position.
	headerWithin = 5 * time.Second
)

// Balancer sends requests to nodes that are ready, in turn. It is an http.Handler, safe for concurrent use. Run it.
type Balancer struct {
	nodes []*node
	next  atomic.Uint64
	proxy *httputil.ReverseProxy
	log   *slog.Logger
}

type node struct {
	url   *url.URL
	ready atomic.Bool
}

// New balances over nodes by their base URLs. Log tells of nodes that come and go.
func New(nodes []string, log *slog.Logger) (*Balancer, error) {
	b := &Balancer{log: log}
	for _, text := range nodes {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return nil, fmt.Errorf("node is %q; want a base URL such as http://127.0.0.1:8080", text)
		}
		b.nodes = append(b.nodes, &node{url: u})
	}
	b.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetXForwarded() }, // where it goes is the transport's
		Transport: &transport{balancer: b, inner: &http.Transport{
			DialContext: (&net.Dialer{Timeout: checkWithin}).DialContext, ResponseHeaderTimeout: headerWithin, MaxIdleConnsPerHost: 256, DisableCompression: true,
		}},
		FlushInterval: -1, // streams
		ErrorHandler:  b.fail,
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return b, nil
}

// ServeHTTP is part of http.Handler.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.proxy.ServeHTTP(w, r) }

// Ready is how many nodes are.
func (b *Balancer) Ready() (count int) {
	for _, n := range b.nodes {
		if n.ready.Load() {
			count++
		}
	}
	return count
}

// Run asks the nodes whether they are ready until ctx ends (nil).
func (b *Balancer) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, n := range b.nodes {
		all.Go(func() { b.watch(ctx, n) })
	}
	all.Wait()
	return nil
}

// watch asks one node again and again (L1).
func (b *Balancer) watch(ctx context.Context, n *node) {
	client := &http.Client{Timeout: checkWithin, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		b.tell(n, check(ctx, client, n.url.JoinPath("/readyz").String()))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func check(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz says %s", response.Status)
	}
	return nil
}

func (b *Balancer) tell(n *node, err error) {
	if was := n.ready.Swap(err == nil); was != (err == nil) {
		b.log.Info("node", "url", n.url.String(), "ready", err == nil, "error", err)
	}
}

// pick is the next node that is ready and was not tried; nil if there is none.
func (b *Balancer) pick(tried map[*node]bool) *node {
	first := b.next.Add(1)
	for i := range uint64(len(b.nodes)) {
		if n := b.nodes[(first+i)%uint64(len(b.nodes))]; n.ready.Load() && !tried[n] {
			return n
		}
	}
	return nil
}

// errNobody: there is no ready node, or none that has not failed this very request.
var errNobody = errors.New("no query node is ready")

// fail answers what no node did (L3).
func (b *Balancer) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, title := http.StatusBadGateway, "The query node did not answer"
	if errors.Is(err, errNobody) {
		status, title = http.StatusServiceUnavailable, "No query node is ready"
	}
	if r.Context().Err() == nil {
		b.log.Warn("not answered", "path", r.URL.Path, "error", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "{\"title\":%q,\"status\":%d}\n", title, status) // the client has gone
}

// transport sends a request to one node after the other until one answers (L2).
type transport struct {
	balancer *Balancer
	inner    *http.Transport
}

// RoundTrip is part of http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	again := (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.Body == nil || r.Body == http.NoBody)
	tried := map[*node]bool{}
	last := errNobody
	for {
		n := t.balancer.pick(tried)
		if n == nil {
			return nil, last
		}
		tried[n] = true
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host = n.url.Scheme, n.url.Host
		response, err := t.inner.RoundTrip(out)
		switch {
		case err != nil && r.Context().Err() == nil:
			t.balancer.tell(n, err) // until it says that it is ready again
			last = err
		case err == nil && response.StatusCode == http.StatusServiceUnavailable && again && t.balancer.pick(tried) != nil:
			_ = response.Body.Close() // another may be ready, or as far as the client has seen
			continue
		default:
			return response, err
		}
		if !again {
			return nil, last
		}
	}
}
