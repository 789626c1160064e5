package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one of the cluster's. It is started again when it ends, unless it is to stay away.
type process struct {
	name string
	tier tier
	// address that others reach it at, and that of its admin listener, if it has one: for people.
	address, admin string

	path   string
	args   []string
	env    []string
	folder string
	after  []func(context.Context) bool // what must hold before the process is started first
	user   *syscall.Credential          // nil: ours
	end    syscall.Signal               // that ends it in order
	spare  bool                         // it stays away from the start
	out    io.Writer                    // of all processes, with their names; nil for none
	say    func(format string, args ...any)

	mu      sync.Mutex // guards what follows
	running *os.Process
	away    bool          // it is not to be started again
	wake    chan struct{} // closed when away ends
	starts  int
}

// again is after what time a process that ended is started again.
const again = time.Second

// run keeps the process running until ctx ends, and then ends it: with SIGTERM first, and with SIGKILL if it does not go within its patience (C2).
func (p *process) run(ctx context.Context) error {
	if !p.awaitOthers(ctx) || p.spare && !p.rest(ctx) {
		return nil
	}
	for ctx.Err() == nil {
		began := time.Now()
		ended, err := p.start(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		p.say("%s ended after %s: %v; %s; its output is in %s", p.name, time.Since(began).Round(time.Millisecond), ended, p.fate(), p.log())
		if !p.rest(ctx) {
			return nil
		}
	}
	return nil
}

// awaitOthers waits until all is there that the process needs at its start; false if ctx ends.
func (p *process) awaitOthers(ctx context.Context) bool {
	for _, holds := range p.after {
		if !poll(ctx, func() bool { return holds(ctx) }) {
			return false
		}
	}
	return true
}

// accepts: somebody takes connections at one of some addresses.
func accepts(addresses ...string) func(context.Context) bool {
	return func(context.Context) bool {
		for _, address := range addresses {
			if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
				_ = conn.Close() // it was only for this
				return true
			}
		}
		return false
	}
}

// rest waits until the process is to be started again; false if never.
func (p *process) rest(ctx context.Context) bool {
	wait := time.NewTimer(again)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
	}
	p.mu.Lock()
	away, wake := p.away, p.wake
	p.mu.Unlock()
	if !away {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-wake:
		return true
	}
}

// fate is what becomes of a process that has ended.
func (p *process) fate() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return "it stays away"
	}
	return fmt.Sprintf("it is started again in %s", again)
}

func (p *process) log() string { return filepath.Join(p.folder, p.name+".log") }

// patience is how long a process may take to end: as long as the drain times in its settings.
const patience = 12 * time.Second

// start starts the process and waits for its end. The error says that it could not be started at all.
func (p *process) start(ctx context.Context) (ended, err error) {
	file, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.Dir, cmd.Env = p.folder, append(foreign(os.Environ()), p.env...)
	cmd.Cancel = func() error { // one that is halted hears nothing before it goes on
		return errors.Join(cmd.Process.Signal(p.end), cmd.Process.Signal(syscall.SIGCONT))
	}
	cmd.WaitDelay = patience
	cmd.SysProcAttr = attributes()
	cmd.SysProcAttr.Credential = p.user
	var reading sync.WaitGroup
	defer reading.Wait()
	cmd.Stdout = file
	if p.out != nil {
		read, write := io.Pipe()
		defer func() { _ = write.Close() }()
		cmd.Stdout = io.MultiWriter(file, write)
		reading.Go(func() { p.copy(read) })
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	p.mu.Lock()
	p.running = cmd.Process
	p.starts++
	p.mu.Unlock()
	ended = cmd.Wait()
	p.mu.Lock()
	p.running = nil
	p.mu.Unlock()
	if ended == nil {
		ended = errors.New("status 0")
	}
	return ended, nil
}

// foreign is an environment without settings of ours (C3): they would stand above the settings files, and whoever has YUPIAO_FEED_URL set for the real railway would have a
// made-up one published to it.
func foreign(environ []string) []string {
	return slices.DeleteFunc(environ, func(pair string) bool { return strings.HasPrefix(pair, "YUPIAO_") })
}

// copy writes each line with the process's name in front.
func (p *process) copy(from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			_, _ = fmt.Fprintf(p.out, "%-10s %s", p.name, line)
		}
		if err != nil {
			return
		}
	}
}

func (p *process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	return p.running.Signal(s)
}

// stay keeps the process away after its end, or has it come back.
func (p *process) stay(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if away && !p.away {
		p.wake = make(chan struct{})
	}
	if !away && p.away {
		close(p.wake)
	}
	p.away = away
}

// pid is the running process's, 0 for none, and how often it was started.
func (p *process) pid() (pid, starts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		pid = p.running.Pid
	}
	return pid, p.starts
}
