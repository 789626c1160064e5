package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// page is the console in headless Chromium.
type page struct {
	t    *testing.T
	ctx  context.Context
	said *testkit.Log
	// complains: the test wants it to.
	complains bool
}

// dark has Chromium say that its reader wants dark pages.
var dark = chromedp.Flag("blink-settings", "preferredColorScheme=0")

// open starts Chromium with the page at an address. When the test ends, the page must not have complained.
func open(t *testing.T, address string, flags ...chromedp.ExecAllocatorOption) *page {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs Chromium to open the page: apt-get install chromium")
	}
	flags = append(append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.Flag("disable-quic", true)), flags...)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	p := &page{t: t, said: &testkit.Log{}}
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		if kind := fmt.Sprintf("%T", event); strings.Contains(kind, "ExceptionThrown") || strings.Contains(kind, "EntryAdded") {
			text, err := json.Marshal(event) // it holds pointers, which %v would not follow
			_, _ = fmt.Fprintf(p.said, "%s %s %v\n", kind, text, err)
		}
	}))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err) // the first action starts the browser, so it has no timeout of its own
	}
	p.ctx, cancel = context.WithTimeout(ctx, 6*testkit.Patience)
	t.Cleanup(cancel)
	t.Cleanup(func() {
		if said := p.complaints(); said != "" && !p.complains {
			t.Errorf("the page complains: %s", said)
		}
	})
	return p
}

// complaints are the errors of its code and what its policy forbids, but not the requests that a test has fail.
func (p *page) complaints() string {
	var all []string
	for line := range strings.Lines(p.said.String()) {
		if strings.Contains(line, "Exception") || strings.Contains(line, "Content Security Policy") {
			all = append(all, line)
		}
	}
	return strings.Join(all, "")
}

func (p *page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Text("body"))
		p.t.Fatalf("%s: %v\n%s", what, err, text)
	}
}

func (p *page) click(selector string) {
	p.t.Helper()
	p.do("click "+selector, chromedp.WaitVisible(selector), chromedp.Click(selector))
}

// fill replaces what stands in a field, as a person who types does.
func (p *page) fill(selector, text string) {
	p.t.Helper()
	p.do("fill "+selector, chromedp.WaitVisible(selector))
	eval[bool](p, fmt.Sprintf(`((e) => (e.value = "", e.dispatchEvent(new Event("input", {bubbles: true}))))(document.querySelector(%q))`, selector))
	p.do("fill "+selector, chromedp.SendKeys(selector, text))
}

func eval[T any](p *page, expression string) T {
	p.t.Helper()
	out, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return out
}

// holds waits until an expression is true.
func (p *page) holds(what, expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(testkit.Patience); !eval[bool](p, expression); {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not %s; the page says\n%s", what, expression, eval[string](p, `document.body.innerText`))
		}
	}
}

// says waits until an element's text has this in it.
func (p *page) says(selector, want string) {
	p.t.Helper()
	p.holds(selector+" says "+want, fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.innerText.includes(%q))`, selector, want))
}

// fits checks that nothing is cut off at the side.
func (p *page) fits(what string) {
	p.t.Helper()
	if over := eval[string](p, `document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
		.map((e) => e.tagName + "#" + e.id + "." + e.className).join(" ") || "something" : ""`); over != "" {
		p.t.Errorf("%s: the page can be scrolled to the side: %s", what, over)
	}
}

func (p *page) size(width, height int64) {
	p.t.Helper()
	p.do("resize", chromedp.EmulateViewport(width, height))
}

// shot keeps a picture of the whole page for people, if YUPIAO_SCREENSHOTS names a folder.
func (p *page) shot(name string) {
	p.t.Helper()
	folder := os.Getenv("YUPIAO_SCREENSHOTS")
	if folder == "" {
		return
	}
	eval[bool](p, `(document.activeElement.blur(), scrollTo(0, 0), true)`)
	image, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), image, 0o644)
	}
	if err != nil {
		p.t.Error(err)
	}
}
