package fleet_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/trial"
)

const subject = "yupiao.v1.settings.node"

type member struct {
	*fleet.Member
	layers *fleet.Layers
	log    *testkit.Log
	stop   func()

	held   sync.RWMutex // stops the member from telling its status
	drains atomic.Bool
}

func (m *member) hold()          { m.held.Lock() }
func (m *member) release()       { m.held.Unlock() }
func (m *member) draining() bool { return m.drains.Load() }

// join runs a member until the test ends, or stop is called.
func join(t *testing.T, host *testkit.Host, name string, requests float64, own config.Node) *member {
	t.Helper()
	m := &member{layers: fleet.NewLayers(&own), log: &testkit.Log{}}
	m.Member = fleet.NewMember(fleet.MemberOptions{
		Conn: testkit.Conn(t, host), Layers: m.layers, Name: name, Program: "v1.2.3-rc.1", Log: slog.New(slog.NewTextHandler(m.log, nil)),
		Status: func() fleet.Status {
			m.held.RLock()
			defer m.held.RUnlock()
			state := fleet.Live
			if m.draining() {
				state = fleet.Draining
			}
			return fleet.Status{Ready: true, State: state, Requests: requests, Settings: m.layers.Settings()}
		},
		Drain: m.drains.Store,
		Try: func(tried *policy.Policy) (*trial.Report, error) {
			if tried.Defaults.TTL.Fixed == time.Minute {
				return nil, trial.ErrIdle
			}
			return &trial.Report{Requests: uint64(tried.Defaults.TTL.Fixed.Seconds())}, nil
		},
	})
	m.stop = testkit.Run(t, m.Run)
	return m
}

// operator waits until it sees so many nodes.
func operator(t *testing.T, host *testkit.Host, nodes int) *fleet.Operator {
	t.Helper()
	o := fleet.NewOperator(testkit.Conn(t, host))
	testkit.Eventually(t, "the nodes", func() bool {
		all, err := o.Nodes(t.Context())
		return err == nil && len(all) == nodes
	})
	return o
}

func ttl(d time.Duration) string { return fmt.Sprintf("freshness:\n  ttl: %s\n", d) }

// share must work.
func share(t *testing.T, o *fleet.Operator, p fleet.Proposal, nodes int, without ...string) {
	t.Helper()
	if p.By == "" {
		p.By = "ann"
	}
	number, verdicts, err := o.Share(t.Context(), p)
	if err != nil || number != p.After+1 || len(verdicts) != nodes {
		t.Fatalf("%v: version %d, %+v", err, number, verdicts)
	}
	for _, v := range verdicts {
		if (v.Refused != "") != slices.Contains(without, v.Name) {
			t.Errorf("%+v", v)
		}
	}
}

// F3, F4: what one operator shares holds everywhere, later nodes included; the one who did not see it is refused; to go back is a new version.
func TestShare(t *testing.T) {
	host := testkit.Broker(t)
	a, b := join(t, host, "a", 1, config.DefaultNode()), join(t, host, "b", 2, config.DefaultNode())
	o := operator(t, host, 2)
	if all, err := o.History(t.Context(), 5); err != nil || len(all) != 0 {
		t.Fatalf("%v: %+v", err, all)
	}
	share(t, o, fleet.Proposal{Document: ttl(time.Second), Note: "why"}, 2)
	share(t, o, fleet.Proposal{Document: ttl(2 * time.Second), After: 1}, 2)
	for _, m := range []*member{a, b} {
		if m.layers.Policy().Defaults.TTL.Fixed != 2*time.Second || m.layers.Version() != 2 || !strings.Contains(m.log.String(), "version=2") {
			t.Errorf("version %d, %s", m.layers.Version(), m.log)
		}
	}
	if _, _, err := o.Share(t.Context(), fleet.Proposal{By: "bob", Document: ttl(5 * time.Second), After: 1}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "version 1 is not the last") {
		t.Errorf("got %v", err)
	}
	if _, _, err := o.Share(t.Context(), fleet.Proposal{Document: ttl(5 * time.Second), After: 2}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	later := join(t, host, "c", 0, config.DefaultNode())
	later.Look(t.Context())
	if later.layers.Version() != 2 {
		t.Errorf("a later node has version %d after its first look", later.layers.Version())
	}
	testkit.Eventually(t, "the later node", func() bool { all, _ := o.Nodes(t.Context()); return len(all) == 3 })
	all, err := o.History(t.Context(), 5)
	if err != nil || len(all) != 2 || all[0].Document != ttl(2*time.Second) || all[1].Note != "why" || all[1].Number != 1 || all[1].At.IsZero() {
		t.Fatalf("%v: %+v", err, all)
	}
	share(t, o, fleet.Proposal{Document: all[1].Document, After: 2, Restores: 1}, 3)
	share(t, o, fleet.Proposal{After: 3}, 3)
	if all, err = o.History(t.Context(), 5); err != nil || len(all) != 4 || all[1].Restores != 1 || all[0].Document != "" || a.layers.Policy().Defaults.TTL.Fixed != 0 {
		t.Errorf("%v: %+v", err, all)
	}
	a.stop()
	b.stop()
	var nodes []fleet.Status
	testkit.Eventually(t, "the others to be gone", func() bool { nodes, _ = o.Nodes(t.Context()); return len(nodes) == 1 })
	if nodes[0].Name != "c" || nodes[0].Program != "v1.2.3-rc.1" || nodes[0].ID == "" {
		t.Errorf("%+v", nodes)
	}
}

// F2: bad settings are refused before they are stored, even if only one node refuses them; what is stored past all checks is refused by every node.
func TestRefusedEverywhere(t *testing.T) {
	host := testkit.Broker(t)
	strict := config.DefaultNode()
	strict.Freshness.RefuseAfter = 3 * time.Second
	a, b := join(t, host, "a", 1, config.DefaultNode()), join(t, host, "strict", 2, strict)
	o := operator(t, host, 2)
	for want, document := range map[string]string{
		"by node a: invalid settings: the document:2: unknown key freshness.tl":           "freshness:\n  tl: 1s\n",
		"by node strict: invalid settings: the document:1: freshness: refuse_after is 3s": "freshness:\n  degraded_after: 10s\n",
	} {
		if _, _, err := o.Share(t.Context(), fleet.Proposal{By: "ann", Document: document}); !errors.Is(err, fleet.ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
	if all, err := o.History(t.Context(), 5); err != nil || len(all) != 0 {
		t.Errorf("it is stored: %v %+v", err, all)
	}
	share(t, o, fleet.Proposal{Document: ttl(time.Second)}, 2)
	plain := testkit.Plain(t, host)
	for number, data := range []string{`{"format":1,"by":"x","document":"freshness:\n  ttl: never\n"}`, `{"format":7}`, `no JSON`, ``} {
		if err := plain.Publish(subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*member{a, b} {
			testkit.Eventually(t, "a refusal by "+m.Status().Name, func() bool { return m.layers.Settings().RefusedVersion == uint64(number+2) })
			if m.layers.Version() != 1 || m.layers.Policy().Defaults.TTL.Fixed != time.Second {
				t.Errorf("%q is in force", data)
			}
		}
	}
	if !strings.Contains(a.log.String(), "shared settings refused") {
		t.Errorf("the log says %s", a.log)
	}
	nodes, err := o.Nodes(t.Context())
	if err != nil || !strings.Contains(nodes[0].Settings.Refused, "version 5") {
		t.Errorf("%v %+v", err, nodes)
	}
	if _, err := o.History(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "version 5: not JSON") {
		t.Errorf("got %v", err)
	}
	share(t, o, fleet.Proposal{Document: ttl(6 * time.Second), After: 5}, 2) // the way out
	if a.layers.Refused() != nil || b.layers.Policy().Defaults.TTL.Fixed != 6*time.Second {
		t.Errorf("%v", a.layers.Refused())
	}
}

// F4, F5: settings outlive the server's restart, the loss of their stream changes nothing, and what is shared after it holds.
func TestServerAccidents(t *testing.T) {
	host := testkit.Broker(t)
	m := join(t, host, "a", 1, config.DefaultNode())
	o := operator(t, host, 1)
	share(t, o, fleet.Proposal{Document: ttl(time.Second)}, 1)
	host.Stop()
	m.Look(t.Context())
	if m.layers.Version() != 1 {
		t.Error("without a server the settings are gone")
	}
	host.Start()
	testkit.Eventually(t, "the history after a restart", func() bool { all, err := o.History(t.Context(), 5); return err == nil && len(all) == 1 })
	testkit.Eventually(t, "the node after a restart", func() bool { all, err := o.Nodes(t.Context()); return err == nil && len(all) == 1 })
	plain := testkit.Plain(t, host)
	if _, err := plain.Request("$JS.API.STREAM.DELETE.YUPIAO_SETTINGS", nil, testkit.Patience); err != nil {
		t.Fatal(err)
	}
	if m.Look(t.Context()); m.layers.Version() != 1 || m.layers.Refused() != nil {
		t.Error("with their stream the settings are gone")
	}
	share(t, o, fleet.Proposal{Document: ttl(3 * time.Second)}, 1)
	if m.layers.Policy().Defaults.TTL.Fixed != 3*time.Second {
		t.Error("what is shared after it does not hold")
	}
}

// A what-if goes to the node that is named, or to the busiest; a node without requests says so.
func TestTry(t *testing.T) {
	host := testkit.Broker(t)
	join(t, host, "a", 5, config.DefaultNode())
	busy := join(t, host, "b", 9, config.DefaultNode())
	join(t, host, "b", 2, config.DefaultNode())
	o := operator(t, host, 3)
	for asked, want := range map[string]string{"": "b", "a": "a", "b": "b", busy.Status().ID: "b"} {
		n, report, err := o.Try(t.Context(), asked, ttl(7*time.Second))
		if err != nil || n.Name != want || report.Requests != 7 || n.Name == "b" && n.Requests != 9 {
			t.Errorf("%q: %v, %+v, %+v", asked, err, n, report)
		}
	}
	for document, want := range map[string]string{ttl(time.Minute): "asked nothing in the recorded time", "x: y": "the document:1: unknown key x", "rules: []\nx: [": "not YAML"} {
		if _, _, err := o.Try(t.Context(), "", document); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
	if _, _, err := o.Try(t.Context(), "nobody", ttl(time.Second)); !errors.Is(err, fleet.ErrUnknown) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("got %v", err)
	}
}

// Without a node, a document is read over the default settings, and can be stored for those that come.
func TestNobody(t *testing.T) {
	host := testkit.Broker(t)
	o := operator(t, host, 0)
	if _, err := o.Check(t.Context(), "x: y"); err == nil {
		t.Error("it is accepted")
	}
	if _, _, err := o.Try(t.Context(), "", ttl(time.Second)); !errors.Is(err, fleet.ErrUnknown) {
		t.Errorf("got %v", err)
	}
	share(t, o, fleet.Proposal{Document: ttl(time.Second)}, 0)
	m := join(t, host, "a", 1, config.DefaultNode())
	testkit.Eventually(t, "the settings", func() bool { return m.layers.Version() == 1 })
}

// What operators read: which node has what, and where it comes from; texts of others cannot break it.
func TestText(t *testing.T) {
	own := config.DefaultNode()
	own.Origins = map[string]string{"freshness.ttl": "node.yaml:3"}
	l := fleet.NewLayers(&own)
	age := 0.25
	nodes := []fleet.Status{
		{Name: "a", ID: "1", Requests: 1234, HitRatio: 0.987, CPU: 0.5, Age: &age, Settings: l.Settings()},
		{Name: "b\x1b[2J", ID: "2", Settings: l.Settings()},
		{Name: "c", ID: "3", Settings: l.Settings()},
	}
	nodes[0].Settings.Rules = slices.Clone(nodes[0].Settings.Rules)
	nodes[0].Settings.Rules[0].TTL, nodes[0].Settings.Rules[0].Why = "120ms", "cpu 61% of 60%"
	nodes[2].Settings.Values = append([]fleet.Value{{Key: "freshness.ttl", Value: "9s", From: "shared 6"}}, nodes[2].Settings.Values[1:]...)
	nodes[2].Settings.Version, nodes[2].Settings.Refused, nodes[2].Settings.RefusedVersion = 6, "a dead rule", 7
	nodes = append(nodes, fleet.Status{Name: "d", ID: "4", Silent: "it is connected, and does not answer"})
	now := time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)
	last := &fleet.Version{Number: 7, At: now.Add(-time.Minute), By: "ann", Note: "why", Document: ttl(time.Second)}
	var b bytes.Buffer
	if err := errors.Join(fleet.WriteStatus(&b, nodes, last, now), fleet.WriteStatus(&b, nil, nil, now),
		fleet.WriteHistory(&b, []fleet.Version{*last, {Number: 6, At: now, By: "x", Restores: 2}, {Number: 5, At: now, By: "y"}}),
		fleet.WriteVerdicts(&b, 7, []fleet.Verdict{{Name: "a"}, {Name: "c", Refused: "a dead rule"}})); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	for _, want := range []string{
		"shared settings: version 7, by ann", "(1m0s ago): why", "1234", "98.7%", "0.2 s", "6, refused 7", "its own, late", "! c: a dead rule", "on a, b?[2J:", "on c:",
		"node.yaml:3", "shared 6", "a: 120ms; cpu 61% of 60%", "no settings are shared", "no node answers", "version 2 again", "nothing shared", "2 lines: why", "in force on 1 of 2 nodes",
		"! d: it is connected",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(b.String(), "on d") {
		t.Error("it tells the settings of a node that does not tell them")
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a name steers the terminal")
	}
}
