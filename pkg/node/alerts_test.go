package node_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"

	"github.com/yupiao/yupiao/pkg/testkit"
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
