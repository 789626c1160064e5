package feed

import (
	"context"
	"errors"
	"fmt"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

func (r *Reader) lane(p rail.Partition) chan item { return r.lanes[int(p)%len(r.lanes)] }

// maxWaiting is the most bytes of messages between the streams and the lanes: a burst of a country's states is a tenth of it.
const maxWaiting = 64 << 20

func (it *item) weight() int64 { return int64(min(len(it.data), maxWaiting)) }

func (r *Reader) enqueue(ctx context.Context, it item) error {
	if err := r.waiting.Acquire(ctx, it.weight()); err != nil {
		return err
	}
	select {
	case r.lane(it.partition) <- it:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work is one lane: it decodes what belongs to its partitions and hands it over, one at a time.
func (r *Reader) work(ctx context.Context, lane chan item) error {
	decoder := new(event.Decoder)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case it := <-lane:
			err := r.do(decoder, &it)
			r.waiting.Release(it.weight())
			if err != nil {
				return err
			}
		}
	}
}

func (r *Reader) do(decoder *event.Decoder, it *item) error {
	switch it.kind {
	case kindCall:
		it.call()
	case kindState:
		r.doState(decoder, it)
	case kindDeltas:
		return r.doDeltas(decoder, it)
	}
	return nil
}

func (r *Reader) doState(decoder *event.Decoder, it *item) {
	state, err := decoder.State(it.data, it.format)
	if err == nil && state.Run != it.run {
		err = fmt.Errorf("%w: state: run %s does not belong on subject %s", event.ErrBroken, state.Run, it.position.Subject)
	}
	if err != nil {
		r.sink.Spoiled(it.partition, it.run, it.position, err)
		return
	}
	r.sink.State(it.partition, state)
}

// worded is how many faults of a message are put into words.
const worded = 3

// follows says whether a batch, of which it notes the sum, comes after the message that was read last in its partition. If not, the stream fell back, and the reader goes on in it somewhere later. What is amiss in messages that
// were there when it began does not become better by another attempt: their runs will show a gap.
func (r *Reader) follows(b *event.DeltaBatch, it *item) error {
	before := r.sums[it.partition]
	b.Sum = event.Sum(it.data)
	r.sums[it.partition] = b.Sum
	if b.After == 0 || before == 0 || b.After == before || it.position.Sequence <= r.end && !r.loaded.Load() {
		return nil
	}
	return fmt.Errorf("%w: message %d of partition %d does not come after the one that was read last", ErrDiverged, it.position.Sequence, it.partition)
}

func (r *Reader) doDeltas(decoder *event.Decoder, it *item) error {
	batch, faults, err := decoder.Deltas(it.data, it.format)
	if err != nil {
		r.sink.Broken(it.partition, 1, it.position, err)
		batch = &event.DeltaBatch{} // it was read, whatever it was: the position moves on, its runs will show a gap
	}
	r.histories[it.partition].Store(batch.History)
	if err := r.follows(batch, it); err != nil {
		return err // before the sink hears of it: it would take a mark of this message for a proof
	}
	astray := 0
	kept := batch.Deltas[:0]
	for _, d := range batch.Deltas {
		if p := d.Run.Partition(); p != it.partition {
			if astray++; astray <= worded {
				faults = append(faults, fmt.Errorf("%w: delta: run %s belongs to partition %d", event.ErrBroken, d.Run, p))
			}
			continue
		}
		kept = append(kept, d)
	}
	batch.Deltas = kept
	if broken := len(faults) + max(astray-worded, 0); broken > 0 {
		r.sink.Broken(it.partition, broken, it.position, errors.Join(faults[:min(len(faults), worded)]...))
	}
	r.sink.Deltas(it.partition, batch, it.position.Sequence)
	return nil
}

// inLane makes a call in a partition's lane.
func (r *Reader) inLane(ctx context.Context, p rail.Partition, call func()) error {
	return r.enqueue(ctx, item{partition: p, kind: kindCall, call: call})
}

// barrier waits until all that was handed to the lanes before is done.
func (r *Reader) barrier(ctx context.Context) error {
	for i := range r.lanes {
		done := make(chan struct{})
		if err := r.inLane(ctx, rail.Partition(i), func() { close(done) }); err != nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (r *Reader) tick(ctx context.Context) error {
	through := r.lastDelta.Load()
	for i := range r.lanes {
		err := r.inLane(ctx, rail.Partition(i), func() {
			for p := i; p < rail.Partitions; p += len(r.lanes) {
				r.sink.Tick(rail.Partition(p), through)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
