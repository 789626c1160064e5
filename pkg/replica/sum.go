package replica

import (
	"encoding/binary"
	"hash/fnv"
	"runtime"

	"github.com/yupiao/yupiao/pkg/rail"
)

// Sum is what a replica holds of a run, in short: two replicas that hold the same of it have equal ones.
type Sum struct {
	Run     rail.RunID
	Version rail.Version
	Health  Health
	// Content is of all that an answer says of the run at that Version. 0 if the run changed faster than it could be read.
	Content uint64
}

// Sums are those of the runs of a partition on a service date, in no order.
func (r *Replica) Sums(p rail.Partition, date rail.Date) (all []Sum) {
	w := r.writers[p]
	w.finding.RLock()
	var runs []*Run
	for id, e := range w.entries {
		if id.Date == date && e.run.Sheet() != nil {
			runs = append(runs, &e.run)
		}
	}
	w.finding.RUnlock()
	for _, run := range runs {
		if s, ok := run.sum(); ok {
			all = append(all, s)
		}
	}
	return all
}

// sum is that of one moment; false if the run's day has ended.
func (r *Run) sum() (s Sum, ok bool) {
	const attempts = 16
	for range attempts {
		before, sheet := r.Changes(), r.Sheet()
		if sheet == nil {
			return s, false
		}
		s = Sum{Run: r.ID, Version: sheet.Version(), Health: r.Health(), Content: sheet.content()}
		if before%2 == 0 && r.Changes() == before {
			return s, true
		}
		runtime.Gosched() // the writer may have been stopped in the middle of a change
	}
	s.Content = 0
	return s, true
}

// Numbers are the remaining places of a sheet: from each stop to each later one, class by class; -1 where a class may not be sold.
func (s *Sheet) Numbers() (all []int32) {
	s.Each(func(_, _ rail.StopIndex, numbers []int32) { all = append(all, numbers...) })
	return all
}

// Each goes through the ODs in the order of Numbers. The numbers last until the call returns.
func (s *Sheet) Each(do func(from, to rail.StopIndex, numbers []int32)) {
	var counts [rail.MaxClasses]rail.SeatCount
	var numbers [rail.MaxClasses]int32
	stops := rail.StopIndex(len(s.Pattern.Stops))
	for from := range stops {
		for to := from + 1; to < stops; to++ {
			n := s.Counts.Counts(counts[:0], from, to)
			for i := range n {
				if numbers[i] = int32(n[i]); !s.Counts.Allowed(i, from, to) {
					numbers[i] = -1
				}
			}
			do(from, to, numbers[:len(n)])
		}
	}
}

// content is 64 bits of FNV-1a over the sheet.
func (s *Sheet) content() uint64 {
	h := fnv.New64a()
	number := func(n int64) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		_, _ = h.Write(b[:]) // it never fails
	}
	text := func(t string) {
		number(int64(len(t)))
		_, _ = h.Write([]byte(t))
	}
	flag := map[bool]int64{true: 1}
	text(string(s.Pattern.ID))
	text(s.Reason)
	number(flag[s.Suspended])
	number(s.SaleOpensAt.Unix())
	number(int64(s.SaleClosesBefore))
	for i := range s.Classes {
		text(string(s.Counts.Class(i)))
		number(flag[s.Waitlist[i]])
	}
	s.Each(func(_, _ rail.StopIndex, numbers []int32) {
		for _, n := range numbers {
			number(int64(n))
		}
	})
	return h.Sum64()
}
