package view

import (
	"runtime"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Detail is all of one run at a moment.
type Detail struct {
	Run     rail.RunID
	Version rail.Version
	Health  replica.Health
	Sheet   *replica.Sheet
	Hold    replica.Hold
	ODs     []ODOffer
}

// ODOffer is what is left of a run between two stops.
type ODOffer struct {
	From, To rail.StopIndex
	Classes  []ClassOffer
}

// Whole shows one run, every OD of it on which passengers may get on and off; nil if the replica has none of that id.
func Whole(r *replica.Replica, id rail.RunID, now time.Time) *Detail {
	run := r.Run(id)
	if run == nil {
		return nil
	}
	var d *Detail
	for range attempts {
		before := run.Changes()
		if d = detail(run, r.Holds(), r.Index().Location(), now); d == nil || before%2 == 0 && run.Changes() == before {
			break
		}
		runtime.Gosched()
	}
	return d
}

func detail(run *replica.Run, holds *replica.HoldTable, loc *time.Location, now time.Time) *Detail {
	sheet := run.Sheet()
	if sheet == nil {
		return nil // its day has just ended
	}
	d := &Detail{Run: run.ID, Version: sheet.Version(), Health: run.Health(), Sheet: sheet, Hold: holds.Of(run.ID), ODs: make([]ODOffer, 0, timetable.NumODs(len(sheet.Pattern.Stops)))}
	stops := sheet.Pattern.Stops
	for from := range stops[:len(stops)-1] {
		j := judge(run, sheet, &d.Hold, run.ID.Date.At(stops[from].Depart, loc), now)
		for to := from + 1; to < len(stops); to++ {
			if stops[from].NoBoarding || stops[to].NoAlighting {
				continue
			}
			a, b := rail.StopIndex(from), rail.StopIndex(to)
			d.ODs = append(d.ODs, ODOffer{From: a, To: b, Classes: j.classes(nil, a, b, nil)})
		}
	}
	return d
}
