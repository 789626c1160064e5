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
	keys  []key    // of its runs, in order; drafts of the same runs share them
	parts []part   // of its runs
	marks []uint32 // places in Body, in pairs: where what may change begins and ends
}

// key is what all that is static of an offer follows from, beside the timetable.
type key struct {
	run      rail.RunID
	pattern  *timetable.Pattern
	from, to rail.StopIndex
	classes  uint64 // see classesOf
}

// part is where a run lies in a Draft.
type part struct {
	start, end uint32 // in Body
	first      uint32 // of its marks: a pair for the notice, then one for each class
}

// Cost is the memory of a Draft beside its body, in bytes.
func (d *Draft) Cost() int { return keyBytes*len(d.keys) + 12*len(d.parts) + 4*len(d.marks) }

const keyBytes = 48

// is reports whether the key is an offer's.
func (k *key) is(o *view.Offer) bool {
	return k.run == o.Run && k.pattern == o.Pattern && k.from == o.From && k.to == o.To && k.classes != 0 && k.classes == classesOf(o)
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
	next, same := 0, len(a.Offers) == len(before.keys)
	for i := range a.Offers {
		if i > 0 {
			dst.Body = append(dst.Body, ',')
		}
		o := &a.Offers[i]
		first, start := len(dst.marks), len(dst.Body)
		at := before.find(next, o)
		same = same && at == i
		if at >= 0 {
			next = at + 1
			p.patch(before, &before.parts[at], o)
		} else {
			dst.Body = p.Offer(dst.Body, o)
		}
		dst.parts = append(dst.parts, part{uint32(start), uint32(len(dst.Body)), uint32(first)})
	}
	dst.Body = append(dst.Body, tail...)
	if dst.keys = before.keys; !same {
		dst.keys = keysOf(a.Offers)
	}
}

func keysOf(offers []view.Offer) []key {
	keys := make([]key, len(offers))
	for i := range offers {
		o := &offers[i]
		keys[i] = key{o.Run, o.Pattern, o.From, o.To, classesOf(o)}
	}
	return keys
}

// Runs is how many runs the answer has.
func (d *Draft) Runs() int { return len(d.parts) }

// find is the place of an offer's part, from one on; -1 if there is none. Offers come and go, but seldom change places.
func (d *Draft) find(from int, o *view.Offer) int {
	for i := from; i < len(d.keys); i++ {
		if d.keys[i].is(o) {
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
	return &Draft{Body: bytes.Clone(d.Body), index: d.index, keys: d.keys, parts: slices.Clone(d.parts), marks: slices.Clone(d.marks)}
}

// mark notes a place where what may change begins or ends.
func (p Printer) mark(dst []byte) {
	if p.draft != nil {
		p.draft.marks = append(p.draft.marks, uint32(len(dst)))
	}
}
