package node_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// Settings that have changed hold for the next request, with no restart; the log tells of it.
func TestFollow(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host, log := testkit.Broker(t), &testkit.Log{}
	_, _, ids := publish(ctx, t, host, 3)
	n, stop := start(t, host, log)
	testkit.Eventually(t, "a ready node", func() bool { code, _ := get(t, n.Address(), "/readyz"); return code == 200 })
	follow := func(change func(*config.Node)) {
		s := settings()
		change(&s)
		n.Follow(&s)
	}
	search := "from=BJP&to=SHH&date=" + ids[0].Date.String()
	for _, age := range []time.Duration{0, 7 * time.Second, 0} {
		follow(func(s *config.Node) { s.Freshness.ClientMaxAge = age })
		want := "no-cache"
		if age > 0 {
			want = "public, max-age=7"
		}
		for range 3 {
			if got := header(t, "http://"+n.Address()+"/v1/availability?"+search, "Cache-Control"); got != want {
				t.Errorf("%q; want %q", got, want)
			}
		}
	}

	follow(func(s *config.Node) { s.Streams.MaxPerClient = 1 })
	first, err := http.Get("http://" + n.Address() + "/v1/stream?" + search)
	if err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, n.Address(), "/v1/stream?"+search); code != http.StatusTooManyRequests {
		t.Errorf("a second stream: %d %s", code, body)
	}
	_ = first.Body.Close()

	follow(func(s *config.Node) { s.Page.Booking = "https://booking.example" })
	if got := header(t, "http://"+n.Address()+"/", "Content-Security-Policy"); !strings.Contains(got, "https://booking.example") {
		t.Errorf("the page may speak to %s", got)
	}

	follow(func(s *config.Node) { s.Answers.PositionWait = time.Millisecond })
	r, err := http.NewRequest(http.MethodGet, "http://"+n.Address()+"/v1/availability?"+search, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Yupiao-Position", ahead(t, n.Address(), search))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	if _ = response.Body.Close(); response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "within 1ms") {
		t.Errorf("%d %s", response.StatusCode, body)
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

func header(t *testing.T, target, name string) string {
	t.Helper()
	r, err := http.Get(target)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Errorf("%s: %d", target, r.StatusCode)
	}
	return r.Header.Get(name)
}

// ahead is a position that no node has reached: one of a stream that is not made yet.
func ahead(t *testing.T, address, search string) string {
	t.Helper()
	now, err := base64.RawURLEncoding.DecodeString(header(t, "http://"+address+"/v1/availability?"+search, "Yupiao-Position"))
	if err != nil {
		t.Fatal(err)
	}
	b := binary.AppendUvarint(now[:1:1], uint64(time.Now().Add(time.Hour).UnixMilli()))
	for range 17 { // marks
		b = binary.AppendUvarint(b, 0)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}
