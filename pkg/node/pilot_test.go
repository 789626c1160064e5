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
	if other, _ := p.ttl(&policy.Rule{Name: "rush", Auto: &policy.Auto{CPU: 0.5, Max: time.Second}}); other != 0 {
		t.Errorf("a new rule begins with %s", other)
	}
	if processTime() <= 0 {
		t.Error("no time was used")
	}
}
