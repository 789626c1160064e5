package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/yupiao/yupiao/configs/nats"
	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/balancer"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// built is the folder of the programs, built once for all tests; empty if none was asked for.
var built = struct {
	once   sync.Once
	folder string
	err    error
}{}

func TestMain(m *testing.M) {
	status := m.Run()
	_ = os.RemoveAll(built.folder) // empty if nothing was built
	os.Exit(status)
}

// programs builds what a cluster runs, or skips.
func programs(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a cluster takes a minute: run without -short")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command to build the programs")
	}
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "yupiao-programs-"); built.err == nil {
			built.err = Build(context.Background(), built.folder)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.folder
}

// people ask a cluster at a constant rate, over and over, and note what was not answered.
type people struct {
	asked, degraded atomic.Int64
	mu              sync.Mutex // guards failed
	failed          []string
}

const perSecond = 200

func (p *people) ask(ctx context.Context, url string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			asking.Go(func() {
				if err := p.one(client, url); err != nil {
					p.mu.Lock()
					defer p.mu.Unlock()
					p.failed = append(p.failed, fmt.Sprintf("%s: %v", time.Now().Format("05.000"), err))
				}
			})
		}
	}
}

// one asks once. An answer that does not say whether it is live, and how old, is none.
func (p *people) one(client *http.Client, url string) error {
	p.asked.Add(1)
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	switch state := r.Header.Get("Yupiao-State"); {
	case err != nil:
		return err
	case r.StatusCode != http.StatusOK || !strings.HasSuffix(string(body), "]}"):
		return fmt.Errorf("%s %.200s", r.Status, body)
	case state != "live" && state != "degraded" || r.Header.Get("Age") == "":
		return fmt.Errorf("state %q, age %q", state, r.Header.Get("Age"))
	case state == "degraded":
		p.degraded.Add(1)
	}
	return nil
}

func (p *people) failures() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// C1, C2, C3: each process in turn is killed and comes back, a node is ended in order, another is halted, under queries all the while, none of which fails. Each NATS server
// that leads is killed as the leader: to lose another moves no lead. Then nothing is left.
func TestClusterSurvives(t *testing.T) {
	t.Setenv("YUPIAO_FEED_URL", "nats://127.0.0.1:1") // as whoever operates another fleet has it
	var said testkit.Log
	began := time.Now()
	c, err := Start(t.Context(), Options{HTTP: "127.0.0.1:0", Programs: programs(t), SalesPerSecond: 20, Out: &said})
	if err != nil {
		t.Fatal(err, said.String())
	}
	t.Logf("up after %s", time.Since(began).Round(100*time.Millisecond))
	defer func() {
		if t.Failed() {
			t.Log(said.String())
		}
	}()
	from, to := c.Schedule().Busiest()
	search := fmt.Sprintf("/v1/availability?from=%s&to=%s&date=%s", from, to, rail.DateOf(time.Now(), time.UTC)+2)
	var p people
	load, ease := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() { p.ask(load, c.URL()+search) })
	live := func() bool { // all nodes, and not by what they said before
		for _, node := range c.NodeURLs() {
			r, err := http.Get(node + search)
			if err != nil {
				return false
			}
			_ = r.Body.Close()
			if r.Header.Get("Yupiao-State") != "live" {
				return false
			}
		}
		return c.balancer.Ready() == Nodes
	}
	eventually(t, "live nodes", live)
	for _, url := range append(c.NodeURLs(), c.Booking(), c.URL()) {
		if !answers(t.Context(), url+healthPath) {
			t.Errorf("%s does not serve %s, which docker-compose.yml asks for", url, healthPath)
		}
	}
	operate(t, c)
	for _, act := range []struct {
		name   string
		signal syscall.Signal
	}{
		{"node-1", syscall.SIGKILL}, {"node-2", syscall.SIGKILL}, {"node-3", syscall.SIGTERM},
		{"nats-1", syscall.SIGKILL}, {"nats-2", syscall.SIGKILL}, {"nats-3", syscall.SIGKILL}, {"bookingd", syscall.SIGKILL},
	} {
		asked, failed, degraded, at := p.asked.Load(), len(p.failures()), p.degraded.Load(), time.Now()
		starts := c.Starts(act.name)
		if err := c.Signal(act.name, act.signal); err != nil {
			t.Fatal(err)
		}
		eventually(t, act.name+" to be started again", func() bool { return c.Starts(act.name) > starts })
		eventually(t, "a second of queries while it comes back", func() bool { return p.asked.Load() > asked+2*perSecond })
		eventually(t, "live nodes after "+act.name, live)
		t.Logf("%-9s %-10s %5d queries, %d failed, %d answers said that they were degraded; all live again after %s", act.name, act.signal, p.asked.Load()-asked, len(p.failures())-failed,
			p.degraded.Load()-degraded, time.Since(at).Round(100*time.Millisecond))
	}
	halt(t, c, &p, "node-1")
	eventually(t, "live nodes", live)
	ease()
	asking.Wait()
	p.judge(t)
	end(t, c)
}

// operate acts as an operator on all three servers under the shipped accounts, over NATS and through the node whose console is told; through the others nobody can.
func operate(t *testing.T, c *Cluster) {
	t.Helper()
	conn, err := feed.Connect(feed.Options{URL: c.NATS(), User: string(nats.Operator), Password: c.passwords[nats.Operator], Domain: nats.Domain})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, f := range []admin.Fleet{fleet.NewOperator(conn), &admin.Client{Server: c.Admins()[0], Token: c.Token()}} {
		var why error
		eventually(t, "all nodes to accept what an operator shares", func() bool { // a busy machine may take too long: operators try again
			before, err := f.History(t.Context(), 1)
			p := fleet.Proposal{Document: "", By: "ann"}
			if len(before) > 0 {
				p.After = before[0].Number
			}
			_, verdicts, other := f.Share(t.Context(), p)
			why = errors.Join(err, other)
			return why == nil && len(verdicts) == Nodes && !slices.ContainsFunc(verdicts, func(v fleet.Verdict) bool { return v.Refused != "" })
		})
		if why != nil {
			t.Error(why)
		}
	}
	for _, url := range c.Admins()[1:] {
		if _, err := (&admin.Client{Server: url, Token: c.Token()}).Nodes(t.Context()); err == nil || !strings.Contains(err.Error(), "admin.nats_user") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// judge fails the test if a query failed.
func (p *people) judge(t *testing.T) {
	t.Helper()
	if failed := p.failures(); len(failed) > 0 {
		t.Errorf("%d of %d queries failed: %s", len(failed), p.asked.Load(), strings.Join(failed[:min(len(failed), 20)], "\n"))
	}
}

// halt halts a node: it takes connections, and answers nothing. It is left out until it goes on.
func halt(t *testing.T, c *Cluster, p *people, name string) {
	t.Helper()
	asked, failed := p.asked.Load(), len(p.failures())
	if err := c.Signal(name, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a halted node to be left out", func() bool { return c.balancer.Ready() == Nodes-1 })
	eventually(t, "a second of queries without it", func() bool { return p.asked.Load() > asked+2*perSecond })
	if err := c.Signal(name, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node to be back", func() bool { return c.balancer.Ready() == Nodes })
	t.Logf("%-9s halted     %5d queries, %d failed", name, p.asked.Load()-asked, len(p.failures())-failed)
}

// end stops a cluster, of which nothing is left then (C2).
func end(t *testing.T, c *Cluster) {
	t.Helper()
	var pids []int
	for _, process := range c.processes {
		pid, _ := process.pid()
		pids = append(pids, pid)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	for i, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s is still there: %v", c.Names()[i], err)
		}
	}
	all, err := filepath.Glob("/proc/[0-9]*/cmdline") // children that nobody knows; none are found where there is no /proc
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), c.folder) {
			t.Errorf("%s is still there: %q", filepath.Dir(file), text)
		}
	}
}

// The record of the booking backend in a PostgreSQL server of the cluster's own, which is killed: sales go on when it is back, and queries never stop.
func TestClusterOnPostgres(t *testing.T) {
	if _, err := postgresPrograms(); err != nil {
		t.Skip("needs PostgreSQL: apt-get install postgresql")
	}
	var said testkit.Log
	c, err := Start(t.Context(), Options{HTTP: "127.0.0.1:0", Programs: programs(t), Postgres: true, SalesPerSecond: 50, Out: &said})
	if err != nil {
		t.Fatal(err, said.String())
	}
	from, to := c.Schedule().Busiest()
	var p people
	load, ease := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		p.ask(load, c.URL()+fmt.Sprintf("/v1/availability?from=%s&to=%s&date=%s", from, to, rail.DateOf(time.Now(), time.UTC)+2))
	})
	client := crowd.NewClient(t.Context(), c.Booking(), c.Token())
	sells := func() bool {
		before, err := published(client)
		if err != nil {
			return false
		}
		eventually(t, "more to be published", func() bool {
			after, err := published(client)
			return err == nil && after > before
		})
		return true
	}
	eventually(t, "sales", sells)
	if err := c.Signal(postgresName, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "PostgreSQL to be started again", func() bool { return c.Starts(postgresName) > 1 })
	eventually(t, "sales after it", sells)
	ease()
	asking.Wait()
	p.judge(t)
	end(t, c)
	if t.Failed() {
		t.Log(said.String())
	}
}

// published is how many changes the booking backend has published since it began to lead.
func published(client *crowd.Client) (int64, error) {
	var status struct{ Published int64 }
	_, err := client.Call(http.MethodGet, "/readyz", nil, &status)
	return status.Published, err
}

// C2: what needs others ends before them; what has ended stays away if that is wanted.
func TestOrderOfEnd(t *testing.T) {
	var said testkit.Log
	c := &Cluster{o: Options{Out: &said, NoRestart: true}, folder: t.TempDir()}
	var err error
	if c.front, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if c.balancer, err = balancer.New(nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	script := func(name string) *process { // says that it is there, and when it ends
		return &process{name: name, path: "/bin/sh", args: []string{"-c", "trap 'echo " + name + " >> order; exit 0' TERM; echo > " + name + "; while :; do sleep 0.01; done"}}
	}
	c.add(feedTier, "", script("feed"))
	c.add(nodeTier, "", script("node"))
	c.add(recordTier, "", script("record"))
	c.add(bookingTier, "", script("booking"))
	c.add(nodeTier, "", script("mortal"))
	stop := testkit.Run(t, c.run)
	for _, name := range c.Names() {
		testkit.Eventually(t, name+" to run", func() bool {
			_, err := os.Stat(filepath.Join(c.folder, name))
			return err == nil
		})
	}
	if err := c.Signal("mortal", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "its end to be said", func() bool { return strings.Contains(said.String(), "mortal ended") })
	stop()
	order, err := os.ReadFile(filepath.Join(c.folder, "order"))
	if err != nil || string(order) != "node\nbooking\nfeed\nrecord\n" {
		t.Errorf("%q %v", order, err)
	}
	if c.Starts("mortal") != 1 || !strings.Contains(said.String(), "signal: killed; it stays away") {
		t.Errorf("started %d times: %s", c.Starts("mortal"), said.String())
	}
}

// Where somebody stands between the processes, no settings name an address that leads past him; and each process is where it was placed.
func TestLinksAndPlaces(t *testing.T) {
	links := map[string]string{}
	c := &Cluster{folder: t.TempDir(), passwords: map[nats.Party]string{}, o: Options{
		Spares: 1,
		Link: func(from, to, target string) (string, error) {
			links[from+">"+to] = target
			return fmt.Sprintf("link.%s.%s:1", from, to), nil
		},
		Place: func(name string) Place {
			if name == "nats-2" {
				return Place{Host: "127.0.0.9", Under: []string{"env", "-i"}}
			}
			return Place{}
		},
	}}
	var err error
	if c.front, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.front.Close() }()
	if err := c.layOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	for file, from := range map[string]string{"bookingd.yaml": "bookingd", "node-1.yaml": "node-1", "node-4.yaml": "node-4", "nats-1.conf": "nats-1"} {
		text, err := os.ReadFile(filepath.Join(c.folder, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"nats-2", "nats-3"} {
			if !strings.Contains(string(text), fmt.Sprintf("nats://link.%s.%s:1", from, to)) || links[from+">"+to] == "" || strings.Contains(string(text), links[from+">"+to]) {
				t.Errorf("%s: want %s to be found by its link, and not at %q:\n%s", file, to, links[from+">"+to], text)
			}
		}
		if isServer := strings.HasSuffix(file, ".conf"); strings.Contains(string(text), silence) != isServer {
			t.Errorf("%s:\n%s", file, text)
		}
	}
	if len(c.backs) != Nodes+1 || c.backs[3] != "http://link.balancer.node-4:1" || len(links) != Servers*(Servers-1)+(1+Nodes+1)*Servers+Nodes+1 {
		t.Errorf("%v %v", c.backs, links)
	}
	p, err := c.named("nats-2")
	if err != nil || p.path != "env" || p.args[0] != "-i" || p.args[1] != "nats-server" || !strings.HasPrefix(p.address, "nats://127.0.0.9:") {
		t.Errorf("%+v", p)
	}
	if p, err := c.named("node-4"); err != nil || !p.spare || !p.away {
		t.Errorf("%+v", p)
	}
}

// eventually has more patience than testkit.Eventually: processes start, and servers elect.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// A cluster that cannot start says why, and leaves nothing.
func TestClusterRefuses(t *testing.T) {
	folder := t.TempDir()
	for name, want := range map[string]string{"nowhere": "address", "127.0.0.1:0": "nats-"} {
		if _, err := Start(t.Context(), Options{HTTP: name, Programs: folder}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
