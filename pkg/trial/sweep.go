package trial

import (
	"cmp"
	"math"
	"slices"
)

// sweep is done every second: old things leave, and the bounds are kept (X5). r.polling is held.
func (r *Recorder) sweep(now slot) {
	r.totals.push(total{at: now, n: r.o.Total(), unseen: r.unseen})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(now)
	r.leave(now)
	r.disown()
	r.cool(now)
	r.raise(now)
	r.fit(now)
}

// trim drops what is older than a sample reaches, with the time over which rates are taken. r.mu is held, as by all that follow.
func (r *Recorder) trim(now slot) {
	all, before := r.totals.all(), now-r.keep
	n, _ := slices.BinarySearchFunc(all, before, func(t total, s slot) int { return cmp.Compare(t.at, s) })
	r.totals.drop(min(n, len(all)-1))
	for _, k := range r.members {
		s := r.shard(k.hash)
		s.mu.Lock()
		k.forget(before - rateSlots)
		first := k.first()
		s.mu.Unlock()
		k.truth.forget(min(first, before-rateSlots))
	}
}

// leave ends the records of keys that were asked nothing for two windows.
func (r *Recorder) leave(now slot) {
	idle := make(map[*record]bool)
	for _, k := range r.members {
		s := r.shard(k.hash)
		s.mu.Lock()
		if k.asked() < now-2*r.window() {
			idle[k] = true
		}
		s.mu.Unlock()
	}
	for k := range idle {
		r.unplace(k)
	}
	r.remove(func(k *record) bool { return idle[k] })
}

// unplace takes a key out of the hot table, if it is there.
func (r *Recorder) unplace(k *record) {
	ways := r.ways(k.hash)
	for i := range ways {
		if ways[i].CompareAndSwap(k.hash, 0) {
			r.hots--
		}
	}
}

// disown takes keys out of the hot table that were told hot, but not asked in a second since.
func (r *Recorder) disown() {
	orphans := make(map[uint64]bool)
	for i := range r.hot {
		if h := r.hot[i].Load(); h != 0 && !r.recorded(h) {
			orphans[h] = true
			if r.orphans[h] && r.hot[i].CompareAndSwap(h, 0) {
				r.hots--
			}
		}
	}
	r.orphans = orphans
}

func (r *Recorder) recorded(h uint64) bool {
	s := r.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[h] != nil
}

// cool lets keys that are asked less than half as often as the bound leave the hot stratum. If it is crowded, the bound rises so that a quarter of them leaves;
// if it is half empty, the bound falls.
func (r *Recorder) cool(now slot) {
	rates := make(map[*record]float64)
	all := make([]float64, 0, r.hots)
	for _, k := range r.members {
		if rate, ok := r.rate(k, now); ok {
			rates[k] = rate
			all = append(all, rate)
		}
	}
	bound := r.HotRate()
	switch {
	case r.crowded && len(all) > 0:
		slices.Sort(all)
		bound = max(bound*1.1, all[len(all)/4])
		r.cooled(rates, all[len(all)/4])
	case r.hots < r.o.HotKeys/2:
		bound = max(bound*0.9, r.o.HotRate)
	}
	r.cooled(rates, bound/2)
	r.crowded = false
	r.hotRate.Store(math.Float64bits(bound))
}

// rate is the requests/s of a key that has been hot for the time over which rates are taken.
func (r *Recorder) rate(k *record, now slot) (float64, bool) {
	s := r.shard(k.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.hot == never || now-k.hot < rateSlots {
		return 0, false
	}
	n := uint64(0)
	for _, a := range slices.Backward(k.arrivals.all()) {
		if a.at < now-rateSlots {
			break
		}
		n += uint64(a.n)
	}
	return float64(n) / float64(rateSlots/second), true
}

// cooled lets hot keys that are asked less often leave the stratum. One that its hash does not sample is recorded no more.
func (r *Recorder) cooled(rates map[*record]float64, least float64) {
	for k, rate := range rates {
		if rate >= least {
			continue
		}
		delete(rates, k)
		r.unplace(k)
		s := r.shard(k.hash)
		s.mu.Lock()
		k.hot = never
		s.mu.Unlock()
		r.cold++
	}
	threshold := r.threshold.Load()
	r.remove(func(k *record) bool { return k.hot == never && k.hash > threshold })
	if r.cold > r.o.Keys {
		r.lower(r.o.Keys)
	}
}

// raise doubles the sampling rate when less than half of the keys are used. What that lets in counts once it was recorded for a window.
func (r *Recorder) raise(now slot) {
	threshold := r.threshold.Load()
	if r.floor < threshold {
		if now-r.raised > r.window()+rateSlots {
			r.floor = threshold
		}
		return
	}
	if r.cold >= r.o.Keys/2 || threshold == math.MaxUint64 {
		return
	}
	if threshold > math.MaxUint64/2 {
		threshold = math.MaxUint64
	} else {
		threshold = threshold*2 + 1
	}
	r.raised = now
	r.threshold.Store(threshold)
}

// fit keeps the record within its memory: fewer keys, down to an eighth; then a shorter window.
func (r *Recorder) fit(now slot) {
	size := r.size()
	for size > r.o.Memory {
		switch {
		case r.cold > r.o.Keys/8:
			r.lower(r.cold * 3 / 4)
		case r.keep > rateSlots:
			r.keep = r.keep * 3 / 4
			r.trim(now)
			r.tighten()
		default:
			return
		}
		size = r.size()
	}
	if size < r.o.Memory/2 {
		r.keep = min(r.keep+second, r.window())
	}
}

// tighten gives back memory that is kept to grow.
func (r *Recorder) tighten() {
	for _, k := range r.members {
		s := r.shard(k.hash)
		s.mu.Lock()
		k.arrivals.tighten()
		s.mu.Unlock()
		k.changes.tighten()
	}
}

func (r *Recorder) size() (bytes int) {
	for _, k := range r.members {
		s := r.shard(k.hash)
		s.mu.Lock()
		bytes += k.size()
		s.mu.Unlock()
	}
	return bytes
}
