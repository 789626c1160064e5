package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

// A rule that leaves its TTL to the node gets a longer one while the processors are busier than it wants, and a shorter one after; the log says why.
func TestPilot(t *testing.T) {
	var log bytes.Buffer
	p := newPilot(slog.New(slog.NewTextHandler(&log, nil)))
	rule := &policy.Rule{Name: "rush", Auto: &policy.Auto{CPU: 0.5, Max: 2 * time.Second}}
	start, score := p.ttl(rule)
	if start != 0 || score == nil {
		t.Fatalf("begins with %s", start)
	}
	now := time.Unix(1_800_000_000, 0)
	during := func(seconds int, cpu float64) time.Duration {
		for range seconds {
			now = now.Add(time.Second)
			p.steer(now, cpu)
		}
		ttl, _ := p.ttl(rule)
		return ttl
	}
	busy := during(20, 0.9)
	if busy <= 0 || busy > 2*time.Second {
		t.Errorf("after 20 s at 90%%: %s", busy)
	}
	if after := during(60, 0.1); after >= busy {
		t.Errorf("after a minute at 10%%: %s, before it %s", after, busy)
	}
	if !strings.Contains(log.String(), "rule=rush") || !strings.Contains(log.String(), "cpu") {
		t.Errorf("the log: %s", log.String())
	}
	now = now.Add(time.Second)
	busy = during(20, 0.9)
	p.keep(&policy.Policy{Rules: []policy.Rule{{Name: "other"}, *rule}})
	if kept, _ := p.ttl(rule); kept != busy {
		t.Errorf("other settings left the rule as it was, but its TTL went from %s to %s", busy, kept)
	}
	if ttl, why, ok := p.present("rush"); ttl != busy || !strings.Contains(why, "cpu") || !ok || p.ttls(&policy.Policy{Rules: []policy.Rule{*rule}})["rush"] != busy {
		t.Errorf("says %s, %q", ttl, why)
	}
	other := &policy.Rule{Name: "rush", Auto: &policy.Auto{CPU: 0.5, Max: time.Second}}
	if ttl, _ := p.ttl(other); ttl != 0 {
		t.Errorf("another target begins with %s", ttl)
	}
	p.keep(&policy.Policy{Rules: []policy.Rule{*other}})
	if ttl, _ := p.ttl(rule); ttl != 0 {
		t.Errorf("a rule that was let go begins with %s", ttl)
	}
	if processTime() <= 0 {
		t.Error("no time was used")
	}
}
