package node

import (
	"testing"
	"time"
)

// An hour is kept and no more, and changes are told per second; another replica's count is not taken for a difference.
func TestHistory(t *testing.T) {
	var h history
	at := time.Unix(1_800_000_000, 0)
	for i := range 1000 {
		h.add(Point{At: at.Add(time.Duration(i) * pointEvery), Requests: float64(i)}, uint64(i*50))
	}
	all := h.all()
	if len(all) != pointsKept || all[0].Requests != float64(1000-pointsKept) || all[pointsKept-1].Requests != 999 || all[5].Changes != 10 {
		t.Errorf("%d points from %+v to %+v", len(all), all[0], all[len(all)-1])
	}
	h.add(Point{At: at.Add(1000 * pointEvery)}, 7)
	h.add(Point{At: at.Add(1001 * pointEvery)}, 17)
	if all = h.all(); all[pointsKept-2].Changes != 0 || all[pointsKept-1].Changes != 2 {
		t.Errorf("after a reload: %+v", all[pointsKept-2:])
	}
}
