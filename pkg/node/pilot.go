package node

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/governor"
	"github.com/yupiao/yupiao/pkg/policy"
)

// pilot moves the TTLs of the rules that leave them to the node.
type pilot struct {
	log *slog.Logger

	mu    sync.Mutex // guards helms
	helms map[target]*helm
}

// target is what a rule wants. One that other settings leave as it is keeps its TTL.
type target struct {
	rule string
	auto policy.Auto
}

// helm is one rule's.
type helm struct {
	governor *governor.Governor
	score    answer.Score
	why      string
}

func newPilot(log *slog.Logger) *pilot { return &pilot{log: log, helms: map[target]*helm{}} }

func targetOf(r *policy.Rule) target { return target{r.Name, *r.Auto} }

// ttl is the present TTL of a rule, and where to count what comes of it.
func (p *pilot) ttl(r *policy.Rule) (time.Duration, *answer.Score) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.helms[targetOf(r)]
	if h == nil {
		h = &helm{governor: governor.New(*r.Auto)}
		p.helms[targetOf(r)] = h
	}
	return h.governor.TTL(), &h.score
}

// keep lets go of all that a policy does not have.
func (p *pilot) keep(in *policy.Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	has := map[target]bool{}
	for i := range in.Rules {
		if r := &in.Rules[i]; r.Auto != nil {
			has[targetOf(r)] = true
		}
	}
	maps.DeleteFunc(p.helms, func(t target, _ *helm) bool { return !has[t] })
}

// steer moves each TTL one step. The share is of all processors.
func (p *pilot) steer(now time.Time, share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t, h := range p.helms {
		before := h.governor.TTL()
		served, wrong := h.score.Take()
		var ttl time.Duration
		if ttl, h.why = h.governor.Step(governor.Reading{At: now, CPU: share, Served: served, Wrong: wrong}); ttl != before {
			p.log.Info("ttl", "rule", t.rule, "from", before, "to", ttl, "why", h.why)
		}
	}
}

// present is the TTL of a rule by its name, and the last reason for it; ok is false if the node does not steer it, or no query has come under it.
func (p *pilot) present(rule string) (ttl time.Duration, why string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t, h := range p.helms {
		if t.rule == rule {
			return h.governor.TTL(), h.why, true
		}
	}
	return 0, "", false
}

// ttls are the present TTLs of a policy's rules that leave them to the node, by name.
func (p *pilot) ttls(in *policy.Policy) map[string]time.Duration {
	out := map[string]time.Duration{}
	for i := range in.Rules {
		if r := &in.Rules[i]; r.Auto != nil {
			out[r.Name], _ = p.ttl(r)
		}
	}
	return out
}
