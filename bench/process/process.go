//go:build linux

// Package process is what benchmarks share that start programs of this machine: processes that end with the one that started them, what they use, and what they tell to Prometheus.
package process

import (
	"bufio"
	"context"
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
	"syscall"
	"time"
)

// Child is a process that was started. It dies with this one, even if that is killed.
type Child struct {
	cmd   *exec.Cmd
	Stdin io.WriteCloser
	Lines *bufio.Reader // what it writes to its standard output, or where it logs
	once  sync.Once
	ended chan struct{} // closed when it has ended, with exit set
	exit  error
}

// Start starts a program that tells where it is to be reached in its first lines: on its standard output, or with logs where it logs.
func Start(logs bool, program string, args ...string) (*Child, error) {
	cmd := exec.Command(program, args...) // ended by stop, politely
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c := &Child{cmd: cmd, ended: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if c.Stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if cmd.Stdout, cmd.Stderr = write, os.Stderr; logs {
		cmd.Stdout, cmd.Stderr = os.Stderr, write
	}
	c.Lines = bufio.NewReader(read)
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

// PID is the process's.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Rest reads what else the process writes, so that it does not wait, and passes what it warns of on.
func (c *Child) Rest() {
	for {
		line, err := c.Lines.ReadString('\n')
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			fmt.Fprint(os.Stderr, line)
		}
		if err != nil {
			return
		}
	}
}

// Stop ends the process, kills it if it does not end in time, and waits until it is gone. One that has ended by itself, or does not end well, is an error.
func (c *Child) Stop() (err error) {
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
			if c.exit != nil {
				err = fmt.Errorf("%s did not end well: %w", name, c.exit)
			}
		case <-time.After(20 * time.Second):
			_ = c.cmd.Process.Kill()
			<-c.ended
			err = fmt.Errorf("%s had to be killed: %w", name, c.exit)
		}
	})
	return err
}

// Ended is closed when the process has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Signal sends it a signal; one that has ended is an error.
func (c *Child) Signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// Kill kills the process at once, and waits until it is gone.
func (c *Child) Kill() {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		<-c.ended
	})
}

// Tool runs a program to its end.
func Tool(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	return nil
}

// Loopback refuses every address that another machine might have.
func Loopback(address string) error {
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

// CPU is the processor time that a process has used.
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
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

// Memory of a process in bytes: resident now, and the most that was.
func Memory(pid int) (resident, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
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

// Machine is the processor and how many there are.
func Machine() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	_, rest, found := strings.Cut(string(text), "model name\t: ")
	if err != nil || !found {
		rest = "unknown processor"
	}
	name, _, _ := strings.Cut(rest, "\n")
	return fmt.Sprintf("%d x %s", strings.Count(string(text), "processor\t:"), name)
}

// Metrics are what a program tells to Prometheus, by name and labels.
type Metrics map[string]float64

// MetricsOf reads them.
func MetricsOf(text string) Metrics {
	m := Metrics{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
				m[line[:at]] = value
			}
		}
	}
	return m
}
