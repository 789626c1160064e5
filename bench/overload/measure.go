//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/bench/process"
)

// hot is how many queries the hits are for; all of the dates that are on sale.
const hot = 400

// patience of the crowd, as of people who wait for a page: much longer than any answer takes that is not in a queue.
const patience = 2 * time.Second

// newCrowd is a crowd of a kind at the stage.
func (r *run) newCrowd(k kind) (*crowd, error) {
	address, err := netip.ParseAddrPort(strings.TrimPrefix(r.stage.http, "http://"))
	if err != nil {
		return nil, err
	}
	head := " HTTP/1.1\r\nHost: " + address.String() + "\r\nUser-Agent: overload\r\nAccept-Encoding: gzip\r\n\r\n"
	random := rand.New(rand.NewPCG(r.seed, uint64(time.Now().UnixNano()))) // what is cold must not have been asked for before
	onSale := r.stage.dates[:len(r.stage.dates)-1]
	pairs := len(r.stage.demand)
	cold := k.cold
	if cold < 0 {
		cold = r.cold
	}
	var kept [][]byte
	for i := range hot {
		kept = append(kept, []byte("GET "+r.stage.demand[i%min(pairs, hot/len(onSale))]+onSale[i%len(onSale)].String()+head))
	}
	write := func(dst []byte, _ int) ([]byte, bool) {
		if random.Float64() >= cold {
			return append(dst, kept[random.IntN(len(kept))]...), false
		}
		dst = append(append(dst, "GET "...), r.stage.demand[random.IntN(min(pairs, 2000))]...)
		dst = append(append(dst, onSale[random.IntN(len(onSale))].String()...), "&max_age="...) // a demand that all meet makes a query of its own
		return append(strconv.AppendInt(dst, 100+random.Int64N(86_000), 10), head...), true
	}
	return &crowd{
		server: syscall.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}, write: write, connections: k.connections, reconnect: k.reconnect, patience: patience,
	}, nil
}

// warm asks for what the hits are for until it is kept.
func (r *run) warm(ctx context.Context, k kind) error {
	k.cold, k.reconnect, k.connections = 0, false, 8
	c, err := r.newCrowd(k)
	if err != nil {
		return err
	}
	_, err = c.run(ctx, leg{rate: 2000, over: 2 * time.Second})
	return err
}

// crowd measures one kind of crowd.
func (r *run) crowd(ctx context.Context, k kind) error {
	r.say("== %s: warm up", k.name)
	if err := r.warm(ctx, k); err != nil {
		return err
	}
	c, err := r.newCrowd(k)
	if err != nil {
		return err
	}
	out := row{name: k.name}
	if out.saturating, out.peak, out.peakMade, err = r.saturate(ctx, c); err != nil {
		return err
	}
	over := r.over
	if k.short {
		over /= 4
	}
	half, err := r.watch(ctx, c, false, leg{out.saturating / 2, 8 * time.Second})
	if err != nil {
		return err
	}
	r.say("half load, %.0f/s: %s; %s", out.saturating/2, half.text(), half.probes)
	out.half = half
	full, err := r.watch(ctx, c, true, leg{r.factor * out.saturating, over})
	if err != nil {
		return err
	}
	r.say("%g times, %.0f/s: %s; %s", r.factor, r.factor*out.saturating, full.text(), full.probes)
	out.full = full
	c.window = 100 * time.Millisecond
	out.recovery, err = r.recover(ctx, c, leg{r.factor * out.saturating, 5 * time.Second}, leg{out.saturating / 2, 6 * time.Second}, 3*percentile(half.whole.took, 99))
	if err != nil {
		return err
	}
	r.say("recovered %.1f s after another 5 s of it", out.recovery.Seconds())
	r.table = append(r.table, out)
	return nil
}

// saturate finds the highest rate at which nearly all is answered, and the most that is answered at any, and that is made. What fails is tried three times: others use this machine.
func (r *run) saturate(ctx context.Context, c *crowd) (rate, peak, made float64, err error) {
	once := func(at float64) (fits bool, err error) {
		t, err := c.run(ctx, leg{at, r.step})
		if err != nil {
			return false, err
		}
		goodput := float64(t.ok) / max(t.at, r.step).Seconds()
		peak = max(peak, goodput)
		made = max(made, float64(t.made)/max(t.at, r.step).Seconds())
		r.say("%7.0f/s: %.0f/s answered, %s", at, goodput, t.text())
		return float64(t.ok) >= 0.98*float64(t.due) && goodput > 0.96*at && percentile(t.took, 99) < 500*time.Millisecond, nil
	}
	below, above, at := 0.0, 0.0, 1000.0
	for fine := 0; fine < 3; {
		fits, err := once(at)
		for again := 0; err == nil && !fits && again < 2; again++ {
			fits, err = once(at)
		}
		if err != nil {
			return 0, 0, 0, err
		}
		if fits {
			below = at
		} else {
			above = at
		}
		if at = below * 1.5; above > 0 {
			at = (below + above) / 2
			fine++
		}
	}
	return max(below, 100), peak, made, nil
}

// watched is a time under load, with what the probes saw of it.
type watched struct {
	whole  tally
	probes probes
	memory int64 // the most, in bytes
	// busy is the share of its processor that the node had, and asking that of the crowd.
	busy, asking float64
	most         int // goroutines
}

// watch asks at a rate, and looks at the node meanwhile.
func (r *run) watch(ctx context.Context, c *crowd, lines bool, l leg) (w watched, err error) {
	pid := r.stage.node.PID()
	used, err := process.CPU(pid)
	if err != nil {
		return w, err
	}
	p := newProber(r.stage)
	tallies := make(chan tally, 1024)
	c.window, c.told = time.Second, func(t tally) { tallies <- t }
	defer func() { c.window, c.told = 0, nil }()
	var told sync.WaitGroup
	told.Go(func() {
		for t := range tallies {
			slices.Sort(t.took)
			memory, _, _ := process.Memory(pid) // 0 when it has ended, which others say
			w.memory = max(w.memory, memory)
			if lines {
				r.say("  %s, admin %s, readyz %s, %d MiB", t.text(), ms(p.admin.last()), ms(p.ready.last()), memory>>20)
			}
		}
	})
	if lines && r.profile != "" {
		go func() {
			if b, err := get(r.stage.admin + "/debug/pprof/profile?seconds=5"); err == nil {
				_ = os.WriteFile(r.profile, b, 0o644) // only to look at
			}
		}()
	}
	w.whole, err = c.run(ctx, l)
	all, gone := process.CPU(pid)
	err = errors.Join(err, gone)
	w.busy, w.asking = (all-used).Seconds()/w.whole.at.Seconds(), c.used.Seconds()/w.whole.at.Seconds()
	close(tallies)
	told.Wait()
	w.probes = p.stop()
	w.most = p.goroutines
	return w, err
}

// recover tells how long after a rush until everybody is answered as fast as before.
func (r *run) recover(ctx context.Context, c *crowd, rush, after leg, bound time.Duration) (took time.Duration, err error) {
	var bad time.Duration // end of the last window in which it was not so
	c.told = func(t tally) {
		slices.Sort(t.took)
		if t.at < rush.over { // what is due before and over after counts, too: it is the node's
			return
		}
		if t.refused+t.limited+t.failed() > 0 || percentile(t.took, 99) > bound {
			bad = t.at + c.window
		}
	}
	defer func() { c.window, c.told = 0, nil }()
	_, err = c.run(ctx, rush, after)
	return max(bad-rush.over, 0), err
}

// rush is a burst at the opening of a sale.
func (r *run) rush(ctx context.Context, name string, reconnect bool) error {
	c, err := r.newCrowd(kind{connections: 2000, reconnect: reconnect})
	if err != nil {
		return err
	}
	address := strings.TrimPrefix(r.stage.http, "http://")
	last := r.stage.dates[len(r.stage.dates)-1].String()
	rank := rand.New(rand.NewPCG(r.seed, 7))
	c.write = func(dst []byte, _ int) ([]byte, bool) {
		at := int(float64(min(len(r.stage.demand), 1000)) * rank.Float64() * rank.Float64())
		return append(dst, "GET "+r.stage.demand[at]+last+" HTTP/1.1\r\nHost: "+address+"\r\nAccept-Encoding: gzip\r\n\r\n"...), false
	}
	before := *c
	before.connections, before.reconnect, before.patience = 8, false, 10*time.Second
	t, err := before.run(ctx, leg{1000, 3 * time.Second}) // all is kept as not on sale yet
	if err != nil {
		return err
	}
	r.say("== %s: before the opening %s", name, t.text())
	if late := time.Until(r.stage.opens); late <= 0 {
		return fmt.Errorf("the sale has opened %v ago; raise -opens-in", -late)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(r.stage.opens)):
	}
	c.patience = time.Minute
	w, err := r.watch(ctx, c, true, leg{1e9, time.Duration(r.burst)})
	if err != nil {
		return err
	}
	r.say("%d requests at once: %s, all over after %.2f s; %s", w.whole.due, w.whole.text(), w.whole.at.Seconds(), w.probes)
	r.table = append(r.table, row{name: name, full: w, burst: true})
	return nil
}

func (w *watched) text() string {
	return fmt.Sprintf("%s; the node had %.0f %% of its processor, the crowd %.0f %%", w.whole.text(), 100*w.busy, 100*w.asking)
}

// text is a tally for people.
func (t *tally) text() string {
	text := fmt.Sprintf("%d due, %d ok, %d refused", t.due, t.ok, t.refused+t.limited)
	for why, n := range t.errors {
		text += fmt.Sprintf(", %d %s", n, why)
	}
	return text + fmt.Sprintf(", p50 %s, p99 %s", ms(percentile(t.took, 50)), ms(percentile(t.took, 99)))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// prober asks the admin listener and, on a new connection each time, whether the node is ready.
type prober struct {
	admin, ready probe
	goroutines   int
	ended        chan struct{}
	all          sync.WaitGroup
}

// probe is one thing that is asked for again and again.
type probe struct {
	mu     sync.Mutex // guards what follows
	took   []time.Duration
	failed int
}

func (p *probe) note(took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed++
	}
	p.took = append(p.took, took)
}

func (p *probe) last() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.took) == 0 {
		return 0
	}
	return p.took[len(p.took)-1]
}

func newProber(s *stage) *prober {
	p := &prober{ended: make(chan struct{})}
	every := func(d time.Duration, do func()) {
		p.all.Go(func() {
			for tick := time.NewTicker(d); ; {
				select {
				case <-p.ended:
					tick.Stop()
					return
				case <-tick.C:
					do()
				}
			}
		})
	}
	every(50*time.Millisecond, func() {
		at := time.Now()
		_, err := get(s.admin + "/openapi.yaml")
		p.admin.note(time.Since(at), err)
	})
	fresh := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}}
	every(100*time.Millisecond, func() {
		at := time.Now()
		response, err := fresh.Get(s.http + "/readyz")
		if err == nil {
			if response.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %s", response.Status)
			}
			_ = response.Body.Close()
		}
		p.ready.note(time.Since(at), err)
	})
	every(time.Second, func() {
		body, err := get(s.admin + "/metrics")
		if err != nil {
			return
		}
		_, rest, _ := strings.Cut(string(body), "\ngo_goroutines ")
		line, _, _ := strings.Cut(rest, "\n")
		if n, err := strconv.Atoi(line); err == nil {
			p.goroutines = max(p.goroutines, n)
		}
	})
	return p
}

// probes are what the probes saw.
type probes struct {
	admin, ready             []time.Duration // sorted
	adminFailed, readyFailed int
}

func (p *prober) stop() probes {
	close(p.ended)
	p.all.Wait()
	slices.Sort(p.admin.took)
	slices.Sort(p.ready.took)
	return probes{p.admin.took, p.ready.took, p.admin.failed, p.ready.failed}
}

func (p probes) String() string {
	return fmt.Sprintf("admin p99 %s, worst %s, %d failed of %d; readyz on new connections p99 %s, worst %s, %d failed of %d", ms(percentile(p.admin, 99)), ms(percentile(p.admin, 100)),
		p.adminFailed, len(p.admin), ms(percentile(p.ready, 99)), ms(percentile(p.ready, 100)), p.readyFailed, len(p.ready))
}
