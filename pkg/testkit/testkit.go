// Package testkit is what the tests of several packages share: real servers, a small railway, and an authority simple enough to be right at sight.
package testkit

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"

	"github.com/yupiao/yupiao/configs/nats"
	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Patience is how long Eventually waits before a test has failed. Nothing that works needs a tenth of it.
const Patience = 30 * time.Second

// Host is a NATS server that can be stopped and come back on its own files, or on others. Connections find it again.
type Host struct {
	Dir     string
	config  string // a file; empty for none
	payload int32
	t       testing.TB
	current atomic.Pointer[broker.Server]
}

// Broker is a NATS server that lives as long as the test.
func Broker(t testing.TB) *Host {
	t.Helper()
	h := &Host{Dir: t.TempDir(), t: t}
	h.Start()
	t.Cleanup(h.Stop)
	return h
}

// Roomy is a Broker that takes messages of any size that NATS can be set to take.
func Roomy(t testing.TB) *Host {
	t.Helper()
	h := &Host{Dir: t.TempDir(), payload: 64 << 20, t: t}
	h.Start()
	t.Cleanup(h.Stop)
	return h
}

// Guarded is a NATS server with the accounts that are shipped. As tells how to come in.
func Guarded(t testing.TB) *Host {
	t.Helper()
	for party, variable := range nats.Parties {
		t.Setenv(variable, Password(party))
	}
	h := &Host{Dir: t.TempDir(), config: filepath.Join(t.TempDir(), "accounts.conf"), t: t}
	if err := os.WriteFile(h.config, []byte(nats.Accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Start()
	t.Cleanup(h.Stop)
	return h
}

// Password of a party on a Guarded server.
func Password(p nats.Party) string { return "password-of-" + string(p) }

// As is how a party connects to a Guarded server.
func (h *Host) As(p nats.Party) feed.Options {
	return feed.Options{InProcess: h, Name: string(p), User: string(p), Password: Password(p), Domain: nats.Domain}
}

// Start brings the server up on Dir.
func (h *Host) Start() {
	h.t.Helper()
	s, err := broker.Start(broker.Options{Dir: h.Dir, Config: h.config, MaxPayload: h.payload})
	if err != nil {
		h.t.Fatal(err)
	}
	h.current.Store(s)
}

// Stop stops the server and waits until its files are closed.
func (h *Host) Stop() { h.current.Load().Stop() }

// InProcessConn is feed.InProcess.
func (h *Host) InProcessConn() (net.Conn, error) { return h.current.Load().InProcessConn() }

// Plain is a connection without any code of ours, for a test that stands in for somebody else.
func Plain(t testing.TB, s feed.InProcess, more ...client.Option) *client.Conn {
	t.Helper()
	nc, err := client.Connect("", append(more, client.InProcessServer(s))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Conn is a connection that lives as long as the test.
func Conn(t testing.TB, s feed.InProcess) *feed.Conn {
	t.Helper()
	return Connect(t, feed.Options{InProcess: s, Name: t.Name()})
}

// Connect is a connection with options that lives as long as the test.
func Connect(t testing.TB, o feed.Options) *feed.Conn {
	t.Helper()
	c, err := feed.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Eventually waits until a condition holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(t, Patience, what, holds)
}

// Within waits until a condition holds, for a time of the caller's: for what has to wait for something that takes long by itself.
func Within(t testing.TB, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// Network is three cities with four stations: 北京 with two, 济南 and 上海.
func Network() *timetable.Network {
	city := func(code rail.CityCode, name, pinyin string) timetable.City {
		return timetable.City{Code: code, Names: timetable.Names{Name: name, Pinyin: pinyin}}
	}
	station := func(code rail.StationCode, city rail.CityCode, name, pinyin, english string) timetable.Station {
		return timetable.Station{Code: code, City: city, Names: timetable.Names{Name: name, Pinyin: pinyin, Other: map[string]string{"en": english}}}
	}
	return &timetable.Network{
		Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 15,
		Cities: []timetable.City{city("BJP", "北京", "beijing"), city("JNK", "济南", "jinan"), city("SHH", "上海", "shanghai")},
		Stations: []timetable.Station{
			station("BJP", "BJP", "北京", "beijing", "Beijing"), station("VNP", "BJP", "北京南", "beijingnan", "Beijing South"),
			station("JGK", "JNK", "济南西", "jinanxi", "Jinan West"), station("AOH", "SHH", "上海虹桥", "shanghaihongqiao", "Shanghai Hongqiao"),
		},
	}
}

// Pattern is a train from 北京南 by 济南西 to 上海虹桥 that leaves at a minute of its service date.
func Pattern(train string, depart rail.Minutes) *timetable.Pattern {
	p := &timetable.Pattern{
		Train: train, Category: train[:1],
		Stops: []timetable.Stop{
			{Station: "VNP", Arrive: depart, Depart: depart}, {Station: "JGK", Arrive: depart + 90, Depart: depart + 92}, {Station: "AOH", Arrive: depart + 270, Depart: depart + 270},
		},
		Classes: []timetable.ClassOffer{{Class: "O", Fares: []rail.Money{19450, 55300, 39850}}, {Class: "9", Fares: []rail.Money{60000, 174800, 120000}}},
	}
	p.ID = p.ContentID()
	return p
}

// Full is the number of places of each class in a Ledger's run.
const Full = 100

// Ledger is an authority that keeps one number for each run: places of class O sold from end to end. Safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex // guards runs
	pattern rail.PatternID
	stops   rail.StopIndex
	runs    map[rail.RunID]*line
}

type line struct {
	version   rail.Version
	sold      rail.SeatCount
	suspended bool
}

// NewLedger is an authority whose runs all follow one pattern.
func NewLedger(p *timetable.Pattern) *Ledger {
	return &Ledger{pattern: p.ID, stops: rail.StopIndex(len(p.Stops)), runs: map[rail.RunID]*line{}}
}

// Open starts a run's history.
func (l *Ledger) Open(run rail.RunID, epoch uint64) feed.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[run] = &line{version: rail.Version{Epoch: epoch, Revision: 1}}
	return l.restated(run)
}

// Sell sells n places; a negative n gives them back.
func (l *Ledger) Sell(run rail.RunID, n rail.SeatCount) feed.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.runs[run]
	r.version.Revision++
	r.sold += n
	return feed.Change{Delta: event.RunDelta{Run: run, Version: r.version, Adjusts: []inventory.Adjust{{Class: "O", To: l.stops - 1, By: -n}}}}
}

// Suspend stops a run's sale, or resumes it.
func (l *Ledger) Suspend(run rail.RunID, stop bool) feed.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[run].version.Revision++
	l.runs[run].suspended = stop
	return l.restated(run)
}

func (l *Ledger) restated(run rail.RunID) feed.Change {
	s := l.state(run)
	return feed.Change{Delta: event.RunDelta{Run: run, Version: s.Version, Restated: true}, State: &s}
}

func (l *Ledger) state(run rail.RunID) event.RunState {
	r := l.runs[run]
	bucket := inventory.Bucket{Capacity: Full, Spans: []inventory.Span{{To: l.stops - 1, Count: Full - r.sold}}}
	return event.RunState{Run: run, Pattern: l.pattern, Version: r.version, Suspended: r.suspended, Classes: []inventory.Class{{Class: "O", Buckets: []inventory.Bucket{bucket}}}}
}

// State is feed.Authority.
func (l *Ledger) State(run rail.RunID) (event.RunState, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs[run] == nil {
		return event.RunState{}, false
	}
	return l.state(run), true
}

// Sold is a run's truth.
func (l *Ledger) Sold(run rail.RunID) (rail.Version, rail.SeatCount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[run].version, l.runs[run].sold
}

// Runs lists all runs.
func (l *Ledger) Runs() (all []rail.RunID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for run := range l.runs {
		all = append(all, run)
	}
	return all
}

// Gate is an authority that, once shut, lets nobody have a state. Safe for concurrent use.
type Gate struct {
	*Ledger
	// Asked gets a value when somebody waits, unless it has one.
	Asked chan struct{}
	shut  atomic.Pointer[chan struct{}] // closed to let them go on; nil: open
}

// NewGate is an open one before a ledger.
func NewGate(l *Ledger) *Gate { return &Gate{Ledger: l, Asked: make(chan struct{}, 1)} }

// Shut lets nobody pass from now on.
func (g *Gate) Shut() { g.shut.Store(new(make(chan struct{}))) }

// Release lets those pass who wait, and all others.
func (g *Gate) Release() { close(*g.shut.Swap(nil)) }

// State is part of feed.Authority.
func (g *Gate) State(run rail.RunID) (event.RunState, bool) {
	if shut := g.shut.Load(); shut != nil {
		select {
		case g.Asked <- struct{}{}:
		default:
		}
		<-*shut
	}
	return g.Ledger.State(run)
}
