package console_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/yupiao/yupiao/pkg/fleet"
)

const rush = `freshness:
  degraded_after: 2s
rules:
  - name: rush
    when:
      asked_above: 200
      changed_above: 10
    ttl: 100ms
  - name: far
    when:
      days: [4, 14]
      asked_below: 50
    ttl: 2s
`

// TestLooks: on a wide screen and on a phone, light and dark, healthy and in trouble, nothing is cut off and nothing is complained of.
func TestLooks(t *testing.T) {
	for scheme, flags := range map[string][]chromedp.ExecAllocatorOption{"light": nil, "dark": {dark}} {
		t.Run(scheme, func(t *testing.T) {
			s := newStand(t, token)
			s.points = hour(0, 0, 0, 0)
			for _, p := range []fleet.Proposal{{Document: "freshness:\n  ttl: 100ms\n", By: "li", Note: "first try"}, {Document: rush, By: "ann", Note: "the new year's sale opens at eight"}} {
				s.store(p)
			}
			s.holding.Runs = []fleet.HeldRun{{Run: "20261201.G1", Suspended: true, Reason: "a tree on the line near Xuzhou East", By: "ann", At: time.Now()}}
			p := open(t, s.URL, flags...)
			if got := eval[bool](p, `matchMedia("(prefers-color-scheme: dark)").matches`); got != (scheme == "dark") {
				t.Fatalf("dark is %v", got)
			}
			p.fill("#token", token)
			p.click("#ask-token button")
			p.says("#verdict-text", "All 3 nodes live")
			p.holds("all is there", `document.querySelectorAll(".old").length === 0 && document.querySelectorAll("#pictures path").length > 10`)
			p.look("healthy", scheme)
			p.click("#try")
			p.says("#report", "Wrong answers")
			p.look("try", scheme)
			s.change(func() {
				s.points = hour(14, 9, 25, 21)
				s.nodes = s.nodes[:2]
				s.nodes[1].Program, s.nodes[1].Behind, s.nodes[1].Quarantined = "v1.3.0", 41, 2
				s.nodes[1].Settings.Refused, s.nodes[1].Settings.RefusedVersion, s.nodes[1].Settings.Version = "the document:9: rules[1]: unknown key when.asked_below", 2, 1
			})
			s.age(1, 14.3)
			p.says("#verdict-text", "node-3 does not answer")
			p.holds("the picture is there", `document.querySelectorAll("#pictures .band").length > 0`)
			p.look("trouble", scheme)
			p.click(`button[aria-label="Drain node-2"]`)
			p.look("dialog", scheme)
			p.click("dialog .close")
			s.change(func() { s.stuck = make(chan struct{}) })
			p.says("#verdict-text", "does not answer this page")
			p.look("gone", scheme)
		})
	}
}

// look sees whether all fits, wide and narrow.
func (p *page) look(what, scheme string) {
	p.t.Helper()
	for name, width := range map[string]int64{"1280": 1280, "390": 390} {
		p.size(width, 900)
		p.holds("pictures are drawn anew", `[...document.querySelectorAll("svg")].every((e) => e.querySelector("text"))`)
		p.fits(what + ", " + name)
		p.shot("console-" + what + "-" + scheme + "-" + name)
	}
	p.size(1280, 900)
}
