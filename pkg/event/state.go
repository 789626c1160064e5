package event

import (
	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/inventory"
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
