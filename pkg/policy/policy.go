// Package policy is what an operator says about answers: how long one is served without a look, what browsers and CDNs may do with it, and from which age
// on it is marked or refused. Rules are tried in order and the first that matches wins.
//
// Invariants (cited by the tests as T1...):
//
//	T1 The first rule whose every condition holds applies; what it leaves unsaid, and a query that no rule matches, gets the defaults.
//	T2 A rule that contradicts itself, or that can never match because one before it matches whatever it would, is refused by name.
//	T3 With a TTL of 0, which is the default, every answer is exact.
package policy

import (
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Effects is what applies to an answer.
type Effects struct {
	// TTL is how long an answer is served without a look at the replica. 0: every answer is exact.
	TTL TTL
	// ClientMaxAge is how long a browser or CDN may keep an answer without asking; StaleWhileRevalidate how much longer it may show it while it asks (RFC 5861).
	ClientMaxAge, StaleWhileRevalidate time.Duration
	// DegradedAfter is the age from which on an answer is marked degraded; RefuseAfter that from which on it is refused, 0 for never.
	DegradedAfter, RefuseAfter time.Duration
}

// TTL is a fixed time, or one that the node finds by itself towards a target.
type TTL struct {
	// Fixed time; not used with Auto.
	Fixed time.Duration
	Auto  bool
}

// Auto is the target of a TTL that the node moves by itself. Exactly one of Accuracy and CPU is set.
type Auto struct {
	// Accuracy is the share of served answers that are equal to the truth at that moment, above 0 and below 1.
	Accuracy float64 `mapstructure:"accuracy"`
	// CPU is the share of the processors that the node may use, above 0 and at most 1; written as 60%.
	CPU Share `mapstructure:"cpu"`
	// Min and Max bound the TTL. Max is needed.
	Min time.Duration `mapstructure:"min"`
	Max time.Duration `mapstructure:"max"`
}

// Share is a part of a whole, 0 to 1, written as a percentage.
type Share float64

// Change is what a rule or a document says; nil fields say nothing.
type Change struct {
	TTL                  *TTL           `mapstructure:"ttl"`
	ClientMaxAge         *time.Duration `mapstructure:"client_max_age"`
	StaleWhileRevalidate *time.Duration `mapstructure:"stale_while_revalidate"`
	DegradedAfter        *time.Duration `mapstructure:"degraded_after"`
	RefuseAfter          *time.Duration `mapstructure:"refuse_after"`
}

// Over lays a change over effects.
func (c *Change) Over(e Effects) Effects {
	set(&e.TTL, c.TTL)
	set(&e.ClientMaxAge, c.ClientMaxAge)
	set(&e.StaleWhileRevalidate, c.StaleWhileRevalidate)
	set(&e.DegradedAfter, c.DegradedAfter)
	set(&e.RefuseAfter, c.RefuseAfter)
	return e
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Rule is conditions and effects.
type Rule struct {
	// Name tells operators which rule applied.
	Name string `mapstructure:"name"`
	When When   `mapstructure:"when"`
	// Auto is the target of `ttl: auto`.
	Auto   *Auto `mapstructure:"auto"`
	Change `mapstructure:",squash"`
}

// When is conditions, all of which must hold; the zero value of each lets everything pass.
type When struct {
	// Days is the first and the last number of days from today to the boarding date, both inclusive.
	Days []int `mapstructure:"days"`
	// From and To are places, each a station's code ("VNP": that station) or a city's ("city:BJP": the city or any of its stations).
	From []string `mapstructure:"from"`
	To   []string `mapstructure:"to"`
	// Types are train categories: every train of the answer is of one of them, and there is one.
	Types []string `mapstructure:"types"`
	// AskedAbove and AskedBelow bound how often this node is asked the query, in requests/s; ChangedAbove and ChangedBelow how often its answer changes,
	// in changes/s.
	AskedAbove   *float64 `mapstructure:"asked_above"`
	AskedBelow   *float64 `mapstructure:"asked_below"`
	ChangedAbove *float64 `mapstructure:"changed_above"`
	ChangedBelow *float64 `mapstructure:"changed_below"`
	// OpensWithin: the sale of a run of the answer opens within that time. OpenedWithin: it opened no longer ago. With both, either is enough.
	OpensWithin  time.Duration `mapstructure:"opens_within"`
	OpenedWithin time.Duration `mapstructure:"opened_within"`
}

// Facts is what is known of a query and its answer at a moment.
type Facts struct {
	// Days from today to the boarding date.
	Days int
	// From and To as asked; FromCity and ToCity are their cities, empty where none is known.
	From, To         timetable.Place
	FromCity, ToCity rail.CityCode
	// Types are the train categories of the answer.
	Types []string
	// Asked and Changed are rates per second.
	Asked, Changed float64
	// OpensIn is the time to the next opening of a sale among the answer's runs, OpenedAgo that since the last one; 0 for none.
	OpensIn, OpenedAgo time.Duration
}

// Policy is rules over defaults. It is immutable once it is used, and then safe for concurrent use.
type Policy struct {
	Defaults Effects
	Rules    []Rule
}

// Exact is the policy of a node that nobody has told anything: every answer exact, none kept by others, marked after 2 s (eight heartbeats), never refused.
func Exact() *Policy { return &Policy{Defaults: Effects{DegradedAfter: 2 * time.Second}} }

// Exact are the effects of an answer that nobody may keep: the rest is as it is.
func (e Effects) Exact() Effects {
	e.TTL, e.ClientMaxAge, e.StaleWhileRevalidate = TTL{}, 0, 0
	return e
}

// None is the number of no rule.
const None = -1

// Match finds what applies (T1): the number of the rule, or None, and its effects over the defaults.
func (p *Policy) Match(f *Facts) (rule int, e Effects) {
	for i := range p.Rules {
		if p.Rules[i].When.Holds(f) {
			return i, p.Rules[i].Over(p.Defaults)
		}
	}
	return None, p.Defaults
}

// Holds reports whether every condition holds.
func (w *When) Holds(f *Facts) bool {
	return (len(w.Days) != 2 || f.Days >= w.Days[0] && f.Days <= w.Days[1]) &&
		atPlace(w.From, f.From, f.FromCity) && atPlace(w.To, f.To, f.ToCity) &&
		w.ofTypes(f.Types) &&
		above(f.Asked, w.AskedAbove) && below(f.Asked, w.AskedBelow) && above(f.Changed, w.ChangedAbove) && below(f.Changed, w.ChangedBelow) &&
		w.atOpening(f)
}

func atPlace(places []string, p timetable.Place, city rail.CityCode) bool {
	return len(places) == 0 || slices.ContainsFunc(places, func(text string) bool {
		return text == p.String() || city != "" && text == timetable.Place{City: city}.String()
	})
}

func (w *When) ofTypes(types []string) bool {
	if len(w.Types) == 0 {
		return true
	}
	for _, t := range types {
		if !slices.Contains(w.Types, t) {
			return false
		}
	}
	return len(types) > 0
}

func (w *When) atOpening(f *Facts) bool {
	if w.OpensWithin == 0 && w.OpenedWithin == 0 {
		return true
	}
	return f.OpensIn > 0 && f.OpensIn <= w.OpensWithin || f.OpenedAgo > 0 && f.OpenedAgo <= w.OpenedWithin
}

func above(v float64, bound *float64) bool { return bound == nil || v > *bound }

func below(v float64, bound *float64) bool { return bound == nil || v < *bound }

// Document is what is laid over a policy: shared settings, or a file to try.
type Document struct {
	// Freshness changes the defaults.
	Freshness Change `mapstructure:"freshness"`
	// Rules replace all rules, if the document gives any; an empty list takes them away.
	Rules []Rule `mapstructure:"rules"`
	// RulesGiven tells an empty list from none.
	RulesGiven bool `mapstructure:"-"`
}

// Over lays the document over a policy.
func (d *Document) Over(p *Policy) *Policy {
	out := &Policy{Defaults: d.Freshness.Over(p.Defaults), Rules: p.Rules}
	if d.RulesGiven {
		out.Rules = d.Rules
	}
	return out
}

// Default is what nodes start with: every answer exact, but for searches in a rush. configs/yupiaod.yaml has the same rules with the arithmetic.
func Default() *Policy {
	p := Exact()
	asked, changed := 200.0, 10.0
	p.Rules = []Rule{{Name: "rush", When: When{AskedAbove: &asked, ChangedAbove: &changed}, Change: Change{TTL: &TTL{Fixed: 100 * time.Millisecond}}}}
	return p
}
