package fleet_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// Two nodes of one name are told apart by their ids alone; a node that is held up is said to be, and nobody waits for it long.
func TestDrain(t *testing.T) {
	host := testkit.Broker(t)
	one, two := join(t, host, "twin", 1, config.DefaultNode()), join(t, host, "twin", 2, config.DefaultNode())
	stuck := join(t, host, "stuck", 3, config.DefaultNode())
	o := operator(t, host, 3)
	stuck.hold()
	defer stuck.release()
	began := time.Now()
	nodes, err := o.Nodes(t.Context())
	if err != nil || len(nodes) != 3 || nodes[0].Silent == "" || nodes[0].Name != "stuck" || nodes[1].Silent != "" {
		t.Fatalf("%v %+v", err, nodes)
	}
	t.Logf("told after %s", time.Since(began).Round(time.Millisecond))
	warnings := strings.Join(fleet.Warnings(nodes), "; ")
	for _, want := range []string{"stuck: it is connected, and does not answer", "2 nodes are called twin"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("%q lacks %q", warnings, want)
		}
	}
	drain := func(node string, on bool) ([]fleet.Verdict, error) {
		return o.Drain(t.Context(), fleet.DrainOrder{Node: node, Draining: on, By: "ann", Note: "a disk"})
	}
	if _, err := drain("twin", true); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), one.Status().ID) || !strings.Contains(err.Error(), two.Status().ID) {
		t.Errorf("a name that two have: %v", err)
	}
	if _, err := drain("nobody", true); !errors.Is(err, fleet.ErrUnknown) || !strings.Contains(err.Error(), "stuck, twin, twin") {
		t.Errorf("a name that nobody has: %v", err)
	}
	if _, err := o.Drain(t.Context(), fleet.DrainOrder{Node: "twin"}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "by is") {
		t.Errorf("nobody does it: %v", err)
	}
	for _, on := range []bool{true, false} {
		if verdicts, err := drain(two.Status().ID, on); err != nil || len(verdicts) != 1 || verdicts[0].Refused != "" || two.draining() != on || one.draining() {
			t.Errorf("%t: %v %+v", on, err, verdicts)
		}
	}
	if verdicts, err := drain("stuck", true); err != nil || len(verdicts) != 1 || verdicts[0].Refused == "" {
		t.Errorf("a node that is held up: %v %+v", err, verdicts)
	}
	share(t, o, fleet.Proposal{Document: ttl(time.Second), Note: "a rush"}, 3, "stuck")
	acts, err := o.Acts(t.Context(), 10)
	if err != nil || len(acts) != 4 {
		t.Fatalf("%v %+v", err, acts)
	}
	for i, want := range []fleet.Act{{What: "settings", After: "version 1", Note: "a rush"}, {What: "drain", Target: "stuck"}, {What: "return", Target: "twin", Before: "draining", After: "live"}, {What: "drain", Target: "twin", Before: "live", After: "draining"}} {
		got := acts[i]
		if got.What != want.What || got.Target != want.Target || got.Before != want.Before || got.After != want.After || got.By != "ann" || got.At.IsZero() {
			t.Errorf("act %d: %+v; want %+v", i, got, want)
		}
	}
	if few, err := o.Acts(t.Context(), 2); err != nil || len(few) != 2 || few[0].What != "settings" {
		t.Errorf("%v %+v", err, few)
	}
	var text strings.Builder
	if err := errors.Join(fleet.WriteFleet(&text, nodes, time.Now()), fleet.WriteActs(&text, acts)); err != nil || !strings.Contains(text.String(), "silent") || !strings.Contains(text.String(), "1 of 1") {
		t.Errorf("%v\n%s", err, text.String())
	}
	t.Log("\n" + text.String())
}

// A node that is gone is missed until it is back under its name, or an hour has passed.
func TestRollCall(t *testing.T) {
	var r fleet.RollCall
	one, two, again := fleet.Status{ID: "1", Name: "one"}, fleet.Status{ID: "2", Name: "two"}, fleet.Status{ID: "3", Name: "two"}
	at := time.Unix(1_800_000_000, 0)
	for i, tt := range []struct {
		after time.Duration
		nodes []fleet.Status
		gone  string
	}{
		{0, []fleet.Status{one, two}, ""}, {time.Second, []fleet.Status{one}, "2"}, {time.Minute, []fleet.Status{one}, "2"}, {time.Minute, []fleet.Status{one, again}, ""},
		{time.Minute, []fleet.Status{one}, "3"}, {2 * time.Hour, []fleet.Status{one}, ""}, {time.Second, nil, "1"},
	} {
		at = at.Add(tt.after)
		gone := ""
		for _, n := range r.Call(tt.nodes, at) {
			if n.Silent != "" {
				gone += n.ID
			}
		}
		if gone != tt.gone {
			t.Errorf("call %d: %q are gone; want %q", i, gone, tt.gone)
		}
	}
}
