//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/config"
	nodes "github.com/yupiao/yupiao/pkg/node"
)

// Parts that this program plays in processes of their own.
const (
	brokerPart = "broker"
	nodePart   = "node"
)

// child is a process that was started. It dies with this one, even if that is killed.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader // what it writes to its standard output, or where it logs
	once  sync.Once
	ended chan struct{} // closed when it has ended, with exit set
	exit  error
}

// start starts a program that tells where it is to be reached in its first lines: on its standard output, or with logs where it logs.
func start(logs bool, program string, args ...string) (*child, error) {
	cmd := exec.Command(program, args...) // ended by stop, politely
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c := &child{cmd: cmd, ended: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if cmd.Stdout, cmd.Stderr = write, os.Stderr; logs {
		cmd.Stdout, cmd.Stderr = os.Stderr, write
	}
	c.lines = bufio.NewReader(read)
	err = cmd.Start()
	_ = write.Close() // the child has its own
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(program), err)
	}
	go func() {
		c.exit = cmd.Wait()
		close(c.ended)
		_ = read.Close() // whoever still reads has no use for it
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// rest reads what else the process writes, so that it does not wait, and passes what it warns of on.
func (c *child) rest() {
	for {
		line, err := c.lines.ReadString('\n')
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			fmt.Fprint(os.Stderr, line)
		}
		if err != nil {
			return
		}
	}
}

// stop ends the process, kills it if it does not end in time, and waits until it is gone. One that has ended by itself is an error.
func (c *child) stop() (err error) {
	c.once.Do(func() {
		name := filepath.Base(c.cmd.Path)
		select {
		case <-c.ended:
			err = fmt.Errorf("%s ended by itself: %w", name, errors.Join(c.exit, io.ErrUnexpectedEOF))
			return
		default:
		}
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may end just now
		select {
		case <-c.ended:
		case <-time.After(20 * time.Second):
			_ = c.cmd.Process.Kill()
			<-c.ended
			err = fmt.Errorf("%s had to be killed: %w", name, c.exit)
		}
	})
	return err
}

// tool runs a program to its end.
func tool(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	return nil
}

// startBroker starts a NATS server on files of its own and tells its URL.
func (b *run) startBroker(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	c, err := start(false, self, brokerPart, filepath.Join(b.dir, name))
	if err != nil {
		return "", err
	}
	b.ending = append(b.ending, c.stop)
	line, err := c.lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("start broker: %w", err)
	}
	address := strings.TrimSpace(line)
	go c.rest()
	return address, loopback(address)
}

// playBroker is the process of startBroker. It ends when it is told so, or when nobody holds its standard input any more.
func playBroker(ctx context.Context, dir string) error {
	s, err := broker.Start(broker.Options{Dir: dir, Address: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Println(s.URL())
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is what is waited for
		cancel()
	}()
	<-ctx.Done()
	return nil
}

// node is a query node in a process of its own.
type node struct {
	*child
	started     time.Time
	http, admin string // base URLs
}

// startNode starts the real query node on a feed.
func (b *run) startNode(feed string) (*node, error) {
	file, err := os.CreateTemp(b.dir, "yupiaod-*.yaml")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(file, "http: {address: \"127.0.0.1:0\"}\nadmin: {address: \"127.0.0.1:0\"}\nfeed: {url: %q, name: country}\nstreams: {max_per_client: %d}\n", feed, watchers)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	n := &node{started: time.Now()}
	if n.child, err = start(true, b.program, "--config", file.Name()); err != nil {
		return nil, err
	}
	b.ending = append(b.ending, n.stop)
	return n, n.listening()
}

// listening waits for the log line that tells the node's addresses.
func (n *node) listening() error {
	for {
		line, err := n.lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("start node: it ended before it listened: %w", err)
		}
		var said struct{ Msg, HTTP, Admin string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "listening" {
			n.http, n.admin = "http://"+said.HTTP, "http://"+said.Admin
			go n.rest()
			return errors.Join(loopback(n.http), loopback(n.admin))
		}
		fmt.Fprint(os.Stderr, line)
	}
}

// startMovable starts a node whose clock move moves.
func (b *run) startMovable(feed string) (*node, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := &node{started: time.Now()}
	if n.child, err = start(false, self, nodePart, feed); err != nil {
		return nil, err
	}
	b.ending = append(b.ending, n.stop)
	return n, n.listening()
}

// move puts the clock of a movable node so much forward.
func (n *node) move(by time.Duration) error {
	_, err := fmt.Fprintln(n.stdin, by)
	return err
}

// playNode is the process of startMovable: a query node that reads from its standard input how far its clock is ahead.
func playNode(ctx context.Context, feed string) error {
	var ahead atomic.Int64
	settings := config.DefaultNode()
	settings.HTTP.Address, settings.Admin.Address, settings.Feed.URL = "127.0.0.1:0", "127.0.0.1:0", feed
	n, err := nodes.New(settings, nodes.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		return err
	}
	fmt.Printf("{\"msg\":\"listening\",\"http\":%q,\"admin\":%q}\n", n.Address(), n.AdminAddress())
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if by, err := time.ParseDuration(lines.Text()); err == nil {
				ahead.Store(int64(by))
			}
		}
	}()
	return n.Run(ctx)
}

// loopback refuses every address that another machine might have.
func loopback(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("address %s is not on this machine; want 127.0.0.1", address)
	}
	return nil
}

// tick is the unit of the processor times in /proc: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpu is the processor time that a process has used.
func (c *child) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid()))
	if err != nil {
		return 0, err
	}
	return cpuOf(string(text))
}

// cpuOf reads the user and system time out of a /proc stat line. The name in it may hold spaces and brackets.
func cpuOf(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc stat %q; want at least 15 fields", stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// memory of a process in bytes: resident now, and the most that was.
func (c *child) memory() (resident, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid()))
	if err != nil {
		return 0, 0, err
	}
	resident, err1 := kilobytes(string(text), "VmRSS:")
	peak, err2 := kilobytes(string(text), "VmHWM:")
	return resident, peak, errors.Join(err1, err2)
}

func kilobytes(status, key string) (int64, error) {
	_, rest, found := strings.Cut(status, key)
	fields := strings.Fields(rest)
	if !found || len(fields) < 2 || fields[1] != "kB" {
		return 0, fmt.Errorf("/proc status has no %s in kB", key)
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	return n << 10, err
}

// machine is the processor and how many there are.
func machine() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	_, rest, found := strings.Cut(string(text), "model name\t: ")
	if err != nil || !found {
		rest = "unknown processor"
	}
	name, _, _ := strings.Cut(rest, "\n")
	return fmt.Sprintf("%d x %s", strings.Count(string(text), "processor\t:"), name)
}
