package replica

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Health says how far a run's numbers can be trusted.
type Health uint32

const (
	// Live means that everything that was published up to the node's AsOf is in the numbers.
	Live Health = iota
	// Behind means that a change is known to be missing (R3); the numbers are an earlier truth.
	Behind
	// Quarantined means that the numbers contradict themselves or the authority (R4, R10) and must not be shown.
	Quarantined
)

func (h Health) String() string {
	switch h {
	case Live:
		return "live"
	case Behind:
		return "behind"
	default:
		return "quarantined"
	}
}

// Run is a run as queries see it. Any number of goroutines may read it without locks; its partition's one writer changes it.
type Run struct {
	ID rail.RunID

	sheet   atomic.Pointer[Sheet]
	health  atomic.Uint32
	changes atomic.Uint64
	// ahead: shown at a Version that the delta stream has not told yet (Position).
	ahead atomic.Bool
}

// Sheet is what one RunState and the deltas since say of a run. All but the counts and the revision is fixed: shared, do not modify.
type Sheet struct {
	*Plan
	// Reason says why the run is suspended.
	Reason string
	// SaleOpensAt is zero for a run on sale at once.
	SaleOpensAt time.Time
	// Counts holds the remaining places, class by class. The sheet after this one may share it.
	Counts *inventory.Table
	// SaleClosesBefore is how long before departure from the from stop its sale closes.
	SaleClosesBefore rail.Minutes
	// Suspended: nothing of the run is sold.
	Suspended bool

	epoch    uint64
	revision atomic.Uint64
}

// Plan is what the sheets of many runs have in common.
type Plan struct {
	Pattern *timetable.Pattern
	// Classes of Counts as places in Pattern.Classes.
	Classes []int
	// Waitlist by class of Counts.
	Waitlist []bool

	layout *inventory.Layout
}

// newPlan is that of a RunState. The error says that it contradicts itself or its pattern.
func newPlan(s *event.RunState, pattern *timetable.Pattern) (*Plan, error) {
	layout, err := inventory.NewLayout(len(pattern.Stops), s.Classes)
	if err != nil {
		return nil, fmt.Errorf("state of %s at %s: %w", s.Run, s.Version, err)
	}
	p := &Plan{Pattern: pattern, layout: layout}
	for _, c := range s.Classes {
		i := slices.IndexFunc(pattern.Classes, func(o timetable.ClassOffer) bool { return o.Class == c.Class })
		if i < 0 {
			return nil, fmt.Errorf("state of %s at %s: class %q is not in pattern %s", s.Run, s.Version, c.Class, pattern.ID)
		}
		p.Classes, p.Waitlist = append(p.Classes, i), append(p.Waitlist, c.Waitlist)
	}
	return p, nil
}

// fits reports whether newPlan would make an equal one of a RunState of the same pattern.
func (p *Plan) fits(s *event.RunState) bool {
	if !p.layout.Fits(len(p.Pattern.Stops), s.Classes) {
		return false
	}
	for i := range s.Classes {
		if s.Classes[i].Waitlist != p.Waitlist[i] {
			return false
		}
	}
	return true
}

// Version of the sheet. It never goes back (R8). Read it before the counts: they are then at least that new.
func (s *Sheet) Version() rail.Version {
	return rail.Version{Epoch: s.epoch, Revision: s.revision.Load()}
}

// Sheet is the run's present sheet; nil for a run of which only deltas have come.
func (r *Run) Sheet() *Sheet { return r.sheet.Load() }

// Health of the run.
func (r *Run) Health() Health { return Health(r.health.Load()) }

// Changes is a number that grows with every visible change of the run, and is odd while one is being made. If it is even before the run is
// read and the same afterwards, then all that was read belongs together and is still shown.
func (r *Run) Changes() uint64 { return r.changes.Load() }

// changed counts a change of a single store, which readers see whole.
func (r *Run) changed() { r.changes.Add(2) }

// version is the held one; zero without a sheet.
func (r *Run) version() rail.Version {
	if s := r.sheet.Load(); s != nil {
		return s.Version()
	}
	return rail.Version{}
}

// setHealth makes a change of health visible.
func (r *Run) setHealth(h Health) {
	if Health(r.health.Swap(uint32(h))) != h {
		r.changed()
	}
}
