//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/rail"
)

// TestMain plays a part if the test's own program was started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && (os.Args[1] == brokerPart || os.Args[1] == nodePart) {
		os.Exit(execute(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestGC(t *testing.T) {
	before := process.Metrics{
		"go_gc_duration_seconds_count":              2,
		"go_cpu_classes_gc_total_cpu_seconds_total": 1, "go_cpu_classes_idle_cpu_seconds_total": 5, "go_cpu_classes_total_cpu_seconds_total": 10,
	}
	after := process.Metrics{
		"go_gc_duration_seconds_count":              5,
		"go_cpu_classes_gc_total_cpu_seconds_total": 2, "go_cpu_classes_idle_cpu_seconds_total": 6, "go_cpu_classes_total_cpu_seconds_total": 21,
		`go_gc_duration_seconds{quantile="0.5"}`: 0.001, `go_gc_duration_seconds{quantile="1"}`: 0.004,
	}
	if g := gcOf(before, after); g != (GC{Collections: 3, PauseMedian: 1, PauseMax: 4, Share: 0.1}) {
		t.Errorf("%+v", g)
	}
	if g := gcOf(nil, process.Metrics{}); g != (GC{}) {
		t.Errorf("%+v", g)
	}
}

func TestQuantiles(t *testing.T) {
	var all []time.Duration
	for i := range 1000 {
		all = append(all, time.Duration(i)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 0, 0.5: 500, 0.99: 990, 0.999: 999, 1: 999} {
		if got := quantile(all, q); got != want {
			t.Errorf("%v: %v; want %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 || median(nil) != 0 || median([]float64{3, 1, 2}) != 2 {
		t.Error("nothing, or three numbers, have a wrong middle")
	}
}

// A process that was started is gone after stop, and its files with close.
func TestBrokerEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bench")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := &run{dir: dir}
	address, err := b.startBroker("broker")
	if err != nil {
		t.Fatal(err)
	}
	r, err := smallRailway(t, b)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.openDates(t.Context(), 2, t.Logf); err != nil || n != 2*120 {
		t.Errorf("%d runs at %s: %v; want 240", n, address, err)
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func smallRailway(t *testing.T, b *run) (*railway, error) {
	t.Helper()
	c, err := country.New(country.Options{Scale: 0.01})
	if err != nil {
		return nil, err
	}
	first := rail.DateOf(time.Now(), time.UTC) + 1
	return b.railway(t.Context(), "small", c.Schedule(first, 3), first, time.UTC)
}

func TestPrint(t *testing.T) {
	r := Result{Load: Load{Runs: 2, Seconds: []float64{1}, Resident: []int64{4 << 20}, Peak: []int64{5 << 20}}, Visible: []Visible{{Wanted: 5000, P50: 1.5}}}
	var b strings.Builder
	r.Print(&b)
	for _, want := range []string{"4 MiB resident, at most 5 MiB; 2097152 bytes a run", "visible, 5000/s", "p50 1.50 ms"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{"--rounds", "0"}, {"more"}, {"--nonsense"}} {
		if err := play(t.Context(), args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
