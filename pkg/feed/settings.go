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

const (
	streamSettings  = "YUPIAO_SETTINGS"
	subjectSettings = subjectRoot + "settings.node"
	// What is kept of the settings' history, and how large one version may be.
	settingsKept  = 1000
	settingsBytes = 256 << 10
)

// Settings is one version of the settings that all nodes share, as it was stored. The feed does not know what it says.
type Settings struct {
	// Sequence in the stream is the version, from 1; each change has the next.
	Sequence uint64
	// At is when the server stored it.
	At   time.Time
	Data []byte
}

// LastSettings reads the version that holds. Nil without an error: none was ever stored, or the stream is gone.
func (c *Conn) LastSettings(ctx context.Context) (*Settings, error) {
	all, err := c.SettingsHistory(ctx, 1)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// SettingsHistory reads so many of the last versions, the newest first. The stream's leader answers, so that what was acknowledged is in it.
func (c *Conn) SettingsHistory(ctx context.Context, most int) ([]Settings, error) {
	stream, err := c.js.Stream(ctx, streamSettings)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", streamSettings, err)
	}
	var all []Settings
	state := stream.CachedInfo().State
	for sequence := state.LastSeq; sequence >= max(state.FirstSeq, 1) && len(all) < most; sequence-- {
		m, err := stream.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // deleted by hand
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", streamSettings, err)
		}
		all = append(all, Settings{Sequence: m.Sequence, At: m.Time, Data: m.Data})
	}
	return all, nil
}

// StoreSettings stores the next version if the last one is still of a sequence, 0 for none; else the error is ErrConflict, and nothing is stored. It makes the
// stream if there is none, with as many replicas as that of the deltas.
func (c *Conn) StoreSettings(ctx context.Context, data []byte, last uint64) (sequence uint64, err error) {
	if len(data) > settingsBytes {
		return 0, fmt.Errorf("settings have %d bytes; want at most %d", len(data), settingsBytes)
	}
	if err := c.ensureSettings(ctx); err != nil {
		return 0, err
	}
	ack, err := c.js.Publish(ctx, subjectSettings, data, jetstream.WithExpectLastSequencePerSubject(last))
	if errors.Is(err, jetstream.ErrKeyExists) { // the library's name for a wrong last sequence, on streams of one replica and of several
		return 0, fmt.Errorf("%w: version %d is not the last any more", ErrConflict, last)
	}
	if err != nil {
		return 0, fmt.Errorf("store settings: %w", err)
	}
	return ack.Sequence, nil
}

func (c *Conn) ensureSettings(ctx context.Context) error {
	_, err := c.js.Stream(ctx, streamSettings)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	replicas := 1
	if delta, err := c.js.Stream(ctx, streamDelta); err == nil {
		replicas = delta.CachedInfo().Config.Replicas
	}
	_, err = c.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: streamSettings, Subjects: []string{subjectSettings}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardOld, MaxMsgsPerSubject: -1, MaxMsgs: settingsKept, Replicas: replicas,
	})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // made by another meanwhile
		return fmt.Errorf("%w: create %s: %w", ErrStream, streamSettings, err)
	}
	return nil
}

// WatchSettings calls look at the start, whenever a version is stored, and at an interval, in case that nothing was heard; until ctx ends (nil). Calls come one at a
// time. What is stored lies in the stream already when look is called, or will by the next call.
func (c *Conn) WatchSettings(ctx context.Context, every time.Duration, look func(context.Context)) error {
	heard := make(chan struct{}, 1)
	sub, err := c.nc.Subscribe(subjectSettings, func(*nats.Msg) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subjectSettings, err)
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
			again.Reset(settingsDelay)
		case <-again.C:
		case <-ticker.C:
		}
		look(ctx)
	}
}

// settingsDelay is more than a cluster takes to store a message, and far less than the second within which settings have to hold.
const settingsDelay = 200 * time.Millisecond
