package replica

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// roster finds runs by service date. Readers take no lock; writers of different partitions add and remove side by side.
type roster struct {
	mu     sync.Mutex // guards changes of days and of the lists within a Day
	days   atomic.Pointer[map[rail.Date]*Day]
	closed atomic.Uint64 // counts the days let go
}

// Day is the runs of a service date. Safe for concurrent use.
type Day struct {
	Date rail.Date

	// byPattern is by the pattern's number; the lists are copied on change.
	byPattern atomic.Pointer[[]atomic.Pointer[[]*Run]]
	slab      inventory.Slab // the counts of its runs
	// generation counts the runs that were heard of, came, went or changed their pattern.
	generation atomic.Uint64
	// unseen counts the runs of which only deltas have come: the day's answers may lack them.
	unseen atomic.Int64
	// lacking counts the partitions that had no room for a run of the day (R12).
	lacking atomic.Int64
	// over is the latest arrival of a run, as Unix seconds.
	over atomic.Int64
}

// Runs of the day that follow the pattern of a number (timetable.Leg). Shared, do not modify.
func (d *Day) Runs(number int32) []*Run {
	lists := d.byPattern.Load()
	if lists == nil || int(number) >= len(*lists) {
		return nil
	}
	if list := (*lists)[number].Load(); list != nil {
		return *list
	}
	return nil
}

// set replaces the runs of a pattern. One goroutine at a time calls it.
func (d *Day) set(number int32, runs []*Run) {
	lists := d.byPattern.Load()
	if lists == nil || int(number) >= len(*lists) {
		lists = d.grow(lists, int(number)+1)
	}
	(*lists)[number].Store(&runs)
}

// grow makes room for so many patterns, and some to come.
func (d *Day) grow(before *[]atomic.Pointer[[]*Run], patterns int) *[]atomic.Pointer[[]*Run] {
	after := make([]atomic.Pointer[[]*Run], patterns+patterns/4)
	if before != nil {
		for i := range *before {
			after[i].Store((*before)[i].Load())
		}
	}
	d.byPattern.Store(&after)
	return &after
}

// Generation changes whenever Runs would answer anew for some pattern.
func (d *Day) Generation() uint64 { return d.generation.Load() }

// Complete reports whether every run of which anything was heard can be seen. A day that had no room for one says no until a digest has proved that it has all.
func (d *Day) Complete() bool { return d.unseen.Load() == 0 && d.lacking.Load() == 0 }

// Calendar is the service dates that had runs at a moment. Equal Calendars are of the same days; whether these have changed, their generations tell.
type Calendar struct{ days *map[rail.Date]*Day }

// Day is the runs of a service date; nil if there are none.
func (c Calendar) Day(date rail.Date) *Day {
	if c.days == nil {
		return nil
	}
	return (*c.days)[date]
}

func (r *roster) all() map[rail.Date]*Day {
	if m := r.days.Load(); m != nil {
		return *m
	}
	return nil
}

func (r *roster) day(date rail.Date) *Day { return r.all()[date] }

// open finds or makes a day.
func (r *roster) open(date rail.Date) *Day {
	if d := r.day(date); d != nil {
		return d
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.day(date); d != nil {
		return d
	}
	d := &Day{Date: date}
	r.replace(func(days map[rail.Date]*Day) { days[date] = d })
	return d
}

// close forgets a day.
func (r *roster) close(date rail.Date) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replace(func(days map[rail.Date]*Day) { delete(days, date) })
	r.closed.Add(1)
}

func (r *roster) replace(change func(map[rail.Date]*Day)) {
	next := make(map[rail.Date]*Day, len(r.all())+1)
	for date, d := range r.all() {
		next[date] = d
	}
	change(next)
	r.days.Store(&next)
}

// list shows a run under a pattern, and no longer under the one before, if any.
func (r *roster) list(run *Run, before, now *line, arrival time.Time) {
	d := r.open(run.ID.Date)
	r.mu.Lock()
	defer r.mu.Unlock()
	if before != nil {
		d.set(before.number, slices.DeleteFunc(slices.Clone(d.Runs(before.number)), func(o *Run) bool { return o == run }))
	}
	list := append(slices.Clone(d.Runs(now.number)), run)
	slices.SortFunc(list, func(a, b *Run) int { return cmp.Compare(a.ID.Trip, b.ID.Trip) })
	d.set(now.number, list)
	d.over.Store(max(d.over.Load(), arrival.Unix()))
	d.generation.Add(1)
}
