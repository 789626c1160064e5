package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/trial"
)

const secret = "correct horse battery staple"

// scripted is a fleet that says what a test wants, and remembers what it was asked.
type scripted struct {
	err      error
	proposal fleet.Proposal
	node     string
	document string
	most     int
	act      fleet.RunAct
	order    fleet.DrainOrder
}

func (s *scripted) Nodes(context.Context) ([]fleet.Status, error) {
	own, age := config.DefaultNode(), 0.25
	n := fleet.Status{Name: "a", ID: "1", Program: "v1.2.3", Ready: true, Runs: 5, Age: &age, Requests: 3.5, Settings: fleet.NewLayers(&own).Settings()}
	return []fleet.Status{n}, s.err
}

func (s *scripted) History(_ context.Context, most int) ([]fleet.Version, error) {
	s.most = most
	return []fleet.Version{{Number: 7, By: "ann", Document: "rules: []\n"}}, s.err
}

func (s *scripted) Share(_ context.Context, p fleet.Proposal) (uint64, []fleet.Verdict, error) {
	s.proposal = p
	return 8, []fleet.Verdict{{ID: "1", Name: "a"}}, s.err
}

func (s *scripted) Drain(_ context.Context, d fleet.DrainOrder) ([]fleet.Verdict, error) {
	s.order = d
	return []fleet.Verdict{{ID: "1", Name: "a"}}, s.err
}

func (s *scripted) Acts(_ context.Context, most int) ([]fleet.Act, error) {
	s.most = most
	return []fleet.Act{{At: testkit.Morning, By: "ann", What: "drain", Target: "a", Before: "live", After: "draining", Nodes: []fleet.Verdict{{ID: "1", Name: "a"}}}}, s.err
}

// alone is a node that tells what a test wants.
type alone struct{ level string }

func (a *alone) History() []Point {
	age := 0.25
	return []Point{{At: testkit.Morning, State: "live", Requests: 3, Age: &age}}
}

func (a *alone) Hot(most int) ([]Hot, error) {
	return []Hot{{From: "city:BJP", To: "AOH", Days: 1, Requests: float64(most)}}, nil
}
func (a *alone) Curve() []Day { return []Day{{Days: 0, Busy: Ruling{Rule: "rush", TTL: 0.1}}} }
func (a *alone) Config() []config.Setting {
	own := config.DefaultNode()
	return own.Settings()
}

func (a *alone) SetLevel(_ context.Context, level, _ string) (string, error) {
	if level == "loud" {
		return "", fmt.Errorf("%w: level is %q; want debug, info, warn or error", fleet.ErrInvalid, level)
	}
	before := a.level
	a.level = level
	return before, nil
}

func (s *scripted) OnRun(_ context.Context, a fleet.RunAct) (uint64, []fleet.Verdict, error) {
	s.act = a
	return 3, []fleet.Verdict{{ID: "1", Name: "a", Refused: "late"}}, s.err
}

func (s *scripted) Holds(context.Context) (*fleet.Holding, error) {
	held := fleet.HeldRun{Run: "20261201.G1", Suspended: true, Reason: "snow", By: "ann", At: testkit.Morning}
	h := &fleet.Holding{Number: 3, At: testkit.Morning, Runs: []fleet.HeldRun{held}}
	if s.act.Act != "" {
		h.Act = &s.act
	}
	return h, s.err
}

func (s *scripted) Try(_ context.Context, node, document string) (*fleet.Status, *trial.Report, error) {
	s.node, s.document = node, document
	return &fleet.Status{Name: "a"}, &trial.Report{Requests: 5}, s.err
}

// O3, of every path, whatever comes of it: headers hold for refusals and for what is not there, too.
func TestEveryAnswerIsGuarded(t *testing.T) {
	server := serve(t, &scripted{}, secret)
	paths := regexp.MustCompile(`(?m)^  (/\S*):$`).FindAllStringSubmatch(string(api.AdminAPI), -1)
	if len(paths) < 12 {
		t.Fatalf("%d paths in the document", len(paths))
	}
	for _, path := range append(paths, []string{"", "/none"}, []string{"", "//metrics"}, []string{"", "/debug/pprof/"}, []string{"", "/debug/pprof/cmdline"}) {
		for _, token := range []string{"", secret} {
			for _, method := range []string{"GET", "POST", "PUT", "OPTIONS"} {
				r, err := http.NewRequestWithContext(t.Context(), method, server.URL+strings.Replace(path[1], "/profile", "/profile?seconds=x", 1), strings.NewReader("{"))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Origin", "http://evil.example")
				bearer.Show(r, token)
				response, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close() // of no interest
				h := response.Header
				policy := h.Get("Content-Security-Policy")
				if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "frame-ancestors 'none'") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
					h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("Server") != "" || h.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s %s: %d %v", method, path[1], response.StatusCode, h)
				}
			}
		}
	}
}

func serve(t *testing.T, f Fleet, token string) *httptest.Server {
	t.Helper()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "yupiao_ready 1\n")
	})
	server := httptest.NewServer(Handler(Options{Fleet: f, Node: &alone{"info"}, Metrics: metrics, Token: bearer.New(token), Document: api.AdminAPI}))
	t.Cleanup(server.Close)
	return server
}

// call makes a request as anybody might.
func call(t *testing.T, server *httptest.Server, method, path, authorization, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	testkit.NewContract(t, api.AdminAPI).Check(t, r, response.StatusCode, response.Header, data)
	return response.StatusCode, string(data)
}

// O1, O2: who may do what, with and without a token.
func TestAuthorization(t *testing.T) {
	f := &scripted{}
	guarded, open := serve(t, f, secret), serve(t, f, "")
	reads := []string{"/metrics", "/openapi.yaml", "/fleet/nodes", "/fleet/settings", "/fleet/runs", "/fleet/acts", "/node/history", "/node/hot", "/node/ttl", "/node/config", "/debug/pprof/", "/nowhere"}
	for _, path := range reads {
		for header, allowed := range map[string]bool{"": false, "Bearer wrong": false, "Bearer " + secret: true} {
			status, body := call(t, guarded, "GET", path, header, "")
			if (status != http.StatusUnauthorized) != allowed || strings.Contains(body, secret) {
				t.Errorf("GET %s with %q: %d %s", path, header, status, body)
			}
		}
		if status, _ := call(t, open, "GET", path, "", ""); status == http.StatusUnauthorized || status == http.StatusForbidden {
			t.Errorf("GET %s without a token set: %d", path, status)
		}
	}
	for _, path := range []string{"/fleet/settings", "/fleet/settings/try", "/fleet/runs", "/fleet/drain", "/node/log"} {
		for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Basic " + secret: 401, "Bearer " + secret: 200} {
			if status, body := call(t, guarded, "POST", path, header, "{}"); status != want {
				t.Errorf("POST %s with %q: %d %s", path, header, status, body)
			}
		}
		if status, body := call(t, open, "POST", path, "Bearer ", "{}"); status != http.StatusForbidden || !strings.Contains(body, "YUPIAO_ADMIN_TOKEN") {
			t.Errorf("POST %s without a token set: %d %s", path, status, body)
		}
	}
}

// O2: what cannot be understood or done is a problem that says why.
func TestProblems(t *testing.T) {
	f := &scripted{}
	server := serve(t, f, secret)
	for body, want := range map[string]string{"": "EOF", "no JSON": "invalid character", "[]": "cannot unmarshal", `{"dokument":""}`: `unknown field`, "{}{}": "something follows", `{"document":3}`: "cannot unmarshal number"} {
		if status, answer := call(t, server, "POST", "/fleet/settings", "Bearer "+secret, body); status != 400 || !strings.Contains(answer, want) {
			t.Errorf("%q: %d %s", body, status, answer)
		}
	}
	if status, answer := call(t, server, "POST", "/fleet/settings/try", "Bearer "+secret, `{"document":"`+strings.Repeat("x", maxBody)+`"}`); status != 400 || !strings.Contains(answer, "too large") {
		t.Errorf("%d %s", status, answer)
	}
	for _, last := range []string{"0", "1001", "many", "-1"} {
		if status, answer := call(t, server, "GET", "/fleet/settings?last="+last, "Bearer "+secret, ""); status != 400 || !strings.Contains(answer, last) {
			t.Errorf("last=%s: %d %s", last, status, answer)
		}
	}
	for err, want := range map[error]int{
		fleet.ErrInvalid: 422, fleet.ErrRefused: 422, fleet.ErrNewer: 422, fleet.ErrConflict: 409, fleet.ErrUnknown: 404, fleet.ErrDenied: 403, errors.New("no server"): 502,
	} {
		f.err = fmt.Errorf("%w: the reason", err)
		for _, path := range []string{"/fleet/settings", "/fleet/settings/try"} {
			if want == http.StatusConflict && strings.HasSuffix(path, "/try") || want == http.StatusNotFound && !strings.HasSuffix(path, "/try") {
				continue // it has no such
			}
			if status, answer := call(t, server, "POST", path, "Bearer "+secret, "{}"); status != want || !strings.Contains(answer, "the reason") {
				t.Errorf("%v: %d %s", err, status, answer)
			}
		}
	}
	if status, _ := call(t, server, "DELETE", "/fleet/settings", "Bearer "+secret, ""); status != 404 {
		t.Errorf("DELETE: %d", status)
	}
}

// The client is the other side of the handler: what goes in comes out.
func TestClient(t *testing.T) {
	f := &scripted{}
	server := serve(t, f, secret)
	c := &Client{Server: server.URL + "/", Token: secret, HTTP: server.Client()}
	if nodes, err := c.Nodes(t.Context()); err != nil || len(nodes) != 1 || nodes[0].Name != "a" {
		t.Errorf("%v %+v", err, nodes)
	}
	if all, err := c.History(t.Context(), 3); err != nil || f.most != 3 || len(all) != 1 || all[0].Document != "rules: []\n" {
		t.Errorf("%v %+v", err, all)
	}
	p := fleet.Proposal{Document: "freshness:\n  ttl: 1s\n", By: "ann", Note: "why", After: 7, Restores: 2}
	number, verdicts, err := c.Share(t.Context(), p)
	if err != nil || number != 8 || !reflect.DeepEqual(f.proposal, p) || len(verdicts) != 1 {
		t.Errorf("%v %d %+v %+v", err, number, f.proposal, verdicts)
	}
	n, report, err := c.Try(t.Context(), "b", "doc")
	if err != nil || n.Name != "a" || report.Requests != 5 || f.node != "b" || f.document != "doc" {
		t.Errorf("%v %+v %+v", err, n, report)
	}
	order := fleet.DrainOrder{Node: "a", Draining: true, By: "ann", Note: "a new disk"}
	if drained, err := c.Drain(t.Context(), order); err != nil || f.order != order || len(drained) != 1 || drained[0].Name != "a" {
		t.Errorf("%v %+v %+v", err, f.order, drained)
	}
	if acts, err := c.Acts(t.Context(), 7); err != nil || f.most != 7 || len(acts) != 1 || acts[0].After != "draining" {
		t.Errorf("%v %+v", err, acts)
	}
	act := fleet.RunAct{Act: fleet.Suspend, Run: "G1@2026-12-01", Reason: "snow", By: "ann"}
	number, verdicts, err = c.OnRun(t.Context(), act)
	if err != nil || number != 3 || f.act != act || len(verdicts) != 1 || verdicts[0].Refused != "late" {
		t.Errorf("%v %d %+v %+v", err, number, f.act, verdicts)
	}
	if h, err := c.Holds(t.Context()); err != nil || h.Number != 3 || *h.Act != act || len(h.Runs) != 1 || h.Runs[0].Reason != "snow" {
		t.Errorf("%v %+v", err, h)
	}
	f.err = fmt.Errorf("%w by node a: the reason", fleet.ErrRefused)
	if _, _, err := c.Share(t.Context(), p); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("got %v", err)
	}
	c.Token = "wrong"
	if _, err := c.Nodes(t.Context()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "admin.token") {
		t.Errorf("got %v", err)
	}
	for _, address := range []string{"", "127.0.0.1:8081", "nats://127.0.0.1:4222", "http://"} {
		if _, err := (&Client{Server: address}).Nodes(t.Context()); err == nil || !strings.Contains(err.Error(), "want such as http://127.0.0.1:8081") {
			t.Errorf("%q: %v", address, err)
		}
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := (&Client{Server: other.URL}).Nodes(t.Context()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}

// What is done and not on record is done: the answer says on which nodes, and what is amiss.
func TestUnrecorded(t *testing.T) {
	f := &scripted{err: fmt.Errorf("%w: no room", fleet.ErrUnrecorded)}
	server := serve(t, f, secret)
	for path, body := range map[string]string{"/fleet/drain": `{"node":"a","draining":true,"by":"ann"}`, "/fleet/runs": `{"act":"pin","run":"20261201.G1","by":"ann"}`} {
		if status, answer := call(t, server, "POST", path, "Bearer "+secret, body); status != 200 || !strings.Contains(answer, `"name": "a"`) || !strings.Contains(answer, "on record: no room") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	c := &Client{Server: server.URL, Token: secret, HTTP: server.Client()}
	if verdicts, err := c.Drain(t.Context(), fleet.DrainOrder{}); !errors.Is(err, fleet.ErrUnrecorded) || err.Error() != f.err.Error() || len(verdicts) != 1 {
		t.Errorf("%v %+v", err, verdicts)
	}
	if number, verdicts, err := c.OnRun(t.Context(), fleet.RunAct{}); !errors.Is(err, fleet.ErrUnrecorded) || number != 3 || len(verdicts) != 1 {
		t.Errorf("%v %d %+v", err, number, verdicts)
	}
	f.err = nil
	if status, answer := call(t, server, "POST", "/node/log", "Bearer "+secret, `{"level":"loud","by":"ann"}`); status != 422 || !strings.Contains(answer, "want debug") {
		t.Errorf("%d %s", status, answer)
	}
}

// O1: the console's page is for everybody, since it tells nothing; nothing else is. Without a console there is nothing there.
func TestConsole(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "page "+r.URL.Path)
	})
	server := httptest.NewServer(Handler(Options{Fleet: &scripted{}, Node: &alone{}, Metrics: page, Console: page, Token: bearer.New(secret)}))
	defer server.Close()
	for path, want := range map[string]int{"/": 200, "/static/app.js": 200, "/index.html": 401, "/fleet/nodes": 401, "/node/config": 401, "/metrics": 401, "/staticky": 401} {
		r, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if _ = r.Body.Close(); r.StatusCode != want {
			t.Errorf("%s: %d; want %d", path, r.StatusCode, want)
		}
	}
	if status, body := call(t, server, "POST", "/", "Bearer "+secret, ""); status != 404 {
		t.Errorf("POST /: %d %s", status, body)
	}
	without := serve(t, &scripted{}, secret)
	for authorization, want := range map[string]int{"": 401, "Bearer " + secret: 404} {
		if status, body := call(t, without, "GET", "/", authorization, ""); status != want {
			t.Errorf("without a console, %q: %d %s", authorization, status, body)
		}
	}
}

// A node that takes a question and never answers is given up, and named.
func TestClientGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		c := &Client{Server: "http://node-1:8081", HTTP: stuck}
		_, err := c.Nodes(t.Context())
		_, drained := c.Drain(t.Context(), fleet.DrainOrder{})
		for _, err := range []error{err, drained} {
			if err == nil || !strings.Contains(err.Error(), "http://node-1:8081 does not answer") {
				t.Errorf("got %v", err)
			}
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
