package view

import (
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
)

// judgement is what holds for all classes of a run at a from stop: a state that stands above the counts, or none.
type judgement struct {
	sheet  *replica.Sheet
	state  rail.State // of all classes, unless open
	reason Reason
	open   bool
	next   time.Time // when the clock alone changes this; zero for never
}

// judge looks at the run as a whole. An operator's word stands above quarantine, quarantine above suspension, suspension above the sale's times.
func judge(run *replica.Run, sheet *replica.Sheet, hold *replica.Hold, depart, now time.Time) judgement {
	j := judgement{sheet: sheet}
	closes := depart.Add(-time.Duration(sheet.SaleClosesBefore) * time.Minute)
	switch {
	case !now.Before(depart):
		j.state, j.reason = rail.NotOnSale, Reason{Kind: HasDeparted}
	case !now.Before(closes):
		j.state, j.reason, j.next = rail.NotOnSale, Reason{Kind: SaleClosed}, depart
	case now.Before(sheet.SaleOpensAt):
		j.state, j.reason, j.next = rail.NotOnSale, Reason{Kind: NotOpenYet, At: sheet.SaleOpensAt}, sheet.SaleOpensAt
	default:
		j.open, j.next = true, closes
	}
	switch {
	case hold.Suspended:
		j.open, j.state, j.reason = false, rail.Suspended, Reason{Kind: SaleSuspended, Notice: hold.Reason}
	case run.Health() == replica.Quarantined:
		j.open, j.state, j.reason = false, rail.Unknown, Reason{Kind: NotVouchedFor}
	case sheet.Suspended:
		j.open, j.state, j.reason = false, rail.Suspended, Reason{Kind: SaleSuspended, Notice: sheet.Reason}
	}
	return j
}

// classes appends the class offers of an OD; only those wanted, or all.
func (j *judgement) classes(out []ClassOffer, from, to rail.StopIndex, wanted []rail.Class) []ClassOffer {
	var buffer [rail.MaxClasses]rail.SeatCount
	counts := j.sheet.Counts.Counts(buffer[:0], from, to)
	for i, n := range counts {
		if code := j.sheet.Counts.Class(i); len(wanted) == 0 || slices.Contains(wanted, code) {
			out = append(out, j.class(i, n, from, to))
		}
	}
	return out
}

func (j *judgement) class(i int, n rail.SeatCount, from, to rail.StopIndex) ClassOffer {
	c := ClassOffer{Class: j.sheet.Counts.Class(i)}
	var offered bool
	c.Fare, c.HasFare, offered = j.sheet.Pattern.Fare(j.sheet.Classes[i], from, to)
	switch {
	case !offered:
		c.State, c.Reason = rail.NotOffered, Reason{Kind: ClassNotOffered}
	case !j.open:
		c.State, c.Reason = j.state, j.reason
	case !j.sheet.Counts.Allowed(i, from, to):
		c.State, c.Reason = rail.Restricted, Reason{Kind: QuotaForbids}
	case n == 0 && j.sheet.Waitlist[i]:
		c.State, c.Reason = rail.Waitlist, Reason{Kind: WaitlistOpen}
	case n == 0:
		c.State, c.Reason = rail.SoldOut, Reason{Kind: AllSold}
	case n <= rail.LowAt:
		c.State, c.Remaining = rail.Low, n
	default:
		c.State, c.Remaining = rail.Available, n
	}
	return c
}
