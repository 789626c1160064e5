package load

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// pipes is a network without a kernel, so that its time is the test's.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// simulate is a run against a handler where time is the bubble's: what takes none takes exactly none.
func simulate(ctx context.Context, t *testing.T, o Options, handler http.HandlerFunc) *Report {
	t.Helper()
	network := make(pipes)
	server := &http.Server{Handler: handler}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(network) }) // it ends with the network
	o.Server, o.dial, o.sleep, o.used = "http://127.0.0.1:8080", network.dial, newTimer(), func() processors { return processors{used: time.Second, waited: 3 * time.Second} }
	report, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	close(network)
	serving.Wait()
	_ = server.Close() // no listener is left
	synctest.Wait()
	if sum := tallied(report); sum != report.Due || report.Latency.Count != report.Due {
		t.Errorf("L3: %d requests were due, %d have an outcome, %d a latency", report.Due, sum, report.Latency.Count)
	}
	return report
}

func tallied(r *Report) (sum uint64) {
	for _, c := range r.Outcomes {
		sum += c.Latency.Count
	}
	return sum
}

func until(t time.Time) {
	wait := time.NewTimer(time.Until(t))
	<-wait.C
}

// L2: a server that stalls for a second is felt by all who came meanwhile, though only as many of their requests as there are connections have reached it.
// A closed loop would have asked four times in that second and have found four slow answers in 300.
func TestStallIsFeltByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t)
		o.Connections = 4
		begin := time.Now()
		var mu sync.Mutex
		stalled := 0
		report := simulate(t.Context(), t, o, func(http.ResponseWriter, *http.Request) {
			if since := time.Since(begin); since >= time.Second && since < 2*time.Second {
				mu.Lock()
				stalled++
				mu.Unlock()
				until(begin.Add(2 * time.Second))
			}
		})
		want := newHistogram(fine)
		for n := range 300 {
			due := time.Duration(n) * 10 * time.Millisecond
			if due < time.Second || due >= 2*time.Second {
				want.record(0)
			} else {
				want.record(2*time.Second - due)
			}
		}
		if fmt.Sprint(report.Latency) != fmt.Sprint(fullOf(want)) {
			t.Errorf("latencies\n%v\nwant\n%v", report.Latency, fullOf(want))
		}
		if stalled != o.Connections {
			t.Errorf("%d requests reached the server while it stalled; want one for each connection, %d", stalled, o.Connections)
		}
		second := report.Series[1]
		if second.Asked != 100 || second.Sent != 4 || second.Answers != 0 || second.Latency.Max < 1000 || second.Latency.P50 < 500 || report.MostWaiting != 96 {
			t.Errorf("the stalled second: %+v; most waiting %d", second, report.MostWaiting)
		}
		if lag := report.Generator.Lag; lag.Max != 0 || lag.Count != 300 {
			t.Errorf("L6: the generator was late by %v, though all connections were busy", lag)
		}
	})
}

// L2: where every request of a second takes a second, each has that latency, and later ones none.
func TestSlowSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		report := simulate(t.Context(), t, options(t), func(http.ResponseWriter, *http.Request) {
			if since := time.Since(begin); since >= time.Second && since < 2*time.Second {
				until(time.Now().Add(time.Second))
			}
		})
		for second, want := range []Milliseconds{0, 1000, 0} {
			if d := report.Series[second].Latency; d.Count != 100 || d.P50 < want || d.Max > want*1.01 {
				t.Errorf("second %d: %+v; want 100 of %g ms", second, d, want)
			}
		}
	})
}

// L5: of more than the queue holds, the oldest are given up; the rest are waited for until their time is over.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t)
		o.Connections, o.Queue, o.Timeout = 2, 10, 4*time.Second
		release := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(release) })
		report := simulate(t.Context(), t, o, func(http.ResponseWriter, *http.Request) { <-release })
		// 100 are due in the first second: two are under way, the last ten wait, 88 are too many (and the one that is due with the release is no more)
		if report.Outcomes[1].Outcome != Unsent || report.Outcomes[1].Latency.Count < 87 || report.Outcomes[1].Latency.Count > 89 || report.Outcomes[0].Latency.Count+report.Outcomes[1].Latency.Count != 300 {
			t.Errorf("%+v", report.Outcomes)
		}
		if notes := strings.Join(report.Notes, "\n"); !strings.Contains(notes, "requests were given up before they were sent: all 2 connections waited for answers.") {
			t.Errorf("notes %q", notes)
		}
	})
}

// L2, L3, L5: a server that never answers costs every request its whole time, sent or not, and the run ends.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t)
		o.Connections, o.Timeout = 10, time.Second
		report := simulate(t.Context(), t, o, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if report.Answered != 0 || report.Until != 3.99 || report.Latency.P50 < 1000 || report.Latency.Max > 1001 || report.Problems["no answer in time"] != 300 {
			t.Errorf("answered %d, sent %d, until %g s, %+v, %v", report.Answered, report.Sent, report.Until, report.Latency.Distribution, report.Problems)
		}
	})
}

// L3: a run that is ended early reports what was due until then, and waits no longer than the grace for what is under way.
func TestEndedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t)
		o.Connections = 20
		ctx, cancel := context.WithTimeout(t.Context(), 1005*time.Millisecond)
		defer cancel()
		begin := time.Now()
		report := simulate(ctx, t, o, func(_ http.ResponseWriter, r *http.Request) {
			if time.Since(begin) >= 900*time.Millisecond {
				<-r.Context().Done()
			}
		})
		if !report.Early || report.Seconds != 1.005 || report.Due != 101 || report.Answered != 90 || report.Problems["cut off by the early end"] != 11 || report.Until != 2.005 {
			t.Errorf("early %t after %g s: due %d, answered %d, %v, until %g s", report.Early, report.Seconds, report.Due, report.Answered, report.Problems, report.Until)
		}
	})
}

// A kept connection that the server closes between two requests is no error; one that it closes always is.
func TestClosedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t)
		o.Connections = 1
		network := make(pipes)
		served := 0
		go func() {
			for conn := range network { // two answers on each connection
				in := bufio.NewReader(conn)
				for range 2 {
					if _, err := http.ReadRequest(in); err != nil {
						break
					}
					served++
					fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
				_ = conn.Close() // that is the test
			}
		}()
		o.Server, o.dial, o.sleep = "http://127.0.0.1:8080", network.dial, newTimer()
		report, err := Run(t.Context(), o)
		close(network)
		synctest.Wait()
		if err != nil || report.Answered != 300 || served != 300 || report.Reconnects != 149 {
			t.Errorf("%v: answered %d, served %d, opened again %d; want 300, 300, 149", err, report.Answered, served, report.Reconnects)
		}
	})
}

// node answers as a query node does, after a moment.
func node(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if r.URL.Path == "/v1/stream" {
		stream(w, r)
		return
	}
	until(now.Add(1500 * time.Microsecond))
	w.Header().Set("ETag", `"`+r.URL.Query().Get("from")+r.URL.Query().Get("date")+`"`)
	w.Header().Set("Yupiao-As-Of", now.Truncate(250*time.Millisecond).UTC().Format("2006-01-02T15:04:05.000Z"))
	if r.Header.Get("If-None-Match") == w.Header().Get("ETag") {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Header.Get("Accept-Encoding") == "gzip" {
		fmt.Fprint(w, "short")
		return
	}
	fmt.Fprint(w, strings.Repeat("long", 100))
}

// stream has a status a second, and ends with a restart after two.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	send := func(text string) {
		fmt.Fprint(w, text)
		_ = control.Flush() // a client that has left is found by the context
	}
	if r.Header.Get("Last-Event-ID") == "t1" {
		send("retry: 1000\n\n: nothing has changed since\n\n")
	} else {
		send("retry: 1000\n\nevent: answer\nid: t1\ndata: {" + strings.Repeat(" ", 9000) + "}\n\n")
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for range 2 {
		select {
		case <-r.Context().Done():
			return
		case now := <-ticker.C:
			send(": beat\nevent: status\ndata: {\"state\":\"live\",\"as_of\":\"" + now.Add(-100*time.Millisecond).UTC().Format("2006-01-02T15:04:05.000Z") + "\"}\n\n")
		}
	}
	send("event: restart\ndata: {}\n\n")
}

// sampleRun has everything in it, and always the same.
func sampleRun(t *testing.T) *Report {
	o := options(t)
	o.For, o.Conditional, o.Gzip, o.Shift, o.Watchers, o.Rush = 6*time.Second, 0.5, 0.5, 2*time.Second, 3, Rush{At: 3 * time.Second, For: time.Second, Factor: 10}
	report := simulate(t.Context(), t, o, node)
	report.Generator.Available = 2
	return report
}

// The report's numbers, of a run in which time is exact.
func TestGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		report := sampleRun(t)
		var text bytes.Buffer
		if err := report.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		golden(t, "report.txt", text.Bytes())
		golden(t, "report.json", report.JSON())
	})
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs (%v); go test ./pkg/load -run Golden -update writes it anew\n%s", path, err, got)
	}
}

// Watchers come back after a restart with the id of their last event, and their silence counts all the while.
func TestWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sampleRun(t).Watching
		// 6 s: opened, status at 1 and 2 with the restart; opened at 3, status at 4 and 5 with the restart; at 6 it is over, and may be opened again
		if w.Events["answer"] != 3 || w.Events["status"] != 12 || w.Events["restart"] != 6 || w.Lost != 0 || w.Silent != 0 || w.Reconnects != w.Streams-3 {
			t.Errorf("%+v", w)
		}
		if w.Behind.P50 < 100 || w.Behind.Max > 101 || w.Silence.Max < 2000 || w.Silence.Max > 2010 {
			t.Errorf("behind %+v; silence %+v: want 100 ms, and 2 s over a reconnect", w.Behind.Distribution, w.Silence.Distribution)
		}
	})
}

// A watcher that is refused says so, asks again when it was told to, and its silence is seen.
func TestRefusedWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t)
		o.Watchers = 2
		report := simulate(t.Context(), t, o, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/stream" {
				w.Header().Set("Retry-After", "2")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		if w := report.Watching; w.Refused["429"] != 4 || w.Silent != 2 || w.Silence.Count != 2 || w.Silence.Max < 2980 {
			t.Errorf("%+v", w)
		}
	})
}

// Progress is told of each second.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t)
		var told []Progress
		o.Progress = func(p Progress) { told = append(told, p) }
		o.For += 500 * time.Millisecond
		simulate(t.Context(), t, o, node)
		if len(told) != 3 || told[1].Elapsed != 2*time.Second || told[1].Asked != 100 || !strings.HasPrefix(told[2].String(), "    3s  asked 100/s  sent 100/s  answers 100/s  p50 1.5") {
			t.Errorf("%v", told)
		}
	})
}

// The page has the report's numbers, is sound, and needs nothing from elsewhere.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		report := sampleRun(t)
		report.Notes = []string{"<script>alert(1)</script>"}
		page, err := report.HTML()
		if err != nil {
			t.Fatal(err)
		}
		text := string(page)
		for part, times := range map[string]int{
			"<svg ": 5, "</svg>": 5, "prefers-color-scheme: dark": 2, "1500 of 1500 that were due": 1, "<td>730</td><td>48.67%</td>": 1, `class="span"`: 2,
			"<script": 0, "&lt;script&gt;": 1, "src=": 0, "url(": 0, "@import": 0, "<link": 0, "NaN": 0, "<td>restart</td><td>6</td>": 1, "ZgotmplZ": 0,
		} {
			if got := strings.Count(text, part); got != times {
				t.Errorf("%s is there %d times; want %d", part, got, times)
			}
		}
	})
}

// L6: a generator that was late, or had too little of the machine, says so.
func TestNotes(t *testing.T) {
	for want, g := range map[string]Generator{
		"":                      {Starved: 0.1, Lag: Full{Distribution: Distribution{P99: 0.5}}},
		"sent 1.5 ms or more":   {Lag: Full{Distribution: Distribution{P99: 1.5}}},
		": 75% of the time in":  {Starved: processors{used: time.Second, waited: 3 * time.Second}.starved()},
		": 100% of the time in": {Starved: processors{waited: time.Second}.starved()},
	} {
		r := Report{Generator: g}
		if got := strings.Join(r.notes(), "\n"); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%+v: %q; want %q", g, got, want)
		}
	}
}
