package replica

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Position is a point in the feed up to which an answer may know of changes. A replica that has reached it gives no older answer.
//
// It is the stream's birth and, for each partition, the sequence of the last message of which anything may be visible. A RunState can overtake the delta that
// tells its Version (P4); a run that is shown so is ahead of the deltas, and its Version is named beside them.
type Position struct {
	born  int64 // Unix ms
	marks [rail.Partitions]uint64
	ahead []aheadRun
}

type aheadRun struct {
	run     rail.RunID
	version rail.Version
}

// Position is where the replica is, or a little before, once what was read of the runs is in the answer. It must be asked for after the counts were read.
func (r *Replica) Position(runs []*Run) Position {
	p := Position{born: r.born()}
	for _, run := range runs {
		if run.ahead.Load() { // before the marks: a run is no longer ahead only after its mark is set
			p.ahead = append(p.ahead, aheadRun{run.ID, run.version()})
		}
	}
	for i := range p.marks {
		p.marks[i] = r.freshness.partition[i].begun.Load()
	}
	return p
}

func (r *Replica) born() int64 {
	if created := r.freshness.created.Load(); created != nil && !(*created)[feed.DeltaStream].IsZero() {
		return (*created)[feed.DeltaStream].UnixMilli()
	}
	return 0
}

// Reached reports whether all that an answer at the position can know of has come here: every run that is not behind is at least as new. A younger stream is: it was filled with everything, and is asked
// only once it can prove its age. A position of a younger stream than ours is not reached.
func (r *Replica) Reached(p *Position) bool {
	if _, proved := r.AsOf(); p.born < r.born() && proved {
		return true
	}
	if p.born != r.born() {
		return false
	}
	for i := range p.marks {
		if r.freshness.partition[i].applied.Load() < p.marks[i] {
			return false
		}
	}
	return !slices.ContainsFunc(p.ahead, func(a aheadRun) bool {
		run := r.Run(a.run)
		return run != nil && a.version.Above(run.version()) || run == nil && r.Day(a.run.Date) != nil
	})
}

// positionFormat is the first byte of a position's text.
const positionFormat = 1

// String is a short text that ParsePosition reads: 30 to 100 letters, digits, - and _.
func (p Position) String() string {
	top := slices.Max(p.marks[:])
	b := append(make([]byte, 0, 64), positionFormat)
	b = binary.AppendUvarint(b, uint64(p.born))
	b = binary.AppendUvarint(b, top)
	for _, m := range p.marks {
		b = binary.AppendUvarint(b, top-m)
	}
	for _, a := range p.ahead {
		b = binary.AppendUvarint(b, uint64(a.run.Date))
		b = binary.AppendUvarint(b, uint64(len(a.run.Trip)))
		b = append(b, a.run.Trip...)
		b = binary.AppendUvarint(b, a.version.Epoch)
		b = binary.AppendUvarint(b, a.version.Revision)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ErrPosition marks a text that is no position.
var ErrPosition = errors.New("not a position")

// MaxPosition is the longest text of a position, in bytes.
const MaxPosition = 8192

// ParsePosition reads a position of any node's.
func ParsePosition(text string) (*Position, error) {
	if len(text) > MaxPosition {
		return nil, fmt.Errorf("%w: %d bytes; want at most %d", ErrPosition, len(text), MaxPosition)
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || b[0] != positionFormat {
		return nil, fmt.Errorf("%w: %.40q; want the Yupiao-Position of an answer", ErrPosition, text)
	}
	in := reader{rest: b[1:]}
	p := &Position{born: int64(in.number())}
	top := in.number()
	for i := range p.marks {
		back := in.number()
		in.bad = in.bad || back > top
		p.marks[i] = top - back
	}
	for !in.bad && len(in.rest) > 0 {
		run := rail.RunID{Date: rail.Date(in.number()), Trip: rail.TripID(in.text())}
		p.ahead = append(p.ahead, aheadRun{run, rail.Version{Epoch: in.number(), Revision: in.number()}})
	}
	if in.bad || p.born < 0 {
		return nil, fmt.Errorf("%w: %.40q is damaged; want the Yupiao-Position of an answer, unchanged", ErrPosition, text)
	}
	return p, nil
}

// reader takes what String has written, and remembers if something was not so.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string {
	n := r.number()
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

// tell notes a Version that came in the delta stream.
func (e *entry) tell(v rail.Version) {
	if v.Above(e.told) {
		e.told = v
		e.lead()
	}
}

// lead brings the run's mark of being ahead in line with what the deltas have told.
func (e *entry) lead() {
	if ahead := e.run.version().Above(e.told); ahead != e.run.ahead.Load() {
		e.run.ahead.Store(ahead)
	}
}

// toldAll notes that the publisher's digests of some dates were equal at this point of the deltas: no run of them is ahead. That is news once, for what was loaded: most
// of it was told by deltas that are no longer kept.
func (w *writer) toldAll(dates []rail.Date) {
	news := false
	for _, date := range dates {
		news = news || !w.told[date]
		w.told[date] = true
	}
	if !news {
		return
	}
	for id, e := range w.entries {
		if slices.Contains(dates, id.Date) {
			e.tell(e.run.version())
		}
	}
}
