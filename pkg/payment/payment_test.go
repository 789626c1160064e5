package payment_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/testkit"
)

var secrets = payment.Secrets{[]byte("the newest secret"), []byte("the one before it")}

// Y1, Y2.
func TestSignature(t *testing.T) {
	body, now := []byte(`{"payment":"p"}`), time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		header string
		at     time.Time
		good   bool
	}{
		"newest":      {secrets.Sign(body, now), now, true},
		"before":      {secrets[1:].Sign(body, now), now, true},
		"nearly old":  {secrets.Sign(body, now), now.Add(payment.SignatureAge), true},
		"old":         {secrets.Sign(body, now), now.Add(payment.SignatureAge + time.Second), false},
		"stranger's":  {payment.Secrets{[]byte("a stranger's secret")}.Sign(body, now), now, false},
		"other body":  {secrets.Sign(append(body, ' '), now), now, false},
		"nothing":     {"", now, false},
		"no seconds":  {"t=x,v1=00", now, false},
		"no hex":      {"t=1800000000,v1=xx", now, false},
		"empty":       {"t=1800000000,v1=", now, false},
		"other order": {"v1=00,t=1800000000", now, false},
	} {
		if err := secrets.Verify(c.header, body, c.at); (err == nil) != c.good || err != nil && !errors.Is(err, payment.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := payment.ParseSecrets([]string{"long enough to be one", "short"}); err == nil {
		t.Error("a short secret was taken")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("t=1800000000,v1=00", []byte("x"))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if secrets.Verify(header, body, time.Unix(1_800_000_000, 0)) == nil {
			t.Errorf("believed %q", header)
		}
	})
}

// The sandbox does what it is told, over a webhook that fails at first.
func TestSandbox(t *testing.T) {
	heard := make(chan payment.Result, 10)
	failures := 1
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := secrets.Verify(r.Header.Get(payment.SignatureHeader), body, time.Now()); err != nil {
			t.Error(err)
		}
		if failures > 0 {
			failures--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var result payment.Result
		if err := json.Unmarshal(body, &result); err != nil {
			t.Error(err)
		}
		heard <- result
	}))
	defer webhook.Close()
	s := payment.NewSandbox(webhook.URL, func() payment.Secrets { return secrets }, nil)
	defer s.Close()
	next := func() payment.Result {
		select {
		case r := <-heard:
			return r
		case <-time.After(testkit.Patience):
			t.Fatal("nothing heard")
			return payment.Result{}
		}
	}
	intent := payment.Intent{ID: "p", Amount: 5, Currency: "CNY"}
	for behaviour, outcomes := range map[string][]payment.Outcome{
		"": {payment.Succeeded}, payment.Succeed: {payment.Succeeded}, payment.Fail: {payment.Failed}, payment.Twice: {payment.Succeeded, payment.Succeeded}, payment.Late: {payment.Succeeded},
	} {
		intent.Behaviour, intent.Deadline = behaviour, time.Now().Add(-time.Second)
		if err := s.Start(t.Context(), intent); err != nil {
			t.Fatal(err)
		}
		for _, want := range outcomes {
			if got := next(); got != (payment.Result{Payment: "p", Outcome: want, Amount: 5, Currency: "CNY"}) {
				t.Errorf("%q: %+v; want %s", behaviour, got, want)
			}
		}
	}
	for behaviour, good := range map[string]bool{payment.Never: true, "bribe": false} {
		intent.Behaviour = behaviour
		if err := s.Start(t.Context(), intent); (err == nil) != good || err != nil && !errors.Is(err, payment.ErrBehaviour) || payment.Knows(behaviour) != good {
			t.Errorf("%q: %v", behaviour, err)
		}
	}
	intent.Behaviour, intent.Deadline = payment.Late, time.Now().Add(time.Hour)
	if err := s.Start(t.Context(), intent); err != nil {
		t.Fatal(err)
	}
	s.Close() // forgets it
	if len(heard) > 0 {
		t.Error("heard of a payment that never came")
	}
}
