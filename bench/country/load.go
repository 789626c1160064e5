//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// load measures from the start of the process to the moment at which it may answer, and what memory it then has. The node of the last round stays.
func (b *run) load(ctx context.Context) (err error) {
	l := &b.result.Load
	for range b.rounds {
		if b.node != nil {
			if err := b.node.stop(); err != nil {
				return err
			}
		}
		if b.node, err = b.startNode(b.country.url); err != nil {
			return err
		}
		if err := b.node.awaitReady(ctx); err != nil {
			return err
		}
		took := time.Since(b.node.started).Seconds()
		resident, peak, err := b.node.memory()
		if err != nil {
			return err
		}
		l.Seconds, l.Resident, l.Peak = append(l.Seconds, took), append(l.Resident, resident), append(l.Peak, peak)
		b.say("ready after %.2f s, %s resident, at most %s", took, bytes(resident), bytes(peak))
	}
	m, err := b.node.metrics(ctx)
	if err != nil {
		return err
	}
	if l.Runs = int(m["yupiao_runs"]); l.Runs != b.result.Publish.Runs {
		return fmt.Errorf("the node has %d runs; want %d", l.Runs, b.result.Publish.Runs)
	}
	l.GC = gcOf(nil, m)
	if b.profiles != "" {
		return b.profile(ctx)
	}
	return nil
}

// profile takes profiles of a node of their own that loads.
func (b *run) profile(ctx context.Context) error {
	n, err := b.startNode(b.country.url)
	if err != nil {
		return err
	}
	defer func() { _ = n.stop() }() // it has told all it had to
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	seconds := max(int(median(b.result.Load.Seconds)), 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return n.save(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), filepath.Join(b.profiles, "load.cpu.pprof"))
	})
	group.Go(func() error { return n.awaitReady(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	b.say("profiles in %s", b.profiles)
	return n.save(context.WithoutCancel(ctx), "/debug/pprof/heap?gc=1", filepath.Join(b.profiles, "loaded.heap.pprof"))
}

func (n *node) save(ctx context.Context, path, file string) error {
	data, err := get(ctx, n.admin+path)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// awaitReady asks until the node says that it may answer.
func (n *node) awaitReady(ctx context.Context) error {
	const every, patience = 5 * time.Millisecond, 10 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		if _, err := get(ctx, n.http+"/readyz"); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until the node is ready: %w", ctx.Err())
		case <-again.C:
		}
	}
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

// get is the body of an answer with status 200.
func get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", request.URL.Path, response.Status, body)
	}
	return body, err
}

// metrics are what the node tells to Prometheus, by name and labels.
type metrics map[string]float64

func (n *node) metrics(ctx context.Context) (metrics, error) {
	body, err := get(ctx, n.admin+"/metrics")
	if err != nil {
		return nil, err
	}
	return metricsOf(string(body)), nil
}

func metricsOf(text string) metrics {
	m := metrics{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
				m[line[:at]] = value
			}
		}
	}
	return m
}

// gcOf is what the garbage collector did between two looks, the first of which may be the process's start. Pauses are always since then: the collector of the
// metrics sums no others up.
func gcOf(before, after metrics) GC {
	const collections, used, all = "go_gc_duration_seconds_count", "go_cpu_classes_gc_total_cpu_seconds_total", "process_cpu_seconds_total"
	g := GC{
		Collections: int(after[collections] - before[collections]),
		PauseMedian: 1e3 * after[`go_gc_duration_seconds{quantile="0.5"}`], PauseMax: 1e3 * after[`go_gc_duration_seconds{quantile="1"}`],
	}
	if cpu := after[all] - before[all]; cpu > 0 {
		g.Share = (after[used] - before[used]) / cpu
	}
	return g
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
