package render

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

// The naive twin: the shape of an answer as structs, written by encoding/json.
type (
	jsonPlace struct {
		Code string `json:"code"`
		Name string `json:"name"`
		City bool   `json:"city"`
	}
	jsonStop struct {
		Code string         `json:"code"`
		Name string         `json:"name"`
		Stop rail.StopIndex `json:"stop"`
	}
	jsonFare struct {
		Amount   rail.Money `json:"amount"`
		Currency string     `json:"currency"`
	}
	jsonClass struct {
		Class     rail.Class      `json:"class"`
		Name      string          `json:"name"`
		State     string          `json:"state"`
		Remaining *rail.SeatCount `json:"remaining,omitempty"`
		Reason    string          `json:"reason,omitempty"`
		Fare      *jsonFare       `json:"fare,omitempty"`
		Offer     string          `json:"offer,omitempty"`
	}
	jsonRun struct {
		Train   string      `json:"train"`
		Run     string      `json:"run"`
		From    jsonStop    `json:"from"`
		To      jsonStop    `json:"to"`
		Depart  time.Time   `json:"depart"`
		Arrive  time.Time   `json:"arrive"`
		Minutes int         `json:"minutes"`
		Behind  bool        `json:"behind,omitempty"`
		Reason  string      `json:"reason,omitempty"`
		Classes []jsonClass `json:"classes"`
	}
	jsonAnswer struct {
		Date string    `json:"date"`
		From jsonPlace `json:"from"`
		To   jsonPlace `json:"to"`
		Runs []jsonRun `json:"runs"`
	}
)

func naive(t *testing.T, p Printer, q *view.Query, a *view.Answer) []byte {
	t.Helper()
	place := func(x timetable.Place) jsonPlace { return jsonPlace{x.Code(), p.PlaceName(x), x.IsCity()} }
	out := jsonAnswer{q.Date.String(), place(q.From), place(q.To), []jsonRun{}}
	for _, o := range a.Offers {
		stop := func(i rail.StopIndex) jsonStop {
			code := o.Pattern.Stops[i].Station
			return jsonStop{string(code), p.StationName(code), i}
		}
		run := jsonRun{Train: o.Pattern.TrainAt(o.From), Run: o.Run.String(), From: stop(o.From), To: stop(o.To), Depart: o.Depart, Arrive: o.Arrive, Minutes: int(o.Arrive.Sub(o.Depart).Minutes()), Behind: o.Behind, Classes: []jsonClass{}}
		if o.Suspended {
			run.Reason = p.Reason(view.Reason{Kind: view.SaleSuspended, Notice: o.Notice})
		}
		if o.Behind {
			run.Reason = behindText(p.Lang)
		}
		for _, c := range o.Classes {
			jc := jsonClass{Class: c.Class, Name: c.Class.Name(p.Lang), State: c.State.String(), Reason: p.Reason(c.Reason)}
			if c.State != rail.Unknown {
				jc.Remaining = &c.Remaining
			}
			if c.HasFare {
				jc.Fare = &jsonFare{c.Fare, p.Index.Network().Currency}
			}
			if p.Tokens != nil && (c.State == rail.Available || c.State == rail.Low) {
				jc.Offer = p.Tokens.Keys.Sign(offer.Offer{Run: o.Run, Class: c.Class, From: o.From, To: o.To, Version: o.Version, Age: p.Tokens.Age, TTL: p.Tokens.TTL, At: p.Tokens.At})
			}
			run.Classes = append(run.Classes, jc)
		}
		out.Runs = append(out.Runs, run)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func railway() *replica.Replica {
	return testkit.Railway(func() time.Time { return testkit.Morning })
}

func tokens(t testing.TB) *Tokens {
	t.Helper()
	keys, err := offer.NewKeys(offer.Key{ID: "k1", Secret: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	return &Tokens{Keys: keys, Age: 90 * time.Millisecond, TTL: time.Second, At: testkit.Morning}
}

var queries = []view.Query{
	{From: timetable.Place{City: "BJP"}, To: timetable.Place{City: "SHH"}, Date: testkit.Tuesday},
	{From: timetable.Place{Station: "JGK"}, To: timetable.Place{City: "SHH"}, Date: testkit.Tuesday},
	{From: timetable.Place{City: "BJP"}, To: timetable.Place{Station: "JGK"}, Date: testkit.Tuesday + 3},
}

// W1: what is written by hand is what encoding/json would write, in every language.
func TestAnswerEqualsNaiveTwin(t *testing.T) {
	r := railway()
	for i := range queries {
		for _, lang := range append(rail.Langs, rail.Native) {
			p, a := Printer{Index: r.Index(), Lang: lang}, view.Look(r, &queries[i], testkit.Morning)
			for _, p.Tokens = range []*Tokens{nil, tokens(t)} {
				if got, want := p.Answer(nil, &queries[i], a), naive(t, p, &queries[i], a); !bytes.Equal(got, want) {
					t.Errorf("query %d, %q:\n%s\n%s", i, lang, got, want)
				}
			}
		}
	}
}

// W2: two nodes that got there by different ways give equal bytes and tags.
func TestNodesAgree(t *testing.T) {
	one, other := railway(), railway()
	later := testkit.Morning.Add(10 * time.Minute)
	for i := range queries {
		a := Printer{Index: one.Index()}.Answer(nil, &queries[i], view.Look(one, &queries[i], testkit.Morning))
		b := Printer{Index: other.Index()}.Answer(nil, &queries[i], view.Look(other, &queries[i], later))
		if !bytes.Equal(a, b) || Tag(a) != Tag(b) {
			t.Errorf("%s\n%s", a, b)
		}
	}
}

// W3.
func TestTag(t *testing.T) {
	if got := Tag([]byte("abc")); got != `"44bc2cf5ad770999"` { // xxHash64 of "abc"
		t.Errorf("got %s", got)
	}
	if Tag(nil) == Tag([]byte{0}) {
		t.Error("two bodies with one tag")
	}
}

func TestDetailIsJSON(t *testing.T) {
	r := railway()
	for _, train := range []string{"G1", "G5", "G7", "G9", "G11"} {
		body := Printer{Index: r.Index(), Lang: rail.English}.Detail(nil, view.Whole(r, rail.RunID{Date: testkit.Tuesday, Trip: rail.TripID(train)}, testkit.Morning))
		var shape map[string]any
		if err := json.Unmarshal(body, &shape); err != nil {
			t.Errorf("%s: %v\n%s", train, err, body)
		}
	}
}

// W1 for strings of any bytes.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "北京南", `a"b\c`, "\x00\x1f\x7f", "\xff\xfe", "\u2028\u2029", "<&>", "\b\f\n\r\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(s); err != nil {
			t.Fatal(err)
		}
		if got, want := string(appendString(nil, s)), b.String(); got+"\n" != want {
			t.Errorf("%q: got %s; want %s", s, got, want)
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	r := railway()
	for _, tt := range []struct {
		name   string
		runs   int
		tokens *Tokens
	}{{"runs=1", 1, nil}, {"runs=17", 17, nil}, {"runs=129", 129, nil}, {"runs=17/tokens", 17, tokens(b)}} {
		n := tt.runs
		b.Run(tt.name, func(b *testing.B) {
			a := view.Look(r, &queries[0], testkit.Morning)
			few := a.Offers
			for len(a.Offers) < n {
				a.Offers = append(a.Offers, few...)
			}
			a.Offers = a.Offers[:n]
			p := Printer{Index: r.Index(), Tokens: tt.tokens}
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = p.Answer(dst[:0], &queries[0], a)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
