package event

import (
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/rail"
)

// ErrBroken marks a message that cannot be understood. The text names the field, the value and what would be right.
var ErrBroken = errors.New("broken message")

// Format is the coding of a message.
type Format uint8

// The codings: protobuf binary, and protobuf JSON for people with a command line.
const (
	Protobuf Format = iota
	JSON
)

// ContentTypeJSON is the value of the header Content-Type that marks a message as JSON. Any other value, or none, means Protobuf.
const ContentTypeJSON = "application/json"

// FormatOf is the format that a Content-Type header names.
func FormatOf(contentType string) Format {
	if contentType == ContentTypeJSON {
		return JSON
	}
	return Protobuf
}

func marshal(kind string, m proto.Message, f Format) ([]byte, error) {
	var data []byte
	var err error
	if f == JSON {
		data, err = protojson.Marshal(m)
	} else {
		data, err = proto.Marshal(m)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	return data, nil
}

func unmarshal(kind string, data []byte, f Format, m proto.Message) error {
	err := fit(kind, data, f)
	if err != nil {
		return err
	}
	if f == JSON {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
	} else {
		err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
	}
	if err != nil {
		return fmt.Errorf("%w: decode %s: %w", ErrBroken, kind, err)
	}
	return nil
}

// broken says which field of which message is wrong.
func broken(kind, field string, value any, want string) error {
	return fmt.Errorf("%w: %s: %s is %v; want %s", ErrBroken, kind, field, value, want)
}

func versionPB(v rail.Version) *eventpb.Version {
	return &eventpb.Version{Epoch: v.Epoch, Revision: v.Revision}
}

func versionOf(kind string, v *eventpb.Version) (rail.Version, error) {
	out := rail.Version{Epoch: v.GetEpoch(), Revision: v.GetRevision()}
	return out, checkVersion(kind, out)
}

func checkVersion(kind string, v rail.Version) error {
	if v.Revision == 0 {
		return broken(kind, "version.revision", 0, "1 or more")
	}
	return nil
}

func timePB(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeOf(kind, field string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	at := t.AsTime()
	if t.CheckValid() != nil || at.Year() < 1970 { // the zero time.Time, in the year 1, would read as "absent"
		return time.Time{}, broken(kind, field, t.GetSeconds(), "a time of the years 1970 to 9999")
	}
	return at, nil
}

// stopsOf reads the stops [from, to).
func stopsOf(kind, field string, from, to uint32) (a, b rail.StopIndex, err error) {
	if !areStops(from, to) {
		return 0, 0, brokenStops(kind, field, from, to)
	}
	return rail.StopIndex(from), rail.StopIndex(to), nil
}

func areStops(from, to uint32) bool { return from < to && to < rail.MaxStops }

func brokenStops(kind, field string, from, to uint32) error {
	return broken(kind, field, fmt.Sprintf("[%d, %d)", from, to), fmt.Sprintf("from < to < %d", rail.MaxStops))
}

func classOf(kind, field, code string) (rail.Class, error) {
	if len(code) < 1 || len(code) > 2 {
		return "", broken(kind, field, fmt.Sprintf("%.10q", code), "a class code of one or two characters")
	}
	return rail.Class(code), nil
}

func isCount(n int32) bool { return n >= -rail.MaxCount && n <= rail.MaxCount }

func brokenCount(kind, field string, n int32) error {
	return broken(kind, field, n, fmt.Sprintf("at most %d either way", rail.MaxCount))
}

// minutesOf bounds minutes so that no sum of them overflows.
func minutesOf(kind, field string, n uint32) (rail.Minutes, error) {
	if n > math.MaxInt16*2 {
		return 0, broken(kind, field, n, "at most 65534 minutes")
	}
	return rail.Minutes(n), nil
}
