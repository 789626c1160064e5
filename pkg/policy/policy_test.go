package policy

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

func p[T any](v T) *T { return &v }

// T1: the first rule whose conditions all hold, and the defaults for the rest.
func TestMatch(t *testing.T) {
	beijing := timetable.Place{City: "BJP"}
	south := timetable.Place{Station: "VNP"}
	for name, c := range map[string]struct {
		when  When
		facts Facts
		want  bool
	}{
		"nothing asked":          {When{}, Facts{}, true},
		"day within":             {When{Days: []int{1, 3}}, Facts{Days: 3}, true},
		"day before":             {When{Days: []int{1, 3}}, Facts{Days: 0}, false},
		"city itself":            {When{From: []string{"city:BJP"}}, Facts{From: beijing, FromCity: "BJP"}, true},
		"station of the city":    {When{From: []string{"SHH", "city:BJP"}}, Facts{From: south, FromCity: "BJP"}, true},
		"station":                {When{To: []string{"VNP"}}, Facts{To: south, ToCity: "BJP"}, true},
		"city is no station":     {When{To: []string{"VNP"}}, Facts{To: beijing, ToCity: "BJP"}, false},
		"bare code of a city":    {When{From: []string{"BJP"}}, Facts{From: beijing, FromCity: "BJP"}, false},
		"no city known":          {When{From: []string{"city:"}}, Facts{From: south}, false},
		"types all":              {When{Types: []string{"G", "D"}}, Facts{Types: []string{"D", "G"}}, true},
		"types not all":          {When{Types: []string{"G"}}, Facts{Types: []string{"G", "K"}}, false},
		"no trains":              {When{Types: []string{"G"}}, Facts{}, false},
		"asked above":            {When{AskedAbove: p(10.0)}, Facts{Asked: 10.1}, true},
		"asked not above":        {When{AskedAbove: p(10.0)}, Facts{Asked: 10}, false},
		"asked below":            {When{AskedBelow: p(10.0)}, Facts{Asked: 9}, true},
		"changed between":        {When{ChangedAbove: p(1.0), ChangedBelow: p(2.0)}, Facts{Changed: 1.5}, true},
		"changed not between":    {When{ChangedAbove: p(1.0), ChangedBelow: p(2.0)}, Facts{Changed: 2}, false},
		"opens":                  {When{OpensWithin: time.Minute}, Facts{OpensIn: time.Minute}, true},
		"opens later":            {When{OpensWithin: time.Minute}, Facts{OpensIn: time.Hour}, false},
		"no opening":             {When{OpensWithin: time.Minute}, Facts{}, false},
		"opened":                 {When{OpensWithin: time.Minute, OpenedWithin: time.Hour}, Facts{OpenedAgo: time.Hour}, true},
		"opened is not opens":    {When{OpensWithin: time.Hour}, Facts{OpenedAgo: time.Minute}, false},
		"both conditions needed": {When{Days: []int{0, 0}, AskedAbove: p(1.0)}, Facts{Asked: 0.5}, false},
	} {
		if c.when.Holds(&c.facts) != c.want {
			t.Errorf("%s: want %t", name, c.want)
		}
	}
	all := &Policy{Defaults: Effects{DegradedAfter: 2 * time.Second}, Rules: []Rule{
		{Name: "today", When: When{Days: []int{0, 0}}, Change: Change{TTL: &TTL{Fixed: time.Second}}},
		{Name: "week", When: When{Days: []int{0, 7}}, Change: Change{ClientMaxAge: p(time.Minute)}},
	}}
	for days, want := range map[int]int{0: 0, 1: 1, 7: 1, 8: None} {
		if got, e := all.Match(&Facts{Days: days}); got != want || e.DegradedAfter != 2*time.Second {
			t.Errorf("day %d: rule %d with %+v; want %d", days, got, e, want)
		}
	}
	if _, e := all.Match(&Facts{}); e.TTL.Fixed != time.Second || e.ClientMaxAge != 0 {
		t.Errorf("today: %+v", e)
	}
}

// T3: nobody said anything, so every answer is exact.
func TestExactByDefault(t *testing.T) {
	if err := Exact().Validate(); err != nil || Exact().Defaults.TTL != (TTL{}) {
		t.Errorf("%+v %v", Exact(), err)
	}
}

// T2: each error names the rule and the key, and says what would be right.
func TestValidate(t *testing.T) {
	ttl := Change{TTL: &TTL{Fixed: time.Second}}
	auto := Change{TTL: &TTL{Auto: true}}
	for want, rule := range map[string]Rule{
		"":                               {Name: "good one", When: When{Days: []int{0, 1}, From: []string{"VNP", "city:BJP"}, AskedAbove: p(1.0)}, Change: ttl},
		"name is \"\"":                   {Change: ttl},
		"name is \"a/b\"":                {Name: "a/b", Change: ttl},
		"it changes nothing":             {Name: "a"},
		"when.days is [1]":               {Name: "a", When: When{Days: []int{1}}, Change: ttl},
		"when.days is [2 1]":             {Name: "a", When: When{Days: []int{2, 1}}, Change: ttl},
		"when.days is [-1 1]":            {Name: "a", When: When{Days: []int{-1, 1}}, Change: ttl},
		"when.from is \"北京\"":            {Name: "a", When: When{From: []string{"北京"}}, Change: ttl},
		"when.to is \"city:\"":           {Name: "a", When: When{To: []string{"city:"}}, Change: ttl},
		"when.types":                     {Name: "a", When: When{Types: []string{""}}, Change: ttl},
		"when.asked_above is -1":         {Name: "a", When: When{AskedAbove: p(-1.0)}, Change: ttl},
		"when.asked_above is NaN":        {Name: "a", When: When{AskedAbove: p(math.NaN())}, Change: ttl},
		"when.changed_below is 0":        {Name: "a", When: When{ChangedBelow: p(0.0)}, Change: ttl},
		"less than asked_below":          {Name: "a", When: When{AskedAbove: p(2.0), AskedBelow: p(2.0)}, Change: ttl},
		"when.opens_within is -1s":       {Name: "a", When: When{OpensWithin: -time.Second}, Change: ttl},
		"ttl is 11m0s":                   {Name: "a", Change: Change{TTL: &TTL{Fixed: 11 * time.Minute}}},
		"client_max_age is 2h0m0s":       {Name: "a", Change: Change{ClientMaxAge: p(2 * time.Hour)}},
		"stale_while_revalidate is -1s":  {Name: "a", Change: Change{StaleWhileRevalidate: p(-time.Second)}},
		"degraded_after is 1ms":          {Name: "a", Change: Change{DegradedAfter: p(time.Millisecond)}},
		"refuse_after is 1s":             {Name: "a", Change: Change{RefuseAfter: p(time.Second)}},
		"want auto: with":                {Name: "a", Change: auto},
		"want ttl: auto with it":         {Name: "a", Auto: &Auto{CPU: 0.5, Max: time.Second}, Change: ttl},
		"want one of the two":            {Name: "a", Auto: &Auto{Max: time.Second}, Change: auto},
		"auto.accuracy is 1":             {Name: "a", Auto: &Auto{Accuracy: 1, Max: time.Second}, Change: auto},
		"auto.cpu is 150%":               {Name: "a", Auto: &Auto{CPU: 1.5, Max: time.Second}, Change: auto},
		"auto.max is 0s":                 {Name: "a", Auto: &Auto{CPU: 0.5}, Change: auto},
		"auto.min is 2s; want 0s to 1s":  {Name: "a", Auto: &Auto{CPU: 0.5, Min: 2 * time.Second, Max: time.Second}, Change: auto},
		"accuracy 0.5 and cpu 50%; want": {Name: "a", Auto: &Auto{CPU: 0.5, Accuracy: 0.5, Max: time.Second}, Change: auto},
	} {
		all := Exact()
		all.Rules = []Rule{rule}
		err := all.Validate()
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rules[0] ("+rule.Name+")") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	twice := Exact()
	twice.Rules = []Rule{{Name: "a", When: When{Days: []int{0, 0}}, Change: ttl}, {Name: "a", Change: ttl}}
	if err := twice.Validate(); err == nil || !strings.Contains(err.Error(), "a name of its own; rules[0] (a) has it") {
		t.Error(err)
	}
}

func rates1(t *rapid.T, name string) *float64 {
	return rapid.Ptr(rapid.Float64Range(0, 4), true).Draw(t, name)
}

func someWhen(t *rapid.T, name string) When {
	draw := func(part string) string { return name + part }
	w := When{
		From:       rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"VNP", "BJP", "city:BJP"}), 0, 2, rapid.ID).Draw(t, draw("from")),
		Types:      rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"G", "D", "K"}), 0, 2, rapid.ID).Draw(t, draw("types")),
		AskedAbove: rates1(t, draw("above")), ChangedBelow: rates1(t, draw("below")),
	}
	if rapid.Bool().Draw(t, draw("has days")) {
		first := rapid.IntRange(0, 3).Draw(t, draw("first"))
		w.Days = []int{first, first + rapid.IntRange(0, 2).Draw(t, draw("more"))}
	}
	if rapid.Bool().Draw(t, draw("has opening")) {
		w.OpensWithin = time.Duration(rapid.IntRange(0, 3).Draw(t, draw("opens"))) * time.Minute
		w.OpenedWithin = time.Duration(rapid.IntRange(0, 3).Draw(t, draw("opened"))) * time.Minute
	}
	return w
}

func someFacts(t *rapid.T) *Facts {
	f := &Facts{
		Days: rapid.IntRange(0, 5).Draw(t, "day"), Asked: rapid.Float64Range(0, 5).Draw(t, "asked"), Changed: rapid.Float64Range(0, 5).Draw(t, "changed"),
		From:    rapid.SampledFrom([]timetable.Place{{Station: "VNP"}, {Station: "BJP"}, {City: "BJP"}, {Station: "SHH"}}).Draw(t, "place"),
		Types:   rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"G", "D", "K"}), 0, 3, rapid.ID).Draw(t, "trains"),
		OpensIn: time.Duration(rapid.IntRange(0, 4).Draw(t, "in")) * time.Minute, OpenedAgo: time.Duration(rapid.IntRange(0, 4).Draw(t, "ago")) * time.Minute,
	}
	if f.From != (timetable.Place{Station: "SHH"}) {
		f.FromCity = rail.CityCode("BJP")
	}
	return f
}

// T2: where a rule is said to cover another, nothing matches the other and not the one.
func TestCoversIsTrue(t *testing.T) {
	covered := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := someWhen(t, "a "), someWhen(t, "b ")
		if rapid.Bool().Draw(t, "narrower") { // often one that is covered
			b.Types, b.AskedAbove, b.ChangedBelow, b.Days = a.Types, a.AskedAbove, a.ChangedBelow, a.Days
		}
		if !a.covers(&b) {
			return
		}
		covered++
		if f := someFacts(t); b.Holds(f) && !a.Holds(f) {
			t.Fatalf("%+v is said to cover %+v, but not at %+v", a, b, f)
		}
	})
	if covered == 0 {
		t.Error("nothing was tried")
	}
}

// T2: either of two openings is enough, so each must be covered.
func TestCoversOpening(t *testing.T) {
	short, long := time.Minute, time.Hour
	for _, c := range []struct {
		a, b When
		want bool
	}{
		{When{OpensWithin: long, OpenedWithin: long}, When{OpensWithin: short, OpenedWithin: long}, true},
		{When{OpensWithin: long}, When{OpensWithin: short}, true},
		{When{OpensWithin: short, OpenedWithin: long}, When{OpensWithin: long, OpenedWithin: short}, false},
		{When{OpensWithin: long, OpenedWithin: short}, When{OpensWithin: short, OpenedWithin: long}, false},
		{When{OpensWithin: long}, When{}, false},
		{When{}, When{OpensWithin: long}, true},
	} {
		if got := c.a.covers(&c.b); got != c.want {
			t.Errorf("%+v covers %+v: %t", c.a, c.b, got)
		}
	}
}

// T2: a rule behind one that matches everything is refused, and named with it.
func TestUnreachable(t *testing.T) {
	ttl := Change{TTL: &TTL{Fixed: time.Second}}
	all := Exact()
	all.Rules = []Rule{
		{Name: "week", When: When{Days: []int{0, 7}}, Change: ttl},
		{Name: "busy", When: When{AskedAbove: p(10.0)}, Change: ttl},
		{Name: "today", When: When{Days: []int{0, 0}, AskedAbove: p(1.0)}, Change: ttl},
	}
	if err := all.Validate(); err == nil || !strings.Contains(err.Error(), "rules[2] (today) can never match: rules[0] (week)") || strings.Contains(err.Error(), "busy") {
		t.Error(err)
	}
}

// What is written is read again; nonsense is said so.
func TestText(t *testing.T) {
	for _, text := range []string{"auto", "500ms", "0s"} {
		var ttl TTL
		if err := ttl.UnmarshalText([]byte(text)); err != nil || ttl.String() != text {
			t.Errorf("%s: %s %v", text, ttl, err)
		}
	}
	var share Share
	if err := share.UnmarshalText([]byte("62.5%")); err != nil || share != 0.625 || fmt.Sprint(share) != "62.5%" {
		t.Errorf("%v %v", share, err)
	}
	for _, text := range []string{"", "5", "x%", "%"} {
		if err := share.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("share %q was taken", text)
		}
	}
	if err := new(TTL).UnmarshalText([]byte("soon")); err == nil || !strings.Contains(err.Error(), "soon") {
		t.Error(err)
	}
}
