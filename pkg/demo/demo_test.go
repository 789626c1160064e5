package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
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
	var out bytes.Buffer
	ready := make(chan string, 1)
	o.Out, o.Ready = &out, func(a string) { ready <- a }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case address = <-ready:
		return address, out.String()
	case err := <-done:
		done <- nil
		t.Fatal(err)
	case <-time.After(testkit.Patience):
		t.Fatal("not ready")
	}
	return "", ""
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

// The page, as a traveller sees it: type, choose, search, and see a count change by itself.
func TestPageInBrowser(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs Chromium to open the page: apt-get install chromium")
	}
	address, _ := start(t, options())
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-quic", true))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	date := (rail.DateOf(time.Now(), time.UTC) + 2).String()
	if err := chromedp.Do(ctx, chromedp.Navigate("http://"+address+"/?from=city:BJP&to=city:SHH&date="+date+"&lang=en")); err != nil {
		t.Fatal(err) // the first action starts the browser, so it has no timeout of its own
	}
	ctx, cancel = context.WithTimeout(ctx, 2*testkit.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitVisible(".train .count")); err != nil {
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
	if err := chromedp.Do(ctx, chromedp.WaitVisible(".class.changed .count")); err != nil { // the highlight of a count that has just changed
		t.Errorf("no count changed by itself: %v", err)
	}
}
