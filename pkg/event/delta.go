package event

import (
	"fmt"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// EncodeDeltas writes a DeltaBatch.
func EncodeDeltas(b *DeltaBatch, f Format) ([]byte, error) {
	m := &eventpb.DeltaBatch{Publisher: b.Publisher, Batch: b.Batch, History: b.History, Deltas: make([]*eventpb.RunDelta, 0, len(b.Deltas))}
	for i := range b.Deltas {
		m.Deltas = append(m.Deltas, deltaPB(&b.Deltas[i]))
	}
	for _, d := range b.Digests {
		m.Digests = append(m.Digests, &eventpb.Digest{Date: d.Date.Compact(), Runs: d.Runs, Hash: d.Hash})
	}
	return marshal("deltas", m, f)
}

func deltaPB(d *RunDelta) *eventpb.RunDelta {
	m := &eventpb.RunDelta{Run: d.Run.String(), Version: versionPB(d.Version), Restated: d.Restated}
	for _, a := range d.Adjusts {
		m.Adjusts = append(m.Adjusts, &eventpb.Adjust{
			Class: string(a.Class), Bucket: uint32(a.Bucket), From: uint32(a.From), To: uint32(a.To), By: int32(a.By),
		})
	}
	return m
}

// DecodeDeltas reads a DeltaBatch. A delta that is broken by itself is left out and reported among the faults, so that it does not
// take its neighbours along: its run will show a gap. An error means that nothing of the message could be read. All errors wrap ErrBroken.
func DecodeDeltas(data []byte, f Format) (batch *DeltaBatch, faults []error, err error) {
	var m eventpb.DeltaBatch
	if err := unmarshal("deltas", data, f, &m); err != nil {
		return nil, nil, err
	}
	batch = &DeltaBatch{Publisher: m.GetPublisher(), Batch: m.GetBatch(), History: m.GetHistory(), Deltas: make([]RunDelta, 0, len(m.GetDeltas()))}
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
	return batch, faults, nil
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
