package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// wrkScript makes wrk say what it counted in one line. It is called once, at the end: no request goes through Lua.
const wrkScript = `function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("` + wrkMark + `%.0f %.0f %.0f %.0f %.0f %.0f\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
`

// wrkMark starts that line.
const wrkMark = "counted: "

// counted is what wrk says.
type counted struct {
	Requests uint64        `json:"requests"`
	Took     time.Duration `json:"took_ns"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	// Refused requests were answered with something else than 2xx; Failed ones broke off or timed out.
	Refused uint64 `json:"refused"`
	Failed  uint64 `json:"failed"`
}

// parseWrk finds the line of wrkScript in what wrk wrote.
func parseWrk(out string) (c counted, err error) {
	_, line, found := strings.Cut(out, wrkMark)
	if !found {
		return c, fmt.Errorf("wrk counted nothing: %.300s", out)
	}
	line, _, _ = strings.Cut(line, "\n")
	var micros [3]uint64
	into := []*uint64{&c.Requests, &micros[0], &micros[1], &micros[2], &c.Refused, &c.Failed}
	fields := strings.Fields(line)
	if len(fields) != len(into) {
		return c, fmt.Errorf("wrk counted %q; want %d numbers", line, len(into))
	}
	for i, field := range fields {
		if *into[i], err = strconv.ParseUint(field, 10, 64); err != nil {
			return c, fmt.Errorf("wrk counted %q: %w", line, err)
		}
	}
	for i, d := range []*time.Duration{&c.Took, &c.P50, &c.P99} {
		*d = time.Duration(micros[i]) * time.Microsecond
	}
	if c.Requests == 0 || c.Took == 0 {
		return c, errors.New("wrk had no answer at all")
	}
	return c, nil
}

// load runs wrk on a loopback URL for whole seconds, one at least. It gives way to the rest of its core, so that changes and heartbeats are not late because of it.
func (s *stage) load(ctx context.Context, url string, d time.Duration) (counted, error) {
	address, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	if _, err := newEndpoint(address); err != nil {
		return counted{}, err
	}
	script := filepath.Join(s.dir, "wrk.lua")
	if err := os.WriteFile(script, []byte(wrkScript), 0o600); err != nil {
		return counted{}, err
	}
	seconds := strconv.Itoa(int(max(d, time.Second).Seconds())) + "s"
	wrk, err := start(s.dir, s.settings.load, "wrk", "nice", "-n", "5",
		program("wrk"), "-t1", "-c"+strconv.Itoa(s.settings.connections), "-d"+seconds, "--timeout", "5s", "-s", script, url)
	if err != nil {
		return counted{}, err
	}
	defer wrk.stop()
	select {
	case <-wrk.ended:
	case <-ctx.Done():
		return counted{}, ctx.Err()
	}
	out, err := os.ReadFile(wrk.log)
	if err != nil {
		return counted{}, err
	}
	c, err := parseWrk(string(out))
	if err == nil && c.Refused > 0 {
		err = fmt.Errorf("%d of %d requests were refused", c.Refused, c.Requests)
	}
	return c, err
}
