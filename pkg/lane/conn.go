package lane

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	inSize  = 4 << 10  // of the buffer for requests: a head beyond it is net/http's
	outSize = 64 << 10 // responses to pipelined requests are written together up to this
)

// buffers are for requests and for responses.
var (
	ins  = sync.Pool{New: func() any { return new([inSize]byte) }}
	outs = sync.Pool{New: func() any { return new([]byte) }}
)

// conn is a connection in the lane. It belongs to its goroutine.
type conn struct {
	net.Conn
	lane       *Listener
	in         *[inSize]byte
	start, end int // of what was read and not answered
	request    Request
	// Until when reads and writes may take, as they were told to the connection.
	readBy, writeBy time.Time
	now             time.Time // about: of the last read's end
	asked           bool      // a request was answered
	more            bool      // another whole one may be there already
}

// run answers until the connection is closed or handed over.
func (c *conn) run() {
	c.in, c.now = ins.Get().(*[inSize]byte), time.Now()
	c.request.From = addressOf(c.RemoteAddr())
	for c.next() {
	}
}

// next reads what has come, and answers it. False if the connection is no longer in the lane.
func (c *conn) next() bool {
	if !c.more {
		switch err := c.read(); {
		case err == nil:
		case errors.Is(err, io.EOF) && c.end > 0:
			return c.handOver() // net/http has something to say of half a request
		default:
			return c.leave()
		}
	}
	out := outs.Get().(*[]byte)
	defer outs.Put(out)
	response, v := c.answer((*out)[:0])
	*out = response
	c.more = v == hot && c.start < c.end
	if len(response) > 0 && !c.write(response) {
		return c.leave()
	}
	switch {
	case v == foreign:
		return c.handOver()
	case c.request.Last && c.start == c.end:
		return c.leave()
	}
	return true
}

// answer answers the requests that have come, as far as they are the lane's. The verdict is that on the next.
func (c *conn) answer(dst []byte) (response []byte, v verdict) {
	c.request.Date, c.request.Read = c.lane.dateAt(c.now), c.now
	for c.start < c.end && len(dst) < outSize {
		var n int
		if n, v = parse(c.in[c.start:c.end], &c.lane.want, &c.request); v != hot {
			break
		}
		c.request.Last = c.lane.draining.Load() && c.start+n == c.end
		response, ok := c.lane.o.Handler.Hot(dst, &c.request)
		if !ok {
			return dst, foreign
		}
		dst, c.start, c.asked = response, c.start+n, true
	}
	if v == partial && c.start == 0 && c.end == inSize {
		v = foreign // longer than any that the lane reads
	}
	return dst, v
}

// read waits for more. What was begun goes to the front, so that there is room.
func (c *conn) read() error {
	if c.start > 0 {
		c.end = copy(c.in[:], c.in[c.start:c.end])
		c.start = 0
	}
	c.patience()
	n, err := c.Conn.Read(c.in[c.end:])
	c.now = time.Now()
	c.end += n
	if n > 0 {
		return nil
	}
	return err
}

// patience sets how long the next read may take (L4). To set it costs as much as to parse a request, so that it is done only when an eighth of the idle time has gone.
func (c *conn) patience() {
	o, now := &c.lane.o, c.now
	switch {
	case c.end > 0 || !c.asked: // in the middle of a head, or before the first
		if c.readBy.IsZero() || c.readBy.Sub(now) > o.Header {
			c.wait(now.Add(o.Header))
		}
	case c.readBy.Sub(now) < o.Idle*7/8:
		c.wait(now.Add(o.Idle))
	}
}

// last is how long an ending lane waits for what may have arrived.
const last = 10 * time.Millisecond

// hurry ends a wait soon. It is Drain's.
func (c *conn) hurry() {
	_ = c.SetReadDeadline(time.Now().Add(last)) // a closed connection says so when it is read
}

func (c *conn) wait(by time.Time) {
	c.readBy = by
	_ = c.SetReadDeadline(by) // as above
	if c.lane.ending.Load() { // Drain may have been here before
		c.hurry()
	}
}

func (c *conn) write(b []byte) bool {
	if c.writeBy.Sub(c.now) < c.lane.o.Write*7/8 {
		c.writeBy = c.now.Add(c.lane.o.Write)
		_ = c.SetWriteDeadline(c.writeBy) // a closed connection says so when it is written to
	}
	_, err := c.Conn.Write(b)
	return err == nil
}

// leave closes the connection.
func (c *conn) leave() bool {
	_ = c.Close() // nothing more is wanted of it
	ins.Put(c.in)
	c.lane.remove(c)
	return false
}

// handOver makes the connection net/http's (L2).
func (c *conn) handOver() bool {
	_ = c.SetDeadline(time.Time{}) // a closed connection says so when it is read
	select {
	case c.lane.over <- accepted{conn: &handed{Conn: c.Conn, in: c.in, rest: c.in[c.start:c.end]}}:
	case <-c.lane.closed:
		_ = c.Close() // nobody takes it any more
	}
	c.lane.remove(c)
	return false
}

// handed is a connection of which the lane has read more than it has answered.
type handed struct {
	net.Conn
	in   *[inSize]byte // given back when rest is empty
	rest []byte
}

// Read reads what the lane has left first.
func (h *handed) Read(b []byte) (n int, err error) {
	if h.in == nil {
		return h.Conn.Read(b)
	}
	n = copy(b, h.rest)
	if h.rest = h.rest[n:]; len(h.rest) == 0 {
		ins.Put(h.in)
		h.in, h.rest = nil, nil
	}
	return n, nil
}

// CloseWrite is net/http's way to let a client read the last response.
func (h *handed) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
