package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

func options() Options {
	return Options{
		Days: 3, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Booking: "127.0.0.1:0", NATS: "127.0.0.1:0", SalesPerSecond: 200, Seed: 1, Settings: config.DefaultBooking(),
		Out: io.Discard, Log: slog.New(slog.DiscardHandler),
	}
}

// start runs a demo and returns its address and what it said. The test's end ends it.
func start(t *testing.T, o Options) (address, said string) {
	t.Helper()
	address, said, _ = launch(t, o)
	return address, said
}

func startAndStop(t *testing.T, o Options) (address string, stop func()) {
	t.Helper()
	address, _, stop = launch(t, o)
	return address, stop
}

func launch(t *testing.T, o Options) (address, said string, stop func()) {
	t.Helper()
	var out bytes.Buffer
	ready := make(chan string, 1)
	o.Out, o.Ready = &out, func(a string) { ready <- a }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	select {
	case address = <-ready:
		return address, out.String(), stop
	case err := <-done:
		done <- nil
		t.Fatal(err)
	case <-time.After(testkit.Patience):
		t.Fatal("not ready")
	}
	return "", "", nil
}

// A demo says three lines to try, and they work.
func TestDirections(t *testing.T) {
	_, said := start(t, options())
	urls := regexp.MustCompile(`curl (?:-N )?'([^']+)'`).FindAllStringSubmatch(said, -1)
	if len(urls) != 3 {
		t.Fatalf("%d lines to try in:\n%s", len(urls), said)
	}
	for _, u := range urls {
		r, err := http.Get(u[1])
		if err != nil {
			t.Fatal(err)
		}
		some := make([]byte, 200)
		n, _ := io.ReadFull(r.Body, some)
		if r.StatusCode != http.StatusOK || n < 100 {
			t.Errorf("%s: %s %s", u[1], r.Status, some[:n])
		}
		_ = r.Body.Close()
	}
}

func TestBadOptions(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"days is 0":          func(o *Options) { o.Days = 0 },
		"from-date":          func(o *Options) { o.From = rail.NewDate(2020, 1, 1) },
		"sales-per-second":   func(o *Options) { o.SalesPerSecond = -1 },
		"no such file":       func(o *Options) { o.GTFS = "/nowhere.zip" },
		"want host:port":     func(o *Options) { o.NATS = "here" },
		"http.address":       func(o *Options) { o.HTTP = "here" },
		"unusable GTFS feed": func(o *Options) { o.GTFS = t.TempDir() },
	} {
		o := options()
		change(&o)
		if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want one with %q", err, want)
		}
	}
	if err := Run(t.Context(), Options{Days: 99}); !errors.Is(err, ErrOption) {
		t.Error(err)
	}
}

// tomorrow is a date on sale whatever the hour: that of the railway, not of a clock elsewhere.
func tomorrow() string {
	return (rail.DateOf(time.Now(), time.FixedZone("CST", 8*3600)) + 1).String()
}

// browse opens a page in headless Chromium.
func browse(t *testing.T, url string) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs Chromium to open the page: apt-get install chromium")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-quic", true))
	allocator, end := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err) // the first action starts the browser, so it has no timeout of its own
	}
	ctx, end = context.WithTimeout(ctx, 2*testkit.Patience)
	t.Cleanup(end)
	return ctx
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // only its number was wanted
	return l.Addr().String()
}

// A walk: search, reserve, pay, see the count fall, cancel, see it rise. And what was booked is there after a restart.
func TestBookOnThePage(t *testing.T) {
	o := options()
	o.HTTP, o.Booking, o.SalesPerSecond, o.Data = freeAddress(t), freeAddress(t), 0, t.TempDir()
	address, stop := startAndStop(t, o)
	date := tomorrow()
	ctx := browse(t, "http://"+address+"/?from=city:BJP&to=city:SHH&date="+date+"&lang=en")
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	// Which trains are suspended depends on the date; this is the first that can be booked.
	const available = `.class[data-class="O"][data-state="AVAILABLE"]`
	do("open", chromedp.WaitVisible(available))
	train, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector('`+available+`').closest(".train").dataset.train`))
	if err != nil {
		t.Fatal(err)
	}
	row := fmt.Sprintf(`.train[data-train=%q] `, train)
	count := func() int {
		t.Helper()
		text, err := chromedp.Run(ctx, chromedp.Text(row+`.class[data-class="O"] .count`))
		n, wrong := strconv.Atoi(text)
		if err = errors.Join(err, wrong); err != nil {
			t.Fatal(err)
		}
		return n
	}
	becomes := func(want int) {
		t.Helper()
		testkit.Eventually(t, fmt.Sprint(want, " seats on the page"), func() bool { return count() == want })
	}
	before := count()
	do("order", chromedp.Click(row+".book"), chromedp.WaitVisible(row+".reserve"),
		chromedp.SetValue(row+"select.passengers", "2"), chromedp.Evaluate[chromedp.Void](`document.querySelector('`+row+`select.passengers').dispatchEvent(new Event('change', {bubbles: true}))`))
	do("reserve", chromedp.Click(row+".reserve"), chromedp.WaitVisible(row+`.order-state[data-state="RESERVED"]`))
	becomes(before - 2)
	do("pay", chromedp.Click(row+".pay"), chromedp.WaitVisible(row+`.order-state[data-state="PAID"]`))
	ticket, err := chromedp.Run(ctx, chromedp.Text(row+".ticket"))
	if err != nil || !strings.Contains(ticket, "Coach") {
		t.Errorf("%v: %s", err, ticket)
	}
	becomes(before - 2)

	stop() // the whole railway
	_, _ = startAndStop(t, o)
	do("reload", chromedp.Reload(), chromedp.WaitVisible(`#bookings .order-state[data-state="PAID"]`), chromedp.WaitVisible(row+".book"))
	becomes(before - 2)
	do("cancel", chromedp.Click("#bookings .booking-head"), chromedp.WaitVisible("#bookings .cancel"), chromedp.Click("#bookings .cancel"),
		chromedp.WaitVisible(`#bookings .order-state[data-state="REFUNDED"]`))
	becomes(before)
}

// The page, as a traveller sees it: type, choose, search, and see a count change by itself.
func TestPageInBrowser(t *testing.T) {
	address, _ := start(t, options())
	date := tomorrow()
	ctx := browse(t, "http://"+address+"/?from=city:BJP&to=city:SHH&date="+date+"&lang=en")
	if err := chromedp.Do(ctx, chromedp.WaitVisible(".train .count:not(:empty)")); err != nil {
		t.Fatal(err)
	}
	page, err := chromedp.Run(ctx, chromedp.Text("body"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Beijing", "Shanghai", "Live", "Second class", "G1"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page:\n%s", want, page)
		}
	}
	if err := chromedp.Do(ctx, chromedp.WaitVisible(".class.changed .count:not(:empty)")); err != nil { // the highlight of a count that has just changed
		t.Errorf("no count changed by itself: %v", err)
	}
}
