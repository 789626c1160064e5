package render

import (
	"bytes"
	"slices"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

// Draft is a rendered answer that knows which of its bytes may change: for each run what a traveller is told of it as a whole, and the states and numbers of its classes. All
// else follows from the timetable, and is copied when the answer is rendered again. The zero Draft knows nothing. Shared, do not modify.
type Draft struct {
	Body  []byte
	index *timetable.Index
	parts []part
	marks []uint32 // places in Body, in pairs: where what may change begins and ends
}

// part is one run in a Draft.
type part struct {
	run        rail.RunID
	pattern    *timetable.Pattern
	from, to   rail.StopIndex
	classes    uint64 // see classesOf
	start, end uint32 // in Body
	first      int32  // of its marks: a pair for the notice, then one for each class
}

// Cost is the memory of a Draft beside its body, in bytes.
func (d *Draft) Cost() int { return partBytes*len(d.parts) + 4*len(d.marks) }

const partBytes = 72

// is reports whether the part is an offer's. What is static of an offer follows from these and the timetable.
func (p *part) is(o *view.Offer) bool {
	return p.run == o.Run && p.pattern == o.Pattern && p.from == o.From && p.to == o.To && p.classes != 0 && p.classes == classesOf(o)
}

// classesOf are the codes of an offer's classes in their order, 16 bits each; 0 for more than fit.
func classesOf(o *view.Offer) (codes uint64) {
	if len(o.Classes) > 4 {
		return 0
	}
	for i := range o.Classes {
		for _, c := range []byte(o.Classes[i].Class) {
			codes = codes<<8 | uint64(c)
		}
		if len(o.Classes[i].Class) == 1 {
			codes <<= 8
		}
	}
	return codes
}

// Renew renders an answer to the query of the draft before, in the same language, into the memory of dst. It gives the bytes of Answer (W4).
func (p Printer) Renew(dst, before *Draft, q *view.Query, a *view.Answer) {
	if before.index != p.Index {
		before = &Draft{}
	}
	*dst = Draft{Body: dst.Body[:0], index: p.Index, parts: dst.parts[:0], marks: dst.marks[:0]}
	p.draft = dst
	dst.Body = p.head(dst.Body, q)
	next := 0
	for i := range a.Offers {
		if i > 0 {
			dst.Body = append(dst.Body, ',')
		}
		o := &a.Offers[i]
		first, start := len(dst.marks), len(dst.Body)
		if at := before.find(next, o); at >= 0 {
			next = at + 1
			p.patch(before, &before.parts[at], o)
		} else {
			dst.Body = p.Offer(dst.Body, o)
		}
		dst.parts = append(dst.parts, part{o.Run, o.Pattern, o.From, o.To, classesOf(o), uint32(start), uint32(len(dst.Body)), int32(first)})
	}
	dst.Body = append(dst.Body, tail...)
}

// find is the place of an offer's part, from one on; -1 if there is none. Offers come and go, but seldom change places.
func (d *Draft) find(from int, o *view.Offer) int {
	for i := from; i < len(d.parts); i++ {
		if d.parts[i].is(o) {
			return i
		}
	}
	return -1
}

// patch renders an offer by what was rendered of it before.
func (p Printer) patch(before *Draft, old *part, o *view.Offer) {
	d := p.draft
	marks, at := before.marks[old.first:], old.start
	static := func(to uint32) {
		d.Body = append(d.Body, before.Body[at:to]...)
	}
	static(marks[0])
	d.Body, at = p.notice(d.Body, o), marks[1]
	for i := range o.Classes {
		static(marks[2+2*i])
		d.Body, at = p.state(d.Body, &o.Classes[i]), marks[3+2*i]
	}
	static(old.end)
}

// Clone is a copy that has no room to spare.
func (d *Draft) Clone() *Draft {
	return &Draft{Body: bytes.Clone(d.Body), index: d.index, parts: slices.Clone(d.parts), marks: slices.Clone(d.marks)}
}

// mark notes a place where what may change begins or ends.
func (p Printer) mark(dst []byte) {
	if p.draft != nil {
		p.draft.marks = append(p.draft.marks, uint32(len(dst)))
	}
}
