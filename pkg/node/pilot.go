package node

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/governor"
	"github.com/yupiao/yupiao/pkg/policy"
)

// pilot moves the TTLs of the rules that leave them to the node.
type pilot struct {
	log *slog.Logger
	// cpu is the processor time that the process has used.
	cpu func() time.Duration

	mu    sync.Mutex // guards rules
	rules map[*policy.Rule]*helm
}

// helm is one rule's.
type helm struct {
	governor *governor.Governor
	score    answer.Score
}

func newPilot(log *slog.Logger) *pilot {
	return &pilot{log: log, cpu: processTime, rules: map[*policy.Rule]*helm{}}
}

// processTime is the user and system time of this process.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ttl is the present TTL of a rule, and where to count what comes of it.
func (p *pilot) ttl(r *policy.Rule) (time.Duration, *answer.Score) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.rules[r]
	if h == nil {
		h = &helm{governor: governor.New(*r.Auto)}
		p.rules[r] = h
	}
	return h.governor.TTL(), &h.score
}

// forget lets go of all rules: those of another policy begin anew.
func (p *pilot) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.rules)
}

// steerEvery is how often a TTL may move.
const steerEvery = time.Second

// run steers until ctx ends.
func (p *pilot) run(ctx context.Context) error {
	ticker := time.NewTicker(steerEvery)
	defer ticker.Stop()
	used, at := p.cpu(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			next := p.cpu()
			share := float64(next-used) / float64(now.Sub(at)) / float64(runtime.GOMAXPROCS(0))
			used, at = next, now
			p.steer(now, min(max(share, 0), 1))
		}
	}
}

// steer moves each TTL one step.
func (p *pilot) steer(now time.Time, cpu float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for rule, h := range p.rules {
		before := h.governor.TTL()
		served, wrong := h.score.Take()
		if ttl, why := h.governor.Step(governor.Reading{At: now, CPU: cpu, Served: served, Wrong: wrong}); ttl != before {
			p.log.Info("ttl", "rule", rule.Name, "from", before, "to", ttl, "why", why)
		}
	}
}
