package node_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// Settings that have changed hold for the next request, with no restart; the log tells of it.
func TestFollow(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host, log := testkit.Broker(t), &logs{}
	_, _, ids := publish(ctx, t, host, 3)
	n, stop := start(t, host, log)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
	target := fmt.Sprintf("http://%s/v1/availability?from=BJP&to=SHH&date=%s", n.Address(), ids[0].Date)
	for _, age := range []time.Duration{0, 7 * time.Second, 0} {
		s := settings()
		s.Freshness.ClientMaxAge = age
		n.Follow(&s)
		want := "no-cache"
		if age > 0 {
			want = "public, max-age=7"
		}
		for range 3 {
			r, err := http.Get(target)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if got := r.Header.Get("Cache-Control"); r.StatusCode != 200 || got != want {
				t.Errorf("%d, %q; want %q", r.StatusCode, got, want)
			}
		}
	}
	if !strings.Contains(log.String(), "msg=settings") {
		t.Error("the log tells nothing")
	}
	if _, metrics := get(t, n.AdminAddress(), "/metrics"); !strings.Contains(metrics, "yupiao_settings_refused 0") || !strings.Contains(metrics, `yupiao_answers_served_total{by="rendered"}`) {
		t.Error("the metrics lack something")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
