package feed

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// denials bring what a server says of a publish that it does not permit, which is an answer to nothing, to whoever waits for an answer.
type denials struct {
	mu      sync.Mutex // guards waiting
	waiting map[*waiter]struct{}
}

type waiter struct {
	subject string // or the end of one
	end     context.CancelCauseFunc
}

var deniedPublish = regexp.MustCompile(`(?i)publish to "([^"]+)"`)

// tell ends the waits for what an error of the connection says is not permitted.
func (d *denials) tell(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	m := deniedPublish.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.waiting {
		if strings.HasSuffix(m[1], w.subject) {
			w.end(fmt.Errorf("%w: NATS does not let this user publish to %s", ErrDenied, m[1]))
		}
	}
}

// unlessDenied is ctx until the server does not permit a publish to a subject, or one that ends so. Done must be called when the answer is there, or is not; it makes the
// server's word the error.
func (d *denials) unlessDenied(ctx context.Context, subject string) (_ context.Context, done func(*error)) {
	ctx, end := context.WithCancelCause(ctx)
	w := &waiter{subject, end}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = map[*waiter]struct{}{}
	}
	d.waiting[w] = struct{}{}
	return ctx, func(err *error) {
		d.mu.Lock()
		delete(d.waiting, w)
		d.mu.Unlock()
		if why := context.Cause(ctx); *err != nil && errors.Is(why, ErrDenied) {
			*err = why
		}
		end(nil)
	}
}
