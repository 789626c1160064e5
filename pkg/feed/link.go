package feed

import (
	"context"
	"errors"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
)

// Link is the way to the servers that Readers and Publishers go. A Conn is one; a model of the servers, in which whatever can go wrong does, is another. All methods are safe for concurrent use.
type Link interface {
	// Ensure creates the streams of the feed, or brings their limits up to date. The error wraps ErrStream.
	Ensure(ctx context.Context, l Limits) error
	// Look tells how a stream is. The error wraps ErrNoStream if it is not there.
	Look(ctx context.Context, stream string) (Sight, error)
	// Check is Look that also holds the stream to the contract. The error wraps ErrStream if it is missing or does not keep what it should.
	Check(ctx context.Context, stream string) (Sight, error)
	// Read reads a stream from its first message on. Where messages were lost, or the stream is another one now, it goes on at the next sequence in silence.
	Read(ctx context.Context, stream string) (Messages, error)
	// Ends are the last messages of a stream on each subject that a pattern matches, in no order.
	Ends(ctx context.Context, stream, pattern string) ([]Message, error)
	// LastOn is the last message of a stream on a subject. The error wraps ErrNoMessage if there is none. It may be an older one for a moment.
	LastOn(ctx context.Context, stream, subject string) (*Message, error)
	// At is the message of a stream with a sequence. The error wraps ErrNoMessage if there is none: not yet, or not any more.
	At(ctx context.Context, stream string, sequence uint64) (*Message, error)
	// Put adds a message if the last one on its subject is still of a sequence, 0 for none; else the error wraps ErrWrongLast. Another error leaves open whether it was added.
	Put(ctx context.Context, stream string, m Outgoing, last uint64) (sequence uint64, err error)
	// Send begins to add a message to the stream of its subject. The error wraps ErrTooLarge, or says that it could not be sent now.
	Send(m Outgoing) (Ack, error)
	// Subscribe hands over whatever is told on a subject from now on, one after the other, until stop is called. What comes while the link is cut is lost.
	Subscribe(subject string, take func(Message)) (stop func(), err error)
	// Tell tells it to those who have subscribed now, and forgets it.
	Tell(subject string, data []byte) error
	// Ask tells it and waits for the first answer.
	Ask(ctx context.Context, subject string, data []byte) (Message, error)
}

// Errors of a Link.
var (
	ErrNoStream  = errors.New("there is no such stream")
	ErrNoMessage = errors.New("there is no such message")
	ErrWrongLast = errors.New("another message was the last one")
	ErrTooLarge  = errors.New("too large for the server")
	// ErrRejected: the server will never take it.
	ErrRejected = errors.New("rejected by the server")
)

// Messages are those of a stream, one after the other. One goroutine calls Next; Stop may be called by any.
type Messages interface {
	// Empty reports whether there were none when it began.
	Empty() bool
	// Next waits for the next one. After an error there are no more.
	Next() (Message, error)
	Stop()
}

// Message is one that came. Its data are the receiver's.
type Message struct {
	Subject string
	Data    []byte
	Format  event.Format
	// At is when the server stored it. Only LastOn and At tell.
	At time.Time
	// Sequence in its stream, and how many came after it as far as the server knew. Both 0 for what was told.
	Sequence, Pending uint64
	// Answer answers one that was asked; nil for others.
	Answer func(data []byte) error
}

// Outgoing is a message to be added to a stream.
type Outgoing struct {
	Subject string
	Data    []byte
	// TTL is after what time it goes; 0: never by itself. Whole seconds.
	TTL time.Duration
}

// Ack waits until a message is known to be stored, and tells its sequence. The error wraps ErrRejected; any other leaves open whether it was.
type Ack func(ctx context.Context) (sequence uint64, err error)

// Sight is what a look at a stream showed. The zero Sight is a stream that is not there.
type Sight struct {
	Created     time.Time
	First, Last uint64 // sequences
	Messages    uint64
	// Leader is the server that orders the stream, where several hold it; empty while none does.
	Leader string
}

// diverged reports whether the stream that was seen before is gone: recreated, or rolled back to an older copy.
func (s Sight) diverged(before Sight) bool {
	return !before.Created.IsZero() && (!s.Created.Equal(before.Created) || s.Last < before.Last)
}
