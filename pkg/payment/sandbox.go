package payment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// ErrBehaviour marks an Intent that the sandbox does not understand.
var ErrBehaviour = errors.New("unknown behaviour")

// How a sandbox payment goes.
const (
	Succeed = "succeed" // at once
	Fail    = "fail"    // at once
	Late    = "late"    // a second after the reservation has expired
	Twice   = "twice"   // succeeds, and is told two times
	Never   = "never"   // nothing is heard of it
)

// Behaviours are all of them.
var Behaviours = []string{Succeed, Fail, Late, Twice, Never}

// Sandbox is a provider that moves no money. It calls the webhook as a real one does, and tries again for a while when that does not answer. It forgets what it
// has under way when it is closed, as a provider does that never answers. Safe for concurrent use.
type Sandbox struct {
	webhook string
	secrets func() Secrets
	client  *http.Client
	clock   func() time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup
}

// NewSandbox makes a Sandbox that calls a webhook, signed by the first of what secrets gives then. A nil clock means time.Now.
func NewSandbox(webhook string, secrets func() Secrets, clock func() time.Time) *Sandbox {
	if clock == nil {
		clock = time.Now
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Sandbox{webhook: webhook, secrets: secrets, client: &http.Client{Timeout: 5 * time.Second}, clock: clock, ctx: ctx, cancel: cancel}
}

// Close ends what is under way.
func (s *Sandbox) Close() {
	s.cancel()
	s.work.Wait()
	s.client.CloseIdleConnections()
}

// Start is Provider. The error wraps ErrBehaviour.
func (s *Sandbox) Start(_ context.Context, i Intent) error {
	result := Result{Payment: i.ID, Outcome: Succeeded, Amount: i.Amount, Currency: i.Currency}
	switch i.Behaviour {
	case Succeed, "":
		s.tell(result, 0, 1)
	case Fail:
		result.Outcome = Failed
		s.tell(result, 0, 1)
	case Late:
		s.tell(result, i.Deadline.Sub(s.clock())+time.Second, 1)
	case Twice:
		s.tell(result, 0, 2)
	case Never:
	default:
		return fmt.Errorf("%w %q; want one of %s", ErrBehaviour, i.Behaviour, strings.Join(Behaviours, ", "))
	}
	return nil
}

// Knows reports whether a behaviour is one of the sandbox's.
func Knows(behaviour string) bool { return behaviour == "" || slices.Contains(Behaviours, behaviour) }

// Refund is Provider. No money moved, so none moves back.
func (s *Sandbox) Refund(context.Context, string, rail.Money, string) error { return s.ctx.Err() }

// tell calls the webhook after a delay, a number of times.
func (s *Sandbox) tell(r Result, delay time.Duration, times int) {
	body, err := json.Marshal(r)
	if err != nil {
		return // a Result always can
	}
	s.work.Go(func() {
		if !s.pause(delay) {
			return
		}
		for range times {
			for wait := time.Second; !s.call(body) && wait <= 16*time.Second; wait *= 2 {
				if !s.pause(wait) {
					return
				}
			}
		}
	})
}

func (s *Sandbox) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// call reports whether the webhook took the result, or never will.
func (s *Sandbox) call(body []byte) bool {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.webhook, bytes.NewReader(body))
	if err != nil {
		return true
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(SignatureHeader, s.secrets().Sign(body, s.clock()))
	response, err := s.client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // nothing in it is read
	return response.StatusCode < 500
}
