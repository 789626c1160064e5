package event

import (
	"fmt"
	"slices"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// What follows is the naive oracle of the Decoder: the messages as protobuf's generated code reads them, and then the same demands on what they say.

// generatedDeltas reads a DeltaBatch as generated code does. A delta that is broken by itself is left out and reported among the faults, so that it does not
// take its neighbours along: its run will show a gap. An error means that nothing of the message could be read. All errors wrap ErrBroken.
func generatedDeltas(data []byte, f Format) (batch *DeltaBatch, faults []error, err error) {
	var m eventpb.DeltaBatch
	if err := unmarshal("deltas", data, f, &m); err != nil {
		return nil, nil, err
	}
	batch = &DeltaBatch{Publisher: m.GetPublisher(), Batch: m.GetBatch(), History: m.GetHistory(), After: m.GetAfter(), Deltas: make([]RunDelta, 0, len(m.GetDeltas()))}
	for i, pb := range m.GetDeltas() {
		d, err := deltaOf(pb)
		if err != nil {
			faults = append(faults, fmt.Errorf("deltas[%d]: %w", i, err))
			continue
		}
		batch.Deltas = append(batch.Deltas, d)
	}
	for _, pb := range m.GetDigests() {
		date, err := rail.ParseCompactDate(pb.GetDate())
		if err != nil {
			return nil, nil, broken("deltas", "digests.date", fmt.Sprintf("%.20q", pb.GetDate()), "YYYYMMDD")
		}
		batch.Digests = append(batch.Digests, Digest{Date: date, Runs: pb.GetRuns(), Hash: pb.GetHash()})
	}
	return batch, faults, checkBatch(batch, len(faults))
}

func deltaOf(m *eventpb.RunDelta) (d RunDelta, err error) {
	const kind = "delta"
	if d.Run, err = rail.ParseRunID(m.GetRun()); err != nil {
		return d, broken(kind, "run", fmt.Sprintf("%.80q", m.GetRun()), "YYYYMMDD.trip")
	}
	if d.Version, err = versionOf(kind, m.GetVersion()); err != nil {
		return d, err
	}
	d.Restated = m.GetRestated()
	if d.Restated && len(m.GetAdjusts()) > 0 {
		return d, broken(kind, "adjusts", len(m.GetAdjusts()), "none in a restated delta")
	}
	d.Adjusts = make([]inventory.Adjust, 0, len(m.GetAdjusts()))
	for i, pb := range m.GetAdjusts() {
		a, err := adjustOf(pb)
		if err != nil {
			return d, fmt.Errorf("%s adjusts[%d]: %w", d.Run, i, err)
		}
		d.Adjusts = append(d.Adjusts, a)
	}
	return d, nil
}

func adjustOf(m *eventpb.Adjust) (a inventory.Adjust, err error) {
	const kind = "adjust"
	if a.Class, err = classOf(kind, "class", m.GetClass()); err != nil {
		return a, err
	}
	if m.GetBucket() > 255 {
		return a, broken(kind, "bucket", m.GetBucket(), "0 to 255")
	}
	a.Bucket = uint8(m.GetBucket())
	if a.From, a.To, err = stopsOf(kind, "stops", m.GetFrom(), m.GetTo()); err != nil {
		return a, err
	}
	a.By, err = countOf(kind, "by", m.GetBy())
	return a, err
}

func countOf(kind, field string, n int32) (rail.SeatCount, error) {
	if !isCount(n) {
		return 0, brokenCount(kind, field, n)
	}
	return rail.SeatCount(n), nil
}

// generatedState reads a RunState as generated code does. The error wraps ErrBroken.
func generatedState(data []byte, f Format) (*RunState, error) {
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
	if err = checkText(kind, "reason", s.Reason, MaxReason); err != nil {
		return nil, err
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
		if i >= inventory.MaxBuckets {
			return nil, tooMany("state", class+".buckets", inventory.MaxBuckets)
		}
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
		if i >= maxSpans {
			return nil, tooMany("state", bucket+".spans", maxSpans)
		}
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
		if i >= maxQuotas {
			return nil, tooMany("state", bucket+".quotas", maxQuotas)
		}
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
