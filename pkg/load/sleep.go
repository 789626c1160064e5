package load

import "time"

// processors is what the process had of the processors until now, all its threads together.
type processors struct {
	used   time.Duration
	waited time.Duration // for one, ready to run
}

// sleeper sleeps for a time. One goroutine sleeps at a time.
type sleeper interface {
	// sleep may end early.
	sleep(d time.Duration)
	// wake ends the sleep that is under way, and all later ones at once. Any goroutine may call it.
	wake()
	close()
}

// timer is a sleeper by the runtime's timers, which are late by up to a millisecond where nothing else happens.
type timer chan struct{}

func newTimer() timer { return make(timer) }

func (t timer) sleep(d time.Duration) {
	after := time.NewTimer(d)
	defer after.Stop()
	select {
	case <-after.C:
	case <-t:
	}
}

func (t timer) wake() { close(t) }

func (t timer) close() {}
