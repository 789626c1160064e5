package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

const (
	prometheusFolder = "../../configs/prometheus"
	provisioning     = "../../configs/grafana/provisioning"
)

// ruleFile is as much of alerts.yml as the tests look at.
type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Record, Alert, Expr, For string
			Labels, Annotations      map[string]string
		}
	}
}

func readRules(t *testing.T) (f ruleFile) {
	t.Helper()
	readYAML(t, filepath.Join(prometheusFolder, "alerts.yml"), &f)
	return f
}

// Every alert tells what to do and has its section in the runbook, and the runbook has no other.
func TestAlertsSayWhatToDo(t *testing.T) {
	book, err := os.ReadFile(filepath.Join(prometheusFolder, "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile(`(?m)^## (Yupiao\w+)$`).FindAllStringSubmatch(string(book), -1)
	var alerts []string
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			alerts = append(alerts, r.Alert)
			if severity := r.Labels["severity"]; severity != "page" && severity != "ticket" {
				t.Errorf("%s: severity %q", r.Alert, severity)
			}
			if len(r.Annotations["action"]) < 40 || r.Annotations["summary"] == "" || r.Annotations["runbook"] != "RUNBOOK.md#"+strings.ToLower(r.Alert) {
				t.Errorf("%s: %v", r.Alert, r.Annotations)
			}
		}
	}
	for _, s := range sections {
		if !slices.Contains(alerts, s[1]) {
			t.Errorf("the runbook has %s, which is no alert", s[1])
		}
		alerts = slices.DeleteFunc(alerts, func(a string) bool { return a == s[1] })
	}
	if len(alerts) > 0 {
		t.Errorf("the runbook lacks %v", alerts)
	}
}

// promtool runs it and returns what it says.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool to run the alert rules: apt-get install prometheus")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

// alerts_test.yml has each alert fire, and see that those who are well beside it, and a deploy, raise none.
func TestAlertsFireOnNumbers(t *testing.T) {
	numbers := filepath.Join(prometheusFolder, "alerts_test.yml")
	text, err := os.ReadFile(numbers)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" && !strings.Contains(string(text), fmt.Sprintf("alertname=%q", r.Alert)) {
				t.Errorf("no test of %s has %s fire", numbers, r.Alert)
			}
		}
	}
	for _, args := range [][]string{{"check", "rules", filepath.Join(prometheusFolder, "alerts.yml")}, {"test", "rules", numbers}} {
		if out, err := promtool(t, args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// metricNames are all those of an expression.
func metricNames(expr string) []string {
	return regexp.MustCompile(`\b(?:yupiao|process|go)_[a-z0-9_]+`).FindAllString(regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(expr, ""), -1)
}

// Every metric that a rule or the dashboard names is one that a node has, and every recorded series one that a rule makes.
func TestRulesAndDashboardNameRealMetrics(t *testing.T) {
	host := testkit.Broker(t)
	publish(t.Context(), t, host, 1)
	n := startGuarded(t, host)
	var have map[string]*dto.MetricFamily
	testkit.Eventually(t, "an age in the metrics", func() bool {
		have = scrape(t, n)
		return have["yupiao_age_seconds"] != nil
	})
	exists := func(name string) bool {
		for _, suffix := range []string{"", "_count", "_sum", "_bucket"} {
			if family := have[strings.TrimSuffix(name, suffix)]; strings.HasSuffix(name, suffix) && family != nil && (suffix == "" || family.GetType() == dto.MetricType_HISTOGRAM) {
				return true
			}
		}
		return false
	}
	recorded := map[string]bool{}
	hold := func(where, expr string) {
		names := metricNames(expr)
		for _, name := range names {
			if !exists(name) {
				t.Errorf("%s names %s, which no node has", where, name)
			}
		}
		records := regexp.MustCompile(`yupiao:[a-z0-9_:]+`).FindAllString(expr, -1)
		for _, name := range records {
			if !recorded[name] {
				t.Errorf("%s names %s, which no rule records", where, name)
			}
		}
		if len(names)+len(records) == 0 && !strings.Contains(expr, "up{") {
			t.Errorf("%s names nothing: %s", where, expr)
		}
	}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				recorded[r.Record] = true
			}
			hold(r.Record+r.Alert, r.Expr)
		}
	}
	data, err := os.ReadFile("../../configs/grafana/dashboards/yupiao.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		UID    string
		Panels []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ Expr string }
			FieldConfig              struct{ Defaults struct{ Unit string } }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil || dashboard.UID != "yupiao" || len(dashboard.Panels) < 20 {
		t.Fatalf("%v, %d panels", err, len(dashboard.Panels))
	}
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range dashboard.Panels {
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" || at[0] > 23 {
					t.Fatalf("%s and %s lie in one place, or outside", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if ids[p.ID] {
			t.Errorf("two panels have id %d", p.ID)
		}
		if ids[p.ID] = true; p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %s lacks a description, a unit or what it shows", p.Title)
		}
		for _, target := range p.Targets {
			hold("panel "+p.Title, target.Expr)
		}
	}
}

// What Prometheus and Grafana read says what the rest relies on. Where native histograms are scraped, the classic ones are let go of unless the settings keep them; the rules and the dashboard read
// the classic ones (tried with Prometheus 3.5: without that line, no recorded series of requests and no alert on them).
func TestPrometheusKeepsWhatTheRulesRead(t *testing.T) {
	var prometheus struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string   `yaml:"job_name"`
			Protocols     []string `yaml:"scrape_protocols"`
			Classic       bool     `yaml:"always_scrape_classic_histograms"`
			Authorization struct {
				CredentialsFile string `yaml:"credentials_file"`
			}
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, filepath.Join(prometheusFolder, "prometheus.yml"), &prometheus)
	for _, file := range prometheus.RuleFiles {
		if _, err := os.Stat(filepath.Join(prometheusFolder, file)); err != nil {
			t.Error(err)
		}
	}
	if len(prometheus.RuleFiles) == 0 || len(prometheus.ScrapeConfigs) != 2 {
		t.Fatalf("%+v", prometheus)
	}
	if job := prometheus.ScrapeConfigs[0]; job.JobName != "yupiaod" || !job.Classic || len(job.Protocols) == 0 || job.Protocols[0] != "PrometheusProto" ||
		!strings.HasPrefix(job.Authorization.CredentialsFile, "/run/secrets/") || len(job.StaticConfigs) != 1 || len(job.StaticConfigs[0].Targets) != 3 {
		t.Errorf("%+v", job)
	}
	var sources struct {
		Datasources []struct{ Type, UID, URL string }
	}
	readYAML(t, filepath.Join(provisioning, "datasources/prometheus.yml"), &sources)
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" || sources.Datasources[0].UID != "prometheus" {
		t.Errorf("%+v", sources)
	}
	var boards struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	readYAML(t, filepath.Join(provisioning, "dashboards/yupiao.yml"), &boards)
	if len(boards.Providers) != 1 || boards.Providers[0].Type != "file" || boards.Providers[0].Options.Path == "" {
		t.Errorf("%+v", boards)
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// What the dashboard asks is PromQL.
func TestDashboardIsUnderstood(t *testing.T) {
	data, err := os.ReadFile("../../configs/grafana/dashboards/yupiao.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	var rules []map[string]string
	for i, p := range dashboard.Panels {
		for k, target := range p.Targets {
			rules = append(rules, map[string]string{"record": fmt.Sprintf("panel:%d_%d", i, k), "expr": target.Expr})
		}
	}
	data, err = yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, "check", "rules", file); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// scrape reads a node's metrics; nil if it does not answer.
func scrape(t *testing.T, n *node.Node) map[string]*dto.MetricFamily {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+n.AdminAddress()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token32)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// sample is one series at a scrape.
func samples(families map[string]*dto.MetricFamily) map[string]float64 {
	out := map[string]float64{"up": 0}
	if families == nil {
		return out
	}
	out["up"] = 1
	for name, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			key := func(suffix string, more ...string) string {
				return name + suffix + "{" + strings.Join(append(slices.Clone(labels), more...), ",") + "}"
			}
			switch {
			case m.Histogram != nil:
				out[key("_count")] = float64(m.Histogram.GetSampleCount())
				out[key("_bucket", `le="+Inf"`)] = float64(m.Histogram.GetSampleCount())
				for _, b := range m.Histogram.GetBucket() {
					out[key("_bucket", fmt.Sprintf("le=%q", fmt.Sprint(b.GetUpperBound())))] = float64(b.GetCumulativeCount())
				}
			case m.Counter != nil:
				out[key("")] = m.Counter.GetValue()
			case m.Gauge != nil:
				out[key("")] = m.Gauge.GetValue()
			case m.Untyped != nil:
				out[key("")] = m.Untyped.GetValue()
			}
		}
	}
	return out
}

// story is what Prometheus sees: scrapes, each held for a while: the first for two minutes, the last for half an hour, in which some series grow by so much every five seconds.
type story struct {
	scrapes []map[string]float64
	grow    map[string]float64
	// after is when the alerts are looked at, from the beginning of the last scrape.
	after time.Duration
}

const (
	step  = 5 * time.Second
	first = 2 * time.Minute
	last  = 30 * time.Minute
)

// values are a series in promtool's notation.
func (s *story) values(series string) string {
	var out []string
	for i, scrape := range s.scrapes {
		span := first
		if i == len(s.scrapes)-1 {
			span = last
		}
		steps, grow := int(span/step), 0.0
		if span == last {
			grow = s.grow[series]
		}
		switch v, ok := scrape[series]; {
		case ok || grow > 0:
			out = append(out, fmt.Sprintf("%v+%vx%d", v, grow, steps-1))
		case i > 0:
			out = append(out, fmt.Sprintf("stale _x%d", steps-1))
		default:
			out = append(out, fmt.Sprintf("_x%d", steps))
		}
	}
	return strings.Join(out, " ")
}

// alerts runs the rules, and returns what fires, in order.
func (s *story) alerts(t *testing.T) []string {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(prometheusFolder, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, all := range s.scrapes {
		for name := range all {
			names[name] = true
		}
	}
	var input []map[string]string
	for name := range names {
		metric, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		for _, l := range []string{`job="yupiaod"`, `instance="node-1"`} {
			if key, _, _ := strings.Cut(l, "="); !strings.Contains(labels, key+"=") {
				labels = strings.TrimPrefix(labels+","+l, ",")
			}
		}
		input = append(input, map[string]string{"series": metric + "{" + labels + "}", "values": s.values(name)})
	}
	test := map[string]any{
		"rule_files": []string{rules}, "evaluation_interval": "5s",
		"tests": []map[string]any{{"interval": "5s", "input_series": input, "promql_expr_test": []map[string]any{
			{"expr": `count by (alertname) (ALERTS{alertstate="firing"})`, "eval_time": (time.Duration(len(s.scrapes)-1)*first + s.after).String(), "exp_samples": []any{}}}}},
	}
	data, err := yaml.Marshal(test)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := promtool(t, "test", "rules", file) // what it did not expect it tells
	var alerts []string
	for _, m := range regexp.MustCompile(`alertname="(\w+)"`).FindAllStringSubmatch(out, -1) {
		alerts = append(alerts, m[1])
	}
	slices.Sort(alerts)
	if alerts = slices.Compact(alerts); err != nil && len(alerts) == 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	return alerts
}

// withheld stands between the feed and a node: while it is on, a run's second change does not come through, nor a later state of it, nor any state of stateless, nor a list of versions.
type withheld struct {
	feed.Sink
	on  *atomic.Bool
	run rail.RunID
}

// stateless is the train of a run of which only changes come.
const stateless = "G99"

func (w *withheld) Deltas(p rail.Partition, b *event.DeltaBatch, sequence uint64) {
	if b = b.Clone(); w.on.Load() {
		b.Deltas = slices.DeleteFunc(b.Deltas, func(d event.RunDelta) bool { return d.Run == w.run && d.Version.Revision == 2 })
	}
	w.Sink.Deltas(p, b, sequence)
}

func (w *withheld) State(p rail.Partition, s *event.RunState) {
	if !w.on.Load() || s.Run.Trip != stateless && (s.Run != w.run || s.Version.Revision == 1) {
		w.Sink.State(p, s)
	}
}

func (w *withheld) Versions(p rail.Partition, date rail.Date, v *event.Versions) {
	if !w.on.Load() {
		w.Sink.Versions(p, date, v)
	}
}

// disaster is a node with its feed, to which something happens.
type disaster struct {
	t         *testing.T
	host      *testkit.Host
	ledger    *testkit.Ledger
	publisher *feed.Publisher
	runs      []rail.RunID
	node      *node.Node
	stopNode  func()
	feed      context.Context // ends with stopFeed
	stopFeed  context.CancelFunc
	withhold  atomic.Bool
}

func newDisaster(t *testing.T) *disaster {
	t.Helper()
	d := &disaster{t: t, host: testkit.Broker(t)}
	ctx, cancel := context.WithCancel(t.Context())
	d.feed, d.stopFeed = ctx, cancel
	t.Cleanup(cancel)
	d.ledger, d.publisher, d.runs = publishBy(ctx, t, d.host, 5, feed.PublisherOptions{DigestEvery: 100 * time.Millisecond})
	go d.complete()
	d.start()
	testkit.Eventually(t, "a live node", func() bool { return d.scrape()[`yupiao_age_seconds{}`] > 0 })
	return d
}

func (d *disaster) start() {
	d.t.Helper()
	s := settings()
	s.Admin.Token = token32
	var run rail.RunID
	if len(d.runs) > 0 {
		run = d.runs[0]
	}
	n, err := node.New(s, node.Options{InProcess: d.host, Between: func(s feed.Sink) feed.Sink { return &withheld{s, &d.withhold, run} }})
	if err != nil {
		d.t.Fatal(err)
	}
	d.node, d.stopNode = n, testkit.Run(d.t, n.Run)
}

func (d *disaster) scrape() map[string]float64 { return samples(scrape(d.t, d.node)) }

func (d *disaster) sell(run rail.RunID, places rail.SeatCount) {
	d.t.Helper()
	if err := d.publisher.Publish(d.t.Context(), []feed.Change{d.ledger.Sell(run, places)}); err != nil {
		d.t.Fatal(err)
	}
}

// complete says on and on that all is published, as a backend does: the age would grow from the first time on.
func (d *disaster) complete() {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-d.feed.Done():
			return
		case now := <-ticker.C:
			d.publisher.Complete(now)
		}
	}
}

// until waits until a series says something, at a moment at which a machine that has too much to do is no fault of its own: as long as the feed lives, the age is young.
func (d *disaster) until(series string, holds func(float64) bool) map[string]float64 {
	d.t.Helper()
	var now map[string]float64
	testkit.Eventually(d.t, series, func() bool {
		now = d.scrape()
		return holds(now[series]) && (d.feed.Err() != nil || now["yupiao_age_seconds{}"] < 1)
	})
	return now
}

func above(bound float64) func(float64) bool { return func(v float64) bool { return v > bound } }

// From the metrics of a real fault, the alerts fire that it should raise and no other; from those of a healthy node under load, none.
func TestAlertsFireOnFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(d *disaster) map[string]float64
		want  []string
		// grows is the counter that the fault lets go on and on; the others stay as they were scraped last.
		grows string
	}{
		{"none, under load", func(d *disaster) map[string]float64 {
			for i := range 200 {
				d.sell(d.runs[i%5], 1-rail.SeatCount(i/5%2)*2)
				get(d.t, d.node.Address(), "/v1/availability?from=BJP&to=SHH&date="+d.runs[0].Date.String())
			}
			return d.until("yupiao_events_applied_total{}", above(200))
		}, nil, ""},
		{"the booking backend dies", func(d *disaster) map[string]float64 {
			d.stopFeed()
			return d.until("yupiao_age_seconds{}", above(2))
		}, []string{"YupiaoAgeOld"}, ""},
		{"nonsense in the feed", func(d *disaster) map[string]float64 {
			if err := testkit.Plain(d.t, d.host).Publish("yupiao.v1.delta.3", []byte("nonsense")); err != nil {
				d.t.Fatal(err)
			}
			return d.until("yupiao_events_broken_total{}", above(0))
		}, []string{"YupiaoEventsBroken"}, ""},
		{"a change that is lost, and cannot be had again", func(d *disaster) map[string]float64 {
			d.withhold.Store(true)
			d.sell(d.runs[0], 1)
			d.sell(d.runs[0], 1)
			return d.until("yupiao_runs_behind{}", above(0))
		}, []string{"YupiaoRunsBehind"}, ""},
		{"a change that is lost unseen, and nobody tells which", func(d *disaster) map[string]float64 {
			d.withhold.Store(true)
			d.sell(d.runs[0], 1)
			return d.until("yupiao_digests_differing_total{}", above(3))
		}, []string{"YupiaoDigestsDiffer"}, "yupiao_digests_differing_total{}"},
		{"a run whose state does not come", func(d *disaster) map[string]float64 {
			d.withhold.Store(true)
			if err := d.publisher.Publish(d.t.Context(), []feed.Change{d.ledger.Open(rail.RunID{Date: d.runs[0].Date, Trip: stateless}, 1)}); err != nil {
				d.t.Fatal(err)
			}
			return d.until("yupiao_runs_unseen{}", above(0))
		}, []string{"YupiaoRunsUnseen"}, ""},
		{"more places sold than there are", func(d *disaster) map[string]float64 {
			d.sell(d.runs[0], testkit.Full+1)
			return d.until("yupiao_runs_quarantined{}", above(0))
		}, []string{"YupiaoEventsBroken", "YupiaoRunsQuarantined"}, ""},
		{"settings that nobody can read", func(d *disaster) map[string]float64 {
			if _, err := testkit.Conn(d.t, d.host).Store(d.t.Context(), feed.SharedSettings, []byte(`{"format":9}`), 0); err != nil {
				d.t.Fatal(err)
			}
			return d.until("yupiao_settings_refused{}", above(0))
		}, []string{"YupiaoSettingsRefused"}, ""},
		{"a stream that is deleted while nobody publishes", func(d *disaster) map[string]float64 {
			d.stopFeed()
			deleteStream(d.t, d.host, "YUPIAO_STATE")
			return d.until("yupiao_degraded{}", above(0))
		}, []string{"YupiaoAgeOld", "YupiaoDegraded"}, ""},
		{"the node dies", func(d *disaster) map[string]float64 {
			d.stopNode()
			return d.scrape()
		}, []string{"YupiaoFewNodes", "YupiaoNodeDown"}, ""},
		{"nothing to load", func(d *disaster) map[string]float64 {
			d.host = testkit.Broker(d.t)
			d.start()
			return d.scrape()
		}, []string{"YupiaoFewNodes", "YupiaoNotReady"}, ""},
		{"a publisher that never says that it is complete", func(d *disaster) map[string]float64 {
			d.host = testkit.Broker(d.t)
			silent(d.t, d.host)
			d.start()
			return d.until("yupiao_ready{}", above(0))
		}, []string{"YupiaoAgeUnproved"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisaster(t)
			before := d.scrape()
			after := tt.fault(d)
			s := story{scrapes: []map[string]float64{before, after}, grow: map[string]float64{tt.grows: 1}, after: 4 * time.Minute}
			if got := s.alerts(t); !slices.Equal(got, tt.want) {
				t.Errorf("%v fire; want %v", got, tt.want)
			}
		})
	}
}

func deleteStream(t *testing.T, host *testkit.Host, name string) {
	t.Helper()
	if _, err := testkit.Plain(t, host).Request("$JS.API.STREAM.DELETE."+name, nil, testkit.Patience); err != nil {
		t.Fatal(err)
	}
}

// silent publishes runs and no proof that they are all.
func silent(t *testing.T, host *testkit.Host) {
	t.Helper()
	p := testkit.Pattern("G1", 600)
	ledger := testkit.NewLedger(p)
	publisher, err := feed.NewPublisher(t.Context(), testkit.Conn(t, host), ledger, feed.PublisherOptions{})
	if err == nil {
		err = errors.Join(publisher.Network(t.Context(), testkit.Network()), publisher.Patterns(t.Context(), []*timetable.Pattern{p}))
	}
	run := rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + 2, Trip: "G1"}
	if err = errors.Join(err, publisher.Publish(t.Context(), []feed.Change{ledger.Open(run, 1)})); err != nil {
		t.Fatal(err)
	}
}
