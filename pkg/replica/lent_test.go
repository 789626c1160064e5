package replica_test

import (
	"slices"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// What a feed hands over is lent for the call: a delta kept aside behind a gap (R2), a state kept until its pattern comes, and a sheet's quotas are copies.
func TestNothingLentIsKept(t *testing.T) {
	r := replica.New(replica.Options{Clock: func() time.Time { return testkit.Morning }})
	sink, pattern := testkit.Scribble(r), testkit.Pattern("G1", 600)
	run := rail.RunID{Date: testkit.Tuesday, Trip: "G1"}
	p := run.Partition()
	state := func(revision uint64) *event.RunState {
		return &event.RunState{Run: run, Pattern: pattern.ID, Version: rail.Version{Epoch: 1, Revision: revision}, Reason: "why", Classes: []inventory.Class{{Class: "O", Buckets: []inventory.Bucket{
			{Capacity: 9, Spans: []inventory.Span{{To: 2, Count: 9}}, Quotas: []inventory.Quota{{ToFirst: 1, ToLast: 2}}}, // from the first stop
		}}}}
	}
	sale := func(revision uint64) *event.DeltaBatch {
		d := event.RunDelta{Run: run, Version: rail.Version{Epoch: 1, Revision: revision}, Adjusts: []inventory.Adjust{{Class: "O", To: 2, By: -1}}}
		return &event.DeltaBatch{Deltas: []event.RunDelta{d}}
	}
	expect := func(revision uint64, left rail.SeatCount) {
		t.Helper()
		shown := r.Run(run)
		if shown == nil || shown.Health() != replica.Live || shown.Sheet().Version().Revision != revision || shown.Sheet().Reason != "why" {
			t.Fatalf("%+v; %+v", shown, r.Stats())
		}
		counts := shown.Sheet().Counts
		if got := slices.Concat(counts.Counts(nil, 0, 2), counts.Counts(nil, 0, 1), counts.Counts(nil, 1, 2)); !slices.Equal(got, []rail.SeatCount{left, left, 0}) {
			t.Errorf("%d: %v are left; want %d from the first stop", revision, got, left)
		}
		if !counts.Allowed(0, 0, 1) || counts.Allowed(0, 1, 2) {
			t.Errorf("%d: the quotas are not what the state said", revision)
		}
	}
	sink.State(p, state(1)) // before its pattern
	sink.Deltas(p, sale(4), 1)
	sink.Deltas(p, sale(3), 2)
	sink.Network(testkit.Network())
	sink.Pattern(pattern)
	sink.Tick(p, 2)
	sink.Deltas(p, sale(2), 3)
	expect(4, 6)
	sink.State(p, state(9))
	sink.Deltas(p, sale(10), 4)
	expect(10, 8)
}
