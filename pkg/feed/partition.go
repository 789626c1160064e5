package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// partitionWriter publishes the delta batches of one partition, one after the other: each expects the sequence of the one before (P3).
type partitionWriter struct {
	publisher *Publisher
	partition rail.Partition

	end atomic.Pointer[event.Place] // the partition's last acknowledged message; written by whoever has the turn

	turn    turn // guards what follows and the order of publishes
	batch   uint64
	stored  uint64    // the last batch that was acknowledged
	claimed time.Time // when the server stored the claim

	mu        sync.Mutex // guards what follows; written by whoever has the turn
	published map[rail.Date]*publishedDay
	through   uint64 // the message through which published tells
}

// turn is a lock that is held while a message is on its way to the server and back.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for it, unless ctx ends first.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// publishedDay is the last version of each run of a service date that went through the delta stream, and their digest, kept up to date: to sum it up anew would hold
// the partition up for milliseconds.
type publishedDay struct {
	runs   map[rail.RunID]rail.Version
	digest event.Digest
}

// claim takes charge: an empty batch moves the partition's last sequence. It starts again when the one in charge was faster.
func (w *partitionWriter) claim(ctx context.Context) error {
	if err := w.turn.take(ctx); err != nil {
		return err
	}
	defer w.turn.give()
	for {
		last, err := w.last(ctx)
		if err != nil {
			return err
		}
		w.end.Store(&last.Place)
		if err := w.send(ctx, &event.DeltaBatch{}); err == nil {
			return w.noteClaim(ctx)
		} else if !errors.Is(err, ErrFenced) {
			return err
		}
	}
}

// learn learns how often everything was published again by those before.
func (w *partitionWriter) learn(ctx context.Context) error {
	last, err := w.last(ctx)
	raise(&w.publisher.history, last.history)
	return err
}

// stamp publishes an empty batch, which tells the history.
func (w *partitionWriter) stamp(ctx context.Context) error {
	if err := w.turn.take(ctx); err != nil {
		return err
	}
	defer w.turn.give()
	return w.publish(ctx, &event.DeltaBatch{})
}

// noteClaim notes when the claim was stored: whatever is later and not ours is of somebody who took charge after us.
func (w *partitionWriter) noteClaim(ctx context.Context) error {
	last, err := w.last(ctx)
	w.claimed = last.at
	return err
}

// deltas publishes deltas in order.
func (w *partitionWriter) deltas(ctx context.Context, deltas []event.RunDelta) error {
	if err := w.turn.take(ctx); err != nil {
		return err
	}
	defer w.turn.give()
	for len(deltas) > 0 {
		n, since := min(len(deltas), w.publisher.opts.BatchSize), time.Now()
		if err := w.publish(ctx, &event.DeltaBatch{Deltas: deltas[:n]}); err != nil {
			return err
		}
		w.note(deltas[:n], since)
		deltas = deltas[n:]
	}
	return nil
}

func (w *partitionWriter) note(deltas []event.RunDelta, since time.Time) {
	w.mu.Lock()
	for i := range deltas {
		w.know(deltas[i].Run, deltas[i].Version)
	}
	w.through = w.sequence()
	w.mu.Unlock()
	w.publisher.uncover(deltas, since)
	w.publisher.stats.deltas.Add(uint64(len(deltas)))
}

// know notes a published version. The caller holds mu.
func (w *partitionWriter) know(run rail.RunID, v rail.Version) {
	day := w.published[run.Date]
	if day == nil {
		day = &publishedDay{runs: map[rail.RunID]rail.Version{}, digest: event.Digest{Date: run.Date}}
		w.published[run.Date] = day
	}
	before, known := day.runs[run]
	switch {
	case !known:
		day.digest.Add(run, v)
	case v.Above(before):
		day.digest.Move(run, before, v)
	default:
		return
	}
	day.runs[run] = v
}

// digests publishes what a node should hold of the days from one on, once it has applied all of the partition up to here. Days before `kept` are forgotten.
func (w *partitionWriter) digests(ctx context.Context, from, kept rail.Date) error {
	if err := w.turn.take(ctx); err != nil {
		return err
	}
	defer w.turn.give()
	all := w.summary(from, kept)
	w.publisher.stats.digests.Add(uint64(len(all)))
	return w.publish(ctx, &event.DeltaBatch{Digests: all})
}

func (w *partitionWriter) summary(from, kept rail.Date) (all []event.Digest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for date, day := range w.published {
		switch {
		case date < kept:
			delete(w.published, date)
		case date >= from:
			all = append(all, day.digest)
		}
	}
	return all
}

func (w *partitionWriter) versions(date rail.Date) *event.Versions {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A stream that was made anew is not as long as the former one was, and to those who have read what there is nothing else has to come: all that is listed was published again.
	out := &event.Versions{Through: min(w.through, w.sequence())}
	day := w.published[date]
	if day == nil {
		return out
	}
	out.Runs = make([]event.RunVersion, 0, len(day.runs))
	for run, v := range day.runs {
		out.Runs = append(out.Runs, event.RunVersion{Run: run, Version: v})
	}
	return out
}

// sequence is the last acknowledged one.
func (w *partitionWriter) sequence() uint64 { return w.end.Load().Sequence }

// mark is the last acknowledged sequence.
func (w *partitionWriter) mark() event.Mark {
	return event.Mark{Partition: w.partition, Place: *w.end.Load()}
}

// publish sends a batch unless the publisher is fenced off, which it then stays. The caller has the turn.
func (w *partitionWriter) publish(ctx context.Context, b *event.DeltaBatch) error {
	if w.publisher.fenced.Load() {
		return ErrFenced
	}
	err := w.send(ctx, b)
	if errors.Is(err, ErrFenced) {
		w.publisher.fenced.Store(true)
	}
	return err
}

// send sends a batch until it is acknowledged or refused for good.
func (w *partitionWriter) send(ctx context.Context, b *event.DeltaBatch) error {
	w.batch++
	b.Publisher, b.Batch, b.History = w.publisher.opts.Name, w.batch, w.publisher.history.Load()
	first := w.publisher.highest[streamDelta].Load()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		done, err := w.try(ctx, b, first)
		if done || err != nil {
			return err
		}
		w.publisher.stats.retries.Add(1)
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("publish partition %d: %w", w.partition, err)
		}
	}
}

// try sends once. Neither done nor an error means: try again. First is the highest acknowledged sequence before the first try: a message whose acknowledgement was lost may
// have been stored in any of them, and those of other partitions since.
func (w *partitionWriter) try(ctx context.Context, b *event.DeltaBatch, first uint64) (done bool, err error) {
	end := w.end.Load()
	b.After = end.Sum
	data, err := event.EncodeDeltas(b, event.Protobuf)
	if err != nil {
		return false, err
	}
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	before := w.publisher.highest[streamDelta].Load()
	sequence, err := w.publisher.link.Put(once, streamDelta, Outgoing{Subject: deltaSubject(w.partition), Data: data}, end.Sequence)
	if err == nil {
		w.acknowledged(event.Place{Sequence: sequence, Sum: event.Sum(data)}, w.batch, before)
		w.publisher.stats.batches.Add(1)
		return true, nil
	}
	if ctx.Err() != nil {
		return false, fmt.Errorf("publish partition %d: %w", w.partition, ctx.Err())
	}
	if errors.Is(err, ErrWrongLast) {
		return w.explain(ctx, first)
	}
	return false, nil // no answer, no leader, no stream yet: the server's state decides at the next try
}

// acknowledged notes where a batch is.
func (w *partitionWriter) acknowledged(at event.Place, batch, before uint64) {
	w.publisher.acknowledged(streamDelta, at.Sequence, before) // before the mark rises
	w.end.Store(&at)
	w.stored = batch
}

// explain finds out why the last sequence is not the expected one: another publisher took charge (P3); a subject whose messages have all expired, a stream that was recreated or
// rolled back (it is lower than ours, and the last message may be of a publisher before us; or it is one of ours before the last that was acknowledged, from a past of the stream in which that was
// longer), or a message of nobody's, published by hand (go on from there); or our own message whose acknowledgement was lost.
func (w *partitionWriter) explain(ctx context.Context, before uint64) (done bool, err error) {
	last, err := w.last(ctx)
	ours := last.publisher == w.publisher.opts.Name
	fell := last.Sequence < w.sequence() || ours && last.batch <= w.stored
	switch {
	case err != nil:
		return false, nil
	case last.publisher != "" && !ours && (!fell || last.at.After(w.claimed)):
		return false, fmt.Errorf("%w: partition %d now belongs to %q", ErrFenced, w.partition, last.publisher)
	case ours && !fell:
		w.acknowledged(last.Place, last.batch, before)
		return last.batch == w.batch, nil
	}
	if fell {
		w.publisher.owed.Add(1) // before the mark falls; the next look at the streams publishes everything again
	}
	w.end.Store(&last.Place)
	return false, nil
}

func placeOf(msg *Message) event.Place {
	return event.Place{Sequence: msg.Sequence, Sum: event.Sum(msg.Data)}
}

// lastMessage is what came last in a partition. It has no publisher if there is none, or it is somebody's broken message.
type lastMessage struct {
	event.Place
	publisher      string
	batch, history uint64
	at             time.Time
}

func (w *partitionWriter) last(ctx context.Context) (out lastMessage, err error) {
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	msg, err := w.publisher.link.LastOn(once, streamDelta, deltaSubject(w.partition))
	if errors.Is(err, ErrNoMessage) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("read the last of partition %d: %w", w.partition, err)
	}
	out.Place, out.at = placeOf(msg), msg.At
	if batch, _, err := new(event.Decoder).Deltas(msg.Data, msg.Format); err == nil {
		out.publisher, out.batch, out.history = batch.Publisher, batch.Batch, batch.History
	}
	return out, nil
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
