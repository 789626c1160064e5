package render

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

// whims changes an answer at random as events, the clock and filters do, and as nothing should.
type whims struct {
	*rand.Rand
	first *view.Answer
}

func (w *whims) offer() view.Offer {
	o := w.first.Offers[w.IntN(len(w.first.Offers))]
	o.Classes = slices.Clone(o.Classes)
	return o
}

func (w *whims) change(a *view.Answer) {
	if len(a.Offers) == 0 || w.IntN(8) == 0 {
		a.Offers = slices.Insert(a.Offers, w.IntN(len(a.Offers)+1), w.offer())
		return
	}
	i := w.IntN(len(a.Offers))
	o := &a.Offers[i]
	switch w.IntN(8) {
	case 0:
		a.Offers = slices.Delete(a.Offers, i, i+1)
	case 1:
		o.Behind = !o.Behind
	case 2:
		o.Suspended, o.Notice = !o.Suspended, []string{"", "台风\n", `"`}[w.IntN(3)]
	case 3:
		w.Shuffle(len(a.Offers), func(i, j int) { a.Offers[i], a.Offers[j] = a.Offers[j], a.Offers[i] })
	case 4:
		o.Classes = slices.Delete(slices.Clone(o.Classes), 0, w.IntN(min(len(o.Classes), 1)+1))
	default:
		w.number(o)
	}
}

func (w *whims) number(o *view.Offer) {
	if len(o.Classes) == 0 {
		return
	}
	o.Classes = slices.Clone(o.Classes)
	c := &o.Classes[w.IntN(len(o.Classes))]
	c.State, c.Remaining = rail.State(w.IntN(10)), rail.SeatCount(w.IntN(2000))
	c.Reason = view.Reason{Kind: view.ReasonKind(w.IntN(10)), At: testkit.Morning.Add(time.Duration(w.IntN(100)) * time.Hour), Notice: "雪"}
}

// W4, against rendering anew, over long chains of changes in each language.
func TestRenew(t *testing.T) {
	r := railway()
	for lang := range rail.Langs {
		for seed := range uint64(20) {
			p := Printer{Index: r.Index(), Lang: rail.Langs[lang]}
			w := whims{rand.New(rand.NewPCG(seed, uint64(lang))), view.Look(r, &queries[0], testkit.Morning)}
			a := *w.first
			a.Offers = slices.Clone(a.Offers)
			before, scratch := &Draft{}, &Draft{}
			for step := range 200 {
				p.Renew(scratch, before, &queries[0], &a)
				if want := p.Answer(nil, &queries[0], &a); !bytes.Equal(scratch.Body, want) {
					t.Fatalf("seed %d, step %d:\n%s\nwant\n%s", seed, step, scratch.Body, want)
				}
				before = scratch.Clone()
				for range w.IntN(3) {
					w.change(&a)
				}
			}
		}
	}
}

// W4: what was rendered with another timetable is not copied.
func TestRenewOfAnotherTimetable(t *testing.T) {
	r := railway()
	a := view.Look(r, &queries[0], testkit.Morning)
	before, after := &Draft{}, &Draft{}
	Printer{Index: r.Index()}.Renew(before, &Draft{}, &queries[0], a)
	network := testkit.Network()
	for i := range network.Stations {
		network.Stations[i].Name = "新" + network.Stations[i].Name
	}
	p := Printer{Index: timetable.NewIndex(network, nil)}
	if p.Renew(after, before, &queries[0], a); bytes.Equal(after.Body, before.Body) || !bytes.Equal(after.Body, p.Answer(nil, &queries[0], a)) {
		t.Errorf("got %s", after.Body)
	}
}

// A renewal allocates nothing but what it keeps.
func TestRenewAllocatesNothing(t *testing.T) {
	r := railway()
	a, p := view.Look(r, &queries[0], testkit.Morning), Printer{Index: r.Index()}
	before, scratch := &Draft{}, &Draft{}
	p.Renew(before, &Draft{}, &queries[0], a)
	renew := func() { p.Renew(scratch, before, &queries[0], a) }
	renew()
	// The texts of the one run that is suspended and the one whose sale opens later, and the date.
	if n := testing.AllocsPerRun(100, renew); n > 12 {
		t.Errorf("%v allocations", n)
	}
}
