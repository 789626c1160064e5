// Package cluster runs a whole fleet as processes on one machine, on loopback addresses alone: what docker-compose.yml describes, without containers.
//
//	crowd -> bookingd -> nats-1, nats-2, nats-3 -> node-1, node-2, node-3 -> balancer -> clients
//
// Invariants (cited by the tests as C1...):
//
//	C1 While one process is down, whichever it is, every query is answered; numbers that nothing vouches for any more say so.
//	C2 Nothing is left of a cluster that has ended: no process, no folder. Things end in order, those first that need others.
//	C3 Settings of whoever starts it are not the cluster's: it reaches nothing but itself.
package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/configs/nats"
	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/balancer"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// So many servers and nodes: the least with which one of each may be lost.
const (
	Servers = 3
	Nodes   = 3
)

// Options of a cluster; zero values take the defaults.
type Options struct {
	// HTTP is the balancer's address. Default 127.0.0.1:8080.
	HTTP string
	// Database of the booking backend. Default SQLite in the cluster's folder; with Postgres, a server of its own there, for which PostgreSQL must be installed.
	Database string
	Postgres bool
	// NoRestart leaves away what has ended.
	NoRestart bool
	// SalesPerSecond is how many acts people do, 0 for none; Seed of what they do.
	SalesPerSecond float64
	Seed           uint64
	// Programs is a folder with bookingd, yupiaod and nats-server; empty: they are built, for which Go is needed.
	Programs string
	// Folder for its files, which stays; empty: one of its own, which goes with it.
	Folder string
	// Spares are nodes beside the usual ones that stay away, and that the balancer leaves out, until they are let in (KeepAway, Use).
	Spares int
	// Link, if set, gives the address at which one process or the balancer is to look for another, whose own is target. So somebody may stand between them.
	Link func(from, to, target string) (address string, err error)
	// Place, if set, says where a process runs.
	Place func(name string) Place
	// Out is where it is said what happens; All gets the output of all processes, nil for nobody.
	Out, All io.Writer
}

// Place is where a process runs: the host that it listens on, default 127.0.0.1, and a command that starts the one that follows it, such as `ip netns exec NAME`.
type Place struct {
	Host  string
	Under []string
}

// BalancerName is who asks the nodes, to Options.Link.
const BalancerName = "balancer"

// Cluster is a running cluster.
type Cluster struct {
	o         Options
	began     time.Time
	folder    string
	schedule  *timetable.Schedule
	token     string
	offerKeys string
	passwords map[nats.Party]string
	booking   string // base URL
	nats      []string
	nodes     []string // base URLs
	backs     []string // the same, as the balancer finds them
	admins    []string
	processes []*process
	balancer  *balancer.Balancer
	front     net.Listener
	saying    sync.Mutex
	// postgresIsUp is nil without a PostgreSQL of our own.
	postgresIsUp func(context.Context) bool

	stop context.CancelFunc
	done chan error
}

// Start starts a cluster and waits until it answers. It runs until Stop.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.HTTP == "" {
		o.HTTP = "127.0.0.1:8080"
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Postgres && o.Database != "" {
		return nil, errors.New("want either a database, or a PostgreSQL server of the cluster's own")
	}
	c := &Cluster{o: o, began: time.Now(), token: rand.Text(), offerKeys: "cluster:" + hex.EncodeToString([]byte(rand.Text())), done: make(chan error, 1), passwords: map[nats.Party]string{}}
	for party := range nats.Parties {
		c.passwords[party] = rand.Text()
	}
	if err := c.prepare(ctx); err != nil {
		return nil, errors.Join(err, c.sweep())
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	go func() { c.done <- c.run(running) }()
	if err := c.await(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Stop ends all processes and lets the folder go (C2).
func (c *Cluster) Stop() error {
	c.stop()
	return errors.Join(<-c.done, c.sweep())
}

// Wait waits until ctx ends, or something ends that cannot be started again.
func (c *Cluster) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.done:
		c.done <- err // for Stop
		return err
	}
}

func (c *Cluster) sweep() error {
	if c.front != nil {
		_ = c.front.Close() // it may be closed already
	}
	if c.folder == "" || c.folder == c.o.Folder {
		return nil
	}
	return os.RemoveAll(c.folder)
}

func (c *Cluster) say(format string, args ...any) {
	c.saying.Lock()
	defer c.saying.Unlock()
	fmt.Fprintf(c.o.Out, "%6.1fs  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// prepare makes all that processes need.
func (c *Cluster) prepare(ctx context.Context) (err error) {
	if c.front, err = net.Listen("tcp", c.o.HTTP); err != nil {
		return fmt.Errorf("the balancer's address: %w", err)
	}
	if c.folder = c.o.Folder; c.folder == "" {
		if c.folder, err = os.MkdirTemp("", "yupiao-cluster-"); err != nil {
			return err
		}
	}
	if c.o.Programs == "" {
		c.o.Programs = filepath.Join(c.folder, "bin")
		c.say("building bookingd, yupiaod and nats-server")
		if err := Build(ctx, c.o.Programs); err != nil {
			return err
		}
	}
	settings := config.DefaultBooking()
	if c.schedule, err = backend.ReadTimetable(settings, 0, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if err := c.layOut(ctx); err != nil {
		return err
	}
	if c.balancer, err = balancer.New(c.backs, slog.New(slog.NewTextHandler(sayer{c}, nil))); err != nil {
		return err
	}
	return c.balancer.Use(c.backs[:Nodes]...)
}

// sayer says what the balancer logs.
type sayer struct{ *Cluster }

func (s sayer) Write(line []byte) (int, error) {
	_, text, _ := strings.Cut(strings.TrimSpace(string(line)), "msg=")
	s.say("balancer: %s", text)
	return len(line), nil
}

// Build builds the programs that a cluster runs into a folder, from the module that the present directory is in: side by side, and without what only debuggers read.
func Build(ctx context.Context, into string) error {
	const ours = "github.com/yupiao/yupiao/cmd/"
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", into+string(filepath.Separator), ours+bookingName, ours+"yupiaod", "github.com/nats-io/nats-server/v2")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs (in the project's folder, or name a folder that holds them): %w\n%s", err, out)
	}
	return nil
}

// Ports are below those that systems give to outgoing connections: one of these could take the port of a process that is away for a second.
const firstPort, lastPort = 20_000, 30_000

// ports finds free ones. They are free a moment later still, most likely.
func ports(count int) (all []int, err error) {
	for range 100 * count {
		if len(all) == count {
			return all, nil
		}
		port := firstPort + mathrand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // somebody has it
		}
		defer func() { _ = l.Close() }() // when all are found
		all = append(all, port)
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", count, firstPort, lastPort)
}

// tier is what ends together, after all that need it have ended.
type tier int

const (
	recordTier tier = iota
	feedTier
	bookingTier
	nodeTier
	frontTier
	tiers
)

// run runs everything until ctx ends, or something cannot go on; then it ends one tier after the other (C2).
func (c *Cluster) run(ctx context.Context) error {
	group, over := errgroup.WithContext(ctx)
	var ends [tiers]context.CancelFunc
	var running [tiers]sync.WaitGroup
	for t := range tiers {
		own, end := context.WithCancel(context.WithoutCancel(ctx))
		ends[t] = end
		for _, part := range c.parts(t) {
			running[t].Add(1)
			group.Go(func() error {
				defer running[t].Done()
				return part(own)
			})
		}
	}
	group.Go(func() error {
		<-over.Done()
		for t := tiers - 1; t >= 0; t-- {
			ends[t]()
			running[t].Wait()
		}
		return nil
	})
	return group.Wait()
}

// parts are what runs in a tier.
func (c *Cluster) parts(t tier) (all []func(context.Context) error) {
	for _, p := range c.processes {
		if p.tier == t {
			all = append(all, p.run)
		}
	}
	if t == frontTier {
		all = append(all, c.balancer.Run, c.serve, c.trade)
	}
	return all
}

// lastAnswers is how long the balancer lets what is on the way end; streams never do by themselves.
const lastAnswers = time.Second

// serve is the balancer's listener.
func (c *Cluster) serve(ctx context.Context) error {
	server := &http.Server{Handler: c.balancer, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(c.front) }()
	select {
	case err := <-ended:
		return fmt.Errorf("the balancer: %w", err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	if server.Shutdown(patience) != nil {
		return server.Close()
	}
	return nil
}

// trade lets people in as soon as the booking backend sells. While it is away they wait.
func (c *Cluster) trade(ctx context.Context) error {
	if c.o.SalesPerSecond <= 0 || !poll(ctx, func() bool { return answers(ctx, c.booking+"/readyz") }) {
		return nil
	}
	rules := config.DefaultBooking().Formations
	return crowd.Trade(ctx, crowd.NewClient(ctx, c.booking, c.token), crowd.Options{Schedule: c.schedule, Rules: rules, Seed: c.o.Seed}, c.o.SalesPerSecond)
}

// startWithin is how long a cluster may take on a slow machine.
const startWithin = 2 * time.Minute

// await waits until all nodes answer.
func (c *Cluster) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var ended error
	up := poll(ctx, func() bool {
		select {
		case ended = <-c.done:
			c.done <- ended
			return true
		default:
			return c.balancer.Ready() == Nodes
		}
	})
	if ended != nil {
		return ended
	}
	if !up {
		return fmt.Errorf("%d of %d nodes are ready after %s; their logs:\n%s", c.balancer.Ready(), Nodes, time.Since(c.began).Round(time.Second), c.tails())
	}
	c.say("%d nodes are ready", Nodes)
	return nil
}

// tails are the last lines of all logs.
func (c *Cluster) tails() string {
	var b strings.Builder
	for _, p := range c.processes {
		text, err := os.ReadFile(p.log())
		if err != nil {
			continue // it never started
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		for _, line := range lines[max(len(lines)-3, 0):] {
			fmt.Fprintf(&b, "%-10s %s\n", p.name, line)
		}
	}
	return b.String()
}

// poll waits until something holds; false if ctx ends before.
func poll(ctx context.Context, holds func() bool) bool {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// URL is where the balancer answers.
func (c *Cluster) URL() string { return "http://" + c.front.Addr().String() }

// NATS are the servers' addresses, as settings want them.
func (c *Cluster) NATS() string { return strings.Join(c.nats, ",") }

// Token is that of all admin listeners.
func (c *Cluster) Token() string { return c.token }

// Admins are the admin listeners' base URLs, by node.
func (c *Cluster) Admins() []string { return c.admins }

// Use has the balancer send whoever comes to these nodes alone, by their numbers from 0 on; the spares come last.
func (c *Cluster) Use(nodes ...int) error {
	var urls []string
	for _, i := range nodes {
		urls = append(urls, c.backs[i])
	}
	return c.balancer.Use(urls...)
}

// Ready is how many nodes the balancer finds ready.
func (c *Cluster) Ready() int { return c.balancer.Ready() }

// Leader is the NATS server that orders the stream of changes; the error says that there is none at the moment.
func (c *Cluster) Leader(ctx context.Context) (string, error) {
	conn, err := feed.Connect(feed.Options{URL: c.NATS(), User: string(nats.Node), Password: c.passwords[nats.Node], Domain: nats.Domain})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	sight, err := conn.Look(ctx, feed.DeltaStream)
	if err == nil && sight.Leader == "" {
		err = errors.New("the stream has no leader")
	}
	return sight.Leader, err
}

// NodeURLs are where the nodes answer, without the balancer; the spares come last.
func (c *Cluster) NodeURLs() []string { return c.nodes }

// Booking is the base URL of the booking backend.
func (c *Cluster) Booking() string { return c.booking }

// Schedule is the timetable of the cluster's railway.
func (c *Cluster) Schedule() *timetable.Schedule { return c.schedule }

// Names of the processes.
func (c *Cluster) Names() (all []string) {
	for _, p := range c.processes {
		all = append(all, p.name)
	}
	return all
}

func (c *Cluster) named(name string) (*process, error) {
	for _, p := range c.processes {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no process %q; there are %s", name, strings.Join(c.Names(), ", "))
}

// Signal sends a signal to a process: SIGKILL kills it, SIGTERM ends it, SIGSTOP and SIGCONT halt it and let it go on. One that ended is started again after a second.
func (c *Cluster) Signal(name string, s syscall.Signal) error {
	p, err := c.named(name)
	if err != nil {
		return err
	}
	return p.signal(s)
}

// KeepAway keeps a process that ends from being started again, until it is let back.
func (c *Cluster) KeepAway(name string, away bool) error {
	p, err := c.named(name)
	if err == nil {
		p.stay(away)
	}
	return err
}

// Starts is how often a process was started.
func (c *Cluster) Starts(name string) int {
	p, err := c.named(name)
	if err != nil {
		return 0
	}
	_, starts := p.pid()
	return starts
}

// Describe writes what runs where, and what to try.
func (c *Cluster) Describe(w io.Writer, example string) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nprocess\tpid\taddress\tadmin")
	for _, p := range c.processes {
		pid, _ := p.pid()
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", p.name, pid, p.address, p.admin)
	}
	fmt.Fprintf(t, "balancer\t%d\t%s\t\n", os.Getpid(), c.URL())
	_ = t.Flush() // to memory
	fate := "is started again"
	if c.o.NoRestart {
		fate = "stays away"
	}
	fmt.Fprintf(&b, `
  page      %s/
  console   %s/   token %s
  logs      %s

Try:
  curl '%s%s'
  export YUPIAO_FEED_URL=%s YUPIAO_FEED_DOMAIN=%s YUPIAO_FEED_USER=%s YUPIAO_FEED_PASSWORD=%s; yupiao fleet
  kill -9 PID      # of any process but the balancer, which is the cluster itself: no query fails, and it %s

`, c.URL(), c.admins[0], c.token, c.folder, c.URL(), example, c.NATS(), nats.Domain, nats.Operator,
		c.passwords[nats.Operator], fate)
	_, err := io.WriteString(w, b.String())
	return err
}
