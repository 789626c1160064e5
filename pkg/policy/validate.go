package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// ErrInvalid marks rules that cannot be used.
var ErrInvalid = errors.New("invalid rules")

// Fault is what is wrong with one key. It wraps ErrInvalid.
type Fault struct {
	// Key as in a settings file: freshness.ttl, rules[2].when.days, or rules[2] for what is wrong with the rule as a whole.
	Key string
	// Text names the rule, the key, the value and what would be right.
	Text string
}

func (f *Fault) Error() string { return ErrInvalid.Error() + ": " + f.Text }

// Unwrap is ErrInvalid.
func (f *Fault) Unwrap() error { return ErrInvalid }

// place is a rule, or the defaults.
type place struct{ key, label string }

func (p place) fault(key, format string, args ...any) error {
	path := p.key
	if key != "" {
		path += "." + key
	}
	return &Fault{Key: path, Text: p.label + fmt.Sprintf(format, args...)}
}

var (
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$`)
	placeForm = regexp.MustCompile(`^(city:)?[A-Za-z0-9]{1,8}$`)
)

const (
	longestTTL    = 10 * time.Minute
	longestClient = time.Hour
	longestAge    = 24 * time.Hour
	farthestDay   = 400
	longestSale   = 48 * time.Hour
)

// Validate reports every rule that cannot be used, and defaults that cannot (T2).
func (p *Policy) Validate() error {
	errs := []error{p.Defaults.validate(place{"freshness", "freshness"})}
	names := map[string]int{}
	for i := range p.Rules {
		r, where := &p.Rules[i], p.where(i)
		if before, twice := names[r.Name]; twice {
			errs = append(errs, invalid(where, "name", fmt.Sprintf("%q", r.Name), "a name of its own; "+p.where(before).label+" has it"))
		}
		names[r.Name] = i
		errs = append(errs, r.validate(where), r.Over(p.Defaults).validate(where), p.reachable(i))
	}
	return errors.Join(errs...)
}

func (p *Policy) where(i int) place {
	key := fmt.Sprintf("rules[%d]", i)
	return place{key, fmt.Sprintf("%s (%s)", key, p.Rules[i].Name)}
}

func invalid(where place, key string, value any, want string) error {
	return where.fault(key, ": %s is %v; want %s", key, value, want)
}

func within(where place, key string, d, low, high time.Duration) error {
	if d < low || d > high {
		return invalid(where, key, d, fmt.Sprintf("%s to %s", low, high))
	}
	return nil
}

// validate checks effects as they result, so that a rule's are checked over the defaults.
func (e Effects) validate(where place) error {
	errs := []error{
		within(where, "ttl", e.TTL.Fixed, 0, longestTTL), within(where, "client_max_age", e.ClientMaxAge, 0, longestClient),
		within(where, "stale_while_revalidate", e.StaleWhileRevalidate, 0, longestClient),
		within(where, "degraded_after", e.DegradedAfter, 500*time.Millisecond, time.Hour), within(where, "refuse_after", e.RefuseAfter, 0, longestAge),
	}
	if e.RefuseAfter > 0 && e.RefuseAfter < e.DegradedAfter {
		errs = append(errs, invalid(where, "refuse_after", e.RefuseAfter, fmt.Sprintf("0s for never, or at least degraded_after, which is %s", e.DegradedAfter)))
	}
	return errors.Join(errs...)
}

func (r *Rule) validate(where place) error {
	errs := []error{r.When.validate(where), r.validateAuto(where)}
	if !nameForm.MatchString(r.Name) {
		errs = append(errs, invalid(where, "name", fmt.Sprintf("%q", r.Name), "1 to 40 letters, digits, blanks, - and _"))
	}
	if r.Change == (Change{}) {
		errs = append(errs, where.fault("", ": it changes nothing; want ttl, client_max_age, stale_while_revalidate, degraded_after or refuse_after"))
	}
	return errors.Join(errs...)
}

func (r *Rule) validateAuto(where place) error {
	wanted := r.TTL != nil && r.TTL.Auto
	switch a := r.Auto; {
	case wanted && a == nil:
		return where.fault("ttl", ": ttl is auto; want auto: with accuracy or cpu, and max")
	case a == nil:
		return nil
	case !wanted:
		return where.fault("auto", ": auto is given; want ttl: auto with it")
	case (a.Accuracy != 0) == (a.CPU != 0):
		return where.fault("auto", ": auto has accuracy %v and cpu %s; want one of the two", a.Accuracy, a.CPU)
	case a.CPU == 0 && !(a.Accuracy > 0 && a.Accuracy < 1):
		return invalid(where, "auto.accuracy", a.Accuracy, "above 0 and below 1")
	case a.Accuracy == 0 && !(a.CPU > 0 && a.CPU <= 1):
		return invalid(where, "auto.cpu", a.CPU, "above 0% and at most 100%")
	default:
		return errors.Join(within(where, "auto.max", a.Max, time.Millisecond, longestTTL), within(where, "auto.min", a.Min, 0, max(a.Max, 0)))
	}
}

func (w *When) validate(where place) error {
	var errs []error
	if n := len(w.Days); n != 0 && (n != 2 || w.Days[0] < 0 || w.Days[0] > w.Days[1] || w.Days[1] > farthestDay) {
		errs = append(errs, invalid(where, "when.days", w.Days, fmt.Sprintf("the first and the last, such as [0, 1], within 0 to %d", farthestDay)))
	}
	for key, places := range map[string][]string{"when.from": w.From, "when.to": w.To} {
		for _, p := range places {
			if !placeForm.MatchString(p) {
				errs = append(errs, invalid(where, key, fmt.Sprintf("%q", p), "a station's code such as VNP, or city: and a city's such as city:BJP"))
			}
		}
	}
	if slices.Contains(w.Types, "") {
		errs = append(errs, invalid(where, "when.types", fmt.Sprintf("%q", w.Types), "train categories such as G"))
	}
	return errors.Join(append(errs,
		rates(where, "asked", w.AskedAbove, w.AskedBelow), rates(where, "changed", w.ChangedAbove, w.ChangedBelow),
		within(where, "when.opens_within", w.OpensWithin, 0, longestSale), within(where, "when.opened_within", w.OpenedWithin, 0, longestSale))...)
}

// rates are of seconds. No rate is below 0, and none is above a bound and below the same.
func rates(where place, name string, above, below *float64) error {
	switch {
	case above != nil && !(*above >= 0):
		return invalid(where, "when."+name+"_above", *above, "0 or more a second")
	case below != nil && !(*below > 0):
		return invalid(where, "when."+name+"_below", *below, "more than 0 a second")
	case above != nil && below != nil && *above >= *below:
		return invalid(where, "when."+name+"_above", *above, fmt.Sprintf("less than %s_below, which is %v", name, *below))
	}
	return nil
}

// reachable reports a rule that can never match, since one before it matches whatever it would.
func (p *Policy) reachable(i int) error {
	for before := range i {
		if p.Rules[before].When.covers(&p.Rules[i].When) {
			return p.where(i).fault("", " can never match: %s before it matches whatever it would", p.where(before).label)
		}
	}
	return nil
}

// covers reports whether w holds wherever o does, condition by condition.
func (w *When) covers(o *When) bool {
	return coversDays(w.Days, o.Days) && coversList(w.From, o.From) && coversList(w.To, o.To) && coversList(w.Types, o.Types) &&
		coversAbove(w.AskedAbove, o.AskedAbove) && coversBelow(w.AskedBelow, o.AskedBelow) &&
		coversAbove(w.ChangedAbove, o.ChangedAbove) && coversBelow(w.ChangedBelow, o.ChangedBelow) && w.coversOpening(o)
}

func coversDays(w, o []int) bool {
	return len(w) != 2 || len(o) == 2 && w[0] <= o[0] && o[1] <= w[1]
}

// coversList: all that o names is named by w. Which stations a city has is not known here.
func coversList(w, o []string) bool {
	return len(w) == 0 || len(o) > 0 && !slices.ContainsFunc(o, func(text string) bool { return !slices.Contains(w, text) })
}

func coversAbove(w, o *float64) bool { return w == nil || o != nil && *o >= *w }

func coversBelow(w, o *float64) bool { return w == nil || o != nil && *o <= *w }

func (w *When) coversOpening(o *When) bool {
	if w.OpensWithin == 0 && w.OpenedWithin == 0 {
		return true
	}
	return (o.OpensWithin != 0 || o.OpenedWithin != 0) && o.OpensWithin <= w.OpensWithin && o.OpenedWithin <= w.OpenedWithin
}
