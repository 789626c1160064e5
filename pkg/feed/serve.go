package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Serve does a publisher's standing duties until ctx ends (nil) or it is fenced off (ErrFenced): heartbeats (P5), digests, states that are due
// (P2), the look at the streams (P6), and answers to nodes.
func (p *Publisher) Serve(ctx context.Context) error {
	for subject, answer := range map[string]func(*nats.Msg) ([]byte, error){subjectRepair: p.answerRepair, subjectVersions: p.answerVersions} {
		sub, err := p.conn.nc.Subscribe(subject, func(m *nats.Msg) { reply(m, answer) })
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		defer func() { _ = sub.Unsubscribe() }() // the connection may be gone already
	}
	if err := unlessFenced(p.lookAtStreams)(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	duty := func(interval time.Duration, do func(context.Context) error) {
		group.Go(func() error { return every(ctx, interval, unlessFenced(do)) })
	}
	duty(p.opts.HeartbeatEvery, p.heartbeat)
	duty(p.opts.DigestEvery, p.digest)
	duty(time.Second, func(ctx context.Context) error { return p.restate(ctx, p.due()) })
	duty(lookInterval, p.lookAtStreams)
	duty(healInterval, p.heal)
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

const healInterval = time.Second

// heal publishes the states of some more runs again.
func (p *Publisher) heal(ctx context.Context) error {
	if len(p.healing) == 0 {
		p.healing = p.runs()
		p.perCall = float64(len(p.healing)) * healInterval.Seconds() / p.opts.HealEvery.Seconds()
	}
	p.toHeal += p.perCall
	n := min(int(p.toHeal), len(p.healing))
	p.toHeal = min(p.toHeal-float64(n), 1)
	next := p.healing[:n]
	p.healing = p.healing[n:]
	return p.restate(ctx, next)
}

// Republish publishes the state of every run of a service date again, or of all dates if it is 0, and returns their number: for replicas that are not to be
// trusted any more.
func (p *Publisher) Republish(ctx context.Context, date rail.Date) (runs int, err error) {
	if p.fenced.Load() {
		return 0, ErrFenced
	}
	all := p.runs()
	if date != 0 {
		all = slices.DeleteFunc(all, func(id rail.RunID) bool { return id.Date != date })
	}
	return len(all), p.restate(ctx, all)
}

// unlessFenced leaves of a duty's failures only the one that is final. Any other is the network's, and the next round tries again.
func unlessFenced(duty func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := duty(ctx); errors.Is(err, ErrFenced) {
			return err
		}
		return nil
	}
}

// every does something at an interval until it fails or ctx ends.
func every(ctx context.Context, interval time.Duration, do func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := do(ctx); err != nil {
			return err
		}
	}
}

func (p *Publisher) heartbeat(context.Context) error {
	complete := p.complete.Load() // before the marks: they may only be later (P5)
	h := event.Heartbeat{Time: time.Unix(0, complete), Interval: p.opts.HeartbeatEvery, Publisher: p.opts.Name, Created: *p.created.Load()}
	for _, w := range p.writers {
		h.Marks = append(h.Marks, w.mark())
	}
	if complete == 0 || p.fenced.Load() || p.owed.Load() > 0 { // after the marks: what made them fall was noticed by then
		return nil
	}
	data, err := event.EncodeHeartbeat(&h, event.Protobuf)
	if err != nil {
		return err
	}
	return p.conn.nc.Publish(subjectHeartbeat, data)
}

// digest covers the service dates that no node may have let go: today's and later ones.
func (p *Publisher) digest(ctx context.Context) error {
	p.mu.Lock()
	loc := p.location
	p.mu.Unlock()
	if loc == nil {
		return nil
	}
	today := rail.DateOf(p.opts.Clock(), loc)
	return p.eachWriter(func(w *partitionWriter) error { return w.digests(ctx, today) })
}

// lookAtStreams notices a stream that is not the one it was, and then publishes everything again (P6). Only one goroutine looks at a time.
func (p *Publisher) lookAtStreams(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.noteStreams(ctx); err != nil {
		return err
	}
	owed := p.owed.Load()
	if owed == 0 {
		return nil
	}
	if err := errors.Join(p.republish(ctx), p.noteStreams(ctx)); err != nil { // noted again: heartbeats tell when the new ones were made
		return err
	}
	p.history.Add(1)               // before heartbeats go on
	p.owed.CompareAndSwap(owed, 0) // unless more was noticed meanwhile
	return nil
}

// noteStreams looks at each stream, and owes everything when one is not the one it was.
func (p *Publisher) noteStreams(ctx context.Context) error {
	created := map[string]time.Time{}
	for _, cfg := range p.opts.Limits.configs() {
		now, err := p.conn.look(ctx, cfg.Name)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		if now.diverged(p.seen[cfg.Name]) {
			p.owed.Add(1)
		}
		p.seen[cfg.Name] = now
		created[cfg.Name] = now.created
	}
	p.created.Store(&created)
	return nil
}

// republish publishes the reference data and every run's present state again.
func (p *Publisher) republish(ctx context.Context) error {
	if err := p.conn.ensureStreams(ctx, p.opts.Limits); err != nil {
		return err
	}
	p.mu.Lock()
	network, patterns := p.network, slices.Collect(maps.Values(p.patterns))
	p.mu.Unlock()
	if network != nil {
		if err := errors.Join(p.Network(ctx, network), p.Patterns(ctx, patterns)); err != nil {
			return err
		}
	}
	p.stats.republished.Add(1)
	return p.restate(ctx, p.runs())
}

func (p *Publisher) runs() (all []rail.RunID) {
	for _, w := range p.writers {
		w.mu.Lock()
		for _, day := range w.published {
			all = slices.AppendSeq(all, maps.Keys(day.runs))
		}
		w.mu.Unlock()
	}
	return all
}

// reply answers a request; a request that cannot be understood gets no answer.
func reply(m *nats.Msg, answer func(*nats.Msg) ([]byte, error)) {
	if data, err := answer(m); err == nil && data != nil {
		_ = m.Respond(data) // the asker asks again
	}
}

func formatOf(m *nats.Msg) event.Format { return event.FormatOf(m.Header.Get(headerContentType)) }

func (p *Publisher) answerRepair(m *nats.Msg) ([]byte, error) {
	request, err := event.DecodeRepairRequest(m.Data, formatOf(m))
	if err != nil || p.fenced.Load() {
		return nil, err
	}
	p.stats.repairs.Add(1)
	state, ok := p.authority.State(request.Run)
	if !ok {
		return event.EncodeRepairReply(fmt.Errorf("run %s is not known", request.Run))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return event.EncodeRepairReply(p.states(ctx, []*event.RunState{&state}))
}

func (p *Publisher) answerVersions(m *nats.Msg) ([]byte, error) {
	request, err := event.DecodeVersionsRequest(m.Data, formatOf(m))
	if err != nil || p.fenced.Load() {
		return nil, err
	}
	v := p.writers[request.Partition].versions(request.Date)
	for i := range v.Runs {
		if s, ok := p.authority.State(v.Runs[i].Run); ok {
			v.Runs[i].Present = s.Version
		}
	}
	return event.EncodeVersions(v)
}
