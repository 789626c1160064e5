package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
)

// Bookmark is how far a publisher has come: for each stream by name, when it was made, and a sequence that it had reached; for that of the deltas also the message that is there. A booking backend stores it together
// with what was acknowledged, and gives it to its next publisher. An acknowledged message may still be lost by a crash of its servers; when both crash at
// once, this alone tells.
type Bookmark map[string]StreamMark

// StreamMark is a place in a stream.
type StreamMark struct {
	Created time.Time `json:"created"`
	Last    uint64    `json:"last"`
	// Sum is that of the message with the sequence Last, so that a stream that fell back and has grown again is noticed. Only of the delta stream; 0: not known.
	Sum uint64 `json:"sum,omitempty"`
	// History is how often everything had been published again. Only of the delta stream.
	History uint64 `json:"history,omitempty"`
	// Covered is up to when every published delta is told by a state, too (P2). Only of the delta stream.
	Covered time.Time `json:"covered,omitzero"`
	// Owed: everything has to be published again (P6). Only of the delta stream.
	Owed bool `json:"owed,omitempty"`
}

// Bookmark is a place that lies behind everything that was acknowledged before the call.
func (p *Publisher) Bookmark() Bookmark {
	end := p.end()
	sights := *p.sights.Load()
	out := Bookmark{}
	for _, name := range streams {
		out[name] = StreamMark{Created: sights[name].Created, Last: p.highest[name].Load()}
	}
	out[streamDelta] = StreamMark{ // after the others: what makes them fall is owed before they do
		Created: sights[streamDelta].Created, Last: end.Sequence, Sum: end.Sum, Covered: p.coveredTo(), History: p.history.Load(), Owed: p.owed.Load() > 0 || p.late(),
	}
	return out
}

// end is the highest place in the delta stream that was acknowledged.
func (p *Publisher) end() (end event.Place) {
	for _, w := range p.writers {
		if at := w.end.Load(); at.Sequence > end.Sequence {
			end = *at
		}
	}
	return end
}

// overwritten reports whether another message is in a place where one was acknowledged: the stream fell back, and is as long again, or became longer, by a past that it had before. Whoever saw that
// may be gone before a bookmark told of it.
func (p *Publisher) overwritten(ctx context.Context, at event.Place) (bool, error) {
	if at.Sum == 0 {
		return false, nil // it is not known which one that was
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	msg, err := p.link.At(ctx, streamDelta, at.Sequence)
	if errors.Is(err, ErrNoMessage) || errors.Is(err, ErrNoStream) {
		return false, nil // it expired; or the stream is shorter, or not there, which a look tells
	}
	if err != nil {
		return false, fmt.Errorf("look at message %d: %w", at.Sequence, err)
	}
	return placeOf(msg) != at, nil
}
