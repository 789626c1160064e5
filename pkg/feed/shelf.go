package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrConflict says that something else was stored since the sequence that the caller knew.
var ErrConflict = errors.New("stored meanwhile by another")

// Shelf is what all nodes share of one kind: a stream of versions, of which the last holds. The feed does not know what they say.
type Shelf struct{ stream, subject string }

// The shelves.
var (
	// SharedSettings are the nodes' settings.
	SharedSettings = &Shelf{"YUPIAO_SETTINGS", subjectRoot + "settings.node"}
	// SharedHolds are what operators have decided about runs.
	SharedHolds = &Shelf{"YUPIAO_HOLDS", subjectRoot + "holds"}
	// SharedActs are a record of what operators have done: none replaces the one before.
	SharedActs = &Shelf{"YUPIAO_ACTS", subjectRoot + "acts"}
)

// What is kept of a shelf's history, and how large one version may be.
const (
	shelfKept  = 1000
	shelfBytes = 256 << 10
)

// Stored is one version on a shelf.
type Stored struct {
	// Sequence in the stream is the version, from 1; each change has the next.
	Sequence uint64
	// At is when the server stored it.
	At   time.Time
	Data []byte
}

// Last reads the version that holds. Nil without an error: none was ever stored, or the stream is gone.
func (c *Conn) Last(ctx context.Context, shelf *Shelf) (*Stored, error) {
	all, err := c.History(ctx, shelf, 1)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// History reads so many of the last versions, the newest first. The stream's leader answers, so that what was acknowledged is in it.
func (c *Conn) History(ctx context.Context, shelf *Shelf, most int) ([]Stored, error) {
	stream, err := c.js.Stream(ctx, shelf.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shelf.stream, err)
	}
	var all []Stored
	state := stream.CachedInfo().State
	for sequence := state.LastSeq; sequence >= max(state.FirstSeq, 1) && len(all) < most; sequence-- {
		m, err := stream.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // deleted by hand
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", shelf.stream, err)
		}
		all = append(all, Stored{Sequence: m.Sequence, At: m.Time, Data: m.Data})
	}
	return all, nil
}

// Store stores the next version if the last one is still of a sequence, 0 for none; else the error is ErrConflict, and nothing is stored. It makes the
// stream if there is none, with as many replicas as that of the deltas.
func (c *Conn) Store(ctx context.Context, shelf *Shelf, data []byte, last uint64) (sequence uint64, err error) {
	if len(data) > shelfBytes {
		return 0, fmt.Errorf("%s: %d bytes; want at most %d", shelf.stream, len(data), shelfBytes)
	}
	if err := c.ensure(ctx, shelf); err != nil {
		return 0, err
	}
	ctx, done := c.denials.unlessDenied(ctx, shelf.subject)
	defer done(&err)
	ack, err := c.js.Publish(ctx, shelf.subject, data, jetstream.WithExpectLastSequencePerSubject(last))
	if errors.Is(err, jetstream.ErrKeyExists) { // the library's name for a wrong last sequence, on streams of one replica and of several
		return 0, fmt.Errorf("%w: version %d is not the last any more", ErrConflict, last)
	}
	if err != nil {
		return 0, fmt.Errorf("store in %s: %w", shelf.stream, err)
	}
	return ack.Sequence, nil
}

// Append stores what follows upon whatever was stored before.
func (c *Conn) Append(ctx context.Context, shelf *Shelf, data []byte) (err error) {
	if err := c.ensure(ctx, shelf); err != nil {
		return err
	}
	ctx, done := c.denials.unlessDenied(ctx, shelf.subject)
	defer done(&err)
	if _, err := c.js.Publish(ctx, shelf.subject, data); err != nil {
		return fmt.Errorf("store in %s: %w", shelf.stream, err)
	}
	return nil
}

func (c *Conn) ensure(ctx context.Context, shelf *Shelf) (err error) {
	_, err = c.js.Stream(ctx, shelf.stream)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	replicas := 1
	if delta, err := c.js.Stream(ctx, streamDelta); err == nil {
		replicas = delta.CachedInfo().Config.Replicas
	}
	ctx, done := c.denials.unlessDenied(ctx, ".STREAM.CREATE."+shelf.stream)
	defer done(&err)
	_, err = c.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: shelf.stream, Subjects: []string{shelf.subject}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardOld, MaxMsgsPerSubject: -1, MaxMsgs: shelfKept, Replicas: replicas,
	})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // made by another meanwhile
		return fmt.Errorf("%w: create %s: %w", ErrStream, shelf.stream, err)
	}
	return nil
}

// Watch calls look at the start, whenever a version is stored, and at an interval, in case that nothing was heard; until ctx ends (nil). Calls come one at a
// time. What is stored lies in the stream already when look is called, or will by the next call.
func (c *Conn) Watch(ctx context.Context, shelf *Shelf, every time.Duration, look func(context.Context)) error {
	heard := make(chan struct{}, 1)
	sub, err := c.nc.Subscribe(shelf.subject, func(*nats.Msg) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", shelf.subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone already
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	// A version may be heard of before the server has written it: look again a little later.
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-heard:
			again.Reset(shelfDelay)
		case <-again.C:
		case <-ticker.C:
		}
		look(ctx)
	}
}

// shelfDelay is more than a cluster takes to store a message, and far less than the second within which what is shared has to hold.
const shelfDelay = 200 * time.Millisecond
