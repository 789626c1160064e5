package event

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Decoder reads the messages of which there are many, DeltaBatches and RunStates, into memory that it uses again: what it returns holds until its next call;
// clone what is kept. Strings stay. It holds as much memory as the largest message took. The zero Decoder is ready; it is not safe for concurrent use.
type Decoder struct {
	days     known[rail.Date]
	trips    known[rail.TripID]
	patterns known[rail.PatternID]
	classes  known[rail.Class]
	last     rail.Class // the code that came last
	texts    known[string]

	batch   DeltaBatch
	adjusts []inventory.Adjust // of all deltas of the batch
	faults  []error

	state   RunState
	buckets []inventory.Bucket // of all classes of the state
	spans   []inventory.Span   // of all buckets,
	quotas  []inventory.Quota  // and so these
	stamp   timestamppb.Timestamp
}

// known maps texts to the values that were made of them, so that a text that came before costs no memory. A full one is started anew: a flood of new texts
// does not fill the memory. The zero known is empty.
type known[V any] map[string]V

const (
	// maxKnown is several times the trips that a country runs in a day.
	maxKnown = 1 << 16
	// maxText is the longest text worth knowing: that of an id.
	maxText = 64
)

func (k *known[V]) add(text string, v V) {
	if *k == nil || len(*k) >= maxKnown {
		*k = map[string]V{}
	}
	(*k)[text] = v
}

// run reads a run's id. The error names the field of that kind of message.
func (d *Decoder) run(kind string, text []byte) (rail.RunID, error) {
	const day = len("20261201")
	if len(text) > day && text[day] == '.' {
		date, old := d.days[string(text[:day])]
		if trip, same := d.trips[string(text[day+1:])]; old && same {
			return rail.RunID{Date: date, Trip: trip}, nil
		}
	}
	id, err := rail.ParseRunID(string(text))
	if err != nil {
		return id, broken(kind, "run", fmt.Sprintf("%.80q", text), "YYYYMMDD.trip")
	}
	d.days.add(id.Date.Compact(), id.Date)
	d.trips.add(string(id.Trip), id.Trip)
	return id, nil
}

func (d *Decoder) pattern(kind string, text []byte) (rail.PatternID, error) {
	if id, old := d.patterns[string(text)]; old {
		return id, nil
	}
	id := rail.PatternID(text)
	if rail.CheckToken(string(id)) != nil {
		return "", broken(kind, "pattern", fmt.Sprintf("%.80q", text), "1 to 64 letters, digits, '-' or '_'")
	}
	d.patterns.add(string(id), id)
	return id, nil
}

// code is a class code that is known, or can be one; false for another.
func (d *Decoder) code(text []byte) (rail.Class, bool) {
	if string(text) == string(d.last) && d.last != "" { // a change seldom concerns several classes
		return d.last, true
	}
	class, old := d.classes[string(text)]
	if !old {
		var err error
		if class, err = classOf("", "", string(text)); err != nil {
			return "", false
		}
		d.classes.add(string(class), class)
	}
	d.last = class
	return class, true
}

func (d *Decoder) text(text []byte) string {
	if s, old := d.texts[string(text)]; old {
		return s
	}
	s := string(text)
	if len(s) <= maxText {
		d.texts.add(s, s)
	}
	return s
}

// binary turns a message in JSON into its binary form, so that both are read by the same rules.
func binary(kind string, data []byte, m proto.Message) ([]byte, error) {
	if err := unmarshal(kind, data, JSON, m); err != nil {
		return nil, err
	}
	return marshal(kind, m, Protobuf)
}

// unreadable says that a message is not of its form.
func unreadable(kind string, err error) error {
	return fmt.Errorf("%w: decode %s: %w", ErrBroken, kind, err)
}

// since is what was put on a slab since it had a length, so that appending to it does not reach into what comes after.
func since[T any](slab []T, from int) []T { return slices.Clip(slab[from:]) }
