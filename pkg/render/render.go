// Package render turns what a query sees into bytes: JSON, written once and by hand, since the same few shapes are written all day.
//
// Invariants (cited by the tests as W1...):
//
//	W1 The bytes are what encoding/json would write for the same shape, without HTML escapes.
//	W2 Equal answers give equal bytes on every node: nothing of a node, a Version or the time of rendering is in them, but in offer tokens for
//	   a caller who wants them.
//	W3 The tag is of the bytes alone.
//	W4 An answer that is rendered by what was rendered before has the bytes of one that is rendered anew.
package render

import (
	"iter"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

// Tag is the entity tag of a body, in quotes: 64 bits of xxHash.
func Tag(body []byte) string { return tag(xxhash.Sum64(body)) }

func tag(h uint64) string {
	const digits = "0123456789abcdef"
	b := [18]byte{0: '"', 17: '"'}
	for i := range 16 {
		b[1+i] = digits[h>>(60-4*i)&15]
	}
	return string(b[:])
}

// Printer writes for one timetable in one language. Safe for concurrent use.
type Printer struct {
	Index *timetable.Index
	Lang  rail.Lang
	// Tokens, if set, give each class of an answer that can be bought a token of what is shown.
	Tokens *Tokens

	draft *Draft // being made, or nil
}

// Answer appends an answer to a query.
func (p Printer) Answer(dst []byte, q *view.Query, a *view.Answer) []byte {
	dst = p.head(dst, q)
	for i := range a.Offers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.Offer(dst, &a.Offers[i])
	}
	return append(dst, tail...)
}

// Join appends an answer whose runs were rendered one by one. It gives the bytes of Answer.
func (p Printer) Join(dst []byte, q *view.Query, runs iter.Seq[[]byte]) []byte {
	for piece := range p.pieces(q, runs) {
		dst = append(dst, piece...)
	}
	return dst
}

// JoinedTag is the Tag of what Join would give.
func (p Printer) JoinedTag(q *view.Query, runs iter.Seq[[]byte]) string {
	hash := xxhash.New()
	for piece := range p.pieces(q, runs) {
		_, _ = hash.Write(piece) // it never fails
	}
	return tag(hash.Sum64())
}

// pieces of an answer, in order.
func (p Printer) pieces(q *view.Query, runs iter.Seq[[]byte]) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !yield(p.head(nil, q)) {
			return
		}
		first := true
		for run := range runs {
			if !first && !yield(comma) || !yield(run) {
				return
			}
			first = false
		}
		yield([]byte(tail))
	}
}

var comma = []byte(",")

// head is what comes before the runs, and tail what comes after.
func (p Printer) head(dst []byte, q *view.Query) []byte {
	dst = append(dst, `{"date":"`...)
	dst = append(dst, q.Date.String()...)
	dst = append(dst, `","from":`...)
	dst = p.Place(dst, q.From)
	dst = append(dst, `,"to":`...)
	dst = p.Place(dst, q.To)
	return append(dst, `,"runs":[`...)
}

const tail = "]}"

// Place appends one end of a query.
func (p Printer) Place(dst []byte, place timetable.Place) []byte {
	dst = append(dst, `{"code":`...)
	dst = appendString(dst, place.Code())
	dst = append(dst, `,"name":`...)
	dst = appendString(dst, p.PlaceName(place))
	dst = append(dst, `,"city":`...)
	dst = strconv.AppendBool(dst, place.IsCity())
	return append(dst, '}')
}

// PlaceName is a place's name in the printer's language.
func (p Printer) PlaceName(place timetable.Place) string {
	if place.IsCity() {
		if c, ok := p.Index.City(place.City); ok {
			return c.In(p.Lang)
		}
		return place.Code()
	}
	return p.StationName(place.Station)
}

// StationName is a station's name in the printer's language; its code if the network does not know it.
func (p Printer) StationName(code rail.StationCode) string {
	if s, ok := p.Index.Station(code); ok {
		return s.In(p.Lang)
	}
	return string(code)
}

// Offer appends one run of an answer.
func (p Printer) Offer(dst []byte, o *view.Offer) []byte {
	dst = append(dst, `{"train":`...)
	dst = appendString(dst, o.Pattern.TrainAt(o.From))
	dst = append(dst, `,"run":"`...)
	dst = append(dst, o.Run.String()...)
	dst = append(dst, `","from":`...)
	dst = p.stop(dst, o.Pattern, o.From)
	dst = append(dst, `,"to":`...)
	dst = p.stop(dst, o.Pattern, o.To)
	dst = append(dst, `,"depart":"`...)
	dst = o.Depart.AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","arrive":"`...)
	dst = o.Arrive.AppendFormat(dst, time.RFC3339)
	dst = append(dst, `","minutes":`...)
	dst = strconv.AppendInt(dst, int64(o.Arrive.Sub(o.Depart)/time.Minute), 10)
	dst = p.notice(dst, o)
	dst = append(dst, `,"classes":[`...)
	for i := range o.Classes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.class(dst, o, &o.Classes[i])
	}
	return append(dst, "]}"...)
}

// notice is what a traveller is told of the run as a whole.
func (p Printer) notice(dst []byte, o *view.Offer) []byte {
	p.mark(dst)
	if o.Behind {
		dst = append(dst, `,"behind":true`...)
	}
	switch {
	case o.Behind:
		dst = append(dst, `,"reason":`...)
		dst = appendString(dst, behindText(p.Lang))
	case o.Suspended:
		dst = append(dst, `,"reason":`...)
		dst = appendString(dst, p.Reason(view.Reason{Kind: view.SaleSuspended, Notice: o.Notice}))
	}
	p.mark(dst)
	return dst
}

func (p Printer) stop(dst []byte, pattern *timetable.Pattern, i rail.StopIndex) []byte {
	code := pattern.Stops[i].Station
	dst = append(dst, `{"code":`...)
	dst = appendString(dst, string(code))
	dst = append(dst, `,"name":`...)
	dst = appendString(dst, p.StationName(code))
	dst = append(dst, `,"stop":`...)
	dst = strconv.AppendUint(dst, uint64(i), 10)
	return append(dst, '}')
}

func (p Printer) class(dst []byte, o *view.Offer, c *view.ClassOffer) []byte {
	dst = append(dst, `{"class":`...)
	dst = appendString(dst, string(c.Class))
	dst = append(dst, `,"name":`...)
	dst = appendString(dst, c.Class.Name(p.Lang))
	dst = p.state(dst, c)
	dst = p.fare(dst, c)
	if p.Tokens != nil && c.State.Sellable() {
		dst = p.Tokens.field(dst, o, c)
	}
	return append(dst, '}')
}

// state appends what events and the clock change of a class: state, remaining and reason.
func (p Printer) state(dst []byte, c *view.ClassOffer) []byte {
	p.mark(dst)
	dst = append(dst, stateFields[c.State]...)
	if c.State != rail.Unknown {
		dst = strconv.AppendInt(dst, int64(c.Remaining), 10)
	}
	if c.Reason.Kind != view.NoReason {
		dst = append(dst, `,"reason":`...)
		dst = appendString(dst, p.Reason(c.Reason))
	}
	p.mark(dst)
	return dst
}

// stateFields are by state what comes before the number, if there is one.
var stateFields = func() (all [256]string) {
	for state := range all {
		all[state] = `,"state":"` + rail.State(state).String() + `"`
		if rail.State(state) != rail.Unknown {
			all[state] += `,"remaining":`
		}
	}
	return all
}()

// fare appends that of a class, if it is known.
func (p Printer) fare(dst []byte, c *view.ClassOffer) []byte {
	if !c.HasFare {
		return dst
	}
	dst = append(dst, `,"fare":{"amount":`...)
	dst = strconv.AppendInt(dst, int64(c.Fare), 10)
	dst = append(dst, `,"currency":`...)
	dst = appendString(dst, p.Index.Network().Currency)
	return append(dst, '}')
}

// appendString appends s as a JSON string, as encoding/json does without HTML escapes.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if s[i] >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if r == utf8.RuneError && size == 1 || r < ' ' || r == '"' || r == '\\' || r == '\u2028' || r == '\u2029' {
			dst = appendEscape(append(dst, s[start:i]...), r)
			start = i + size
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

// escapes that have a letter.
var escapes = map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}

func appendEscape(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	if short, ok := escapes[r]; ok {
		return append(dst, short...)
	}
	dst = append(dst, `\u`...)
	for shift := 12; shift >= 0; shift -= 4 {
		dst = append(dst, digits[r>>shift&15])
	}
	return dst
}
