// Package balancer is a plain HTTP balancer for query nodes: a reverse proxy that asks each node whether it is ready, for `yupiao cluster` and for tests. In production any will do that
// does the same; configs/haproxy/haproxy.cfg is one.
//
// Invariants (cited by the tests as L1...):
//
//	L1 A node that does not say that it is ready is sent nobody new. What it has begun to answer goes on. One that was ready and is late to say so again is sent somebody only
//	   where no other is ready, and nobody any more after some time: a moment in which a whole machine stalls is no reason to refuse everybody.
//	L2 A GET that a node does not answer is asked of another, as long as nothing of an answer has gone to the client. Whatever may change something is sent once.
//	L3 Without a ready node the answer is a problem that says so, at once.
//	L4 What a client does wrong says nothing of a node.
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
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	checkEvery  = 250 * time.Millisecond
	checkWithin = 500 * time.Millisecond
	// givenUpAfter so many checks in a row without an answer, who waits for a node is answered by a ready one; silentAfter so many, 3 s, it is taken for dead.
	givenUpAfter, silentAfter = 2, 6
	// headerWithin is how long a node may take until it answers: more than a request may wait for a position, 10 s. A node that is silent is found sooner, by its check.
	headerWithin = 15 * time.Second
)

// Balancer sends requests to nodes that are ready, in turn. It is an http.Handler, safe for concurrent use. Run it.
type Balancer struct {
	nodes []*node
	used  atomic.Pointer[[]*node] // of them; never changed in place
	next  atomic.Uint64
	proxy *httputil.ReverseProxy
	log   *slog.Logger
}

type node struct {
	url   *url.URL
	state atomic.Int32 // a state
	hope  atomic.Pointer[hope]
}

type state int32

const (
	down state = iota // or not ready, by its own words
	late              // it was ready, and does not answer its checks in time
	ready
)

func (n *node) is(s state) bool { return state(n.state.Load()) == s }

// hope that a node will answer. When it ends, whoever waits for the first byte asks elsewhere.
type hope struct {
	ctx context.Context //nolint:containedctx // it ends with a state of the node, not with a call
	end context.CancelFunc
}

func (n *node) renew() (before *hope) {
	ctx, end := context.WithCancel(context.Background())
	return n.hope.Swap(&hope{ctx, end})
}

// New balances over nodes by their base URLs. Log tells of nodes that come and go.
func New(nodes []string, log *slog.Logger) (*Balancer, error) {
	b := &Balancer{log: log}
	for _, text := range nodes {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return nil, fmt.Errorf("node is %q; want a base URL such as http://127.0.0.1:8080", text)
		}
		n := &node{url: u}
		n.renew()
		b.nodes = append(b.nodes, n)
	}
	b.used.Store(&b.nodes)
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

// Use has whoever comes from now on answered by these nodes alone, which must be the balancer's; what others have begun to answer goes on. At first all are used.
func (b *Balancer) Use(urls ...string) error {
	var used []*node
	for _, text := range urls {
		i := slices.IndexFunc(b.nodes, func(n *node) bool { return n.url.String() == text })
		if i < 0 {
			return fmt.Errorf("%q is not a node of this balancer", text)
		}
		used = append(used, b.nodes[i])
	}
	b.used.Store(&used)
	return nil
}

// Ready is how many of the nodes that are used are ready.
func (b *Balancer) Ready() (count int) {
	for _, n := range *b.used.Load() {
		if n.is(ready) {
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
	for misses := 0; ; {
		err := check(ctx, client, n.url.JoinPath("/readyz").String())
		switch {
		case err == nil:
			misses = 0
			b.tell(n, ready, nil)
		case isTimeout(err) && !n.is(down):
			if misses++; misses < silentAfter {
				b.tell(n, late, err)
			} else {
				b.tell(n, down, err)
			}
			if misses >= givenUpAfter {
				n.renew().end()
			}
		default:
			misses = 0
			b.tell(n, down, err)
			if !errors.Is(err, errRefused) {
				n.renew().end()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func isTimeout(err error) bool {
	var at net.Error
	return errors.As(err, &at) && at.Timeout()
}

// errRefused: the node lives, and says that it is not ready. It answers what it has.
var errRefused = errors.New("not ready")

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
		return fmt.Errorf("%w: /readyz says %s", errRefused, response.Status)
	}
	return nil
}

func (b *Balancer) tell(n *node, now state, err error) {
	if was := state(n.state.Swap(int32(now))); was != now {
		b.log.Info("node", "url", n.url.String(), "ready", now == ready, "error", err)
	}
}

// pick is the next node that was not tried: one that is ready, or else one that is late; nil if there is none.
func (b *Balancer) pick(tried []*node) *node {
	first, used := b.next.Add(1), *b.used.Load()
	for _, s := range []state{ready, late} {
		for i := range uint64(len(used)) {
			if n := used[(first+i)%uint64(len(used))]; n.is(s) && !slices.Contains(tried, n) {
				return n
			}
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
	var tried []*node
	last := errNobody
	for {
		n := t.balancer.pick(tried)
		if n == nil {
			return nil, last
		}
		tried = append(tried, n)
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host = n.url.Scheme, n.url.Host
		response, err := t.ask(tried[:len(tried):len(tried)], out)
		switch {
		case err != nil && r.Context().Err() == nil:
			if last = err; blames(err, again) {
				t.balancer.tell(n, down, err) // until it says that it is ready again
			}
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

// ask waits for the first byte of the last tried node's answer, as long as there is hope for one or nobody else to ask.
func (t *transport) ask(tried []*node, r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(tried[len(tried)-1].hope.Load().ctx, func() {
		if n := t.balancer.pick(tried); n != nil && n.is(ready) {
			cancel()
		}
	})
	response, err := t.inner.RoundTrip(r.WithContext(ctx))
	stop()
	if err != nil {
		cancel()
	}
	return response, err // whose body ends with the client's request
}

// blames reports whether a failure is the node's: it takes no connection, or breaks off where the client had nothing more to say (L4). One that is slow to answer a single
// request is not lost; its check finds out.
func blames(err error, again bool) bool {
	var at *net.OpError
	return errors.As(err, &at) && at.Op == "dial" || again && !errors.Is(err, context.Canceled) && !isTimeout(err)
}
