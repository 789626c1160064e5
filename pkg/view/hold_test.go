package view_test

import (
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/view"
)

// V5: a run that operators hold is shown as they say, in every answer and at once, and as it is when they let go of it.
func TestHolds(t *testing.T) {
	holds := &replica.Holds{}
	r, q := testkit.Held(holds), query("BJP", "SHH")
	g1 := rail.RunID{Date: testkit.Tuesday, Trip: "G1"}
	w := watch(q)
	for _, step := range []struct {
		name   string
		hold   replica.Hold
		want   string
		pinned bool
	}{
		{"nothing", replica.Hold{}, "G1 07:00 O=AVAILABLE:100", false},
		{"suspended", replica.Hold{Suspended: true, Reason: "a tree on the line"}, "G1 07:00 O=SUSPENDED 9=SUSPENDED", false},
		{"pinned", replica.Hold{Pinned: true}, "G1 07:00 O=AVAILABLE:100", true},
		{"let go", replica.Hold{}, "G1 07:00 O=AVAILABLE:100", false},
	} {
		before := view.Look(r, q, testkit.Morning)
		w.look(r, testkit.Morning)
		holds.Set(map[rail.RunID]replica.Hold{g1: step.hold})
		if before.Current(r, testkit.Morning) || before.Of(r) || w.Current(r, testkit.Morning) {
			t.Errorf("%s: an answer from before still holds", step.name)
		}
		a := view.Look(r, q, testkit.Morning)
		if got := summary(a); !strings.HasPrefix(got, step.want) || a.Pinned != step.pinned {
			t.Errorf("%s: %s, pinned %t; want %s", step.name, got, a.Pinned, step.want)
		}
		if w.look(r, testkit.Morning); !equal(w.answer(), a.Offers) {
			t.Errorf("%s: the watch holds %+v", step.name, w.answer())
		}
		if c := a.Offers[0].Classes[0]; step.hold.Suspended && (c.Reason.Notice != step.hold.Reason || a.Offers[0].Notice != step.hold.Reason) {
			t.Errorf("%s: %+v", step.name, a.Offers[0])
		}
		if d := view.Whole(r, g1, testkit.Morning); (d.ODs[0].Classes[0].State == rail.Suspended) != step.hold.Suspended || d.Hold != step.hold {
			t.Errorf("%s: the whole run says %+v", step.name, d.ODs[0])
		}
	}
}
