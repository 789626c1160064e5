package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

const entry = "k1:00112233445566778899aabbccddeeff"

// startSigning runs a node with keys until the test ends.
func startSigning(t *testing.T, host *testkit.Host, log io.Writer) *node.Node {
	t.Helper()
	s := settings()
	s.Offers.Keys = []string{entry}
	n, err := node.New(s, node.Options{InProcess: host, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, n.Run)
	return n
}

// token asks until an answer carries one of class O, which needs a proof of the data's age. Looking has no other effect.
func token(t *testing.T, n *node.Node, run rail.RunID) (token string) {
	t.Helper()
	path := "/v1/availability?from=BJP&to=SHH&offers=true&date=" + run.Date.String()
	testkit.Eventually(t, "a token", func() bool {
		code, body := get(t, n.Address(), path)
		var answer struct {
			Runs []struct {
				Classes []struct{ Class, Offer string }
			}
		}
		if code != http.StatusOK || json.Unmarshal([]byte(body), &answer) != nil || len(answer.Runs) == 0 {
			return false
		}
		token = answer.Runs[0].Classes[0].Offer
		return token != ""
	})
	return token
}

// The whole way: a node shows a number, the reservation hands its token back, the booking system verifies it and publishes what came of it, and every
// node counts it.
func TestOffersAreCounted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host, log := testkit.Broker(t), &testkit.Log{}
	ledger, publisher, ids := publish(ctx, t, host, 1)
	if err := publisher.Publish(ctx, []feed.Change{ledger.Sell(ids[0], 3)}); err != nil {
		t.Fatal(err)
	}
	n, other := startSigning(t, host, log), startSigning(t, host, log)
	before := time.Now().Truncate(time.Millisecond)
	shown := token(t, n, ids[0])
	keys, err := offer.ParseKeys([]string{"k2:" + strings.Repeat("ff", 32), entry}) // the backend's have turned already
	if err != nil {
		t.Fatal(err)
	}
	o, err := keys.Verify(shown, time.Now(), time.Minute)
	if want := (rail.Version{Epoch: 1, Revision: 2}); err != nil || o.Run != ids[0] || o.Class != "O" || o.From != 0 || o.To != 2 || o.Version != want || o.At.Before(before) {
		t.Fatalf("%v: %+v", err, o)
	}
	plain := testkit.Plain(t, host)
	for _, each := range []*node.Node{n, other} {
		testkit.Eventually(t, "a node that listens", func() bool {
			_ = plain.Publish("yupiao.v1.outcome", []byte("\xff")) // as often as it takes
			return each.Accuracy().Broken > 0
		})
	}
	o.Age = 700 * time.Millisecond // whatever it was
	for _, result := range []offer.Result{offer.Held, offer.Held, offer.Held, offer.SoldOut, offer.Refused} {
		if err := publisher.Outcome(offer.Outcome{Offer: o, Result: result, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, each := range []*node.Node{n, other} {
		testkit.Eventually(t, "all outcomes", func() bool { s := each.Accuracy(); return s.Total(offer.Refused) == 1 })
		s := each.Accuracy()
		if share, known := s.Share(); share != 0.75 || !known {
			t.Errorf("the share is %v, %t", share, known)
		}
		_, text := get(t, each.AdminAddress(), "/metrics")
		for result, count := range map[offer.Result]int{offer.Held: 3, offer.SoldOut: 1, offer.Refused: 1} {
			if want := fmt.Sprintf("yupiao_offer_outcomes_total{age=\"1s\",result=%q,ttl=\"0\"} %d\n", result.String(), count); !strings.Contains(text, want) {
				t.Errorf("the metrics lack %s", want)
			}
		}
		if !strings.Contains(text, fmt.Sprintf("\nyupiao_offer_outcomes_broken_total %d\n", each.Accuracy().Broken)) {
			t.Error("the metrics lack the broken ones")
		}
	}
	if text := log.String(); !strings.Contains(text, "kind=outcome") || !strings.Contains(text, "subject=yupiao.v1.outcome") || strings.Contains(text, entry[3:]) {
		t.Errorf("the log says %s", text)
	}
}

// Keys that cannot be used stop a node before it listens, without being shown.
func TestNodeRefusesKeys(t *testing.T) {
	s := settings()
	s.Offers.Keys = []string{entry, entry + "x"}
	if _, err := node.New(s, node.Options{InProcess: testkit.Broker(t)}); err == nil || !strings.Contains(err.Error(), "offers.keys: unusable offer key: entry 2") || strings.Contains(err.Error(), "00112233") {
		t.Errorf("got %v", err)
	}
}
