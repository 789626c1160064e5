package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// partitionWriter publishes the delta batches of one partition, one after the other: each expects the sequence of the one before (P3).
type partitionWriter struct {
	publisher *Publisher
	partition rail.Partition

	sequence atomic.Uint64 // of the partition's last acknowledged message; written under mu

	mu        sync.Mutex // guards what follows and the order of publishes
	batch     uint64
	published map[rail.Date]*publishedDay
}

// publishedDay is the last version of each run of a service date that went through the delta stream, and their digest, kept up to date: to sum it up anew would hold
// the partition up for milliseconds.
type publishedDay struct {
	runs   map[rail.RunID]rail.Version
	digest event.Digest
}

// claim takes charge: an empty batch moves the partition's last sequence. It starts again when the one in charge was faster.
func (w *partitionWriter) claim(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		_, last, err := w.last(ctx)
		if err != nil {
			return err
		}
		w.sequence.Store(last)
		if err := w.send(ctx, &event.DeltaBatch{}); !errors.Is(err, ErrFenced) {
			return err
		}
	}
}

// deltas publishes deltas in order.
func (w *partitionWriter) deltas(ctx context.Context, deltas []event.RunDelta) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(deltas) > 0 {
		n := min(len(deltas), w.publisher.opts.BatchSize)
		if err := w.publish(ctx, &event.DeltaBatch{Deltas: deltas[:n]}); err != nil {
			return err
		}
		w.note(deltas[:n])
		deltas = deltas[n:]
	}
	return nil
}

func (w *partitionWriter) note(deltas []event.RunDelta) {
	for i := range deltas {
		w.know(deltas[i].Run, deltas[i].Version)
	}
	w.publisher.uncover(deltas)
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

// digests publishes what a node should hold once it has applied all of the partition up to here. Days before `from` are forgotten.
func (w *partitionWriter) digests(ctx context.Context, from rail.Date) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []event.Digest
	for date, day := range w.published {
		if date < from {
			delete(w.published, date)
			continue
		}
		all = append(all, day.digest)
	}
	w.publisher.stats.digests.Add(uint64(len(all)))
	return w.publish(ctx, &event.DeltaBatch{Digests: all})
}

func (w *partitionWriter) versions(date rail.Date) *event.Versions {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := &event.Versions{Through: w.sequence.Load()}
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

// mark is the last acknowledged sequence.
func (w *partitionWriter) mark() event.Mark {
	return event.Mark{Partition: w.partition, Sequence: w.sequence.Load()}
}

// publish sends a batch unless the publisher is fenced off, which it then stays. The caller holds mu.
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
	data, err := event.EncodeDeltas(b, event.Protobuf)
	if err != nil {
		return err
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		done, err := w.try(ctx, data)
		if done || err != nil {
			return err
		}
		w.publisher.stats.retries.Add(1)
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("publish partition %d: %w", w.partition, err)
		}
	}
}

// try sends once. Neither done nor an error means: try again.
func (w *partitionWriter) try(ctx context.Context, data []byte) (done bool, err error) {
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	msg := &nats.Msg{Subject: deltaSubject(w.partition), Data: data}
	ack, err := w.publisher.conn.js.PublishMsg(once, msg, jetstream.WithExpectLastSequencePerSubject(w.sequence.Load()), jetstream.WithExpectStream(streamDelta))
	if err == nil {
		w.sequence.Store(ack.Sequence)
		w.publisher.stats.batches.Add(1)
		return true, nil
	}
	if ctx.Err() != nil {
		return false, fmt.Errorf("publish partition %d: %w", w.partition, ctx.Err())
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return w.explain(ctx)
	}
	return false, nil // no answer, no leader, no stream yet: the server's state decides at the next try
}

// explain finds out why the last sequence is not the expected one: a subject whose messages have all expired, a stream that was recreated or
// rolled back (it is lower than ours), or a message of nobody's, published by hand (go on from there); our own message whose acknowledgement was
// lost; or another publisher (P3).
func (w *partitionWriter) explain(ctx context.Context) (done bool, err error) {
	last, sequence, err := w.last(ctx)
	switch {
	case err != nil:
		return false, nil
	case last == nil || last.Publisher == "" || sequence < w.sequence.Load():
		if sequence < w.sequence.Load() {
			w.publisher.owed.Add(1) // before the mark falls; the next look at the streams publishes everything again
		}
		w.sequence.Store(sequence)
		return false, nil
	case last.Publisher == w.publisher.opts.Name:
		w.sequence.Store(sequence)
		return last.Batch == w.batch, nil
	default:
		return false, fmt.Errorf("%w: partition %d now belongs to %q", ErrFenced, w.partition, last.Publisher)
	}
}

// last is the partition's last message and its sequence; nil and 0 if there is none.
func (w *partitionWriter) last(ctx context.Context) (*event.DeltaBatch, uint64, error) {
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := w.publisher.conn.js.Stream(once, streamDelta)
	if err != nil {
		return nil, 0, fmt.Errorf("look up %s: %w", streamDelta, err)
	}
	msg, err := stream.GetLastMsgForSubject(once, deltaSubject(w.partition))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the last of partition %d: %w", w.partition, err)
	}
	batch, _, err := new(event.Decoder).Deltas(msg.Data, event.FormatOf(msg.Header.Get(headerContentType)))
	if err != nil {
		batch = &event.DeltaBatch{} // somebody's broken message
	}
	return batch, msg.Sequence, nil
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
