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
	"sync"
	"syscall"
	"time"
)

// process is one of the cluster's. It is started again when it ends, unless it is to stay away.
type process struct {
	name   string
	path   string
	args   []string
	env    []string
	folder string
	after  []string  // addresses of which one must take connections before the process is started first
	out    io.Writer // of all processes, with their names; nil for none
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
	if !p.awaitOthers(ctx) {
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
		p.say("%s ended after %s: %v; its output is in %s", p.name, time.Since(began).Round(time.Millisecond), ended, p.log())
		if !p.rest(ctx) {
			return nil
		}
	}
	return nil
}

// awaitOthers waits until somebody that the process needs at its start is there; false if ctx ends.
func (p *process) awaitOthers(ctx context.Context) bool {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for len(p.after) > 0 {
		for _, address := range p.after {
			if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
				_ = conn.Close()
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
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
	cmd.Dir, cmd.Env = p.folder, append(os.Environ(), p.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	cmd.SysProcAttr = attributes()
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
