package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Serve does a publisher's standing duties until ctx ends (nil) or it is fenced off (ErrFenced): heartbeats (P5), digests, states that are due
// (P2), the look at the streams (P6), and answers to nodes.
func (p *Publisher) Serve(ctx context.Context) error {
	for subject, answer := range map[string]func(*Message) ([]byte, error){subjectRepair: p.answerRepair, subjectVersions: p.answerVersions} {
		stop, err := p.link.Subscribe(subject, func(m Message) { reply(&m, answer) })
		if err != nil {
			return err
		}
		defer stop()
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
	h := event.Heartbeat{Time: time.Unix(0, complete), Interval: p.opts.HeartbeatEvery, Publisher: p.opts.Name, Created: map[string]time.Time{}, Last: map[string]uint64{}, History: p.history.Load()}
	for name, sight := range *p.sights.Load() {
		if h.Created[name] = sight.Created; name != streamDelta {
			h.Last[name] = sight.Last
		}
	}
	for _, w := range p.writers {
		h.Marks = append(h.Marks, w.mark())
	}
	if complete == 0 || p.fenced.Load() || p.owed.Load() > 0 || p.late() { // after the marks: what made them fall was noticed by then
		return nil
	}
	data, err := event.EncodeHeartbeat(&h, event.Protobuf)
	if err != nil {
		return err
	}
	return p.link.Tell(subjectHeartbeat, data)
}

// digest covers the service dates that no node may have let go: today's and later ones. Those before it are remembered for as long as a train of theirs may be on its way.
func (p *Publisher) digest(ctx context.Context) error {
	p.mu.Lock()
	loc, longest := p.location, p.longest
	p.mu.Unlock()
	if loc == nil {
		return nil
	}
	today := rail.DateOf(p.opts.Clock(), loc)
	kept := today - longest.Days() - 1
	p.forget(kept)
	return p.eachWriter(func(w *partitionWriter) error { return w.digests(ctx, today, kept) })
}

// looking is how long a look at the streams may take, and each other step around publishing everything again. That itself takes as long as it takes: it gives up where nothing is acknowledged any more.
const looking = 30 * time.Second

// lookAtStreams notices a stream that is not the one it was, and then publishes everything again (P6); or the network and the patterns, if somebody else has written where they are (P2). Only one
// goroutine looks at a time.
func (p *Publisher) lookAtStreams(ctx context.Context) error {
	within := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, looking)
		defer cancel()
		return do(ctx)
	}
	note := func(ctx context.Context) error { return p.noteStreams(ctx, p.end()) }
	if err := within(note); err != nil {
		return err
	}
	if p.late() {
		p.owed.Add(1)
	}
	if p.owed.Load() == 0 {
		return p.rewrite(ctx)
	}
	if err := p.link.Ensure(ctx, p.opts.Limits); err != nil {
		return err
	}
	if err := within(p.stamp); err != nil {
		return err
	}
	if err := within(p.flights.land); err != nil {
		return err
	}
	// Now that each partition has met the streams that are there, and each state has that was on its way: what fell with them is paid at once, and not once more for each who learns of it.
	owed := p.owed.Load()
	if err := errors.Join(p.republish(ctx), within(note)); err != nil { // noted again: heartbeats tell when the new ones were made
		return err
	}
	p.foreign = p.others()
	p.restated()
	p.history.Add(1) // before heartbeats go on
	if err := within(p.stamp); err != nil {
		return err
	}
	p.owed.CompareAndSwap(owed, 0) // unless more was noticed meanwhile
	return nil
}

// others is by how much the reference stream is longer than what this publisher wrote: it rises when somebody else writes there.
func (p *Publisher) others() int64 { return int64(p.seen[streamReference].Last) - p.wrote.Load() }

// rewrite publishes the network and the patterns again when somebody else has written where they are: the stream keeps the last of each, so that a node that starts now would lack what was there. An
// acknowledgement that was lost, or has not come yet, has the same effect, for nothing.
func (p *Publisher) rewrite(ctx context.Context) error {
	others := p.others()
	if others > p.foreign {
		if err := p.reference(ctx); err != nil {
			return err
		}
	}
	p.foreign = others
	return nil
}

// noteStreams looks at each stream, and owes everything when one is not the one it was, such as when what was acknowledged in a place of the delta stream is not there.
func (p *Publisher) noteStreams(ctx context.Context, acknowledged event.Place) error {
	overwritten, err := p.overwritten(ctx, acknowledged)
	if err != nil {
		return err
	}
	if overwritten {
		p.owed.Add(1)
	}
	for _, name := range streams {
		if err := p.noteStream(ctx, name); err != nil {
			return err
		}
	}
	sights := maps.Clone(p.seen)
	p.sights.Store(&sights)
	return nil
}

func (p *Publisher) noteStream(ctx context.Context, name string) error {
	before, highest := p.seen[name], p.highest[name]
	before.Last = max(before.Last, highest.Load())
	now, err := p.look(ctx, name)
	if err != nil && !errors.Is(err, ErrNoStream) {
		return err
	}
	fell := err != nil || now.diverged(before) // one that is not there is none that was seen: it may have come, and gone again, since the last look
	if fell {
		p.owed.Add(1)
	}
	if name != streamDelta { // its partitions find that for themselves
		if fell {
			highest.Store(now.Last)
		}
		raise(highest, now.Last)
	}
	p.seen[name] = now
	return nil
}

// look does not wait long for an answer that was lost: the next round asks again.
func (p *Publisher) look(ctx context.Context, name string) (Sight, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return p.link.Look(ctx, name)
}

// stamp publishes an empty batch in each partition, which tells the history, and shows whether the partition is as it was.
func (p *Publisher) stamp(ctx context.Context) error {
	return p.eachWriter(func(w *partitionWriter) error { return w.stamp(ctx) })
}

// republish publishes the reference data and every run's present state again.
func (p *Publisher) republish(ctx context.Context) error {
	if err := p.reference(ctx); err != nil {
		return err
	}
	p.stats.republished.Add(1)
	return p.restate(ctx, p.runs())
}

// reference publishes the network and all patterns again.
func (p *Publisher) reference(ctx context.Context) error {
	p.mu.Lock()
	network, patterns := p.network, slices.Collect(maps.Values(p.patterns))
	p.mu.Unlock()
	slices.SortFunc(patterns, func(a, b *timetable.Pattern) int { return cmp.Compare(a.ID, b.ID) })
	if network == nil {
		return nil // there is nothing yet
	}
	return errors.Join(p.Network(ctx, network), p.Patterns(ctx, patterns))
}

func (p *Publisher) runs() (all []rail.RunID) {
	for _, w := range p.writers {
		w.mu.Lock()
		for _, day := range w.published {
			all = slices.AppendSeq(all, maps.Keys(day.runs))
		}
		w.mu.Unlock()
	}
	slices.SortFunc(all, rail.RunID.Compare) // as due does
	return all
}

// reply answers a request; a request that cannot be understood gets no answer.
func reply(m *Message, answer func(*Message) ([]byte, error)) {
	if data, err := answer(m); err == nil && data != nil && m.Answer != nil {
		_ = m.Answer(data) // the asker asks again
	}
}

func (p *Publisher) answerRepair(m *Message) ([]byte, error) {
	request, err := event.DecodeRepairRequest(m.Data, m.Format)
	if err != nil || p.fenced.Load() {
		return nil, err
	}
	p.stats.repairs.Add(1)
	present := time.Now()
	state, ok := p.authority.State(request.Run)
	if !ok {
		return event.EncodeRepairReply(fmt.Errorf("%w: run %s is not known", event.ErrGone, request.Run))
	}
	if ttl, err := p.expiry(&state); err == nil && ttl < shortest {
		return event.EncodeRepairReply(fmt.Errorf("%w: run %s is over", event.ErrGone, request.Run))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return event.EncodeRepairReply(p.states(ctx, []*event.RunState{&state}, present))
}

func (p *Publisher) answerVersions(m *Message) ([]byte, error) {
	request, err := event.DecodeVersionsRequest(m.Data, m.Format)
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
