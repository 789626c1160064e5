package event

import (
	"bytes"
	"fmt"
	"unicode"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/yupiao/yupiao/pkg/rail"
)

// The limits of messages (E1), all of the contract and far above any real railway.
const (
	// MaxMessage is the most bytes of a message. A whole country's stations are one, some hundred changes a hundredth of it.
	MaxMessage = 8 << 20
	// maxJSON is the same for protobuf's JSON form, which is for people, and is read by way of an object for each pair of braces: maxBraces of them at most.
	maxJSON   = 2 << 20
	maxBraces = 1 << 16
	// maxSmall is the most bytes of a message that no more than a handful of things are in.
	maxSmall = 64 << 10
	// MaxReason is the most bytes of what travellers are told of a run.
	MaxReason = 1024
	// maxName is the most bytes of any other name.
	maxName = 256
	// maxNames is the most other languages in which a place has a name, maxPlaces the most cities, and stations.
	maxNames, maxPlaces = 64, 1 << 16
	// maxFaults is the most deltas of a message that may be broken by themselves. A message with more of them is nonsense as a whole.
	maxFaults = 64
	// maxSpans is the most spans of a bucket: one for each OD of the longest pattern. A quota more than for each stop to board at is of no use.
	maxSpans, maxQuotas = 1 << 17, rail.MaxStops
	// maxHistory is how often a publisher may have published everything again.
	maxHistory = 1 << 32
	// maxRuns is the most runs of a date within a partition.
	maxRuns = 1 << 16
)

// shape bounds a kind of message before anything is made of it: generated code makes an object of a hundred bytes of each embedded message, which can be two bytes long.
type shape struct {
	bytes int
	lists map[protowire.Number]repeated
}

// repeated is a repeated field, and how often it may occur.
type repeated struct {
	name string
	most int
}

var shapes = map[string]shape{
	"network":          {MaxMessage, map[protowire.Number]repeated{4: {"cities", maxPlaces}, 5: {"stations", maxPlaces}}},
	"pattern":          {MaxMessage, map[protowire.Number]repeated{4: {"stops", rail.MaxStops}, 5: {"classes", rail.MaxClasses}}},
	"state":            {MaxMessage, nil}, // the Decoder reads these two by itself, and counts on the way
	"deltas":           {MaxMessage, nil},
	"heartbeat":        {maxSmall, map[protowire.Number]repeated{2: {"marks", rail.Partitions}, 5: {"streams_created", rail.Partitions}, 7: {"streams_last", rail.Partitions}}},
	"versions":         {MaxMessage, map[protowire.Number]repeated{1: {"runs", maxRuns}}},
	"versions request": {maxSmall, nil},
	"repair request":   {maxSmall, nil},
	"repair reply":     {maxSmall, nil},
	"outcome":          {maxSmall, nil},
}

// fit reports that a message is larger than one of its kind may be.
func fit(kind string, data []byte, f Format) error {
	s := shapes[kind]
	if f == JSON {
		s.bytes = min(s.bytes, maxJSON)
	}
	if len(data) > s.bytes {
		return broken(kind, "message", fmt.Sprintf("%d bytes long", len(data)), fmt.Sprintf("at most %d", s.bytes))
	}
	if f != JSON {
		return s.count(kind, data)
	}
	if n := bytes.Count(data, []byte{'{'}); n > maxBraces {
		return broken(kind, "message", fmt.Sprintf("of %d objects", n), fmt.Sprintf("at most %d in the JSON form", maxBraces))
	}
	return nil
}

// count reports that a repeated field occurs too often. What cannot be read is left for the decoder to say.
func (s shape) count(kind string, data []byte) error {
	if len(s.lists) == 0 {
		return nil
	}
	seen := make(map[protowire.Number]int, len(s.lists))
	w := wire{data: data}
	for tag := w.next(); tag != 0; tag = w.next() {
		number := protowire.Number(tag >> 3)
		if field, some := s.lists[number]; some {
			if seen[number]++; seen[number] > field.most {
				return tooMany(kind, field.name, field.most)
			}
		}
		w.skip(tag)
	}
	return nil
}

// checkText reports what is not a text for people: it would break lines, move a cursor or fill a screen.
func checkText(kind, field, text string, most int) error {
	if len(text) > most {
		return broken(kind, field, fmt.Sprintf("%d bytes long", len(text)), fmt.Sprintf("at most %d", most))
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return broken(kind, field, fmt.Sprintf("%.80q", text), "a text without control characters")
		}
	}
	return nil
}

// checkTexts is checkText for several fields, by name and value.
func checkTexts(kind string, fields ...string) error {
	for i := 0; i < len(fields); i += 2 {
		if err := checkText(kind, fields[i], fields[i+1], maxName); err != nil {
			return err
		}
	}
	return nil
}

func checkHistory(kind string, history uint64) error {
	if history > maxHistory {
		return broken(kind, "history", history, fmt.Sprintf("at most %d", uint64(maxHistory)))
	}
	return nil
}

// tooMany says that there are more of something than the limit. How many is not worth counting.
func tooMany(kind, field string, most int) error {
	return broken(kind, "the number of "+field, fmt.Sprintf("above %d", most), "fewer")
}
