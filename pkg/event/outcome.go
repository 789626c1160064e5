package event

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/rail"
)

// results of the schema as the vocabulary has them.
var results = map[eventpb.Result]offer.Result{
	eventpb.Result_HELD: offer.Held, eventpb.Result_SOLD_OUT: offer.SoldOut, eventpb.Result_REFUSED: offer.Refused,
}

func resultPB(r offer.Result) eventpb.Result {
	for pb, result := range results {
		if result == r {
			return pb
		}
	}
	return eventpb.Result_RESULT_UNSPECIFIED
}

// EncodeOutcome writes an Outcome. Ages are cut to milliseconds and brought within 0 and offer.MaxAge.
func EncodeOutcome(o *offer.Outcome, f Format) ([]byte, error) {
	return marshal("outcome", &eventpb.Outcome{
		Run: o.Offer.Run.String(), Class: string(o.Offer.Class), From: uint32(o.Offer.From), To: uint32(o.Offer.To), Version: versionPB(o.Offer.Version),
		AgeMs: millisPB(o.Offer.Age), TtlMs: millisPB(o.Offer.TTL), ShownAt: timePB(o.Offer.At), At: timePB(o.At), Result: resultPB(o.Result),
	}, f)
}

func millisPB(d time.Duration) uint32 { return uint32(min(max(d, 0), offer.MaxAge) / time.Millisecond) }

// DecodeOutcome reads an Outcome. The error wraps ErrBroken.
func DecodeOutcome(data []byte, f Format) (*offer.Outcome, error) {
	const kind = "outcome"
	var m eventpb.Outcome
	if err := unmarshal(kind, data, f, &m); err != nil {
		return nil, err
	}
	o := &offer.Outcome{Result: results[m.GetResult()]}
	if o.Result == 0 {
		return nil, broken(kind, "result", m.GetResult(), "HELD, SOLD_OUT or REFUSED")
	}
	var err error
	if o.Offer, err = shownOf(kind, &m); err != nil {
		return nil, err
	}
	if o.At, err = momentOf(kind, "at", m.GetAt()); err != nil {
		return nil, err
	}
	return o, nil
}

func shownOf(kind string, m *eventpb.Outcome) (o offer.Offer, err error) {
	o.Age, o.TTL = time.Duration(m.GetAgeMs())*time.Millisecond, time.Duration(m.GetTtlMs())*time.Millisecond
	if o.Run, err = rail.ParseRunID(m.GetRun()); err != nil {
		return o, broken(kind, "run", fmt.Sprintf("%.80q", m.GetRun()), "YYYYMMDD.trip")
	}
	if o.Class, err = classOf(kind, "class", m.GetClass()); err != nil {
		return o, err
	}
	if o.From, o.To, err = stopsOf(kind, "stops", m.GetFrom(), m.GetTo()); err != nil {
		return o, err
	}
	if o.Version, err = versionOf(kind, m.GetVersion()); err != nil {
		return o, err
	}
	o.At, err = momentOf(kind, "shown_at", m.GetShownAt())
	return o, err
}

// momentOf reads a time that must be there.
func momentOf(kind, field string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, broken(kind, field, "missing", "a time of the years 1970 to 9999")
	}
	return timeOf(kind, field, t)
}
