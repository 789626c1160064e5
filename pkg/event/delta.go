package event

import (
	"github.com/yupiao/yupiao/pkg/event/eventpb"
)

// EncodeDeltas writes a DeltaBatch.
func EncodeDeltas(b *DeltaBatch, f Format) ([]byte, error) {
	m := &eventpb.DeltaBatch{Publisher: b.Publisher, Batch: b.Batch, History: b.History, After: b.After, Deltas: make([]*eventpb.RunDelta, 0, len(b.Deltas))}
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
