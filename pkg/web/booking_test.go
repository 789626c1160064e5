package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/yupiao/yupiao/pkg/testkit"
)

const (
	stubRun = `{"run":"20261201.%[1]s","train":"%[1]s","depart":"2026-12-01T07:00:00+08:00","arrive":"2026-12-01T11:29:00+08:00","minutes":269,
		"from":{"code":"VNP","name":"Beijing South","stop":0},"to":{"code":"AOH","name":"Shanghai","stop":6},
		"classes":[{"class":"O","name":"Second class","state":"LOW","remaining":2,"fare":{"amount":55400,"currency":"CNY"}}]}`
	stubReservation = `{"id":"r_1","state":"%s","run":"20261201.G1","train":"G1","class":"O","from":{"code":"VNP","name":"VNP","stop":0},
		"to":{"code":"AOH","name":"AOH","stop":6},"depart":"2026-12-01T07:00:00+08:00","arrive":"2026-12-01T11:29:00+08:00","passengers":1,
		"seats":[{"coach":5,"seat":"12A","kind":"window"}],"wish_met":false,"fare":{"amount":55400,"currency":"CNY"},
		"created":"2026-11-23T12:00:00Z","deadline":"2099-01-01T00:00:00Z","payment":{"state":"%s","note":""}}`
)

// stubNode answers what the page asks a node; what is sent to changes goes to its stream as JSON of an event "runs".
func stubNode(t *testing.T, page http.Handler, changes <-chan string) *httptest.Server {
	mux := http.NewServeMux()
	answer := func(pattern, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	}
	answer("/readyz", `{"sale_dates":["2026-12-01"]}`)
	answer("/v1/stations", `{"stations":[]}`)
	answer("/v1/runs/", `{"stops":[{"stop":0,"name":"Beijing South"},{"stop":6,"name":"Shanghai"}],"classes":[{"class":"O","name":"Second class","accommodation":"SEAT"}]}`)
	answer("/v1/availability", fmt.Sprintf(`{"date":"2026-12-01","from":{"name":"Beijing"},"to":{"name":"Shanghai"},"runs":[%s,%s]}`,
		fmt.Sprintf(stubRun, "G1"), fmt.Sprintf(stubRun, "G3")))
	mux.HandleFunc("/v1/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case change := <-changes:
				fmt.Fprintf(w, "event: runs\ndata: %s\n\n", change)
			}
		}
	})
	mux.Handle("/", page)
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.CloseClientConnections() // the stream would never end by itself
		s.Close()
	})
	return s
}

// stubBackend is a booking backend that is away when it is first asked. It keeps the keys of the orders.
type stubBackend struct {
	mu      sync.Mutex
	keys    []string
	settled bool
}

func (b *stubBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "Content-Type, Idempotency-Key")
	state, payment := "RESERVED", "PENDING"
	switch {
	case r.Method == http.MethodOptions:
		return
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/reservations"):
		if b.keys = append(b.keys, r.Header.Get("Idempotency-Key")); len(b.keys) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"type":"/problems/unavailable","title":"Away","status":503}`)
			return
		}
		payment = ""
	case r.Method == http.MethodDelete:
		b.settled, state, payment = true, "REFUNDED", "REFUNDED"
	case r.Method == http.MethodGet && b.settled:
		state, payment = "REFUNDED", "REFUNDED"
	case r.Method == http.MethodGet:
		state, payment = "PAID", "SUCCEEDED"
	}
	fmt.Fprintf(w, stubReservation, state, payment)
}

// TestBookingInBrowser: an order is tried again with its key while its row leaves the answer, paid and given back, and is there after a reload.
func TestBookingInBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs Chromium to open the page: apt-get install chromium")
	}
	backend := &stubBackend{}
	booking := httptest.NewServer(backend)
	defer booking.Close()
	page, err := Handler(Options{Booking: booking.URL})
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan string)
	node := stubNode(t, page, changes)
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.Flag("disable-quic", true))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(node.URL+"/?from=BJP&to=SHH&date=2026-12-01&lang=en")); err != nil {
		t.Fatal(err) // the first action starts the browser, so it has no timeout of its own
	}
	ctx, cancel = context.WithTimeout(ctx, 2*testkit.Patience)
	defer cancel()
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	focused := func(want string) {
		t.Helper()
		if in, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.activeElement.matches("`+want+`")`)); err != nil || !in {
			t.Errorf("the focus is not in %s: %v", want, err)
		}
	}
	send := func(change string) {
		t.Helper()
		select {
		case changes <- change:
		case <-ctx.Done():
			t.Fatal("nobody listens to the stream")
		}
	}
	const row = `.train[data-train="G1"] `
	do("open", chromedp.WaitVisible(row+".book"), chromedp.Click(row+".book"), chromedp.WaitVisible(row+".reserve"))
	focused(".booking-panel input[value=O]")
	do("refused", chromedp.Click(row+".reserve"), chromedp.WaitVisible(row+".failed"))
	send(`{"gone":["20261201.G1/0-6","20261201.G3/0-6"]}`)
	do("both rows left the answer", chromedp.WaitNotPresent(`.train[data-train="G3"]`))
	do("reserve", chromedp.Click(row+".reserve"), chromedp.WaitVisible(row+".ticket .countdown"))
	focused(".ticket-title")
	backend.mu.Lock()
	if k := backend.keys; len(k) != 2 || k[0] != k[1] || len(k[0]) != 36 {
		t.Errorf("the order was sent with the keys %q; want one UUID twice", k)
	}
	backend.mu.Unlock()
	do("pay", chromedp.Click(row+".pay"), chromedp.WaitVisible(row+`.order-state[data-state="PAID"]`))
	focused(".ticket-title")
	do("cancel", chromedp.Click(row+".cancel"), chromedp.WaitVisible(row+`.order-state[data-state="REFUNDED"]`))
	do("close", chromedp.KeyEvent("\x1b"), chromedp.WaitNotVisible(row+".booking-panel"))
	focused(".book")
	send(`{}`)
	do("the row leaves", chromedp.WaitNotPresent(row))
	do("reload", chromedp.Reload(), chromedp.WaitVisible(`#bookings .order-state[data-state="REFUNDED"]`), chromedp.Click("#bookings .booking-head"),
		chromedp.WaitVisible("#bookings .ticket"))
	text, err := chromedp.Run(ctx, chromedp.Text("#bookings"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Beijing South → Shanghai", "Second class", "Coach 5: 12A (window)", "¥554", "Refunded"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among the bookings:\n%s", want, text)
		}
	}
}

// TestNoBookingWithoutBackend: no button, and no request to anybody but the node.
func TestNoBookingWithoutBackend(t *testing.T) {
	page := ask(http.MethodGet, "/", "").Body.String()
	if strings.Contains(page, "data-booking") {
		t.Error("the page names a backend")
	}
	for name, text := range read(t, ".js") {
		if uses := strings.Contains(text, "dataset.booking"); uses != (name == "/static/app.js") {
			t.Errorf("%s: reads the backend's address: %v", name, uses)
		}
	}
}
