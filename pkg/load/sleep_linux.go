package load

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// kernelTimer is a sleeper by a timer of the kernel that the runtime waits for as it waits for a connection: it is late by microseconds, and takes neither
// a thread nor a spinning processor. The runtime's own timers are rounded up to a millisecond on Linux, which would be most of a latency that is
// measured from when a request was due.
type kernelTimer struct {
	fd   int // of the file
	file *os.File
}

func newSleeper() (sleeper, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a timer: %w", err)
	}
	return &kernelTimer{fd, os.NewFile(uintptr(fd), "timer")}, nil
}

func (k *kernelTimer) sleep(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if unix.TimerfdSettime(k.fd, 0, &spec, nil) != nil {
		return // it cannot fail for a time above 0
	}
	var expirations [8]byte
	_, _ = k.file.Read(expirations[:]) // an error is the end of the sleep, too
}

func (k *kernelTimer) wake() { _ = k.file.SetReadDeadline(time.Unix(1, 0)) } // fails only on a closed file, on which nobody sleeps

func (k *kernelTimer) close() { _ = k.file.Close() } // nothing was written

// processorTime is what this process has had of the processors, and how long its threads were ready to run and had to wait for one.
func processorTime() (p processors) {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		p.used = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	threads, _ := filepath.Glob("/proc/self/task/*/schedstat") // the pattern is sound
	for _, path := range threads {
		var ran, waited time.Duration
		if text, err := os.ReadFile(path); err == nil { // kernels may come without it, and threads may go
			_, _ = fmt.Sscan(string(text), &ran, &waited) // then it is 0
		}
		p.waited += waited
	}
	return p
}
