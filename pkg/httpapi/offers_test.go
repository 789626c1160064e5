package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/accuracy"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

func signed(t *testing.T) (keys offer.Keys, change func(*Options)) {
	t.Helper()
	keys, err := offer.ParseKeys([]string{"k1:00112233445566778899aabbccddeeff"})
	if err != nil {
		t.Fatal(err)
	}
	return keys, func(o *Options) { o.Settings.OfferKeys = keys }
}

// tokens are the offers of an answer by run and class.
func tokens(t *testing.T, w *httptest.ResponseRecorder) (found map[string]string, classes int) {
	t.Helper()
	var answer struct {
		Runs []struct {
			Run     string
			Classes []struct{ Class, Offer string }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	found = map[string]string{}
	for _, run := range answer.Runs {
		for _, c := range run.Classes {
			classes++
			if c.Offer != "" {
				found[run.Run+" "+c.Class] = c.Offer
			}
		}
	}
	return found, classes
}

// Each class that can be bought, and no other, has a token of just what is shown, of its version and age.
func TestOffers(t *testing.T) {
	keys, change := signed(t)
	g := newRig(t, change)
	g.policy.Defaults.ClientMaxAge = 3 * time.Second
	g.sell(2)
	g.now = g.now.Add(1700 * time.Millisecond)
	found, classes := tokens(t, g.get(pair+"&offers=true"))
	if len(found) != 4 || classes != 12 {
		t.Errorf("%d of %d classes have a token: %v", len(found), classes, found)
	}
	got, err := keys.Verify(found["20261201.G1 O"], g.now, time.Minute)
	want := offer.Offer{
		Run: rail.RunID{Date: testkit.Tuesday, Trip: "G1"}, Class: "O", From: 0, To: 2, Version: rail.Version{Epoch: 1, Revision: 2},
		Age: 1700 * time.Millisecond, TTL: 3 * time.Second, At: g.now.UTC(),
	}
	if err != nil || got != want {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for name, token := range found {
		if o, err := keys.Verify(token, g.now, time.Minute); err != nil || o.Run.String()+" "+string(o.Class) != name {
			t.Errorf("%s: %v, %+v", name, err, o)
		}
	}
}

// What a rule says holds for answers with tokens, too; and they are the caller's own.
func TestOffersFollowRules(t *testing.T) {
	keys, change := signed(t)
	g := newRig(t, change)
	keep, refuse := 5*time.Second, 4*time.Second
	g.policy.Rules = []policy.Rule{{Name: "a", When: policy.When{To: []string{"city:SHH"}}, Change: policy.Change{ClientMaxAge: &keep, RefuseAfter: &refuse}}}
	w := g.get(pair + "&offers=true")
	found, _ := tokens(t, w)
	if o, err := keys.Verify(found["20261201.G1 O"], g.now, time.Minute); err != nil || o.TTL != keep || w.Header().Get("Cache-Control") != "private, max-age=5" {
		t.Errorf("%v: %+v, %s", err, o, w.Header().Get("Cache-Control"))
	}
	g.now = g.now.Add(5 * time.Second)
	if w := g.get(pair + "&offers=true"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "the limit is 4s") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// How right the answers were, and how the offers held, is told to everybody.
func TestAccuracy(t *testing.T) {
	record := &accuracy.Record{}
	g := newRig(t, func(o *Options) { o.Accuracy = record })
	g.policy.Defaults.TTL.Fixed = time.Minute
	for _, want := range []string{`"served":0,"exact":0,"checked":0,"wrong":0,"since_look"`, `"sold_out":0,"refused":0,"by_age_and_ttl":[]`} {
		if w := g.get("/v1/accuracy"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d, no %s in %s", w.Code, want, w.Body)
		}
	}
	testkit.Eventually(t, "an answer that is kept", func() bool { g.get(pair); return g.answers.Stats().TTL > 0 })
	g.sell(2)
	for range 64 {
		g.get(pair)
	}
	for _, result := range []offer.Result{offer.Held, offer.Held, offer.Held, offer.SoldOut, offer.Refused} {
		record.Add(offer.Outcome{Result: result, Offer: offer.Offer{Age: time.Second, TTL: time.Minute}})
	}
	w := g.get("/v1/accuracy")
	var r accuracyReport
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || r.Answers.Checked < 4 || r.Answers.Wrong < 3 || r.Answers.Accuracy == nil || *r.Answers.Accuracy > 0.5 || r.Answers.Exact == 0 {
		t.Errorf("%v: %s", err, w.Body)
	}
	if r.Offers.Accuracy == nil || *r.Offers.Accuracy != 0.75 || !strings.Contains(w.Body.String(), `{"age":"1s","ttl":"60s","held":3,"sold_out":1,"refused":1}`) {
		t.Errorf("%s", w.Body)
	}
	if w := g.get("/v1/accuracy?x=1"); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Who does not ask gets the bytes and the tag of a node without keys; who asks such a node gets the same.
func TestOffersAreOnDemand(t *testing.T) {
	_, change := signed(t)
	with, without := newRig(t, change), newRig(t, nil)
	want := without.get(pair)
	for name, w := range map[string]*httptest.ResponseRecorder{
		"not asked": with.get(pair), "asked not to": with.get(pair + "&offers=false"), "no keys": without.get(pair + "&offers=true"),
	} {
		if w.Body.String() != want.Body.String() || w.Header().Get("ETag") != want.Header().Get("ETag") {
			t.Errorf("%s: %s %s", name, w.Header().Get("ETag"), w.Body)
		}
	}
}

// A number of unknown age is no offer.
func TestNoOffersWithoutAnAge(t *testing.T) {
	_, change := signed(t)
	g := newRig(t, change)
	if g.tokens(freshness{}, 0, g.now) != nil || g.tokens(freshness{proved: true}, 0, g.now) == nil {
		t.Error("want tokens of a known age, and no others")
	}
}
