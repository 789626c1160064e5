package node_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/yupiao/yupiao/pkg/node"
)

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

// samples are all series of a scrape.
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

// moment is what a scrape of one node found.
type moment struct {
	at     time.Time
	series map[string]float64
}

// rate is how much a series has grown in a second since a moment before; 0 if that was not looked at.
func (m *moment) rate(before *moment, series string) float64 {
	if before.series == nil {
		return 0
	}
	return max(m.series[series]-before.series[series], 0) / m.at.Sub(before.at).Seconds()
}

// story is what Prometheus sees of one node: it was well for two minutes, and then what has happened stays so, or goes on: counters grow on as they did between then and now, if there is a then.
type story struct{ before, then, now moment }

const (
	step = 5 * time.Second
	well = 2 * time.Minute
)

// counter tells the series that only grow.
var counter = regexp.MustCompile(`^\w+_(total|count|bucket)\{`)

// values are a series in promtool's notation, for so long after it was well.
func (s *story) values(series string, long time.Duration) string {
	before, was := s.before.series[series]
	now, is := s.now.series[series]
	steps, more := int(well/step), int(long/step)
	text := fmt.Sprintf("_x%d ", steps)
	if was {
		text = fmt.Sprintf("%vx%d ", before, steps-1)
	}
	if !is {
		return text + fmt.Sprintf("stale _x%d", more-1)
	}
	grow := 0.0
	if counter.MatchString(series) {
		grow = s.now.rate(&s.then, series) * step.Seconds()
	}
	return text + fmt.Sprintf("%v+%vx%d", now, grow, more-1)
}

// alerts runs the rules over what was seen of some nodes, and returns what fires so long after they were well, in order.
func alerts(t *testing.T, nodes []story, after time.Duration) []string {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(prometheusFolder, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	var input []map[string]string
	for i := range nodes {
		names := map[string]bool{}
		for _, m := range []moment{nodes[i].before, nodes[i].now} {
			for name := range m.series {
				names[name] = true
			}
		}
		for name := range names {
			metric, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
			if metric != "up" && !strings.Contains(string(text), strings.TrimSuffix(strings.TrimSuffix(metric, "_bucket"), "_count")) {
				continue // no rule looks at it
			}
			for _, l := range []string{`job="yupiaod"`, fmt.Sprintf(`instance="node-%d"`, i+1)} {
				if key, _, _ := strings.Cut(l, "="); !strings.Contains(labels, key+"=") {
					labels = strings.TrimPrefix(labels+","+l, ",")
				}
			}
			input = append(input, map[string]string{"series": metric + "{" + labels + "}", "values": nodes[i].values(name, after+time.Minute)})
		}
	}
	data, err := yaml.Marshal(map[string]any{
		"rule_files": []string{rules}, "evaluation_interval": "5s",
		"tests": []map[string]any{{"interval": "5s", "input_series": input, "promql_expr_test": []map[string]any{
			{"expr": `count by (alertname) (ALERTS{alertstate="firing"})`, "eval_time": (well + after).String(), "exp_samples": []any{}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := promtool(t, "test", "rules", file) // what it did not expect it tells
	var fire []string
	for _, m := range regexp.MustCompile(`alertname="(\w+)"`).FindAllStringSubmatch(out, -1) {
		fire = append(fire, m[1])
	}
	slices.Sort(fire)
	if fire = slices.Compact(fire); err != nil && len(fire) == 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	return fire
}
