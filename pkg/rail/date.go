package rail

import (
	"fmt"
	"time"
)

// Date is a calendar day without a time zone, counted from 1970-01-01.
type Date int32

// Minutes are counted from 00:00 of a run's service date. They may pass 24 h (1440) and are never negative.
type Minutes int32

// Day is the number of minutes of a service day.
const Day Minutes = 24 * 60

// DateOf is the calendar day of t in loc.
func DateOf(t time.Time, loc *time.Location) Date {
	y, m, d := t.In(loc).Date()
	return NewDate(y, m, d)
}

// NewDate is the given day; out-of-range values are carried over as time.Date does.
func NewDate(year int, month time.Month, day int) Date {
	return Date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// ParseDate reads "2026-12-01".
func ParseDate(s string) (Date, error) { return parseDate(time.DateOnly, s, "YYYY-MM-DD") }

// ParseCompactDate reads "20261201".
func ParseCompactDate(s string) (Date, error) { return parseDate("20060102", s, "YYYYMMDD") }

func parseDate(layout, s, want string) (Date, error) {
	t, err := time.Parse(layout, s)
	if err != nil {
		return 0, fmt.Errorf("%w: %q; want %s", ErrDate, clip(s), want)
	}
	return Date(t.Unix() / 86400), nil
}

// utc is the day's midnight in UTC.
func (d Date) utc() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String is the day as "2026-12-01".
func (d Date) String() string { return d.utc().Format(time.DateOnly) }

// Compact is the day as "20261201", as it stands in run ids and subjects.
func (d Date) Compact() string {
	y, m, day := d.utc().Date()
	n := y*10000 + int(m)*100 + day
	var b [8]byte
	for i := 7; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b[:])
}

// Weekday of the day.
func (d Date) Weekday() time.Weekday { return d.utc().Weekday() }

// At is the moment m minutes into the service day that starts on d in loc. A service day starts twelve hours before its noon
// (GTFS, field type "Time"), so that a change to summer time does not move the day's trains.
func (d Date) At(m Minutes, loc *time.Location) time.Time {
	y, mo, day := d.utc().Date()
	noon := time.Date(y, mo, day, 12, 0, 0, 0, loc)
	return noon.Add(-12*time.Hour + time.Duration(m)*time.Minute)
}

// Days is the number of whole days that m lies after its service date's start.
func (m Minutes) Days() Date { return Date(m / Day) }

// Clock is the time of day as "07:05", without the days that have passed.
func (m Minutes) Clock() string { return fmt.Sprintf("%02d:%02d", m%Day/60, m%60) }

// MarshalText writes the day as "2026-12-01", so that it stands so in JSON.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}
