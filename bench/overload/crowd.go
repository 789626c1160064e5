//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// crowd asks in an open loop: requests are due at times that are fixed beforehand, whatever becomes of those before. It is one thread over epoll, and reads of an answer only what
// counts, since one core of it has to ask for five times as much as another can answer; a goroutine for each connection manages half as much.
type crowd struct {
	server syscall.SockaddrInet4
	// write appends the n-th request, and says whether its answer has to be made.
	write func(dst []byte, n int) (request []byte, cold bool)
	// connections at once; reconnect opens a new one for each request.
	connections int
	reconnect   bool
	// patience is how long a request is waited for from when it was due.
	patience time.Duration
	// told, if set, gets the tally of each window when it is over.
	told   func(tally)
	window time.Duration

	epoll   int
	all     []*link // by descriptor
	free    []*link
	began   time.Time
	next    int // the first request that was not handed to a connection
	now     time.Duration
	tally   tally
	whole   tally
	buffer  []byte
	sources int
	used    time.Duration // of its processor
}

// leg is a time at a rate.
type leg struct {
	rate float64
	over time.Duration
}

// tally is what became of requests in a time. Latencies are of those that were accepted, from when each was due.
type tally struct {
	at                        time.Duration
	due, ok, refused, limited int
	made                      int // of those that are ok
	errors                    map[string]int
	took                      []time.Duration // sorted once it is told
	refusedIn                 []time.Duration // until a refusal; of the whole only
	longest                   time.Duration
}

func (t *tally) fail(why string) {
	if t.errors == nil {
		t.errors = map[string]int{}
	}
	t.errors[why]++
}

func (t *tally) failed() (n int) {
	for _, k := range t.errors {
		n += k
	}
	return n
}

// percentile of sorted times.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(float64(len(sorted))*p/100), len(sorted)-1)]
}

// link is a connection, and the request on it.
type link struct {
	fd, n  int
	due    time.Duration
	busy   bool
	cold   bool
	sent   bool
	out    []byte
	head   []byte // of the answer, as far as it has come; nil once it is whole
	status int
	retry  bool // the answer has Retry-After
	left   int  // of the body
	close  bool // the server will close
	kept   bool // it was open before this request
}

// run asks along the legs, and returns what became of all requests when all are over.
func (c *crowd) run(ctx context.Context, legs ...leg) (whole tally, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pin(generatorCore)
	used := threadTime()
	defer func() { c.used = threadTime() - used }()
	if c.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return whole, err
	}
	defer c.end()
	c.buffer, c.next, c.tally, c.whole, c.free = make([]byte, 256<<10), 0, tally{}, tally{}, nil
	for range c.connections {
		l := &link{fd: -1}
		if !c.reconnect {
			if err := c.open(l); err != nil {
				return whole, fmt.Errorf("connect: %w", err)
			}
		}
		c.free = append(c.free, l)
	}
	p := newPlan(legs)
	events := make([]syscall.EpollEvent, 1024)
	swept := time.Duration(0)
	for c.began = time.Now(); ; {
		c.now = time.Since(c.began)
		if ctx.Err() != nil {
			return whole, ctx.Err()
		}
		c.tell()
		c.send(p)
		if c.now-swept > 50*time.Millisecond {
			swept = c.now
			c.sweep()
		}
		if c.next == p.count && len(c.free) == c.connections {
			break
		}
		n, err := syscall.EpollWait(c.epoll, events, c.pause(p))
		if err != nil && err != syscall.EINTR {
			return whole, err
		}
		c.now = time.Since(c.began)
		for _, e := range events[:max(n, 0)] {
			if l := c.all[e.Fd]; l != nil {
				c.event(l, e.Events)
			}
		}
	}
	c.now = time.Since(c.began)
	c.whole.at = c.now
	slices.Sort(c.whole.took)
	slices.Sort(c.whole.refusedIn)
	return c.whole, nil
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	const thread = 1
	var u syscall.Rusage
	_ = syscall.Getrusage(thread, &u) // it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// end closes what is open.
func (c *crowd) end() {
	for _, l := range c.all {
		if l != nil {
			c.drop(l)
		}
	}
	_ = syscall.Close(c.epoll) // it has no data
	c.all = nil
}

// pause is how many milliseconds nothing is due; 0 if less than one, so that nothing is late.
func (c *crowd) pause(p *plan) int {
	if c.next == p.count || len(c.free) == 0 {
		return 5
	}
	return max(int((p.due(c.next)-c.now)/time.Millisecond)-1, 0)
}

// tell hands over the tally of a window that is over.
func (c *crowd) tell() {
	for c.window > 0 && c.now >= c.tally.at+c.window {
		t := c.tally
		c.tally = tally{at: t.at + c.window}
		if c.told != nil {
			c.told(t)
		}
	}
}

// send gives what is due to free connections, and gives up what nobody waits for any more.
func (c *crowd) send(p *plan) {
	for c.next < p.count {
		due := p.due(c.next)
		if due > c.now {
			return
		}
		if c.now-due > c.patience {
			c.count(due, func(t *tally) { t.fail("not sent in time") })
			c.next++
			continue
		}
		if len(c.free) == 0 {
			return
		}
		l := c.free[len(c.free)-1]
		c.free = c.free[:len(c.free)-1]
		l.due, l.n, l.busy, l.sent, l.head = due, c.next, true, false, l.head[:0]
		l.status, l.left, l.close, l.retry, l.kept = 0, 0, false, false, l.fd >= 0
		l.out, l.cold = c.write(l.out[:0], c.next)
		c.next++
		c.put(l)
	}
}

// put sends a request.
func (c *crowd) put(l *link) {
	if l.fd < 0 {
		if err := c.open(l); err != nil {
			c.over(l, "connect: "+err.Error())
			return
		}
	}
	switch _, err := syscall.Write(l.fd, l.out); err {
	case nil:
		l.sent = true
	case syscall.EAGAIN, syscall.ENOTCONN:
	default:
		c.lost(l, err)
	}
}

// lost is what becomes of a request whose connection has ended: one that was kept may be closed by the server as is its right, and the request is sent again.
func (c *crowd) lost(l *link, err error) {
	again := l.kept && l.status == 0 && len(l.head) == 0
	c.drop(l)
	if again {
		l.sent, l.kept = false, false
		c.put(l)
		return
	}
	what := "closed before the answer"
	if err != nil {
		what = err.Error()
	}
	c.over(l, what)
}

// open begins a connection, from one of many addresses, since each has but so many ports.
func (c *crowd) open(l *link) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	const bindAddressNoPort = 24
	_ = syscall.SetsockoptInt(fd, syscall.SOL_IP, bindAddressNoPort, 1) // without it ports are scarcer, as the errors will tell
	c.sources++
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + c.sources%200)}}); err == nil {
		err = syscall.Connect(fd, &c.server)
	}
	if err == nil || err == syscall.EINPROGRESS {
		err = syscall.EpollCtl(c.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | epollEdge, Fd: int32(fd)})
	}
	if err != nil {
		_ = syscall.Close(fd) // the error before says more
		return err
	}
	for fd >= len(c.all) {
		c.all = append(c.all, nil)
	}
	l.fd = fd
	c.all[fd] = l
	return nil
}

const epollEdge = 1 << 31 // EPOLLET; syscall has it as a negative number

func (c *crowd) drop(l *link) {
	if l.fd >= 0 {
		c.all[l.fd] = nil
		_ = syscall.Close(l.fd) // what mattered was read
		l.fd = -1
	}
}

// event is that something can be written or read.
func (c *crowd) event(l *link, events uint32) {
	if l.busy && !l.sent && events&syscall.EPOLLOUT != 0 {
		c.put(l)
	}
	if events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR|syscall.EPOLLRDHUP) != 0 && l.fd >= 0 {
		c.read(l, events&^(syscall.EPOLLIN|syscall.EPOLLOUT) != 0)
	}
}

// read reads what has come, up to the end if the connection has ended, of which nobody tells again.
func (c *crowd) read(l *link, ended bool) {
	for {
		n, err := syscall.Read(l.fd, c.buffer)
		switch {
		case err == syscall.EAGAIN:
			return
		case !l.busy: // the server closes what it kept
			c.drop(l)
			return
		case err != nil || n == 0:
			c.lost(l, err)
			return
		}
		done, bad := l.take(c.buffer[:n])
		if bad {
			c.drop(l)
			c.over(l, "malformed answer")
			return
		}
		if done {
			if c.reconnect || l.close {
				c.drop(l)
			}
			c.over(l, "")
			return
		}
		if n < len(c.buffer) && !ended {
			return
		}
	}
}

// take reads a piece of an answer, and tells when it is whole.
func (l *link) take(b []byte) (done, bad bool) {
	if l.status != 0 {
		l.left -= len(b)
		return l.left <= 0, false
	}
	if len(l.head) > 0 {
		l.head = append(l.head, b...)
		b = l.head
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(l.head) == 0 {
			l.head = append(l.head, b...)
		}
		return false, len(b) > 16<<10
	}
	length, err := strconv.Atoi(header(b[:end+2], "Content-Length"))
	status, err2 := strconv.Atoi(string(b[9:min(12, end)]))
	if err != nil || err2 != nil {
		return false, true
	}
	l.status, l.close, l.retry = status, header(b[:end+2], "Connection") == "close", header(b[:end+2], "Retry-After") != ""
	l.left = length - (len(b) - end - 4)
	return l.left <= 0, false
}

func header(head []byte, name string) string {
	at := bytes.Index(head, []byte("\r\n"+name+": "))
	if at < 0 {
		return ""
	}
	value := head[at+len(name)+4:]
	return string(value[:bytes.IndexByte(value, '\r')])
}

// over is the end of a request; trouble is empty if it was answered.
func (c *crowd) over(l *link, trouble string) {
	l.busy = false
	c.free = append(c.free, l)
	took := time.Since(c.began) - l.due
	c.count(l.due, func(t *tally) {
		switch {
		case trouble != "":
			t.fail(trouble)
		case l.status == 200:
			t.ok++
			if l.cold {
				t.made++
			}
			t.took = append(t.took, took)
		case (l.status == 503 || l.status == 429) && !l.retry:
			t.fail("refused without Retry-After")
		case l.status == 503:
			t.refused++
			t.longest = max(t.longest, took)
			if t == &c.whole {
				t.refusedIn = append(t.refusedIn, took)
			}
		case l.status == 429:
			t.limited++
		default:
			t.fail("status " + strconv.Itoa(l.status))
		}
	})
}

func (c *crowd) count(_ time.Duration, do func(*tally)) {
	for _, t := range []*tally{&c.tally, &c.whole} {
		t.due++
		do(t)
	}
}

// sweep gives up what nobody waits for any more.
func (c *crowd) sweep() {
	for _, l := range c.all {
		if l != nil && l.busy && c.now-l.due > c.patience {
			c.drop(l)
			c.over(l, "no answer in time")
		}
	}
}

// plan is when requests are due: evenly along its legs.
type plan struct {
	legs  []leg
	first []int // of each leg
	from  []time.Duration
	count int
	at    int // the leg asked for last
}

func newPlan(legs []leg) *plan {
	p := &plan{legs: legs}
	var from time.Duration
	for _, l := range legs {
		p.first, p.from = append(p.first, p.count), append(p.from, from)
		p.count += int(l.rate * l.over.Seconds())
		from += l.over
	}
	return p
}

// due is when the n-th request is; asked for in order.
func (p *plan) due(n int) time.Duration {
	for p.at+1 < len(p.legs) && n >= p.first[p.at+1] {
		p.at++
	}
	return p.from[p.at] + time.Duration(float64(n-p.first[p.at])/p.legs[p.at].rate*1e9)
}
