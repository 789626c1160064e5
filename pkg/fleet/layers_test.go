package fleet

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
)

func own() *config.Node {
	n := config.DefaultNode()
	n.Origins = map[string]string{}
	return &n
}

var stored = time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)

func version(number uint64, document string) *feed.Stored {
	data, _ := (&Proposal{Document: document, By: "ann"}).encode()
	return &feed.Stored{Sequence: number, At: stored.Add(time.Duration(number) * time.Second), Data: data}
}

// from is where each value comes from, and what it is.
func (s *Settings) from() map[string]string {
	out := map[string]string{}
	for _, v := range s.Values {
		out[strings.TrimPrefix(v.Key, "freshness.")] = v.Value + " " + v.From
	}
	for _, r := range s.Rules {
		out[r.Name] = r.Effects + " " + r.From
	}
	return out
}

func expect(t *testing.T, l *Layers, want map[string]string) {
	t.Helper()
	s := l.Settings()
	got := s.from()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q; want %q", key, got[key], value)
		}
	}
}

// F1: what is shared lies over a node's own, and is gone again when nothing is shared.
func TestLayers(t *testing.T) {
	base := own()
	base.Freshness.RefuseAfter = time.Minute
	base.Origins["freshness.refuse_after"], base.Origins["rules[0]"] = "node.yaml:7", "node.yaml:9"
	l := NewLayers(base)
	alone := map[string]string{"ttl": "0s default", "refuse_after": "1m0s node.yaml:7", "rush": "ttl 100ms node.yaml:9"}
	expect(t, l, alone)
	if changed, err := l.Share(version(3, "freshness:\n  ttl: 1s\n")); !changed || err != nil {
		t.Fatal(changed, err)
	}
	expect(t, l, map[string]string{"ttl": "1s shared 3", "refuse_after": "1m0s node.yaml:7", "rush": "ttl 100ms node.yaml:9"})
	if l.Policy().Defaults.TTL.Fixed != time.Second || l.Version() != 3 {
		t.Error("it is not in force")
	}
	if changed, err := l.Share(version(3, "freshness:\n  ttl: 1s\n")); changed || err != nil {
		t.Error("the same version again is a change")
	}
	if _, err := l.Share(version(4, "rules:\n  - name: late\n    when: {days: [3, 9]}\n    ttl: auto\n    auto: {accuracy: 0.99, max: 2s}\n")); err != nil {
		t.Fatal(err)
	}
	expect(t, l, map[string]string{"ttl": "0s default", "rush": "", "late": "ttl auto shared 4"})
	if r := l.Settings().Rules[0]; r.When != "days 3-9" || r.Auto != "accuracy 0.99, max 2s" {
		t.Errorf("%+v", r)
	}
	if _, err := l.Share(version(5, "")); err != nil {
		t.Fatal(err)
	}
	expect(t, l, alone)
}

// F2: what is stored but no good is refused by name, and the last good ones stay in force, until good ones come.
func TestRefused(t *testing.T) {
	l := NewLayers(own())
	if _, err := l.Share(version(1, "freshness:\n  ttl: 1s\n")); err != nil {
		t.Fatal(err)
	}
	newer, _ := json.Marshal(map[string]any{"format": 2, "by": "bob", "document": "x"})
	for name, c := range map[string]struct {
		stored feed.Stored
		want   string
	}{
		"an unknown key":  {*version(2, "freshness:\n  tttl: 1s\n"), "shared settings, version 2:2: unknown key freshness.tttl"},
		"a dead rule":     {*version(2, "rules:\n  - name: a\n    ttl: 1s\n  - name: b\n    ttl: 2s\n"), "shared settings, version 2:4: rules[1] (b) can never match"},
		"no YAML":         {*version(2, "rules: ["), "version 2:1: not YAML"},
		"another's key":   {*version(2, "http:\n  address: 1.2.3.4:5\n"), "unknown key http"},
		"a newer program": {feed.Stored{Sequence: 2, At: stored, Data: newer}, "format 2, and this program knows 1"},
		"no JSON":         {feed.Stored{Sequence: 2, At: stored, Data: []byte("freshness:")}, "version 2: not JSON"},
		"nothing":         {feed.Stored{Sequence: 2, At: stored}, "version 2: not JSON"},
		"no format":       {feed.Stored{Sequence: 2, At: stored, Data: []byte("{}")}, "format is 0; want 1"},
	} {
		changed, err := l.Share(&c.stored)
		if !changed || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if name == "a newer program" && !errors.Is(err, ErrNewer) {
			t.Errorf("%v is not ErrNewer", err)
		}
		s := l.Settings()
		if s.Version != 1 || s.RefusedVersion != 2 || s.Refused != err.Error() || l.Refused() == nil || l.Policy().Defaults.TTL.Fixed != time.Second {
			t.Errorf("%s: %+v", name, s)
		}
		if changed, again := l.Share(&c.stored); changed || again == nil {
			t.Errorf("%s: it is told twice", name)
		}
		c.stored.At = c.stored.At.Add(time.Hour) // the next one is another
		_, _ = l.Share(version(1, "freshness:\n  ttl: 1s\n"))
	}
	if _, err := l.Share(version(3, "freshness:\n  ttl: 3s\n")); err != nil || l.Refused() != nil || l.Version() != 3 {
		t.Errorf("%v", err)
	}
}

// F5: a store that has lost everything changes nothing; what is stored in a new one after it holds, whatever its number.
func TestNothingStored(t *testing.T) {
	l := NewLayers(own())
	_, _ = l.Share(version(9, "freshness:\n  ttl: 1s\n"))
	if changed, err := l.Share(nil); changed || err != nil || l.Version() != 9 {
		t.Errorf("%t %v", changed, err)
	}
	if changed, err := l.Share(version(1, "freshness:\n  ttl: 2s\n")); !changed || err != nil || l.Version() != 1 || l.Policy().Defaults.TTL.Fixed != 2*time.Second {
		t.Errorf("%t %v", changed, err)
	}
}

// A node's own settings that do not fit under the shared ones change nothing and say so; they take hold when others are shared.
func TestMisfit(t *testing.T) {
	l := NewLayers(own())
	if _, err := l.Share(version(1, "freshness:\n  refuse_after: 5s\n")); err != nil {
		t.Fatal(err)
	}
	base := own()
	base.Freshness.DegradedAfter = 10 * time.Second // and refused earlier
	before := l.Policy()
	if err := l.Base(base); err == nil || !strings.Contains(err.Error(), "shared settings, version 1") || l.Policy() != before {
		t.Errorf("%v", err)
	}
	if s := l.Settings(); s.FileRefused == "" || s.Refused != "" || l.Refused() == nil {
		t.Errorf("%+v", s)
	}
	if _, err := l.Under("freshness:\n  refuse_after: 20s\n"); err != nil {
		t.Error(err)
	}
	if _, err := l.Under("freshness:\n  refuse_after: 5s\n"); err == nil {
		t.Error("it is not checked over what the file says")
	}
	if _, err := l.Share(version(2, "freshness:\n  refuse_after: 20s\n")); err != nil {
		t.Fatal(err)
	}
	if e := l.Policy().Defaults; e.DegradedAfter != 10*time.Second || e.RefuseAfter != 20*time.Second || l.Refused() != nil {
		t.Errorf("%+v %v", e, l.Refused())
	}
	if err := l.Base(own()); err != nil || l.Policy().Defaults.DegradedAfter != 2*time.Second {
		t.Error(err)
	}
}

// What is written can be read, and what nobody should write is refused by name.
func TestProposals(t *testing.T) {
	p := Proposal{Document: "freshness:\n  ttl: 1s\n", By: "安娜 <ann@example.org>", Note: "为什么", Restores: 4}
	data, err := p.encode()
	if err != nil || p.validate() != nil {
		t.Fatal(err, p.validate())
	}
	v, err := decode(&feed.Stored{Sequence: 5, At: stored, Data: data})
	if want := (Version{Number: 5, At: stored, By: p.By, Note: p.Note, Restores: 4, Document: p.Document}); err != nil || !reflect.DeepEqual(*v, want) {
		t.Errorf("%v: %+v", err, v)
	}
	for want, p := range map[string]Proposal{
		`by is ""`: {}, "by is": {By: strings.Repeat("x", 65)}, `by is "a\nb"`: {By: "a\nb"}, "note is": {By: "a", Note: strings.Repeat("x", 201)},
		"the document has": {By: "a", Document: strings.Repeat("#", longestWrite+1)},
	} {
		if err := p.validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func FuzzShare(f *testing.F) {
	f.Add([]byte(`{"format":1,"by":"a","document":"freshness:\n  ttl: 1s\n"}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := NewLayers(own())
		before := l.Policy()
		_, err := l.Share(&feed.Stored{Sequence: 1, At: stored, Data: data})
		if err != nil && l.Policy() != before || l.Policy().Validate() != nil {
			t.Errorf("%v: %+v", err, l.Policy())
		}
	})
}
