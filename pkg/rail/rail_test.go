package rail

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRunID(t *testing.T) {
	id, err := ParseRunID("20261201.24000000G10C")
	if err != nil || id != (RunID{NewDate(2026, time.December, 1), "24000000G10C"}) || id.String() != "20261201.24000000G10C" {
		t.Errorf("%v %v", id, err)
	}
	for _, bad := range []string{"", ".", "20261201", "20261201.", ".G1", "20261301.G1", "2026121.G1", "20261201.G 1", "20261201.G1.2", "20261201.G>", "20261201." + strings.Repeat("x", 65)} {
		if id, err := ParseRunID(bad); !errors.Is(err, ErrRunID) {
			t.Errorf("%q gave %v, %v", bad, id, err)
		}
	}
}

// The contract's own examples: an integrator computes the same partition in any language.
func TestPartition(t *testing.T) {
	for text, want := range map[string]Partition{"20261201.24000000G10C": 12} {
		id, err := ParseRunID(text)
		if err != nil || id.Partition() != want {
			t.Errorf("%s is in %d (%v); want %d", text, id.Partition(), err, want)
		}
	}
}

func TestVersion(t *testing.T) {
	v := func(e, r uint64) Version { return Version{e, r} }
	if !v(1, 3).Follows(v(1, 2)) || v(2, 3).Follows(v(1, 2)) || v(1, 4).Follows(v(1, 2)) || v(1, 2).Follows(v(1, 2)) {
		t.Error("Follows")
	}
	if !v(2, 1).Above(v(1, 9)) || v(1, 1).Above(v(1, 1)) || !v(1, 2).Above(v(1, 1)) || !v(0, 1).Above(Version{}) {
		t.Error("Above")
	}
}

func TestToken(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []string{"G1", "", "a b", "北京", "a.b", "_", "-", "a_b", ">"} {
		token := Token(s)
		if CheckToken(token) != nil {
			t.Errorf("Token(%q) = %q: %v", s, token, CheckToken(token))
		}
		if other, twice := seen[token]; twice && s != "" && other != "" {
			t.Errorf("%q and %q are both %q", s, other, token)
		}
		seen[token] = s
	}
}

func TestDate(t *testing.T) {
	d := NewDate(2026, time.December, 1)
	if d.String() != "2026-12-01" || d.Compact() != "20261201" || d.Weekday() != time.Tuesday {
		t.Errorf("%s %s %s", d, d.Compact(), d.Weekday())
	}
	for _, parse := range []func() (Date, error){func() (Date, error) { return ParseDate("2026-12-01") }, func() (Date, error) { return ParseCompactDate("20261201") }} {
		if got, err := parse(); err != nil || got != d {
			t.Errorf("%v %v", got, err)
		}
	}
	for _, bad := range []string{"", "2026-13-01", "2026-2-1", "20261201", "2026-12-01 "} {
		if _, err := ParseDate(bad); !errors.Is(err, ErrDate) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Times past 24 h are of the next day, and a change to summer time moves no train.
func TestServiceDay(t *testing.T) {
	shanghai, berlin := zone(t, "Asia/Shanghai"), zone(t, "Europe/Berlin")
	d := NewDate(2026, time.December, 1)
	if got := d.At(25*60+30, shanghai).Format(time.RFC3339); got != "2026-12-02T01:30:00+08:00" {
		t.Error(got)
	}
	for _, change := range []Date{NewDate(2026, time.March, 29), NewDate(2026, time.October, 25)} {
		if got := change.At(12*60, berlin).Format("15:04"); got != "12:00" {
			t.Errorf("%s: noon is at %s", change, got)
		}
	}
	if DateOf(time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC), shanghai) != d {
		t.Error("DateOf ignores the zone")
	}
	if m := Minutes(25*60 + 7); m.Days() != 1 || m.Clock() != "01:07" {
		t.Errorf("%d %s", m.Days(), m.Clock())
	}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestNames(t *testing.T) {
	for class, names := range classNames {
		for i, lang := range []Lang{Chinese, English, Korean} {
			if names[i] == "" || class.Name(lang) != names[i] {
				t.Errorf("class %s has no name in %s", class, lang)
			}
		}
	}
	if Class("X9").Name(English) != "X9" || Class("O").Name(Native) != "二等座" {
		t.Error("Name")
	}
	for s := range stateCount {
		if s.String() == "" || s.Sellable() != (s == Available || s == Low) {
			t.Errorf("state %d", s)
		}
	}
	if State(99).String() != "UNKNOWN" {
		t.Error("a state that does not exist")
	}
}

func FuzzParseRunID(f *testing.F) {
	f.Add("20261201.G1")
	f.Add("00000000.-")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseRunID(s); err == nil && (id.String() != s || id.Partition() >= Partitions) {
			t.Errorf("%q came back as %q", s, id)
		}
	})
}
