package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want spread
	}{
		{[]float64{3}, spread{3, 3, 3}}, {[]float64{4, 2}, spread{3, 2, 4}}, {[]float64{9, 1, 5}, spread{5, 1, 9}}, {[]float64{4, 1, 3, 2}, spread{2.5, 1, 4}},
	} {
		if got := spreadOf(c.all); got != c.want {
			t.Errorf("spreadOf(%v) = %+v; want %+v", c.all, got, c.want)
		}
	}
}

// turn is one with so many microseconds of CPU for each of 1,000 requests in a second, and 10 answers held against the truth if it is live.
func turn(design string, round, micros int, wrong uint64) measurement {
	m := measurement{Design: design, Round: round, Window: time.Second, counted: counted{Requests: 1000, Took: time.Second, P50: time.Millisecond}}
	if wrong > 0 {
		m.Requests, m.Staleness = 990, staleness{Asked: 10, Wrong: wrong, Sum: time.Duration(wrong) * 3 * time.Millisecond, Max: 5 * time.Millisecond}
		m.Behind, m.Changes, m.Idle = 18, 5000, 10*time.Millisecond
	}
	m.CPU = []share{{"a", time.Duration(micros) * 400 * time.Microsecond}, {"b", time.Duration(micros) * 600 * time.Microsecond}}
	return m
}

func TestReport(t *testing.T) {
	r := &report{Machine: "cpu: test", Rounds: 3, Seconds: 1, Connections: 32, Changes: 5000, Runs: 300, Bytes: 11621, designs: catalogue()}
	for round, micros := range [][3]int{{20, 10, 40}, {24, 12, 44}, {22, 11, 400}} {
		r.Turns = append(r.Turns, turn(nameOurs, round+1, micros[0], 1), turn(nameStatic, round+1, micros[1], 0), turn("varnish", round+1, micros[2], 9))
	}
	var out strings.Builder
	r.write(&out)
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"closed loop", "11621 bytes", "cpu: test",
		"ours, fast lane 22.0 us 20.0-24.0 12.0 us 2.00 - 1.00 990 990-990 2%",
		"nginx, static file 11.0 us 10.0-12.0 11.0 us 1.00 - 2.00 1000",
		"Varnish, TTL 1 s 44.0 us 40.0-400.0 34.0 us 4.00 - 0.50",
		"ours, fast lane 30 10.00% 3.0 ms 5.0 ms 18.0 5000 10 ms/s",
		"Varnish, TTL 1 s 30 90.00%",
		"2 ours 24.0 us 990 1.00 0 1.00 ms 0.00 ms 2% 0% 1/10 a 0.01s, b 0.01s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if strings.Contains(text, "bare gin") || strings.Contains(text, "NaN") {
		t.Errorf("a design that was not measured, or no number:\n%s", out.String())
	}
}

func TestReportAsJSON(t *testing.T) {
	r := &report{Machine: "cpu: test", designs: catalogue(), Turns: []measurement{turn("redis", 1, 300, 2)}}
	file := filepath.Join(t.TempDir(), "peers.json")
	if err := r.save(file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 || got.Rows[0].CPU.Median != 300 || len(got.Turns) != 1 || got.Turns[0].Requests != 990 {
		t.Errorf("read back %+v", got)
	}
}
