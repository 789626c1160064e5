package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// client is one keep-alive connection and its loop. It writes requests that are bytes already and reads of an answer only what counts, since the load side
// should take as little of the machine as it can.
type client struct {
	*run
	in   *bufio.Reader
	out  []byte
	head head

	mu      sync.Mutex // guards what follows, which others look at when a run is ended early
	conn    net.Conn   // nil if there is none
	hurried bool
}

func newClient(r *run) *client { return &client{run: r, in: bufio.NewReaderSize(nil, bufferSize)} }

// open connects, if there is no connection, until a deadline.
func (c *client) open(ctx context.Context, deadline time.Time) error {
	c.mu.Lock()
	ctx, cancel := context.WithDeadline(ctx, c.limit(deadline))
	c.mu.Unlock()
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	c.in.Reset(conn)
	return nil
}

// drop closes the connection, if there is one.
func (c *client) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close() // what mattered was read
		c.conn = nil
	}
}

// until sets the deadline of what the connection does next; sooner if the run is being ended. It gives the connection, nil if there is none.
func (c *client) until(deadline time.Time) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	if c.conn.SetDeadline(c.limit(deadline)) != nil {
		return nil // it is closed
	}
	return c.conn
}

// limit is a deadline, or a nearer one if the run is being ended. The caller holds mu.
func (c *client) limit(deadline time.Time) time.Time {
	if soon := time.Now().Add(grace); c.hurried && soon.Before(deadline) {
		return soon
	}
	return deadline
}

// hurry leaves what is under way no more than the grace.
func (c *client) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurried = true
	if c.conn != nil {
		_ = c.conn.SetDeadline(time.Now().Add(grace)) // fails only on a closed connection
	}
}

// loop asks whenever a request is due.
func (c *client) loop(ctx context.Context) {
	for {
		s, ok := c.gate.take(ctx)
		if !ok {
			return
		}
		c.recorder.settled(c.ask(s))
	}
}

// ask sends a request and reads its answer.
func (c *client) ask(s shot) result {
	c.out = c.requests.availability(c.out[:0], s.question)
	size, err := c.exchange(c.begin.Add(s.due + c.Timeout))
	now := time.Now()
	res := result{due: s.due, done: now.Sub(c.begin), size: size}
	if err != nil {
		c.drop()
		res.outcome, res.failure = Failed, c.failure(err)
		return res
	}
	if c.head.closes {
		c.drop()
	}
	res.outcome, res.status = outcomeOf(c.head.status), c.head.status
	res.age, res.aged = c.head.old(now)
	if res.outcome == OK {
		c.requests.saw(s.question, c.head.tag)
	}
	return res
}

// errUnanswered marks a connection that ended before the first byte of an answer.
var errUnanswered = errors.New("closed before the answer")

// exchange sends what is in out and reads the answer until a deadline. A connection that was kept may have been closed by the server, as is its right: then
// the request is sent once more, on a new one.
func (c *client) exchange(deadline time.Time) (size int64, err error) {
	conn := c.until(deadline)
	if conn != nil {
		size, err = c.once(conn)
		if !errors.Is(err, errUnanswered) {
			return size, err
		}
	}
	c.drop()
	c.recorder.reconnected()
	if err := c.open(context.Background(), deadline); err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	if conn = c.until(deadline); conn == nil {
		return 0, errUnanswered
	}
	return c.once(conn)
}

func (c *client) once(conn net.Conn) (size int64, err error) {
	if _, err = conn.Write(c.out); err == nil {
		err = c.head.read(c.in)
	}
	switch {
	case err == nil:
		return c.head.skip(c.in)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errMalformed), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, err
	default:
		return 0, fmt.Errorf("%w: %w", errUnanswered, err)
	}
}

// failure is an error in a few words, of which there are few.
func (c *client) failure(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		if c.length() < c.For {
			return "cut off by the early end"
		}
		return "no answer in time"
	case errors.Is(err, errMalformed):
		return "malformed answer"
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection"
	default:
		return "connection closed before the end of the answer"
	}
}
