package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// core is the number of a CPU, as taskset counts them.
type core uint

// startLimit is how long a design may take until it answers; stopLimit how long a process may take to end before it is killed.
const (
	startLimit = 10 * time.Second
	stopLimit  = 5 * time.Second
)

// endpoint is "address:port" on the loopback interface, and nowhere else: nothing is served or loaded that other machines could reach.
type endpoint string

// newEndpoint takes a loopback address and refuses every other.
func newEndpoint(address string) (endpoint, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", address, err)
	}
	if !at.Addr().IsLoopback() {
		return "", fmt.Errorf("address %q is not of this machine alone; want a loopback address", address)
	}
	return endpoint(address), nil
}

// freeEndpoint is one that nobody listens on.
func freeEndpoint() (endpoint, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("look for a free port: %w", err)
	}
	defer func() { _ = l.Close() }() // it only held the port
	return newEndpoint(l.Addr().String())
}

// url of a path at the endpoint.
func (e endpoint) url(path string) string { return "http://" + string(e) + path }

// process is a program that runs on one core until it is stopped.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string // file of what it says
	ended chan struct{}
}

// start runs a program on a core. It gets none of our own settings from the environment, ends when this program dies, and is not reached by the terminal's ^C, so
// that stop alone decides in which order things end.
func start(dir string, on core, name string, argv ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer func() { _ = out.Close() }() // the child has its own
	p.cmd = pinned(on, argv)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // why it ended stands in its log
	}()
	return p, nil
}

// pinned is a command on one core. taskset becomes the program, so that the process is the program's own.
func pinned(on core, argv []string) *exec.Cmd {
	cmd := exec.Command("taskset", slices.Concat([]string{"-c", strconv.Itoa(int(on))}, argv)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "YUPIAO_") })
	return cmd
}

// pid of the process, which may have children.
func (p *process) pid() int { return p.cmd.Process.Pid }

// await waits until the process is ready. The error says which it is and shows the end of its log.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := poll(limited, func() error {
		select {
		case <-p.ended:
			return errEnded
		default:
			return ready(limited)
		}
	})
	switch {
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errEnded):
		return fmt.Errorf("%s ended by itself; the end of its log:\n%s", p.name, p.tail())
	default:
		return fmt.Errorf("%s did not come up within %s (%w); the end of its log:\n%s", p.name, startLimit, err, p.tail())
	}
}

var errEnded = errors.New("ended by itself")

// poll asks until the answer is nil, the process has ended, or ctx ends; the error is then the last answer.
func poll(ctx context.Context, ask func() error) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ask()
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// tail is the end of the log.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return "  " + string(bytes.Join(lines[max(0, len(lines)-15):], []byte("\n  ")))
}

// stop ends the process and its children, and waits until it has ended. Nil stands for one that never started.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // whoever of its group is left
	<-p.ended
}

// client keeps its connections alive, as everybody's does.
var client = &http.Client{Timeout: startLimit}

// get is the body of an answer; anything but 200 is an error.
func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.200s", url, response.Status, body)
	}
	return body, err
}

// answers is a readiness: a GET gives 200.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := get(ctx, url)
		return err
	}
}
