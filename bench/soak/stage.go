//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/balancer"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/link"
	"github.com/yupiao/yupiao/pkg/rail"
)

// loopback is where links listen.
const loopback = "127.0.0.1:0"

// stage is all processes and what lies between them.
type stage struct {
	options
	dir, self string
	record    *record
	first     rail.Date
	days      int
	socket    net.Listener
	nats      string     // host:port
	link      *link.Link // of the publisher
	nodes     []*node
	balancer  string // base URL
	front     *http.Server
	conn      *feed.Conn // of an operator, past all links
	operator  *fleet.Operator
	rng       *rand.Rand

	mu        sync.Mutex // guards what follows
	broker    *process.Child
	publisher *process.Child
	surprises []string // processes that ended by themselves
}

// node is a query node, whichever process it is at the time.
type node struct {
	stage              *stage
	name, http, admin  string
	file               string
	link               *link.Link
	mu                 sync.Mutex // guards what follows
	child              *process.Child
	started, readySeen time.Time
	ttl                time.Duration // in its file
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// raise sets the stage up and waits until both nodes are ready.
func raise(ctx context.Context, o options, say func(string, ...any)) (s *stage, err error) {
	s = &stage{options: o, rng: rand.New(rand.NewPCG(o.seed, 7))}
	if s.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "yupiao-soak-"); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{s.makeRecord, s.makeFeed, s.makeNodes, s.makeFront} {
		if err := step(ctx); err != nil {
			s.clear()
			return nil, err
		}
		say("%s", s)
	}
	return s, nil
}

// String tells how far it is.
func (s *stage) String() string {
	f := s.record.figures()
	return fmt.Sprintf("%d changes committed, %d published, %d nodes", f.committed, f.acked, len(s.nodes))
}

// makeRecord makes the booking system, with its first dates on sale.
func (s *stage) makeRecord(context.Context) error {
	location, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		return err
	}
	s.first = rail.DateOf(time.Now(), location)
	s.days = country.SaleDays + firstRolls + int(s.length/s.day) + 8
	t, err := timetableOf(s.seed, s.scale, s.first, s.days)
	if err != nil {
		return err
	}
	s.record = newRecord(country.NewBook(country.BookOptions{Seed: s.seed, Schedule: t, Today: s.first}), t, location)
	s.record.openFirst(s.first, country.SaleDays)
	if s.socket, err = net.Listen("unix", filepath.Join(s.dir, "record")); err != nil {
		return err
	}
	go s.record.serve(s.socket)
	return nil
}

func (s *stage) makeFeed(ctx context.Context) (err error) {
	if s.nats, err = freeAddress(); err != nil {
		return err
	}
	if s.link, err = link.Listen(loopback, s.nats); err != nil {
		return err
	}
	if err = s.startBroker(); err != nil {
		return err
	}
	if s.conn, err = feed.Connect(feed.Options{URL: "nats://" + s.nats, Name: "operator"}); err != nil {
		return err
	}
	s.operator = fleet.NewOperator(s.conn)
	if err := s.startPublisher(); err != nil {
		return err
	}
	return await(ctx, 2*time.Minute, "all is published", func() bool { return s.record.figures().outbox == 0 })
}

func (s *stage) makeNodes(ctx context.Context) error {
	for _, name := range []string{"a", "b"} {
		n := &node{stage: s, name: name, file: filepath.Join(s.dir, "node-"+name+".yaml"), ttl: 100 * time.Millisecond}
		s.nodes = append(s.nodes, n)
		var err1, err2, err3 error
		n.http, err1 = freeAddress()
		n.admin, err2 = freeAddress()
		n.link, err3 = link.Listen(loopback, s.nats)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		if err := errors.Join(n.writeSettings(), n.start()); err != nil {
			return err
		}
	}
	return await(ctx, 2*time.Minute, "the nodes are live", func() bool { return s.trouble(ctx) == "" })
}

func (s *stage) makeFront(ctx context.Context) error {
	b, err := balancer.New([]string{"http://" + s.nodes[0].http, "http://" + s.nodes[1].http}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.balancer = "http://" + l.Addr().String()
	s.front = &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = b.Run(ctx) }() // it never fails
	go func() { _ = s.front.Serve(l) }()
	return await(ctx, 10*time.Second, "the balancer has both nodes", func() bool { return b.Ready() == 2 })
}

// await waits until something holds.
func await(ctx context.Context, patience time.Duration, what string, holds func() bool) error {
	return process.Await(ctx, patience, 100*time.Millisecond, what, func(context.Context) bool { return holds() })
}

// start starts a program of ours that says something when it is there; whatever it says last is read on.
func (s *stage) start(part string, hello string, args ...string) (*process.Child, string, error) {
	c, err := process.Start(false, s.self, append([]string{part}, args...)...)
	if err != nil {
		return nil, "", err
	}
	if hello != "" {
		_, _ = fmt.Fprintln(c.Stdin, hello) // one that has ended says nothing below
	}
	line, err := c.Lines.ReadString('\n')
	if err != nil {
		c.Kill()
		return nil, "", fmt.Errorf("%s ended before it was there: %w", part, err)
	}
	go c.Rest()
	return c, strings.TrimSpace(line), nil
}

// watch notes a process that ends by itself.
func (s *stage) watch(what string, c *process.Child, wanted func() bool) {
	go func() {
		<-c.Ended()
		if !wanted() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.surprises = append(s.surprises, what+" ended by itself")
		}
	}()
}

func (s *stage) startBroker() error {
	c, _, err := s.start(brokerPart, "", filepath.Join(s.dir, "nats"), s.nats)
	if err != nil {
		return err
	}
	s.keep("broker", &s.broker, c)
	return nil
}

func (s *stage) endBroker(kill bool) error { return s.endOf(&s.broker, kill) }

// keep puts a process in its place, and notes when it ends there by itself.
func (s *stage) keep(what string, place **process.Child, c *process.Child) {
	s.mu.Lock()
	*place = c
	s.mu.Unlock()
	s.watch(what, c, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return *place != c })
}

// endOf ends the process in a place, in order or not.
func (s *stage) endOf(place **process.Child, kill bool) error {
	s.mu.Lock()
	c := *place
	*place = nil
	s.mu.Unlock()
	return end(c, kill)
}

func end(c *process.Child, kill bool) error {
	switch {
	case c == nil:
		return nil
	case kill:
		c.Kill()
		return nil
	default:
		return c.Stop()
	}
}

func (s *stage) startPublisher() error {
	c, _, err := s.start(publisherPart, "", "--record", s.socket.Addr().String(), "--feed", "nats://"+s.link.Address(),
		"--seed", fmt.Sprint(s.seed), "--scale", fmt.Sprint(s.scale), "--first", s.first.String(), "--days", fmt.Sprint(s.days))
	if err != nil {
		return err
	}
	s.keep("publisher", &s.publisher, c)
	return nil
}

func (s *stage) endPublisher(kill bool) error { return s.endOf(&s.publisher, kill) }

// writeSettings writes the node's file. There is so little room for answers that it is full when the warm-up ends: memory that only fills is no leak.
func (n *node) writeSettings() error {
	text := fmt.Sprintf(`http: {address: %q}
admin: {address: %q}
feed: {url: %q, name: %q}
streams: {max_per_client: 5000}
answers: {memory_mib: 48}
rules:
  - name: rush
    when: {asked_above: 200, changed_above: 10}
    ttl: %s
`, n.http, n.admin, "nats://"+n.link.Address(), n.name, n.ttl)
	whole := n.file + ".new"
	return errors.Join(os.WriteFile(whole, []byte(text), 0o600), os.Rename(whole, n.file))
}

func (n *node) start() error {
	n.stage.record.mu.Lock()
	ahead := n.stage.record.ahead()
	n.stage.record.mu.Unlock()
	began := time.Now()
	c, _, err := n.stage.start(nodePart, ahead.String(), n.file)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.child, n.started, n.readySeen = c, began, time.Time{}
	n.mu.Unlock()
	n.stage.watch("node "+n.name, c, func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.child != c })
	return nil
}

func (n *node) end(kill bool) error {
	n.mu.Lock()
	c := n.child
	n.child = nil
	n.mu.Unlock()
	return end(c, kill)
}

func (n *node) signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.child == nil {
		return nil
	}
	return n.child.Signal(s)
}

// move tells the node how far its clock is ahead.
func (n *node) move(ahead time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.child == nil {
		return nil // it is told when it starts
	}
	_, err := fmt.Fprintln(n.child.Stdin, ahead)
	return err
}

// life is since when the present process runs.
func (n *node) life() (started time.Time, pid int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.child == nil {
		return time.Time{}, 0
	}
	return n.started, n.child.PID()
}

// metrics are what the node tells to Prometheus, if it does so soon.
func (n *node) metrics(ctx context.Context) (process.Metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return process.MetricsAt(ctx, "http://"+n.admin)
}

// oldest is from which age on answers are degraded by default, in seconds.
const oldest = 2

// sick says what a node's metrics tell of trouble; empty for none.
func sick(m process.Metrics) string {
	age, proved := m["yupiao_age_seconds"]
	switch {
	case m["yupiao_ready"] != 1:
		return "not ready"
	case m["yupiao_degraded"] != 0:
		return "does not advance"
	case !proved || age > oldest:
		return fmt.Sprintf("%.1f s old", age)
	case m["yupiao_runs_behind"]+m["yupiao_runs_quarantined"]+m["yupiao_runs_unseen"] != 0:
		return fmt.Sprintf("%.0f runs in trouble", m["yupiao_runs_behind"]+m["yupiao_runs_quarantined"]+m["yupiao_runs_unseen"])
	default:
		return ""
	}
}

// trouble says what is not well; empty if all is.
func (s *stage) trouble(ctx context.Context) string {
	if f := s.record.figures(); f.outbox > 2*s.rate {
		return fmt.Sprintf("%d changes are not published", f.outbox)
	}
	for _, n := range s.nodes {
		m, err := n.metrics(ctx)
		if err != nil {
			return fmt.Sprintf("node %s: %v", n.name, err)
		}
		if why := sick(m); why != "" {
			return fmt.Sprintf("node %s: %s", n.name, why)
		}
	}
	return ""
}

// clear ends everything, the last that was started first.
func (s *stage) clear() {
	if s.front != nil {
		_ = s.front.Close() // nobody asks any more
	}
	for _, n := range s.nodes {
		_ = n.signal(syscall.SIGCONT)
		_ = n.end(true)
		if n.link != nil {
			_ = n.link.Close() // nobody uses it
		}
	}
	_ = s.endPublisher(true)
	if s.conn != nil {
		s.conn.Close()
	}
	_ = s.endBroker(true)
	if s.link != nil {
		_ = s.link.Close() // nobody uses it
	}
	if s.socket != nil {
		_ = s.socket.Close() // no publisher is left
	}
	_ = os.RemoveAll(s.dir) // a temporary folder
}
