//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/pkg/cluster"
	"github.com/yupiao/yupiao/pkg/link"
	"github.com/yupiao/yupiao/pkg/store"
)

// spares are the nodes of the other colour.
const spares = cluster.Nodes

// diskSize is that of each file system of a stage's own.
const diskSize = "192m"

// stage is a cluster and all that can be done to it.
type stage struct {
	options
	began   time.Time
	dir     string
	cluster *cluster.Cluster
	record  *store.Database
	judge   *judge
	askers  *askers
	net     *network // nil without one
	disks   []string // mount points of our own
	noRoot  string   // why there are neither networks nor disks

	mu    sync.Mutex // guards links, which are made while the cluster is
	links map[string]*link.Link
}

// databaseDisk is the folder of the booking system's database, within the stage's.
const databaseDisk = "database"

func newStage(ctx context.Context, o options) (*stage, error) {
	dir, err := os.MkdirTemp("", "yupiao-faults-")
	if err != nil {
		return nil, err
	}
	s := &stage{options: o, began: time.Now(), dir: dir, links: map[string]*link.Link{}}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// open sets the stage: networks, disks, database, cluster, in this order.
func (s *stage) open(ctx context.Context) error {
	if err := s.privileged(ctx); err != nil {
		s.noRoot = err.Error()
		s.say("neither network namespaces nor small disks: %s", err)
	}
	file := filepath.Join(s.dir, databaseDisk, "bookings.db")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	var err error
	if s.record, err = store.Open(ctx, "sqlite:"+file); err != nil {
		return err
	}
	if err := s.record.KeepHistory(ctx); err != nil {
		return err
	}
	if s.programs == "" {
		s.say("build bookingd, yupiaod and nats-server")
		s.programs = filepath.Join(s.dir, "bin")
		if err := cluster.Build(ctx, s.programs); err != nil {
			return err
		}
	}
	var out io.Writer = os.Stderr
	if !s.verbose {
		out = io.Discard
	}
	s.say("start a cluster")
	s.cluster, err = cluster.Start(ctx, cluster.Options{
		HTTP: "127.0.0.1:0", Database: "sqlite:" + file, SalesPerSecond: s.sales, Seed: s.seed, Programs: s.programs, Folder: s.dir, Spares: spares,
		Link: s.link, Place: s.place, Out: out,
	})
	if err != nil {
		return err
	}
	s.judge = newJudge(s.record)
	s.askers = newAskers(ctx, s)
	return nil
}

// privileged makes what only root can make. An error leaves nothing.
func (s *stage) privileged(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("they need root")
	}
	if s.net, err = newNetwork(ctx); err != nil {
		return err
	}
	for i := range cluster.Servers + 1 {
		name := databaseDisk
		if i < cluster.Servers {
			name = fmt.Sprintf("nats-%d", i+1)
		}
		dir := filepath.Join(s.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+diskSize); err != nil {
			s.undo()
			return fmt.Errorf("mount a tmpfs: %w", err)
		}
		s.disks = append(s.disks, dir)
	}
	return nil
}

// undo lets go what privileged made.
func (s *stage) undo() {
	for _, dir := range s.disks {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			s.say("unmount %s: %s", dir, err)
		}
	}
	s.disks = nil
	if s.net != nil {
		s.net.close()
		s.net = nil
	}
}

// close ends everything, the last first.
func (s *stage) close() (err error) {
	if s.askers != nil {
		s.askers.stop()
	}
	if s.cluster != nil {
		err = s.cluster.Stop()
	}
	for _, l := range s.links {
		err = errors.Join(err, l.Close())
	}
	if s.record != nil {
		err = errors.Join(err, s.record.Close())
	}
	s.undo()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// link is the cluster's: it stands between everything and everything else.
func (s *stage) link(from, to, target string) (string, error) {
	host := "127.0.0.1"
	if s.net != nil && isServer(from) {
		host = s.net.gateway()
	}
	l, err := link.Listen(host+":0", target)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links[from+">"+to] = l
	return l.Address(), nil
}

func isServer(name string) bool { return strings.HasPrefix(name, "nats-") }

// place is the cluster's.
func (s *stage) place(name string) cluster.Place {
	if s.net == nil || !isServer(name) {
		return cluster.Place{}
	}
	return s.net.place(name)
}

// weather makes weather on all links whose name, "from>to", matches.
func (s *stage) weather(pattern string, w link.Weather) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	matches := regexp.MustCompile("^(" + pattern + ")$")
	found := false
	for name, l := range s.links {
		if matches.MatchString(name) {
			found = true
			l.Set(w)
		}
	}
	if !found {
		return fmt.Errorf("no link is called %q", pattern)
	}
	return nil
}

// network is a bridge and a namespace for each NATS server.
type network struct {
	id     int // of this process, and so of its network
	names  []string
	subnet string
}

func newNetwork(ctx context.Context) (*network, error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, errors.New("the ip command is missing: apt-get install iproute2")
	}
	id := os.Getpid()
	n := &network{id: id, subnet: fmt.Sprintf("10.%d.%d.", 64+id>>8&63, id&255)}
	steps := [][]string{{"link", "add", n.bridge(), "type", "bridge"}, {"addr", "add", n.gateway() + "/24", "dev", n.bridge()}, {"link", "set", n.bridge(), "up"}}
	for i := range cluster.Servers {
		name := fmt.Sprintf("nats-%d", i+1)
		n.names = append(n.names, name)
		ns, outside := n.namespace(name), n.outside(name)
		steps = append(steps,
			[]string{"netns", "add", ns},
			[]string{"link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", ns},
			[]string{"link", "set", outside, "master", n.bridge(), "up"},
			[]string{"-n", ns, "addr", "add", fmt.Sprintf("%s%d/24", n.subnet, 11+i), "dev", "eth0"},
			[]string{"-n", ns, "link", "set", "lo", "up"},
			[]string{"-n", ns, "link", "set", "eth0", "up"})
	}
	for _, step := range steps {
		if err := ip(ctx, step...); err != nil {
			n.close()
			return nil, err
		}
	}
	return n, nil
}

func (n *network) bridge() string { return fmt.Sprintf("yp%d", n.id) }

func (n *network) namespace(name string) string { return fmt.Sprintf("yupiao-%d-%s", n.id, name) }

// outside is the end of a namespace's cable that is plugged into the bridge.
func (n *network) outside(name string) string {
	return fmt.Sprintf("yp%d%s", n.id, name[strings.LastIndex(name, "-"):])
}

func (n *network) gateway() string { return n.subnet + "1" }

func (n *network) place(name string) cluster.Place {
	for i, other := range n.names {
		if other == name {
			return cluster.Place{Host: fmt.Sprintf("%s%d", n.subnet, 11+i), Under: []string{"ip", "netns", "exec", n.namespace(name)}}
		}
	}
	return cluster.Place{}
}

// plug plugs a server's cable in, or pulls it.
func (n *network) plug(ctx context.Context, name string, in bool) error {
	state := "down"
	if in {
		state = "up"
	}
	return ip(ctx, "link", "set", n.outside(name), state)
}

func (n *network) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, name := range n.names {
		_ = ip(ctx, "netns", "del", n.namespace(name)) // takes its cable along; it may never have been made
	}
	_ = ip(ctx, "link", "del", n.bridge())
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
