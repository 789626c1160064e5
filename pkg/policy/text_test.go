package policy

import (
	"testing"
	"time"
)

// A rule on one line is as it is written in settings.
func TestStrings(t *testing.T) {
	w := When{
		Days: []int{0, 1}, From: []string{"VNP", "city:BJP"}, To: []string{"AOH"}, Types: []string{"G", "D"}, AskedAbove: p(200.0), AskedBelow: p(1e4),
		ChangedAbove: p(0.5), ChangedBelow: p(3.0), OpensWithin: 10 * time.Minute, OpenedWithin: time.Hour,
	}
	if got, want := w.String(), "days 0-1, from VNP|city:BJP, to AOH, types G|D, asked_above 200, asked_below 10000, changed_above 0.5, changed_below 3, opens_within 10m0s, opened_within 1h0m0s"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := (&When{}).String(); got != "always" {
		t.Errorf("no condition: %q", got)
	}
	c := Change{TTL: &TTL{Auto: true}, ClientMaxAge: p(time.Duration(0)), StaleWhileRevalidate: p(time.Second), DegradedAfter: p(2 * time.Second), RefuseAfter: p(time.Minute)}
	if got, want := c.String(), "ttl auto, client_max_age 0s, stale_while_revalidate 1s, degraded_after 2s, refuse_after 1m0s"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := (&Change{}).String(); got != "" {
		t.Errorf("no change: %q", got)
	}
	for want, a := range map[string]Auto{
		"cpu 60%, max 2s": {CPU: 0.6, Max: 2 * time.Second}, "accuracy 0.999, min 100ms, max 5s": {Accuracy: 0.999, Min: 100 * time.Millisecond, Max: 5 * time.Second},
	} {
		if got := a.String(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
