package bookapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/bookapi"
	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/store"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

const token = "a token for tests"

var secrets = payment.Secrets{[]byte("the newest secret"), []byte("the one before it")}

// office is the API before a real Desk, with every answer held against the document.
type office struct {
	t        *testing.T
	server   *bookapi.Server
	contract *testkit.Contract
	desk     *reservation.Desk
	run      string
	away     bool
	offers   judge
}

// mute is a provider that says nothing: the tests speak for it.
type mute struct{}

func (mute) Start(context.Context, payment.Intent) error              { return nil }
func (mute) Refund(context.Context, string, rail.Money, string) error { return nil }

// judge knows one token.
type judge struct{ fared []error }

func (j *judge) Check(token string, _ *reservation.Request) error {
	if token != "ours" {
		return errors.New("not signed by a key of ours")
	}
	return nil
}

func (j *judge) Fared(_ string, err error) { j.fared = append(j.fared, err) }

func newOffice(t *testing.T) *office {
	t.Helper()
	database, err := store.Open(t.Context(), testkit.SQLite(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Close() })
	term, err := database.Lead(t.Context(), "test", time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	date := rail.DateOf(time.Now(), time.UTC) + 3
	trip := timetable.Trip{ID: "G1", Pattern: testkit.Pattern("G1", 600), Dates: []rail.Date{date}}
	schedule := &timetable.Schedule{Network: *testkit.Network(), Trips: []timetable.Trip{trip}}
	rules := formation.Rules{Categories: []formation.Category{{Match: []string{"*"}, Classes: []formation.Class{{Class: "O", Places: 12}, {Class: "9", Places: 1}}}}}
	book := booking.NewBook(booking.Config{Epoch: 7}, schedule, rules)
	o := &office{t: t, run: rail.RunID{Date: date, Trip: "G1"}.String()}
	o.desk = reservation.New(reservation.Options{Book: book, Store: database, Provider: mute{}, Term: term, Currency: "CNY"})
	testkit.Run(t, o.desk.Run)
	if _, err := o.desk.Open(t.Context(), date, schedule.Patterns()); err != nil {
		t.Fatal(err)
	}
	o.server = bookapi.New(bookapi.Options{
		Desk: func() *reservation.Desk {
			if o.away {
				return nil
			}
			return o.desk
		},
		Status: func() bookapi.Status { return bookapi.Status{Name: "test", Leading: !o.away, Why: "another leads"} },
		Resync: func(context.Context, rail.Date) (int, error) { return 1, nil }, Offers: &o.offers,
		Network: testkit.Network(), Secrets: func() payment.Secrets { return secrets }, AdminToken: token, Origins: []string{"http://page.example"}, Document: api.BookingAPI,
	})
	o.contract = testkit.NewContract(t, api.BookingAPI)
	o.admin("POST", "/resume", "")
	return o
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	Type   string
	ID     string
	State  string
	Detail string

	Parameter, Value string
	Seats            []struct{ Seat string }
	Payment          struct{ ID, State, Note string }
	Refund           struct{ Fee struct{ Amount int } }
	Moved, Unseated  []json.RawMessage
}

func (o *office) call(method, path, body string, headers ...string) answer {
	o.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	o.server.ServeHTTP(w, r)
	o.contract.Check(o.t, r, w.Code, w.Header(), w.Body.Bytes())
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	if strings.Contains(w.Header().Get("Content-Type"), "json") && !(w.Code == http.StatusOK && strings.HasSuffix(path, "/webhook")) {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			o.t.Fatalf("%s %s: %s: %v", method, path, a.text, err)
		}
	}
	return a
}

func (o *office) reserve(key, more string) answer {
	o.t.Helper()
	return o.call("POST", "/v1/reservations", fmt.Sprintf(`{"run":%q,"class":"O","from":0,"to":2,"passengers":1%s}`, o.run, more), "Idempotency-Key", key)
}

func (o *office) admin(method, path, body string) answer {
	o.t.Helper()
	return o.call(method, "/admin/v1/runs/"+o.run+path, body, "Authorization", "Bearer "+token)
}

func (o *office) webhook(body string, s payment.Secrets, at time.Time) answer {
	o.t.Helper()
	return o.call("POST", "/v1/payments/webhook", body, payment.SignatureHeader, s.Sign([]byte(body), at))
}

func (a answer) want(t *testing.T, status int, kind string) answer {
	t.Helper()
	if a.status != status || kind != "" && a.Type != "/problems/"+kind && a.State != kind {
		t.Errorf("answered %d %s; want %d %s", a.status, a.text, status, kind)
	}
	return a
}

// From the reservation to the refund, as a page does it.
func TestLife(t *testing.T) {
	o := newOffice(t)
	r := o.reserve("k1", `,"wish":"window"`).want(t, 201, "RESERVED")
	if r.header.Get("Location") != "/v1/reservations/"+r.ID || len(r.Seats) != 1 || r.Seats[0].Seat != "1A" || !strings.Contains(r.text, `"wish_met":true`) {
		t.Errorf("%v %s", r.header, r.text)
	}
	if again := o.reserve("k1", `,"wish":"window"`).want(t, 200, "RESERVED"); again.ID != r.ID {
		t.Errorf("again: %s", again.text)
	}
	path := "/v1/reservations/" + r.ID
	p := o.call("POST", path+"/payment", `{"behaviour":"succeed"}`).want(t, 202, "RESERVED")
	body := fmt.Sprintf(`{"payment":%q,"outcome":"succeeded","amount":55300,"currency":"CNY"}`, p.Payment.ID)
	for _, s := range []payment.Secrets{secrets, secrets[1:]} { // Y2
		o.webhook(body, s, time.Now()).want(t, 200, "")
	}
	if got := o.call("GET", path, "").want(t, 200, "PAID"); got.Payment.State != "SUCCEEDED" {
		t.Errorf("%s", got.text)
	}
	if got := o.call("DELETE", path, "").want(t, 200, "REFUNDED"); got.Refund.Fee.Amount != 2765 { // 5 percent: between 48 hours and 8 days
		t.Errorf("%s", got.text)
	}
	o.call("DELETE", path, "").want(t, 409, "wrong-state")
	o.call("GET", "/healthz", "").want(t, 200, "")
	o.call("GET", "/readyz", "").want(t, 200, "")
	if doc := o.call("GET", "/openapi.yaml", ""); doc.text != string(api.BookingAPI) {
		t.Error("the document is not the one that is in force")
	}
}

// A1: every accident names the member, the value and what would be right; afterwards nothing has changed.
func TestBadInput(t *testing.T) {
	o := newOffice(t)
	o.reserve("used", "").want(t, 201, "RESERVED")
	body := func(old, with string) string {
		text := fmt.Sprintf(`{"run":%q,"class":"O","from":0,"to":2,"passengers":1}`, o.run)
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in %s", old, text)
		}
		return strings.Replace(text, old, with, 1)
	}
	for name, c := range map[string]struct {
		key, body       string
		status          int
		kind, parameter string
		detail          string
	}{
		"no key":                   {"", body("", ""), 400, "invalid-request", "Idempotency-Key", "1 to 64"},
		"a long key":               {strings.Repeat("k", 65), body("", ""), 400, "invalid-request", "", "1 to 64"},
		"a key in Chinese":         {"票", body("", ""), 400, "invalid-request", "", "ASCII"},
		"a used key":               {"used", body(`"passengers":1`, `"passengers":2`), 422, "idempotency-key-reused", "", "another request"},
		"no JSON":                  {"k", "run=1", 400, "invalid-request", "body", "one JSON object"},
		"nothing":                  {"k", "", 400, "invalid-request", "body", "one JSON object"},
		"two objects":              {"k", body("}", "}{}"), 400, "invalid-request", "body", "follows"},
		"an unknown member":        {"k", body(`"run"`, `"rum":1,"run"`), 400, "invalid-request", "body", "rum"},
		"a text for a number":      {"k", body(`"to":2`, `"to":"2"`), 400, "invalid-request", "to", "int"},
		"too long":                 {"k", body(`"O"`, `"`+strings.Repeat("O", 20_000)+`"`), 400, "invalid-request", "body", "at most"},
		"no run":                   {"k", body(`"run":"`+o.run+`",`, ""), 400, "invalid-request", "run", "of an answer"},
		"a run of nonsense":        {"k", body(o.run, "../etc"), 400, "invalid-request", "run", "of an answer"},
		"an unknown run":           {"k", body("G1", "G9"), 404, "unknown-run", "", "G9"},
		"a class not offered":      {"k", body(`"O"`, `"3"`), 409, "not-offered", "", `"3"`},
		"the wrong way":            {"k", body(`"from":0`, `"from":2`), 400, "invalid-request", "to", "behind from"},
		"beyond the end":           {"k", body(`"to":2`, `"to":3`), 400, "invalid-request", "", "< 3"},
		"a negative stop":          {"k", body(`"from":0`, `"from":-1`), 400, "invalid-request", "from", "0 to"},
		"no from":                  {"k", body(`"from":0,`, ""), 400, "invalid-request", "from", "missing"},
		"no passengers":            {"k", body(`"passengers":1`, `"passengers":0`), 400, "invalid-request", "passengers", "1 to 9"},
		"ten passengers":           {"k", body(`"passengers":1`, `"passengers":10`), 400, "invalid-request", "passengers", "1 to 9"},
		"a wish too far":           {"k", body("}", `,"wish":"sauna"}`), 400, "invalid-request", "", "sauna"},
		"sold out":                 {"k", body(`"O","from":0,"to":2,"passengers":1`, `"9","from":0,"to":2,"passengers":2`), 409, "sold-out", "", "1 places for 2"},
		"a forged offer":           {"k", body("}", `,"offer":"theirs"}`), 422, "invalid-offer", "offer", "not signed"},
		"an offer for what is out": {"k", body(`"O","from":0,"to":2,"passengers":1`, `"9","from":0,"to":2,"passengers":2,"offer":"ours"`), 409, "sold-out", "", ""},
	} {
		a := o.call("POST", "/v1/reservations", c.body, "Idempotency-Key", c.key, "Content-Type", "application/json")
		if a.status != c.status || a.Type != "/problems/"+c.kind || a.Parameter != c.parameter || !strings.Contains(a.Detail, c.detail) {
			t.Errorf("%s: %d %s; want %+v", name, a.status, a.text, c)
		}
	}
	if len(o.offers.fared) != 1 || !errors.Is(o.offers.fared[0], booking.ErrSoldOut) {
		t.Errorf("offers fared %v", o.offers.fared)
	}
	o.call("POST", "/v1/reservations", body("", ""), "Idempotency-Key", "k", "Content-Type", "text/plain").want(t, 400, "invalid-request")
	for i := range 11 {
		o.reserve(fmt.Sprint("rest", i), "").want(t, 201, "RESERVED")
	}
	o.reserve("one-too-many", "").want(t, 409, "sold-out")
}

// A1: payments and webhooks.
func TestBadPayments(t *testing.T) {
	o := newOffice(t)
	r := o.reserve("k", "")
	path := "/v1/reservations/" + r.ID
	o.call("POST", path+"/payment", `{"behaviour":"bribe"}`).want(t, 400, "invalid-request")
	o.call("POST", "/v1/reservations/r_none/payment", `{}`).want(t, 404, "unknown-reservation")
	o.call("GET", "/v1/reservations/r_none", "").want(t, 404, "unknown-reservation")
	p := o.call("POST", path+"/payment", `{}`).want(t, 202, "RESERVED")
	o.call("POST", path+"/payment", `{}`).want(t, 409, "wrong-state")
	good := fmt.Sprintf(`{"payment":%q,"outcome":"succeeded","amount":55300,"currency":"CNY"}`, p.Payment.ID)
	signed := secrets.Sign([]byte(good), time.Now())
	for name, header := range map[string]string{
		"none": "", "of another secret": payment.Secrets{[]byte("somebody else's")}.Sign([]byte(good), time.Now()), "old": secrets.Sign([]byte(good), time.Now().Add(-6*time.Minute)),
		"of the future": secrets.Sign([]byte(good), time.Now().Add(6*time.Minute)), "of another body": secrets.Sign([]byte(good+" "), time.Now()),
		"cut": signed[:len(signed)-2], "not hexadecimal": signed[:len(signed)-2] + "zz", "of another time": strings.Replace(signed, "t=", "t=1", 1), "of another form": signed[2:],
	} {
		a := o.call("POST", "/v1/payments/webhook", good, payment.SignatureHeader, header)
		if a.status != 401 || a.Type != "/problems/bad-signature" {
			t.Errorf("Y1: signature %s: %d %s", name, a.status, a.text)
		}
	}
	if got := o.call("GET", path, ""); got.Payment.State != "PENDING" {
		t.Errorf("a forged webhook was believed: %s", got.text)
	}
	o.webhook("nonsense", secrets, time.Now()).want(t, 400, "invalid-request")
	o.webhook(strings.Replace(good, "55300", "1", 1), secrets, time.Now()).want(t, 422, "contradictory-payment")
	o.webhook(strings.Replace(good, "p_", "q_", 1), secrets, time.Now()).want(t, 404, "unknown-reservation")
	o.call("DELETE", path, "").want(t, 200, "CANCELLED")
	o.webhook(good, secrets, time.Now()).want(t, 200, "")
	if got := o.call("GET", path, "").want(t, 200, "CANCELLED"); !strings.Contains(got.Payment.Note, "the money goes back") {
		t.Errorf("D6: %s", got.text)
	}
}

// A2: who has the token may change runs, who has not may not; a change of formation lists those who lose their seat.
func TestAdmin(t *testing.T) {
	o := newOffice(t)
	for _, header := range []string{"", "Bearer ", "Bearer wrong", "Basic " + token, token[1:]} {
		for _, path := range []string{"/status", "/resync", "/runs/" + o.run + "/suspend", "/runs/nonsense/resume"} {
			method := "POST"
			if path == "/status" {
				method = "GET"
			}
			o.call(method, "/admin/v1"+path, "", "Authorization", header).want(t, 401, "unauthorized")
		}
	}
	o.call("GET", "/admin/v1/status", "", "Authorization", "Bearer "+token).want(t, 200, "")
	o.call("POST", "/admin/v1/resync?date=2026-12-01", "", "Authorization", "Bearer "+token).want(t, 200, "")
	o.call("POST", "/admin/v1/resync?date=soon", "", "Authorization", "Bearer "+token).want(t, 400, "invalid-request")

	o.admin("POST", "/suspend", `{"reason":""}`).want(t, 400, "invalid-request")
	o.admin("POST", "/suspend", `{"reason":"wind"}`).want(t, 200, "")
	if a := o.reserve("k", "").want(t, 409, "suspended"); !strings.Contains(a.Detail, "wind") {
		t.Errorf("%s", a.text)
	}
	o.admin("POST", "/resume", "").want(t, 200, "")
	o.admin("POST", "/resume", "").want(t, 400, "invalid-request")
	o.admin("POST", "/release", `{"class":"O","places":0}`).want(t, 400, "invalid-request")
	o.admin("POST", "/release", `{"class":"3","places":1}`).want(t, 409, "not-offered")
	o.admin("POST", "/release", `{"class":"9","places":1}`).want(t, 200, "")
	o.admin("PUT", "/quota", `{"class":"O","quotas":[{"from_first":1,"from_last":1,"to_first":2,"to_last":2}]}`).want(t, 200, "")
	o.reserve("k", "").want(t, 409, "restricted")
	o.admin("PUT", "/quota", `{"class":"O","quotas":[{"from_first":1,"from_last":9,"to_first":2,"to_last":2}]}`).want(t, 400, "invalid-request")
	o.admin("PUT", "/quota", `{"class":"O"}`).want(t, 200, "")
	for i := range 3 {
		o.call("POST", "/v1/reservations", fmt.Sprintf(`{"run":%q,"class":"O","from":0,"to":2,"passengers":4}`, o.run), "Idempotency-Key", fmt.Sprint(i)).want(t, 201, "RESERVED")
	}
	if a := o.admin("PUT", "/formation", `{"class":"O","places":6}`).want(t, 200, ""); len(a.Moved)+len(a.Unseated) != 2 || len(a.Unseated) != 2 {
		t.Errorf("%s", a.text)
	}
	if a := o.call("PUT", "/admin/v1/runs/20200101.X/formation", `{"class":"O","places":6}`, "Authorization", "Bearer "+token); a.status != 404 {
		t.Errorf("%s", a.text)
	}
}

// A3: a browser is told that it may call, if it may; the answer varies by origin.
func TestOrigins(t *testing.T) {
	o := newOffice(t)
	for origin, allowed := range map[string]string{"http://page.example": "http://page.example", "http://evil.example": "", "null": "", "": ""} {
		a := o.call("OPTIONS", "/v1/reservations", "", "Origin", origin, "Access-Control-Request-Method", "POST")
		if got := a.header.Get("Access-Control-Allow-Origin"); got != allowed || a.header.Get("Vary") != "Origin" || (allowed != "") != (a.status == 204) {
			t.Errorf("origin %q: %d, allowed %q", origin, a.status, got)
		}
	}
}

// A3, of every path, whatever comes of it: an answer is what it says, and nothing else shows it; no answer tells what serves it.
func TestEveryAnswerIsGuarded(t *testing.T) {
	o := newOffice(t)
	paths := regexp.MustCompile(`(?m)^  (/\S*):$`).FindAllStringSubmatch(string(api.BookingAPI), -1)
	if len(paths) < 12 {
		t.Fatalf("%d paths in the document", len(paths))
	}
	for _, path := range append(paths, []string{"", "/none"}, []string{"", "//healthz"}) {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
			r := httptest.NewRequest(method, strings.NewReplacer("{id}", "r_1", "{run}", o.run).Replace(path[1]), strings.NewReader("{"))
			r.Header.Set("Origin", "http://evil.example")
			w := httptest.NewRecorder()
			o.server.ServeHTTP(w, r)
			h := w.Header()
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("Vary") != "Origin" || h.Get("Server") != "" || h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %d %v", method, path[1], w.Code, h)
			}
		}
	}
}

// A backend that waits says so, with when to ask again.
func TestWaiting(t *testing.T) {
	o := newOffice(t)
	o.away = true
	for _, a := range []answer{o.reserve("k", ""), o.call("GET", "/v1/reservations/r_1", ""), o.call("GET", "/readyz", ""), o.admin("POST", "/resume", "")} {
		if a.want(t, 503, "unavailable"); a.header.Get("Retry-After") != "1" || !strings.Contains(a.Detail, "another leads") {
			t.Errorf("%v %s", a.header, a.text)
		}
	}
	o.call("GET", "/healthz", "").want(t, 200, "")
	o.call("GET", "/v1/availability", "").want(t, 404, "not-found")
}

func FuzzReserve(f *testing.F) {
	f.Add(`{"run":"20261201.G1","class":"O","from":0,"to":2,"passengers":1}`, "key")
	f.Add(`{"run":1}`, "\x00")
	f.Fuzz(func(t *testing.T, body, key string) {
		s := bookapi.New(bookapi.Options{
			Desk: func() *reservation.Desk { return nil }, Status: func() bookapi.Status { return bookapi.Status{} }, Network: &timetable.Network{},
		})
		r := httptest.NewRequest("POST", "/v1/reservations", strings.NewReader(body))
		r.Header["Idempotency-Key"] = []string{key}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 400 && w.Code != 503 {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}
