package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// measurement is one turn of a design.
type measurement struct {
	Design string `json:"design"`
	Round  int    `json:"round"`
	counted
	// Window is how long the CPU was counted: wrk's time and its start.
	Window time.Duration `json:"window_ns"`
	CPU    []share       `json:"cpu"`
	// Idle is the CPU that a live design spends in a second in which nobody asks, for the changes alone.
	Idle time.Duration `json:"idle_ns"`
	// Changes were committed within the window; Behind is Peer's.
	Changes   uint64    `json:"changes"`
	Behind    uint64    `json:"behind"`
	Staleness staleness `json:"staleness"`
	// Strangers is the CPU that went to what is not ours on the machine, within the window: noise.
	Strangers time.Duration `json:"strangers_ns"`
}

// perRequest is the CPU of a request. The prober's requests were served, too.
func (m *measurement) perRequest() time.Duration {
	return total(m.CPU) / time.Duration(m.Requests+m.Staleness.Asked)
}

// less is the CPU of a request without what following the changes costs in the same time, which weighs the more the fewer requests share it.
func (m *measurement) less() time.Duration {
	following := time.Duration(m.Window.Seconds() * float64(m.Idle))
	return (total(m.CPU) - following) / time.Duration(m.Requests+m.Staleness.Asked)
}

// rate is wrk's requests a second.
func (m *measurement) rate() float64 { return float64(m.Requests) / m.Took.Seconds() }

// busy is the share of its core that the design had, 0 to 1. Well below 1, wrk and not the design was the limit.
func (m *measurement) busy() float64 { return total(m.CPU).Seconds() / m.Window.Seconds() }

// noise is how much of a core strangers had. The kernel's two counts of time, of the machine and of processes, differ by a few percent.
func (m *measurement) noise() float64 { return max(0, m.Strangers.Seconds()/m.Window.Seconds()) }

// perSecond of the window.
func (m *measurement) perSecond(n uint64) float64 { return float64(n) / m.Window.Seconds() }

// measure lets all designs take turns.
func measure(ctx context.Context, s *settings, r *report, progress io.Writer) (err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
			err = cause // what the errors of the others come from
		}
	}()
	stage, err := openStage(ctx, end, s, progress)
	defer stage.close()
	if err != nil {
		return err
	}
	body, err := stage.railway.truth()
	if err != nil {
		return err
	}
	r.Bytes = len(body)
	for _, d := range s.designs {
		if err := stage.turn(ctx, d, nil); err != nil {
			return err
		}
		stage.say("%-12s gives the right %d bytes", d.name, len(body))
	}
	for round := range s.rounds {
		for _, d := range s.designs {
			m := measurement{Design: d.name, Round: round + 1}
			if err := stage.turn(ctx, d, &m); err != nil {
				return err
			}
			stage.say("round %d of %d  %-12s %6.1f us/request %8.0f requests/s", m.Round, s.rounds, d.name, micros(m.perRequest()), m.rate())
			r.Turns = append(r.Turns, m)
		}
	}
	return nil
}

// turn starts a design, holds its answer against the truth, measures it unless m is nil, and stops it.
func (s *stage) turn(ctx context.Context, d design, m *measurement) (err error) {
	p := d.build(s)
	defer func() {
		p.Stop()
		client.CloseIdleConnections() // to what was stopped
		if err != nil {
			err = fmt.Errorf("%s: %w", d.name, err)
		}
	}()
	if err := p.Start(ctx); err != nil {
		return err
	}
	if err := s.check(ctx, p); err != nil || m == nil {
		return err
	}
	if err := s.observe(ctx, d, p, m); err != nil || !d.live {
		return err
	}
	return s.check(ctx, p)
}

// checkLimit is how long the right answer may take to come when nothing changes any more: a cache has to forget, a feed to arrive.
const checkLimit = 4 * time.Second

// check holds the answer against the truth, byte by byte. Nothing changes meanwhile.
func (s *stage) check(ctx context.Context, p Peer) error {
	want, err := s.railway.truth()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	return poll(limited, func() error {
		got, err := get(ctx, p.URL())
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("the answer is not the right one: %s", difference(got, want))
		}
		return err
	})
}

// observe measures a design that answers: warmed up and loaded, then at rest.
func (s *stage) observe(ctx context.Context, d design, p Peer, m *measurement) (err error) {
	s.railway.forget()   // nobody shows what was true before: the answer was right a moment ago
	defer s.trade(ctx)() // for all, so that wrk shares its core with the feed in each turn
	if _, err := s.load(ctx, p.URL(), s.settings.duration()/5); err != nil {
		return err
	}
	stop := s.window(ctx, p, m)
	endProbes := s.probe(ctx, d, p, m)
	m.counted, err = s.load(ctx, p.URL(), s.settings.duration())
	if err := errors.Join(endProbes(), err, stop()); err != nil || !d.live {
		return err
	}
	m.Idle, err = s.idle(ctx, p)
	return err
}

// probe holds the answers of a live design against the truth until the call of what it returns.
func (s *stage) probe(ctx context.Context, d design, p Peer, m *measurement) (stop func() error) {
	if !d.live {
		return func() error { return nil }
	}
	probing, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		var err error
		m.Staleness, err = s.railway.probe(probing, p.URL())
		ended <- err
	}()
	return func() error {
		end()
		return <-ended
	}
}

// idle is what a design spends in a second without a request.
func (s *stage) idle(ctx context.Context, p Peer) (time.Duration, error) {
	before, err := spent(p.Parts())
	if err != nil {
		return 0, err
	}
	pause(ctx, time.Second)
	after, err := spent(p.Parts())
	return total(since(before, after)), err
}

// window notes what a design spends from now on until the call of what it returns.
func (s *stage) window(ctx context.Context, p Peer, m *measurement) (stop func() error) {
	behind, errBehind := p.Behind(ctx)
	changes, begin := s.railway.committed(), time.Now()
	strange, errStrange := strangers()
	before, errBefore := spent(p.Parts())
	return func() error {
		after, errAfter := spent(p.Parts())
		strangeNow, errStrangeNow := strangers()
		m.Window, m.Changes = time.Since(begin), s.railway.committed()-changes
		behindNow, errNow := p.Behind(ctx)
		if err := errors.Join(errBehind, errStrange, errBefore, errAfter, errStrangeNow, errNow); err != nil {
			return err
		}
		m.Behind, m.CPU, m.Strangers = behindNow-behind, since(before, after), strangeNow-strange
		return nil
	}
}

// difference shows where two texts part.
func difference(got, want []byte) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	clip := func(b []byte) []byte { return b[max(0, i-40):min(len(b), i+40)] }
	return fmt.Sprintf("%d bytes, want %d; from byte %d on %q, want %q", len(got), len(want), i, clip(got), clip(want))
}
