//go:build linux

package main

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/cluster"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

var (
	run     = rail.RunID{Date: rail.NewDate(2026, 12, 1), Trip: "G1"}
	morning = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
)

// past is a run with ten places of second class on three stops, and one standing: opened at 0 s, one sold from 0 to 1 at 10 s, suspended at 20 s, resumed with another
// quota at 30 s.
func past() *judge {
	state := func(revision uint64, suspended bool, quotas ...inventory.Quota) *event.RunState {
		return &event.RunState{Run: run, Version: rail.Version{Epoch: 1, Revision: revision}, Suspended: suspended, Classes: []inventory.Class{{Class: "O", Buckets: []inventory.Bucket{
			{Kind: inventory.Windows, Capacity: 10, Spans: []inventory.Span{{From: 0, To: 2, Count: 9}, {From: 1, To: 2, Count: 1}}, Quotas: quotas},
			{Kind: inventory.Pool, Capacity: 1, Spans: []inventory.Span{{From: 0, To: 1, Count: 1}, {From: 1, To: 2, Count: 1}}, Quotas: quotas},
		}}}}
	}
	opening := state(1, false)
	opening.Classes[0].Buckets[0].Spans = []inventory.Span{{From: 0, To: 2, Count: 10}}
	h := &history{}
	add := func(at time.Duration, s *event.RunState, adjusts ...inventory.Adjust) {
		v := rail.Version{Epoch: 1, Revision: uint64(len(h.changes) + 1)}
		h.changes = append(h.changes, booking.Change{At: morning.Add(at), State: s, Delta: event.RunDelta{Run: run, Version: v, Adjusts: adjusts, Restated: s != nil}})
	}
	add(0, opening)
	add(10*time.Second, nil, inventory.Sell("O", 0, 0, 2, 0, 1)...)
	add(20*time.Second, state(3, true))
	add(30*time.Second, state(4, false, inventory.Quota{ToFirst: 2, ToLast: 2}))
	return &judge{runs: map[string]*history{run.String(): h}}
}

// The judge lets pass what was true at some moment of an answer's time, and nothing else.
func TestJudge(t *testing.T) {
	shows := func(from, to, classes string) string {
		return `{"date":"2026-12-01","runs":[{"run":"` + run.String() + `","from":{"stop":` + from + `},"to":{"stop":` + to + `},"classes":[` + classes + `]}]}`
	}
	class := func(state, n string) string { return `{"class":"O","state":"` + state + `","remaining":` + n + `}` }
	for _, c := range []struct {
		name      string
		asOf, got float64 // seconds
		text      string
		wrong     string
	}{
		{"before the sale", 5, 6, shows("0", "1", class("AVAILABLE", "11")), ""},
		{"after it", 11, 12, shows("0", "1", class("AVAILABLE", "10")), ""},
		{"the other segment", 11, 12, shows("1", "2", class("AVAILABLE", "11")), ""},
		{"a pool is its least segment", 11, 12, shows("0", "2", class("AVAILABLE", "10")), ""},
		{"stale, within its time", 9, 12, shows("0", "1", class("AVAILABLE", "11")), ""},
		{"new, within its time", 9, 12, shows("0", "1", class("AVAILABLE", "10")), ""},
		{"stale", 10, 12, shows("0", "1", class("AVAILABLE", "11")), "had 10"},
		{"from the future", 5, 9, shows("0", "1", class("AVAILABLE", "10")), "had 11"},
		{"never true", 0, 40, shows("0", "1", class("AVAILABLE", "12")), "12"},
		{"sold out, and it is not", 11, 12, shows("0", "1", class("SOLD_OUT", "0")), "SOLD_OUT"},
		{"suspended", 21, 22, shows("0", "1", class("SUSPENDED", "0")), ""},
		{"not suspended, and it is", 21, 22, shows("0", "1", class("AVAILABLE", "10")), "suspended true"},
		{"restricted, to a stop before the last", 31, 32, shows("0", "1", class("RESTRICTED", "0")), ""},
		{"restricted, from a stop after the first", 31, 32, shows("1", "2", class("RESTRICTED", "0")), ""},
		{"restricted, and it is not", 31, 32, shows("0", "2", class("RESTRICTED", "0")), "RESTRICTED"},
		{"not restricted to the last stop", 31, 32, shows("0", "2", class("AVAILABLE", "10")), ""},
		{"not vouched for", 5, 6, shows("0", "1", `{"class":"O","state":"UNKNOWN"}`), ""},
		{"says that it is behind", 40, 41, strings.Replace(shows("0", "1", class("AVAILABLE", "11")), `,"classes"`, `,"behind":true,"classes"`, 1), ""},
		{"no such run", 5, 6, strings.Replace(shows("0", "1", ""), ".G1", ".G2", 1), "never opened"},
		{"before it was opened", -2, -1, shows("0", "1", class("AVAILABLE", "11")), "not open yet"},
		{"no such class", 5, 6, shows("0", "1", `{"class":"M","state":"AVAILABLE","remaining":1}`), "class M"},
		{"a run at its version", 11, 12, `{"run":"` + run.String() + `","version":{"epoch":1,"revision":2},"ods":[{"from":0,"to":1,"classes":[` + class("AVAILABLE", "10") + `]}]}`, ""},
		{"a run at another version", 11, 12, `{"run":"` + run.String() + `","version":{"epoch":1,"revision":1},"ods":[{"from":0,"to":1,"classes":[` + class("AVAILABLE", "10") + `]}]}`, "shown at version"},
	} {
		a := answer{live: true, asOf: morning.Add(time.Duration(c.asOf * float64(time.Second))), got: morning.Add(time.Duration(c.got * float64(time.Second)))}
		a.body = &body{text: []byte(c.text), detail: strings.HasPrefix(c.text, `{"run":`)}
		for _, live := range []bool{true, false} {
			a.live = live
			v, err := past().judged([]answer{a})
			if err != nil || v.judged != 1 {
				t.Fatal(c.name, err)
			}
			if wrong := v.wrong + v.wrongAside; (wrong > 0) != (c.wrong != "") || wrong > 0 && (!strings.Contains(v.examples[0], c.wrong) || v.wrong > 0 != live) {
				t.Errorf("%s: %+v; want %q", c.name, v, c.wrong)
			}
		}
	}
}

// Some faults on real processes, short: what is measured is no test's, but that all is answered and true is.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes half a minute: run without -short")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command to build the programs")
	}
	programs := t.TempDir()
	if err := cluster.Build(t.Context(), programs); err != nil { // which takes minutes where nothing is cached
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	o := options{
		only: regexp.MustCompile(`^kill -9: bookingd$|^a node-NATS: cut$`), balanced: 100, direct: 20, sales: 50, seed: 1, programs: programs,
		hold: 5 * time.Second, // more than twice what may pass until answers are marked
	}
	s, err := newStage(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.play(ctx, faults(s))
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		r := &rows[i]
		t.Log(r.line())
		if !r.good() || r.balanced.answered != r.balanced.asked || r.numbers == 0 || r.marked < 0 {
			t.Errorf("want all answered, and right, and marked: %v", r.examples)
		}
	}
	if len(rows) != 2 {
		t.Errorf("%d faults", len(rows))
	}
}
