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
