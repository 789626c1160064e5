package render

import (
	"strconv"
	"time"

	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/view"
)

// Detail appends all of one run.
func (p Printer) Detail(dst []byte, d *view.Detail) []byte {
	dst = append(dst, `{"run":"`...)
	dst = append(dst, d.Run.String()...)
	dst = append(dst, `","train":`...)
	dst = appendString(dst, d.Sheet.Pattern.Train)
	dst = append(dst, `,"category":`...)
	dst = appendString(dst, d.Sheet.Pattern.Category)
	dst = append(dst, `,"date":"`...)
	dst = append(dst, d.Run.Date.String()...)
	dst = append(dst, `","version":{"epoch":`...)
	dst = strconv.AppendUint(dst, d.Version.Epoch, 10)
	dst = append(dst, `,"revision":`...)
	dst = strconv.AppendUint(dst, d.Version.Revision, 10)
	dst = append(dst, '}')
	dst = p.detailStatus(dst, d)
	dst = p.detailStops(dst, d)
	dst = p.detailClasses(dst, d)
	dst = append(dst, `,"ods":[`...)
	for i := range d.ODs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.od(dst, &d.ODs[i])
	}
	return append(dst, "]}"...)
}

func (p Printer) detailStatus(dst []byte, d *view.Detail) []byte {
	status, reason := "OPEN", ""
	switch {
	case d.Hold.Suspended:
		status, reason = "SUSPENDED", p.Reason(view.Reason{Kind: view.SaleSuspended, Notice: d.Hold.Reason})
	case d.Health == replica.Quarantined:
		status, reason = "UNKNOWN", p.Reason(view.Reason{Kind: view.NotVouchedFor})
	case d.Sheet.Suspended:
		status, reason = "SUSPENDED", p.Reason(view.Reason{Kind: view.SaleSuspended, Notice: d.Sheet.Reason})
	}
	dst = append(dst, `,"status":"`...)
	dst = append(dst, status...)
	dst = append(dst, '"')
	if d.Health == replica.Behind {
		dst = append(dst, `,"behind":true`...)
		reason = behindText(p.Lang)
	}
	if reason != "" {
		dst = append(dst, `,"reason":`...)
		dst = appendString(dst, reason)
	}
	if !d.Sheet.SaleOpensAt.IsZero() {
		dst = append(dst, `,"sale_opens_at":"`...)
		dst = d.Sheet.SaleOpensAt.In(p.Index.Location()).AppendFormat(dst, time.RFC3339)
		dst = append(dst, '"')
	}
	return dst
}

func (p Printer) detailStops(dst []byte, d *view.Detail) []byte {
	dst = append(dst, `,"stops":[`...)
	loc, last := p.Index.Location(), len(d.Sheet.Pattern.Stops)-1
	for i, s := range d.Sheet.Pattern.Stops {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"stop":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, `,"code":`...)
		dst = appendString(dst, string(s.Station))
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, p.StationName(s.Station))
		if i > 0 {
			dst = append(dst, `,"arrive":"`...)
			dst = append(d.Run.Date.At(s.Arrive, loc).AppendFormat(dst, time.RFC3339), '"')
		}
		if i < last {
			dst = append(dst, `,"depart":"`...)
			dst = append(d.Run.Date.At(s.Depart, loc).AppendFormat(dst, time.RFC3339), '"')
		}
		if s.Train != "" {
			dst = append(dst, `,"train":`...)
			dst = appendString(dst, s.Train)
		}
		dst = append(dst, `,"boarding":`...)
		dst = strconv.AppendBool(dst, i < last && !s.NoBoarding)
		dst = append(dst, `,"alighting":`...)
		dst = strconv.AppendBool(dst, i > 0 && !s.NoAlighting)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (p Printer) detailClasses(dst []byte, d *view.Detail) []byte {
	dst = append(dst, `,"classes":[`...)
	for i, k := range d.Sheet.Classes {
		if i > 0 {
			dst = append(dst, ',')
		}
		c := d.Sheet.Pattern.Classes[k]
		dst = append(dst, `{"class":`...)
		dst = appendString(dst, string(c.Class))
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, c.Class.Name(p.Lang))
		dst = append(dst, `,"accommodation":"`...)
		dst = append(dst, c.Accommodation.String()...)
		dst = append(dst, `"}`...)
	}
	return append(dst, ']')
}

func (p Printer) od(dst []byte, od *view.ODOffer) []byte {
	dst = append(dst, `{"from":`...)
	dst = strconv.AppendUint(dst, uint64(od.From), 10)
	dst = append(dst, `,"to":`...)
	dst = strconv.AppendUint(dst, uint64(od.To), 10)
	dst = append(dst, `,"classes":[`...)
	for i := range od.Classes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"class":`...)
		dst = appendString(dst, string(od.Classes[i].Class))
		dst = p.fare(p.state(dst, &od.Classes[i]), &od.Classes[i])
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}
