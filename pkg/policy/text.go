package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// auto is how a TTL that the node finds by itself is written.
const auto = "auto"

// UnmarshalText reads "auto" or a duration such as 500ms.
func (t *TTL) UnmarshalText(text []byte) error {
	if string(text) == auto {
		*t = TTL{Auto: true}
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("ttl is %.40q; want a duration such as 500ms, or %s", text, auto)
	}
	*t = TTL{Fixed: d}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (t TTL) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func (t TTL) String() string {
	if t.Auto {
		return auto
	}
	return t.Fixed.String()
}

// UnmarshalText reads a percentage such as 60%.
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !percent {
		return fmt.Errorf("share is %.40q; want a percentage such as 60%%", text)
	}
	*s = Share(f / 100)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'g', -1, 64) + "%" }

// String is the conditions as they are written in settings, on one line; "always" if there is none.
func (w *When) String() string {
	t := &terms{}
	if len(w.Days) == 2 {
		t.add("days", fmt.Sprintf("%d-%d", w.Days[0], w.Days[1]))
	}
	t.list("from", w.From)
	t.list("to", w.To)
	t.list("types", w.Types)
	t.number("asked_above", w.AskedAbove)
	t.number("asked_below", w.AskedBelow)
	t.number("changed_above", w.ChangedAbove)
	t.number("changed_below", w.ChangedBelow)
	t.duration("opens_within", &w.OpensWithin, w.OpensWithin != 0)
	t.duration("opened_within", &w.OpenedWithin, w.OpenedWithin != 0)
	if len(t.all) == 0 {
		return "always"
	}
	return t.String()
}

// String is what the change says, on one line; empty if it says nothing.
func (c *Change) String() string {
	t := &terms{}
	if c.TTL != nil {
		t.add("ttl", c.TTL.String())
	}
	t.duration("client_max_age", c.ClientMaxAge, true)
	t.duration("stale_while_revalidate", c.StaleWhileRevalidate, true)
	t.duration("degraded_after", c.DegradedAfter, true)
	t.duration("refuse_after", c.RefuseAfter, true)
	return t.String()
}

// String is the target and the bounds, on one line.
func (a *Auto) String() string {
	t := &terms{}
	if a.CPU != 0 {
		t.add("cpu", a.CPU.String())
	} else {
		t.add("accuracy", strconv.FormatFloat(a.Accuracy, 'g', -1, 64))
	}
	t.duration("min", &a.Min, a.Min != 0)
	t.duration("max", &a.Max, true)
	return t.String()
}

// terms are names with values.
type terms struct{ all []string }

func (t *terms) String() string { return strings.Join(t.all, ", ") }

func (t *terms) add(name, value string) { t.all = append(t.all, name+" "+value) }

func (t *terms) list(name string, values []string) {
	if len(values) > 0 {
		t.add(name, strings.Join(values, "|"))
	}
}

func (t *terms) number(name string, v *float64) {
	if v != nil {
		t.add(name, strconv.FormatFloat(*v, 'g', -1, 64))
	}
}

func (t *terms) duration(name string, d *time.Duration, given bool) {
	if given && d != nil {
		t.add(name, d.String())
	}
}
