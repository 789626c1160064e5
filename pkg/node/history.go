package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/admin"
)

// Point is the node at a moment.
type Point = admin.Point

const (
	pointEvery = 5 * time.Second
	pointsKept = int(time.Hour / pointEvery)
)

// history is the node's last hour. The zero history is empty. Safe for concurrent use.
type history struct {
	mu      sync.Mutex // guards what follows
	points  []Point    // the oldest first
	applied uint64     // events, at the last point
	at      time.Time
}

// keep adds a point every few seconds until ctx ends (nil).
func (h *history) keep(ctx context.Context, point func(now time.Time) (Point, uint64)) error {
	ticker := time.NewTicker(pointEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			h.add(point(now))
		}
	}
}

// add adds a point, with the events that were applied until then. A number below the last one is that of another replica.
func (h *history) add(p Point, applied uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seconds := p.At.Sub(h.at).Seconds(); !h.at.IsZero() && seconds > 0 && applied >= h.applied {
		p.Changes = float64(applied-h.applied) / seconds
	}
	h.applied, h.at = applied, p.At
	if h.points = append(h.points, p); len(h.points) > pointsKept {
		h.points = slices.Delete(h.points, 0, len(h.points)-pointsKept)
	}
}

func (h *history) all() []Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.points)
}
