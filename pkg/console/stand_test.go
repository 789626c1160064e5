package console_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/console"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/trial"
)

// stand is a node's real admin listener with a fleet that says what a test wants, and remembers what it was asked.
type stand struct {
	*httptest.Server

	mu         sync.Mutex // guards what follows
	err        error      // of whatever the fleet is asked
	unrecorded error      // of a drain that is done
	nodes      []fleet.Status
	versions   []fleet.Version // the newest first
	holding    fleet.Holding
	acts       []fleet.Act
	points     []admin.Point
	refuses    map[string]string // what a node refuses, by its name
	drains     []fleet.DrainOrder
	runActs    []fleet.RunAct
	shares     []fleet.Proposal
	tries      []string
	looks      int           // at the nodes
	stuck      chan struct{} // while it is not nil, nothing is answered until it is closed
	settings   config.Node
}

// newStand has three live nodes; the page is that of node-1. An empty token sets none.
func newStand(t *testing.T, token string) *stand {
	t.Helper()
	s := &stand{settings: config.DefaultNode(), refuses: map[string]string{}}
	s.settings.Admin.Token, s.settings.Feed.Name = token, "node-1"
	for i := range 3 {
		s.nodes = append(s.nodes, s.node(fmt.Sprintf("node-%d", i+1)))
	}
	s.holding.Runs = []fleet.HeldRun{}
	contract := testkit.NewContract(t, api.AdminAPI)
	handler := admin.Handler(admin.Options{
		Fleet: s, Node: local{s}, Metrics: http.NotFoundHandler(), Console: console.Handler(), Document: api.AdminAPI, Token: bearer.New(token),
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.wait(r.Context())
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		if !strings.HasPrefix(r.URL.Path, "/static/") && r.URL.Path != "/" {
			contract.Check(t, r, answer.Code, answer.Header(), answer.Body.Bytes()) // what stands here in for a fleet does not tell what none would
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the browser has gone
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *stand) wait(ctx context.Context) {
	s.mu.Lock()
	stuck := s.stuck
	s.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-ctx.Done():
		}
	}
}

// node is a live one.
func (s *stand) node(name string) fleet.Status {
	age := 0.24
	return fleet.Status{
		ID: "id-" + name + "-Vu94W1vEF", Name: name, Program: "v1.4.0", Started: time.Now().Add(-time.Hour), Ready: true, State: fleet.Live, Age: &age, Runs: 180_342, Requests: 1240.4,
		HitRatio: 0.9874, CPU: 0.41, P99: 0.00021, Lag: 2, Memory: 1480 << 20, Streams: 812, Settings: fleet.NewLayers(&s.settings).Settings(),
	}
}

// change does something to the stand between two requests.
func (s *stand) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// age makes a node as old as this, and degraded if that is much.
func (s *stand) age(i int, seconds float64) {
	s.change(func() {
		s.nodes[i].Age, s.nodes[i].State = &seconds, fleet.Live
		if seconds > 2 {
			s.nodes[i].State = fleet.Degraded
		}
	})
}

// verdicts are those of all nodes.
func (s *stand) verdicts() (all []fleet.Verdict) {
	for _, n := range s.nodes {
		all = append(all, fleet.Verdict{ID: n.ID, Name: n.Name, Refused: s.refuses[n.Name]})
	}
	return all
}

// record puts an act on record, as a fleet does.
func (s *stand) record(a fleet.Act) {
	a.At = time.Now()
	s.acts = append([]fleet.Act{a}, s.acts...)
}

func (s *stand) Nodes(context.Context) ([]fleet.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	return append([]fleet.Status{}, s.nodes...), s.err
}

func (s *stand) History(_ context.Context, most int) ([]fleet.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]fleet.Version{}, s.versions[:min(most, len(s.versions))]...), s.err
}

func (s *stand) Share(_ context.Context, p fleet.Proposal) (uint64, []fleet.Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shares = append(s.shares, p)
	if _, err := s.read(p.Document); err != nil {
		return 0, nil, fmt.Errorf("%w by node node-2: %w", fleet.ErrRefused, err)
	}
	if p.After != s.last() {
		return 0, nil, fmt.Errorf("%w: version %d is not the last any more; look at the history and try again", fleet.ErrConflict, p.After)
	}
	s.store(p)
	return s.last(), s.verdicts(), nil
}

func (s *stand) read(document string) (*policy.Document, error) {
	if document == "" {
		return nil, nil
	}
	return config.ParseDocument([]byte(document), "the document", s.settings.Policy())
}

func (s *stand) last() uint64 {
	if len(s.versions) == 0 {
		return 0
	}
	return s.versions[0].Number
}

func (s *stand) store(p fleet.Proposal) {
	v := fleet.Version{Number: s.last() + 1, At: time.Now(), By: p.By, Note: p.Note, Restores: p.Restores, Document: p.Document}
	s.versions = append([]fleet.Version{v}, s.versions...)
	for i := range s.nodes {
		s.nodes[i].Settings.Version = v.Number
	}
	s.record(fleet.Act{By: p.By, What: "settings", Note: p.Note, Before: fmt.Sprintf("version %d", v.Number-1), After: fmt.Sprintf("version %d", v.Number)})
}

func (s *stand) OnRun(_ context.Context, a fleet.RunAct) (uint64, []fleet.Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runActs = append(s.runActs, a)
	s.holding.Number++
	s.holding.At, s.holding.Act, s.holding.Runs = time.Now(), &a, []fleet.HeldRun{}
	before, after := "suspended", "as booked"
	if a.Act == fleet.Suspend {
		before, after = after, before
		s.holding.Runs = append(s.holding.Runs, fleet.HeldRun{Run: a.Run, Suspended: true, Reason: a.Reason, By: a.By, At: time.Now()})
	}
	verdicts := s.verdicts()
	for i := range s.nodes {
		if verdicts[i].Refused == "" {
			s.nodes[i].HoldsVersion, s.nodes[i].Holds = s.holding.Number, len(s.holding.Runs)
		}
	}
	s.record(fleet.Act{By: a.By, What: a.Act, Target: a.Run, Note: a.Reason, Before: before, After: after, Nodes: verdicts})
	return s.holding.Number, verdicts, s.err
}

func (s *stand) Holds(context.Context) (*fleet.Holding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holding
	return &h, s.err
}

func (s *stand) Drain(_ context.Context, d fleet.DrainOrder) ([]fleet.Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drains = append(s.drains, d)
	for i := range s.nodes {
		n := &s.nodes[i]
		if n.ID != d.Node {
			continue
		}
		before := n.State
		n.State = fleet.Live
		if d.Draining {
			n.State = fleet.Draining
		}
		verdicts := []fleet.Verdict{{ID: n.ID, Name: n.Name}}
		what := map[bool]string{true: "drain", false: "return"}[d.Draining]
		s.record(fleet.Act{By: d.By, What: what, Target: n.Name, Note: d.Note, Before: before, After: n.State, Nodes: verdicts})
		return verdicts, errors.Join(s.err, s.unrecorded)
	}
	return nil, fmt.Errorf("%w: node %s", fleet.ErrUnknown, d.Node)
}

func (s *stand) Acts(_ context.Context, most int) ([]fleet.Act, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]fleet.Act{}, s.acts[:min(most, len(s.acts))]...), s.err
}

func (s *stand) Try(_ context.Context, _, document string) (*fleet.Status, *trial.Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, document)
	if _, err := s.read(document); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", fleet.ErrRefused, err)
	}
	inForce := trial.Result{Seconds: 120, Requests: 1240, TTLHits: 310, StampHits: 905, Renders: 25, HitRatio: 0.98, CPU: 0.41, ByRule: []trial.RuleResult{{Rule: "(defaults)", Share: 1, HitRatio: 0.98}}}
	tried := inForce
	tried.TTLHits, tried.StampHits, tried.Renders, tried.HitRatio, tried.CPU, tried.Wrong, tried.Off = 1100, 134, 6, 0.995, 0.32, 0.0041, trial.Off{Mean: 1.2, P99: 4}
	tried.ByRule = []trial.RuleResult{{Rule: "rush", Share: 0.31, HitRatio: 0.999, Wrong: 0.013}, {Rule: "(defaults)", Share: 0.69, HitRatio: 0.993}}
	points := []trial.Point{{TTL: policy.TTL{}, Result: inForce}, {TTL: policy.TTL{Fixed: time.Second}, Result: tried}}
	return &s.nodes[0], &trial.Report{Begin: time.Now().Add(-2 * time.Minute), End: time.Now(), Requests: 148_800, Recorded: 51_200, Keys: 900, HotKeys: 40, SamplingRate: 0.2,
		InForce: inForce, Tried: tried, Curve: points}, nil
}

// hour makes the last hour of a node in trouble between two minutes, with a gap; times are minutes ago.
func hour(oldFrom, oldTo, gapFrom, gapTo float64) (points []admin.Point) {
	now := time.Now()
	for ago := time.Hour - 5*time.Second; ago > 0; ago -= 5 * time.Second {
		m := ago.Minutes()
		if m < gapFrom && m > gapTo {
			continue
		}
		wave, age := math.Sin(m/4)+math.Sin(m*1.7)/3, 0.25+0.1*math.Abs(math.Sin(m*2))
		p := admin.Point{At: now.Add(-ago), State: fleet.Live, Requests: 1200 + 250*wave, HitRatio: 0.975 + 0.015*math.Sin(m/9), P99: 0.0002 + 0.00005*math.Sin(m), Age: &age,
			Lag: uint64(3 + 2*math.Sin(m*3)), Changes: 320 + 60*wave, Streams: 800 + int(40*wave), CPU: 0.4 + 0.06*wave, Memory: 1400<<20 + uint64(m*1e5)}
		if m < oldFrom && m > oldTo {
			old := (oldFrom - m) * 60
			p.State, p.Age, p.Lag, p.Behind, p.Changes, p.Errors = fleet.Degraded, &old, uint64(old*300), uint64(old/3), 0, 0.4
		}
		points = append(points, p)
	}
	return points
}

// local is the stand as the node that serves the page.
type local struct{ *stand }

func (l local) History() []admin.Point {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.points
}

func (l local) Hot(int) ([]admin.Hot, error) {
	return []admin.Hot{{From: "city:BJP", To: "city:SHH", Days: 0, Requests: 312.4}, {From: "city:SHH", To: "city:BJP", Days: 1, Requests: 201.9}, {From: "VNP", To: "AOH", Days: 14, Requests: 88.2},
		{From: "city:GZQ", To: "city:SZQ", Days: 0, Requests: 61}, {From: "city:CDW", To: "city:CQW", Days: 3, Requests: 40.5}}, nil
}

func (l local) Curve() (days []admin.Day) {
	for i := range 15 {
		d := admin.Day{Days: i, Busy: admin.Ruling{Rule: "rush", TTL: 0.1}}
		if i > 3 {
			d.Quiet = admin.Ruling{Rule: "far", TTL: 2}
		}
		days = append(days, d)
	}
	return days
}

func (l local) Config() []config.Setting { return l.settings.Settings() }

func (l local) SetLevel(context.Context, string, string) (string, error) { return "info", nil }
