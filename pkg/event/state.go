package event

import (
	"fmt"
	"slices"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// EncodeState writes a RunState.
func EncodeState(s *RunState, f Format) ([]byte, error) {
	m := &eventpb.RunState{
		Run: s.Run.String(), Pattern: string(s.Pattern), Version: versionPB(s.Version), Reason: s.Reason,
		SaleOpensAt: timePB(s.SaleOpensAt), SaleClosesBefore: uint32(s.SaleClosesBefore),
	}
	if s.Suspended {
		m.Status = eventpb.SaleStatus_SUSPENDED
	}
	for i := range s.Classes {
		m.Classes = append(m.Classes, classPB(&s.Classes[i]))
	}
	return marshal("state", m, f)
}

func classPB(c *inventory.Class) *eventpb.ClassInventory {
	m := &eventpb.ClassInventory{Class: string(c.Class), Waitlist: c.Waitlist}
	for i := range c.Buckets {
		b := &c.Buckets[i]
		pb := &eventpb.Bucket{Kind: eventpb.BucketKind(b.Kind), Capacity: uint32(b.Capacity)}
		for _, s := range b.Spans {
			pb.Spans = append(pb.Spans, &eventpb.Span{From: uint32(s.From), To: uint32(s.To), Count: int32(s.Count)})
		}
		for _, q := range b.Quotas {
			pb.Quotas = append(pb.Quotas, &eventpb.Quota{
				FromFirst: uint32(q.FromFirst), FromLast: uint32(q.FromLast), ToFirst: uint32(q.ToFirst), ToLast: uint32(q.ToLast),
			})
		}
		m.Buckets = append(m.Buckets, pb)
	}
	return m
}

// DecodeState reads a RunState. The error wraps ErrBroken.
func DecodeState(data []byte, f Format) (*RunState, error) {
	const kind = "state"
	var m eventpb.RunState
	if err := unmarshal(kind, data, f, &m); err != nil {
		return nil, err
	}
	s := &RunState{Pattern: rail.PatternID(m.GetPattern()), Reason: m.GetReason()}
	var err error
	if s.Run, err = rail.ParseRunID(m.GetRun()); err != nil {
		return nil, broken(kind, "run", fmt.Sprintf("%.80q", m.GetRun()), "YYYYMMDD.trip")
	}
	if rail.CheckToken(m.GetPattern()) != nil {
		return nil, broken(kind, "pattern", fmt.Sprintf("%.80q", m.GetPattern()), "1 to 64 letters, digits, '-' or '_'")
	}
	if s.Version, err = versionOf(kind, m.GetVersion()); err != nil {
		return nil, err
	}
	if s.Suspended, err = suspended(m.GetStatus()); err != nil {
		return nil, err
	}
	if s.SaleOpensAt, err = timeOf(kind, "sale_opens_at", m.GetSaleOpensAt()); err != nil {
		return nil, err
	}
	if s.SaleClosesBefore, err = minutesOf(kind, "sale_closes_before", m.GetSaleClosesBefore()); err != nil {
		return nil, err
	}
	s.Classes, err = classesOf(m.GetClasses())
	return s, err
}

func suspended(s eventpb.SaleStatus) (bool, error) {
	switch s {
	case eventpb.SaleStatus_OPEN:
		return false, nil
	case eventpb.SaleStatus_SUSPENDED:
		return true, nil
	default:
		return false, broken("state", "status", s, "OPEN or SUSPENDED")
	}
}

func classesOf(in []*eventpb.ClassInventory) ([]inventory.Class, error) {
	if len(in) > rail.MaxClasses {
		return nil, broken("state", "classes", len(in), fmt.Sprintf("at most %d", rail.MaxClasses))
	}
	out := make([]inventory.Class, 0, len(in))
	for i, c := range in {
		field := fmt.Sprintf("classes[%d]", i)
		code, err := classOf("state", field+".class", c.GetClass())
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o inventory.Class) bool { return o.Class == code }) {
			return nil, broken("state", field+".class", code, "a class that did not occur before")
		}
		buckets, err := bucketsOf(field, c.GetBuckets())
		if err != nil {
			return nil, err
		}
		out = append(out, inventory.Class{Class: code, Waitlist: c.GetWaitlist(), Buckets: buckets})
	}
	return out, nil
}

func bucketsOf(class string, in []*eventpb.Bucket) ([]inventory.Bucket, error) {
	out := make([]inventory.Bucket, 0, len(in))
	for i, b := range in {
		field := fmt.Sprintf("%s.buckets[%d]", class, i)
		if k := b.GetKind(); k < 0 || k > eventpb.BucketKind_COUNTS {
			return nil, broken("state", field+".kind", k, "WINDOWS, POOL or COUNTS")
		}
		if b.GetCapacity() > rail.MaxCount {
			return nil, broken("state", field+".capacity", b.GetCapacity(), fmt.Sprintf("at most %d", rail.MaxCount))
		}
		spans, err := spansOf(field, b.GetSpans())
		if err != nil {
			return nil, err
		}
		quotas, err := quotasOf(field, b.GetQuotas())
		if err != nil {
			return nil, err
		}
		out = append(out, inventory.Bucket{Kind: inventory.Kind(b.GetKind()), Capacity: rail.SeatCount(b.GetCapacity()), Spans: spans, Quotas: quotas})
	}
	return out, nil
}

func spansOf(bucket string, in []*eventpb.Span) ([]inventory.Span, error) {
	out := make([]inventory.Span, 0, len(in))
	for i, s := range in {
		from, to, err := stopsOf("state", bucket+".spans", s.GetFrom(), s.GetTo())
		if err != nil {
			return nil, fmt.Errorf("span %d: %w", i, err)
		}
		count, err := countOf("state", bucket+".spans.count", s.GetCount())
		if err != nil {
			return nil, fmt.Errorf("span %d: %w", i, err)
		}
		out = append(out, inventory.Span{From: from, To: to, Count: count})
	}
	return out, nil
}

func quotasOf(bucket string, in []*eventpb.Quota) ([]inventory.Quota, error) {
	out := make([]inventory.Quota, 0, len(in))
	for i, q := range in {
		if q.GetFromFirst() > q.GetFromLast() || q.GetToFirst() > q.GetToLast() {
			return nil, broken("state", fmt.Sprintf("%s.quotas[%d]", bucket, i), "a range that ends before it starts", "first <= last")
		}
		if last := max(q.GetFromLast(), q.GetToLast()); last >= rail.MaxStops {
			return nil, broken("state", fmt.Sprintf("%s.quotas[%d]", bucket, i), last, fmt.Sprintf("stops below %d", rail.MaxStops))
		}
		out = append(out, inventory.Quota{
			FromFirst: rail.StopIndex(q.GetFromFirst()), FromLast: rail.StopIndex(q.GetFromLast()),
			ToFirst: rail.StopIndex(q.GetToFirst()), ToLast: rail.StopIndex(q.GetToLast()),
		})
	}
	return out, nil
}
