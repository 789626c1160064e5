package console_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/yupiao/yupiao/pkg/fleet"
)

// enter opens the page of a stand and shows its token.
func enter(t *testing.T, s *stand) *page {
	t.Helper()
	p := open(t, s.URL)
	p.fill("#token", token)
	p.click("#ask-token button")
	p.says("#verdict-text", "All 3 nodes live")
	return p
}

// TestToken: nothing is asked for in vain, a wrong one is said to be wrong, and it stays in its tab (Q1).
func TestToken(t *testing.T) {
	s := newStand(t, token)
	p := open(t, s.URL)
	p.says("#verdict-text", "wants its token")
	s.change(func() {
		if s.looks != 0 {
			t.Errorf("the fleet was asked %d times without the token", s.looks)
		}
	})
	p.fill("#token", "wrong")
	p.click("#ask-token button")
	p.says("#token-refused", "does not accept")
	p.fill("#token", token)
	p.click("#ask-token button")
	p.says("#verdict-text", "All 3 nodes live")
	p.holds("nothing is asked any more", `document.getElementById("ask-token").hidden && document.getElementById("token").value === ""`)
	if kept := eval[string](p, `JSON.stringify(localStorage) + document.cookie + location.href`); strings.Contains(kept, token) {
		t.Errorf("the token is kept beyond its tab: %s", kept)
	}
	p.do("reload", chromedp.Reload())
	p.says("#verdict-text", "All 3 nodes live")
	p.click("#forget-token")
	p.says("#verdict-text", "wants its token")
}

// TestReadOnly: a node without a token says that nothing can be changed, and why, and lets nobody try.
func TestReadOnly(t *testing.T) {
	s := newStand(t, "")
	p := open(t, s.URL)
	p.says("#verdict-text", "All 3 nodes live")
	p.says("#read-only", "no admin.token")
	p.holds("no button can be pressed", `[...document.querySelectorAll("#nodes button, #try, #share, #run-act button")].every((b) => b.disabled) && document.querySelectorAll("#nodes button").length === 3`)
}

// TestLive: numbers change in their rows, which stay what they are (Q5); what is wrong is said, the worst first, with since when.
func TestLive(t *testing.T) {
	s := newStand(t, token)
	p := enter(t, s)
	eval[bool](p, `(document.querySelectorAll("#nodes tbody tr").forEach((r, i) => (r.was = i)), document.querySelector("#nodes tbody tr:nth-child(2) button").focus(), true)`)
	s.age(1, 14.2)
	p.says("#verdict-text", "node-2 is 14 s old")
	p.says("#verdict-since", "since ")
	p.holds("it is red", `document.getElementById("verdict").dataset.level === "bad" && document.title.includes("node-2 is 14 s old")`)
	s.age(1, 0.4)
	p.says("#verdict-text", "All 3 nodes live, oldest number 0.4 s old")
	s.change(func() { s.nodes = append(s.nodes, s.node("node-0")) })
	p.says("#verdict-text", "All 4 nodes live")
	p.says("#nodes tbody tr:nth-child(1)", "node-0")
	p.holds("rows stay what they are", `[...document.querySelectorAll("#nodes tbody tr")].map((r) => r.was ?? "new").join() === "new,0,1,2" && document.activeElement.getAttribute("aria-label") === "Drain node-2"`)
	s.change(func() {
		s.nodes[3].Name, s.nodes[2].Program = "node-1", "v9"
		s.nodes[1].Settings.Refused, s.nodes[1].Settings.RefusedVersion = "it says why", 4
	})
	p.says("#warnings", "2 nodes are called node-1")
	p.says("#warnings", "node-3 runs another program, v9")
	p.says("#warnings", "node-2 refuses the shared settings, version 4: it says why")
	s.change(func() { s.nodes = s.nodes[:1] })
	p.says("#verdict-text", "node-2 and node-3 do not answer")
	p.click(`button[aria-label="Forget node-2"]`)
	p.says("#verdict-text", "node-3 does not answer")
	p.do("reload", chromedp.Reload()) // what was missed is missed still
	p.says("#verdict-text", "node-3 does not answer")
	s.change(func() { s.nodes = []fleet.Status{s.node("node-1"), s.node("node-2"), s.node("node-3")} })
	p.says("#verdict-text", "All 3 nodes live")
}

// TestAway: a fleet that cannot be asked, a node that does not answer and one that hangs are told apart from new numbers (Q2); it goes on when they are back.
func TestAway(t *testing.T) {
	s := newStand(t, token)
	s.points = hour(0, 0, 0, 0)
	p := enter(t, s)
	old := func(want bool, ids ...string) {
		t.Helper()
		for _, id := range ids {
			p.holds(fmt.Sprintf("%s is old: %v", id, want), fmt.Sprintf(`document.getElementById(%q).classList.contains("old") === %v`, id, want))
		}
	}
	old(false, "fleet", "history", "acts", "config")
	s.change(func() { s.err = errors.New("no servers available for connection") })
	p.says("#verdict-text", "node-1 cannot ask the fleet: no servers available")
	p.says("#fleet .as-of", "as of")
	old(true, "fleet")
	old(false, "history", "config")
	s.change(func() { s.err = nil })
	p.says("#verdict-text", "All 3 nodes live")
	old(false, "fleet")
	stuck := make(chan struct{})
	s.change(func() { s.stuck = stuck })
	p.says("#verdict-text", "node-1 does not answer this page (no answer within 5 s); what stands below is")
	old(true, "fleet", "history", "acts", "config")
	s.change(func() { s.stuck = nil })
	close(stuck)
	p.says("#verdict-text", "All 3 nodes live")
	old(false, "fleet", "history", "acts")
	s.CloseClientConnections()
	if err := s.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	p.says("#verdict-text", "node-1 does not answer this page (no answer)")
	p.holds("it is red", `document.getElementById("verdict").dataset.level === "bad"`)
	old(true, "fleet", "history", "config")
}

// TestHidden: a page that nobody sees asks nothing, and when it is seen again says that its numbers are old until new ones have come (Q2).
func TestHidden(t *testing.T) {
	s := newStand(t, token)
	p := enter(t, s)
	hide := func(hidden bool) {
		eval[bool](p, fmt.Sprintf(`(Object.defineProperty(document, "hidden", {value: %v, configurable: true}), document.dispatchEvent(new Event("visibilitychange")))`, hidden))
	}
	hide(true)
	p.says("#verdict-text", "Asking again; what stands below is")
	p.holds("all is grey", `document.getElementById("fleet").classList.contains("old")`)
	s.change(func() { s.looks = 0 })
	p.holds("time passes", `Number(/is (\d+) s old/.exec(document.getElementById("verdict-text").innerText)?.[1]) >= 12`)
	s.change(func() {
		if s.looks != 0 {
			t.Errorf("a hidden page asked %d times", s.looks)
		}
	})
	hide(false)
	p.says("#verdict-text", "All 3 nodes live")
}

// TestDrain: it is asked first, with who and why; what came of it is said (Q3, Q4).
func TestDrain(t *testing.T) {
	s := newStand(t, token)
	p := enter(t, s)
	p.click(`button[aria-label="Drain node-3"]`)
	p.says("dialog h2", "Drain node-3")
	p.click("dialog .go") // nobody has said who he is
	p.holds("a name is wanted", `document.querySelector("dialog [name=by]").matches(":invalid")`)
	p.click("dialog .close")
	p.holds("the dialog is closed", `!document.querySelector("dialog")`)
	s.change(func() {
		if len(s.drains) != 0 {
			t.Errorf("%+v was sent by one press", s.drains)
		}
	})
	p.click(`button[aria-label="Drain node-3"]`)
	p.fill("dialog [name=by]", "ann")
	p.fill("dialog [name=note]", "a new disk")
	p.click("dialog .go")
	p.says("dialog .result", "Done on node-3.")
	p.click("dialog .close")
	p.says("#verdict-text", "node-3 is drained")
	p.says("#acts", "drain node-3")
	p.says("#acts", "live → draining")
	p.click(`button[aria-label="Return node-3"]`)
	p.says("dialog h2", "Return node-3")
	p.click("dialog .go") // who he is was kept
	p.says("dialog .result", "Done on node-3.")
	p.click("dialog .close")
	p.says("#verdict-text", "All 3 nodes live")
	s.change(func() {
		id := s.nodes[2].ID
		if want := []fleet.DrainOrder{{Node: id, Draining: true, By: "ann", Note: "a new disk"}, {Node: id, By: "ann"}}; !slices.Equal(s.drains, want) {
			t.Errorf("sent were %+v, want %+v", s.drains, want)
		}
		s.err = errors.New("the server is away")
	})
	p.click(`button[aria-label="Drain node-3"]`)
	p.click("dialog .go")
	p.says("dialog .result", "the server is away")
	p.holds("it can be tried again", `!document.querySelector("dialog .go").disabled`)
	p.do("escape", chromedp.KeyEvent("\x1b"))
	p.holds("the dialog is closed", `!document.querySelector("dialog")`)
	s.change(func() { s.err = nil })
	p.says("#verdict-text", "node-3 is drained")
	s.change(func() { s.unrecorded = fmt.Errorf("%w: no room", fleet.ErrUnrecorded) })
	p.click(`button[aria-label="Return node-3"]`)
	p.click("dialog .go")
	p.says("dialog .result", "Done on node-3.")
	p.says("dialog .result", "on record: no room")
}

// TestRuns: a run is held with a reason, on which nodes is said, and undone from its row (Q3).
func TestRuns(t *testing.T) {
	s := newStand(t, token)
	s.refuses["node-2"] = "it is stuck"
	p := enter(t, s)
	p.says("#holds", "No run is held")
	p.fill("#run-act [name=run]", "20261201.G1")
	p.click("#run-act button")
	p.fill("dialog [name=by]", "ann")
	p.click("dialog .go")
	p.holds("a reason is wanted", `document.querySelector("dialog [name=note]").matches(":invalid")`)
	p.fill("dialog [name=note]", `<img src=x onerror="alert(1)">`)
	p.click("dialog .go")
	p.says("dialog .result", "Done on 2 of 3 nodes; not on node-2.")
	p.says("dialog .verdicts", "node-2 it is stuck")
	p.click("dialog .close")
	p.says("#holds", `<img src=x onerror="alert(1)">`) // Q1: text stays text
	p.says("#holds", "2 of 3, not node-2")
	p.says("#acts", "2 of 3 nodes")
	p.says("#acts", "as booked → suspended")
	p.click(`button[aria-label="resume 20261201.G1"]`)
	p.click("dialog .go")
	p.says("dialog .result", "Done on 2 of 3 nodes")
	p.click("dialog .close")
	p.says("#holds", "No run is held")
	s.change(func() {
		want := []fleet.RunAct{{Act: fleet.Suspend, Run: "20261201.G1", Reason: `<img src=x onerror="alert(1)">`, By: "ann"}, {Act: fleet.Resume, Run: "20261201.G1", By: "ann"}}
		if !slices.Equal(s.runActs, want) {
			t.Errorf("sent were %+v, want %+v", s.runActs, want)
		}
	})
}

// TestRules: a document is tried, errors stand at their lines, a draft outlives what others share, conflicts are settled, and versions brought back (Q3, Q4, Q5).
func TestRules(t *testing.T) {
	s := newStand(t, token)
	s.store(fleet.Proposal{Document: "freshness:\n  ttl: 1s\n", By: "li", Note: "to begin with"})
	p := enter(t, s)
	text := func() string { return eval[string](p, `document.getElementById("document").value`) }
	p.says("#version", "version 1, by li")
	p.holds("nothing to share yet", `document.getElementById("share").disabled`)
	p.fill("#document", "freshness:\n  ttl: 2x\n  tl: 3s\n")
	p.click("#try")
	p.says("#faults", `line 3`)
	p.holds("both lines are marked", `[...document.querySelectorAll("#gutter .wrong")].map((e) => e.textContent.trim()).sort().join() === "2,3"`)
	p.click("#share")
	p.fill("dialog [name=by]", "ann")
	p.click("dialog .go")
	p.holds("the dialog is closed", `!document.querySelector("dialog")`)
	p.says("#faults", "says node-2")
	p.fill("#document", rush)
	p.holds("no line is marked", `!document.querySelector("#gutter .wrong")`)
	p.click("#try")
	p.says("#report", "51,200 of 148,800 recorded")
	p.holds("what is worse is red", `[...document.querySelectorAll("#report td[data-level=bad]")].some((e) => e.parentElement.innerText.startsWith("Wrong answers"))`)
	s.change(func() { s.store(fleet.Proposal{Document: "freshness:\n  ttl: 5s\n", By: "bo", Note: "meanwhile"}) })
	p.says("#news", "Meanwhile somebody shared version 2, by bo")
	if text() != rush {
		t.Fatalf("the draft is lost: %q", text())
	}
	p.click("#share")
	p.says("dialog .diff", "+ rules:")
	p.click("dialog .go")
	p.holds("the dialog is closed", `!document.querySelector("dialog")`)
	p.says("#news", "Yours was not stored")
	p.says("#news .diff", "+   ttl: 5s")
	p.click("#news .mine")
	p.holds("the news is over", `document.getElementById("news").hidden`)
	p.click("#share")
	p.fill("dialog [name=note]", "the sale opens")
	p.click("dialog .go")
	p.says("dialog .result", "Done on all 3 nodes.")
	p.click("dialog .close")
	p.says("#version", "version 3, by ann")
	p.click(`button[aria-label="Roll back to version 1"]`)
	p.says("dialog h2", "Bring back version 1")
	p.says("dialog .diff", "+   ttl: 1s")
	p.click("dialog .go")
	p.says("dialog .result", "Done on all 3 nodes.")
	p.click("dialog .close")
	p.says("#version", "version 4, by ann")
	p.says("#versions", "1 again")
	if text() != "freshness:\n  ttl: 1s\n" {
		t.Errorf("the editor has %q", text())
	}
	s.change(func() {
		last := len(s.shares) - 1
		if a, b := s.shares[last-1], s.shares[last]; a.After != 2 || a.Document != rush || a.Note != "the sale opens" || b.After != 3 || b.Restores != 1 || b.By != "ann" {
			t.Errorf("sent were %+v and %+v", a, b)
		}
		if len(s.tries) != 2 || s.tries[1] != rush {
			t.Errorf("tried were %q", s.tries)
		}
	})
}

// TestPictures: lines break where there is no data, a moment is read in all pictures, by mouse and by key, and the same stands in a table.
func TestPictures(t *testing.T) {
	s := newStand(t, token)
	s.points = hour(14, 9, 25, 21)
	p := enter(t, s)
	const first = "#pictures figure:first-child "
	p.holds("11 pictures", `document.querySelectorAll("#pictures svg path:not(.fill)").length === 12`)
	if n := eval[int](p, `document.querySelector("`+first+`path:not(.fill)").getAttribute("d").split("M").length - 1`); n != 2 {
		t.Errorf("the line has %d parts; want 2, around the gap", n)
	}
	if ticks := eval[string](p, `[...document.querySelectorAll("`+first+`text")].map((e) => e.textContent).filter((s) => /^\d\d:\d[05]$/.test(s)).length`+`+""`); ticks != "4" {
		t.Errorf("%s round times at the axis; want 4", ticks)
	}
	p.says(first+".value", "s")
	eval[bool](p, `(document.querySelector("`+first+`svg").scrollIntoView({block: "center"}), true)`)
	hover := `((part) => { const e = document.querySelector("` + first + `svg"), r = e.getBoundingClientRect();
		e.dispatchEvent(new PointerEvent("pointermove", {clientX: r.left + 48 + part * (r.width - 66), clientY: r.top + 40, bubbles: true, pointerType: "touch"})); return true; })`
	eval[bool](p, hover+`(0.8167)`)
	p.says(first+".value", "degraded")
	p.holds("the same moment in all", `new Set([...document.querySelectorAll("#pictures .value")].map((e) => e.textContent.split(" · ")[0])).size === 1`)
	eval[bool](p, hover+`(0.62)`)
	p.says(first+".value", "no data")
	p.do("focus", chromedp.Focus(first+"svg"), chromedp.KeyEvent("\x1b"))
	p.holds("the last again", `!document.querySelector("`+first+`.value").textContent.includes("·")`)
	p.do("the point before the last", chromedp.KeyEvent(kb.ArrowLeft))
	p.click("#points summary")
	p.holds("a row a minute", `((n) => n > 50 && n < 62)(document.querySelectorAll("#points tbody tr").length)`)
	p.holds("it says what it shows", `[...document.querySelectorAll("#pictures svg")].every((e) => e.querySelector("title").textContent && e.querySelector("desc").textContent.includes("at the end") && document.getElementById(e.getAttribute("aria-labelledby")))`)
}

// TestPolicyHolds: what the page's policy forbids is complained of, so that the other tests would see it.
func TestPolicyHolds(t *testing.T) {
	s := newStand(t, token)
	p := open(t, s.URL)
	eval[bool](p, `(document.head.append(Object.assign(document.createElement("style"), {textContent: "body { color: red }"})), true)`)
	for range 100 {
		if eval[bool](p, `true`); p.complaints() != "" {
			break
		}
	}
	if said := p.complaints(); !strings.Contains(said, "Content Security Policy") {
		t.Errorf("nothing is said of a style that the policy forbids: %q", p.said.String())
	}
	p.complains = true
}
