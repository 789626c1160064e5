package booking

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
)

// shaky is a publisher that fails when it is told to.
type shaky struct {
	mu       sync.Mutex // guards what follows
	fail     []error    // of the next publishes, in order
	got      []uint64   // revisions
	complete time.Time
}

func (s *shaky) Publish(_ context.Context, changes []feed.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fail) > 0 {
		err := s.fail[0]
		s.fail = s.fail[1:]
		if err != nil {
			return err
		}
	}
	for _, c := range changes {
		s.got = append(s.got, c.Delta.Version.Revision)
	}
	return nil
}

func (s *shaky) Complete(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete = t
}

func (s *shaky) look() ([]uint64, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got), s.complete
}

func changeOf(revision uint64) Change {
	return Change{Delta: event.RunDelta{Run: rail.RunID{Trip: "G1"}, Version: rail.Version{Epoch: 1, Revision: revision}}}
}

// P1, P5, B6: a publisher that fails gets the same changes again, in order; what is said to be complete never runs ahead of what was published.
func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(time.Now)
		p := &shaky{fail: []error{nil, errors.New("away"), errors.New("away")}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Relay(ctx, o, p) }()
		o.add([]Change{changeOf(1)})
		<-time.After(10 * time.Millisecond) // of the bubble's clock
		o.add([]Change{changeOf(2)})
		held := time.Now()
		o.add([]Change{changeOf(3)})
		<-time.After(relayRetry) // the second publish has failed, the third not yet
		if got, complete := p.look(); !slices.Equal(got, []uint64{1}) || complete.After(held) {
			t.Errorf("published %v, complete up to %s; change 2 is of %s", got, complete, held)
		}
		<-time.After(time.Second)
		if got, complete := p.look(); !slices.Equal(got, []uint64{1, 2, 3}) || time.Since(complete) > time.Second/2 {
			t.Errorf("published %v, complete up to %s ago", got, time.Since(complete))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A relay that is fenced off ends, and leaves what it has to the one that is in charge.
func TestRelayFenced(t *testing.T) {
	o := newOutbox(time.Now)
	o.add([]Change{changeOf(1)})
	if err := Relay(t.Context(), o, &shaky{fail: []error{feed.ErrFenced}}); !errors.Is(err, feed.ErrFenced) || o.Len() != 1 {
		t.Errorf("%v, %d left", err, o.Len())
	}
}
