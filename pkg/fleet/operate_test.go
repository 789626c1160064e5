package fleet_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
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

// A node of another program is shown as far as it can be read, and hides no other.
func TestOtherPrograms(t *testing.T) {
	host := testkit.Broker(t)
	join(t, host, "a", 1, config.DefaultNode())
	for name, status := range map[string]string{
		"old": `{"id":"%","name":"old","ready":true,"runs":7}`, "new": `{"id":"%","name":"new","state":"dreaming","runs":8,"moods":[1]}`, "odd": `{"id":"%","name":"odd","runs":"many"}`, "broken": `{`,
	} {
		id := ""
		testkit.Run(t, func(ctx context.Context) error {
			return testkit.Conn(t, host).ServeOperators(ctx, feed.Service{
				Version: "9.9.9", About: map[string]string{"name": name, "program": "v9.9.9"},
				Verbs: map[string]func(context.Context, []byte) ([]byte, error){"status": func(context.Context, []byte) ([]byte, error) {
					return []byte(strings.ReplaceAll(status, "%", id)), nil
				}},
			}, func(own string) { id = own })
		})
	}
	var nodes []fleet.Status
	o := operator(t, host, 5)
	testkit.Eventually(t, "all of them to have their verbs", func() bool {
		nodes, _ = o.Nodes(t.Context())
		return len(nodes) == 5 && nodes[2].Runs == 8 && strings.Contains(nodes[3].Silent, "cannot read") && nodes[4].Runs == 7
	})
	var text strings.Builder
	if err := fleet.WriteFleet(&text, nodes, time.Now()); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + text.String())
	for _, want := range []string{"dreaming", "odd: it is of another program, and this one cannot read what it says", "broken: it is connected, and does not answer", "nodes of different programs: v1.2.3-rc.1, v9.9.9"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	lines := strings.Split(text.String(), "\n")
	for i, line := range lines[1:6] { // the last column is that of the time since the start, which none of them tells
		if len(line) < len("up") || strings.Index(lines[0], "up") != strings.LastIndex(line, "-") {
			t.Errorf("row %d does not end below its heading with -", i)
		}
	}
	if verdicts, err := o.Drain(t.Context(), fleet.DrainOrder{Node: "old", Draining: true, By: "ann"}); err != nil || len(verdicts) != 1 || !strings.Contains(verdicts[0].Refused, `does not know "drain"`) {
		t.Errorf("a program that cannot be drained: %v %+v", err, verdicts)
	}
}

// What was done is done, whether it can be put on record or not; it is said that it cannot. A record that nobody can read hides no other.
func TestRecord(t *testing.T) {
	host := testkit.Broker(t)
	m := join(t, host, "a", 1, config.DefaultNode())
	o := operator(t, host, 1)
	plain := testkit.Plain(t, host)
	call := func(subject, body string) {
		t.Helper()
		if r, err := plain.Request(subject, []byte(body), testkit.Patience); err != nil || strings.Contains(string(r.Data), `"error"`) {
			t.Fatalf("%v %s", err, r.Data)
		}
	}
	call("$JS.API.STREAM.CREATE.MINE", `{"name":"MINE","subjects":["yupiao.v1.acts"]}`)
	verdicts, err := o.Drain(t.Context(), fleet.DrainOrder{Node: "a", Draining: true, By: "ann"})
	if !errors.Is(err, fleet.ErrUnrecorded) || len(verdicts) != 1 || verdicts[0].Refused != "" || !m.draining() {
		t.Errorf("%v %+v", err, verdicts)
	}
	call("$JS.API.STREAM.DELETE.MINE", "")
	if err := o.Record(t.Context(), fleet.Act{By: "ann", What: "log", Target: "a", Before: "info", After: "debug"}); err != nil {
		t.Fatal(err)
	}
	call("yupiao.v1.acts", "no JSON")
	share(t, o, fleet.Proposal{Document: ttl(time.Second)}, 1)
	call("yupiao.v1.settings.node", `{"format":9}`)
	acts, err := o.Acts(t.Context(), 10)
	if err != nil || len(acts) != 4 {
		t.Fatalf("%v %+v", err, acts)
	}
	if acts[0].What != "settings" || acts[0].After != "version 2" || !strings.Contains(acts[0].Note, "bring it up to date") || acts[1].By != "ann" || acts[2].What != "unreadable" || acts[3].After != "debug" {
		t.Errorf("%+v", acts)
	}
}
