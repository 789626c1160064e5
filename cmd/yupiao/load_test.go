package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/demo"
	"github.com/yupiao/yupiao/pkg/load"
)

func runLoad(t *testing.T, args ...string) (out, progress string, err error) {
	t.Helper()
	cmd := loadCommand()
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

// The whole of it: a demo railway, a crowd of searchers and watchers, a report.
func TestLoadOfDemo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ready, over := make(chan string, 1), make(chan error, 1)
	go func() {
		over <- demo.Run(ctx, demo.Options{
			Days: 3, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Booking: "127.0.0.1:0", NATS: "127.0.0.1:0", SalesPerSecond: 20, Seed: 1, Settings: config.DefaultBooking(),
			Out: io.Discard, Log: slog.New(slog.DiscardHandler), Ready: func(address string) { ready <- address },
		})
	}()
	defer func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}()
	var address string
	select {
	case address = <-ready:
	case err := <-over:
		over <- nil
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "report")
	out, progress, err := runLoad(t, "--server", "http://"+address, "--rate", "200", "--for", "2s", "--conditional", "0.3", "--gzip", "0.5", "--watchers", "5", "--rush-at", "1s", "--rush-for", "500ms",
		"--rush-factor", "2", "--report", folder)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "http://"+address+": 200 requests/s for 2s over 256 connections; ") || !strings.Contains(out, " 3 dates") || !strings.Contains(out, "watchers 5: streams 5") {
		t.Errorf("wrote\n%s", out)
	}
	if !strings.Contains(progress, "asked 200/s") {
		t.Errorf("progress\n%s", progress)
	}
	text, err := os.ReadFile(filepath.Join(folder, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Due, Answered uint64
		Outcomes      []struct{ Outcome string }
		Age           struct{ Count uint64 }
		Watching      struct{ Events map[string]uint64 }
	}
	if err := json.Unmarshal(text, &report); err != nil || report.Due != 500 || report.Answered != 500 || report.Age.Count == 0 || report.Watching.Events["answer"] != 5 {
		t.Errorf("%v: %+v", err, report)
	}
	for _, o := range report.Outcomes {
		if o.Outcome != load.OK.String() && o.Outcome != load.NotModified.String() && o.Outcome != load.Unavailable.String() { // a busy machine sheds
			t.Errorf("requests came to %s", o.Outcome)
		}
	}
	if page, err := os.ReadFile(filepath.Join(folder, "report.html")); err != nil || !bytes.Contains(page, []byte("</html>")) {
		t.Errorf("page: %v", err)
	}
}

// What cannot be used is refused before anything is sent.
func TestLoadRefuses(t *testing.T) {
	pairs := filepath.Join(t.TempDir(), "pairs.csv")
	if err := os.WriteFile(pairs, []byte("VNP,AOH,0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		`server is "http://192.0.2.1:8080", that is 192.0.2.1; want http://HOST:PORT`: {"--server", "http://192.0.2.1:8080"},
		"rate is 0; want 1 to 1000000":                           {"--rate", "0", "--dates", "2026-12-01"},
		"watchers is -3; want 0 to 20000":                        {"--watchers", "-3", "--dates", "2026-12-01"},
		"rush-factor without rush-at":                            {"--rush-factor", "3"},
		`line 1: weight "0"; want a number above 0`:              {"--pairs", pairs},
		"--pairs: open":                                          {"--pairs", pairs + ".none"},
		"--dates: ":                                              {"--dates", "soon"},
		"if any flags in the group [gtfs pairs] are set none of": {"--pairs", pairs, "--gtfs", "x"},
	} {
		if _, _, err := runLoad(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v; want %s", args, err, want)
		}
	}
}
