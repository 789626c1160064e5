package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/event"
)

var _ Link = (*Conn)(nil)

// configs are the streams as the contract wants them. File storage always: a memory stream with a long sparse range of sequences stalls its
// publishers whenever a reader starts (nats-server issue 7821).
func (l Limits) configs() []jetstream.StreamConfig {
	base := jetstream.StreamConfig{Storage: jetstream.FileStorage, Replicas: l.Replicas, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld}
	reference, state, delta := base, base, base
	reference.Name, reference.Subjects = streamReference, []string{subjectNetwork, subjectPattern + "*"}
	reference.MaxMsgsPerSubject, reference.AllowDirect = 1, true
	state.Name, state.Subjects = streamState, []string{subjectState + "*.*"}
	state.MaxMsgsPerSubject, state.AllowDirect, state.AllowMsgTTL = 1, true, true
	delta.Name, delta.Subjects = streamDelta, []string{subjectDelta + "*"}
	delta.MaxAge, delta.MaxMsgsPerSubject = l.DeltaAge, -1
	return []jetstream.StreamConfig{reference, state, delta}
}

// Ensure is part of Link.
func (c *Conn) Ensure(ctx context.Context, l Limits) error {
	for _, cfg := range l.orDefault().configs() {
		if _, err := c.js.CreateOrUpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("%w: create %s: %w", ErrStream, cfg.Name, err)
		}
	}
	return nil
}

// stream looks a stream up.
func (c *Conn) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := c.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: %s", ErrNoStream, name)
	}
	return s, err
}

// Look is part of Link.
func (c *Conn) Look(ctx context.Context, name string) (Sight, error) {
	stream, err := c.stream(ctx, name)
	if err != nil {
		return Sight{}, fmt.Errorf("look at %s: %w", name, err)
	}
	return sightOf(stream.CachedInfo()), nil
}

func sightOf(info *jetstream.StreamInfo) Sight {
	s := Sight{Created: info.Created, First: info.State.FirstSeq, Last: info.State.LastSeq, Messages: info.State.Msgs}
	if info.Cluster != nil {
		s.Leader = info.Cluster.Leader
	}
	return s
}

// Check is part of Link.
func (c *Conn) Check(ctx context.Context, name string) (Sight, error) {
	s, err := c.js.Stream(ctx, name)
	if err != nil {
		return Sight{}, fmt.Errorf("%w: %s: %w (the publisher creates it)", ErrStream, name, err)
	}
	for _, want := range (Limits{}).orDefault().configs() {
		if want.Name == name {
			err = unfit(&s.CachedInfo().Config, &want)
		}
	}
	if err != nil {
		return Sight{}, fmt.Errorf("%w: %s: %w", ErrStream, name, err)
	}
	return sightOf(s.CachedInfo()), nil
}

func unfit(got, want *jetstream.StreamConfig) error {
	switch {
	case got.Storage != jetstream.FileStorage:
		return fmt.Errorf("storage is %s; want file", got.Storage)
	case got.MaxMsgsPerSubject != want.MaxMsgsPerSubject:
		return fmt.Errorf("max_msgs_per_subject is %d; want %d", got.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	case want.AllowDirect && !got.AllowDirect:
		return errors.New("allow_direct is false; want true")
	case want.MaxAge == 0 && got.MaxAge != 0:
		return fmt.Errorf("max_age is %s; want none", got.MaxAge)
	}
	return nil
}

// ordered are the messages of an ordered consumer.
type ordered struct {
	jetstream.MessagesContext
	empty bool
}

// Empty is part of Messages.
func (o ordered) Empty() bool { return o.empty }

// maxPulled is the most bytes that are on their way from a stream. It must be more than any server's max_payload, which is 64 MiB at the most: a larger message would never come.
const maxPulled = 72 << 20

// Read is part of Link.
func (c *Conn) Read(ctx context.Context, stream string) (Messages, error) {
	consumer, err := c.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(10000, maxPulled), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return nil, err
	}
	info := consumer.CachedInfo()
	return ordered{messages, info != nil && info.NumPending == 0}, nil
}

// Next is part of Messages.
func (o ordered) Next() (Message, error) {
	m, err := o.MessagesContext.Next()
	if err != nil {
		return Message{}, err
	}
	return read(m)
}

func read(m jetstream.Msg) (Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Message{}, err
	}
	format := event.Protobuf
	if h := m.Headers(); h != nil {
		format = event.FormatOf(h.Get(headerContentType))
	}
	return Message{Subject: m.Subject(), Data: m.Data(), Format: format, Sequence: meta.Sequence.Stream, Pending: meta.NumPending}, nil
}

// Ends is part of Link.
func (c *Conn) Ends(ctx context.Context, stream, pattern string) (all []Message, err error) {
	consumer, err := c.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubjects: []string{pattern}, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	pending := consumer.CachedInfo().NumPending
	if pending == 0 {
		return nil, nil // a fetch would wait for one
	}
	batch, err := consumer.Fetch(int(pending), jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		message, err := read(m)
		if err != nil {
			return nil, err
		}
		all = append(all, message)
	}
	return all, batch.Error()
}

// LastOn is part of Link.
func (c *Conn) LastOn(ctx context.Context, stream, subject string) (*Message, error) {
	return c.one(ctx, stream, func(s jetstream.Stream) (*jetstream.RawStreamMsg, error) { return s.GetLastMsgForSubject(ctx, subject) })
}

// At is part of Link.
func (c *Conn) At(ctx context.Context, stream string, sequence uint64) (*Message, error) {
	return c.one(ctx, stream, func(s jetstream.Stream) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, sequence) })
}

// one gets a message of a stream.
func (c *Conn) one(ctx context.Context, stream string, get func(jetstream.Stream) (*jetstream.RawStreamMsg, error)) (*Message, error) {
	s, err := c.stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	m, err := get(s)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = ErrNoMessage
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	return &Message{Subject: m.Subject, Data: m.Data, Format: event.FormatOf(m.Header.Get(headerContentType)), At: m.Time, Sequence: m.Sequence}, nil
}

// Put is part of Link.
func (c *Conn) Put(ctx context.Context, stream string, m Outgoing, last uint64) (sequence uint64, err error) {
	ack, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Data: m.Data}, jetstream.WithExpectLastSequencePerSubject(last), jetstream.WithExpectStream(stream))
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, fmt.Errorf("%w: %w", ErrWrongLast, err)
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// Send is part of Link.
func (c *Conn) Send(m Outgoing) (Ack, error) {
	var opts []jetstream.PublishOpt
	if m.TTL > 0 {
		opts = append(opts, jetstream.WithMsgTTL(m.TTL))
	}
	future, err := c.js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Data: m.Data}, opts...)
	if errors.Is(err, nats.ErrMaxPayload) {
		return nil, fmt.Errorf("%w: %d bytes: %w", ErrTooLarge, len(m.Data), err)
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (uint64, error) {
		select {
		case ack := <-future.Ok():
			return ack.Sequence, nil
		case err := <-future.Err():
			var api *jetstream.APIError
			if errors.As(err, &api) && api.Code == 400 {
				return 0, fmt.Errorf("%w: %w", ErrRejected, err)
			}
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}, nil
}

// Subscribe is part of Link.
func (c *Conn) Subscribe(subject string, take func(Message)) (stop func(), err error) {
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) { take(told(m)) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // the connection may be gone already
}

func told(m *nats.Msg) Message {
	out := Message{Subject: m.Subject, Data: m.Data, Format: event.FormatOf(m.Header.Get(headerContentType))}
	if m.Reply != "" {
		out.Answer = m.Respond
	}
	return out
}

// Tell is part of Link.
func (c *Conn) Tell(subject string, data []byte) error { return c.nc.Publish(subject, data) }

// Ask is part of Link.
func (c *Conn) Ask(ctx context.Context, subject string, data []byte) (Message, error) {
	m, err := c.nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return Message{}, err
	}
	return told(m), nil
}
