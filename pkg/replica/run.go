package replica

import (
	"sync/atomic"
	"time"

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
	Pattern *timetable.Pattern
	// Suspended: nothing of the run is sold; Reason says why.
	Suspended bool
	Reason    string
	// SaleOpensAt is zero for a run on sale at once.
	SaleOpensAt time.Time
	// SaleClosesBefore is how long before departure from the from stop its sale closes.
	SaleClosesBefore rail.Minutes
	// Counts holds the remaining places, class by class.
	Counts *inventory.Table
	// Classes of Counts as places in Pattern.Classes.
	Classes []int
	// Waitlist by class of Counts.
	Waitlist []bool

	epoch    uint64
	revision atomic.Uint64
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
