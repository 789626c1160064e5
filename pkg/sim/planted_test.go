package sim

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var planted = flag.Int("sim.planted", 3, "so many faults are planted in the code, each to be found")

// plant is a fault that somebody could make: in a file, a text takes the place of another. by, if set, are the kinds of faults that are wanted to show it, or the name of the test
// beside the file that does, where a simulation does not.
type plant struct{ name, file, before, after, by string }

// plants are what has to be found. The first ones are tried in every test.
var plants = []plant{
	{"a gap is passed over (R2)", "replica/writer.go", "case d.Version.Follows(held) && !d.Restated && !e.quarantined()", "case !d.Restated && !e.quarantined()", ""},
	{"ready before all is read (R6)", "feed/reader.go", "if seen[name].Messages == 0 || messages.Empty() {", "if true {", ""},
	{"a version without its counts (R8)", "replica/writer.go", "err := w.apply.Apply(sheet.Counts, d.Adjusts)", "var err error", ""},
	{"a mark is believed whatever was read (R7)", "replica/tail.go", "		return false, false\n", "		return true, false\n", ""},
	{"nobody says that a run is behind (R3)", "replica/trouble.go", "	e.run.setHealth(now)\n", "	if now != Behind {\n		e.run.setHealth(now)\n	}\n", ""},
	{"a run that is behind is not mended (R3)", "replica/repair.go", "if !w.replica.ask(want) {", "if want.run.Trip != \"\" {", ""},
	{"an event is not counted (R5)", "replica/writer.go", "		w.tally.Received++\n		w.heard(", "		w.heard(", ""},
	{"what came before its pattern is forgotten", "replica/repair.go", "			w.state(e, state)\n", "			_ = state\n", ""},
	{"a restated change is taken for a sale (P4)", "replica/writer.go", "case d.Version.Follows(held) && !d.Restated && !e.quarantined()", "case d.Version.Follows(held) && !e.quarantined()", ""},
	{"an older state is taken (R1)", "replica/writer.go", "return v.Above(held) || v == held && e.renews()", "return !v.IsZero() || held.IsZero()", ""},
	{"a suspension is forgotten", "replica/writer.go", "Suspended: s.Suspended,", "Suspended: s.Suspended && s.Reason == \"\",", ""},
	{"a day is called complete that is not (R6)", "replica/roster.go", "return d.unseen.Load() == 0 && d.lacking.Load() == 0", "return true", ""},
	{"a replica is swapped in as soon as it is ready (R9)", "replica/follower.go", "	if before == nil {\n", "	if true {\n", ""},
	{"a heartbeat of what is not published (P5)", "feed/serve.go", "Time: time.Unix(0, complete)", "Time: time.Now()", ""},
	{"a change is marked before it is published (P1)", "booking/relay.go", "		if err := p.Publish(ctx, batch); err != nil {\n			return published, err\n		}\n		o.Ack(len(changes))\n", "		o.Ack(len(changes))\n		if err := p.Publish(ctx, batch); err != nil {\n			return published, err\n		}\n", ""},
	{"digests are not looked at (R10)", "replica/audit.go", "		if ours == theirs {", "		if true {", "forget,restart"},
	{"what is outstanding counts as complete (B6)", "booking/outbox.go", "return o.queue[0].At.Add(-1)", "return o.tick()", ""},
	// Behind each of these stands another rule, and 2,000 schedules break none: a day is not called complete before a digest agrees; a mark counts only for the very message (R7), and
	// deltas that come twice change nothing (R2); the bookmark tells the history too, and its message; batches are a chain (P3); a state that is too old is found by digests, and by healing; where none is published, everything is. The rule's own test finds it.
	{"a spoiled state is passed over (R11)", "replica/replica.go", ".spoiled = true", ".spoiled = false", "TestSpoiled"},
	{"a rival's messages are passed over (P3)", "feed/partition.go", "case last.publisher != \"\" && !ours && (!fell || last.at.After(w.claimed)):", "case false:", "TestFencedOff"},
	{"a stream that fell back is not noticed by its sequence (P6)", "feed/publisher.go", "if sequence <= before {", "if false {", "TestAcknowledgementTellsOfARollback"},
	{"the history begins anew with each publisher (P6)", "feed/partition.go", "	raise(&w.publisher.history, last.history)\n", "	_ = last\n", "TestStreamIsFilledAgain"},
	{"a rise of the history is not looked at (R9)", "replica/freshness.go", "if f.fallen.Load() || f.ready.Load() && h.History > f.history.Load() {", "if false {", "TestHistoryOfAnother"},
	{"a debt is not handed on (P6)", "feed/publisher.go", "	if before.Owed || ", "	if ", "TestStreamIsFilledAgain"},
	{"a state stream that fell back is taken for whole (P6)", "feed/reader.go", "known != nil && known.Load() < last", "known == nil && last > 0", "TestStatesFellBackUnnoticed"},
	{"what somebody else wrote in a pattern's place stays (P2)", "feed/serve.go", "	if others > p.foreign {", "	if false {", "TestReferenceIsWrittenOver"},
	{"a bookmark's message is not looked at (P6)", "feed/bookmark.go", "return placeOf(msg) != at, nil", "return msg == nil, nil", "TestBookmark"},
	{"what a batch comes after is not looked at (R9)", "feed/lane.go", "|| b.After == before ||", "|| true ||", "TestAnotherPast"},
	{"states are published when they open alone (P2)", "feed/serve.go", "duty(time.Second, func(ctx context.Context) error { return p.restate(ctx, p.due()) })\n	duty(lookInterval, p.lookAtStreams)\n	duty(healInterval, p.heal)", "duty(lookInterval, p.lookAtStreams)", "TestStatesFollow"},
	{"an older past is taken for a lost answer (P6)", "feed/partition.go", "|| ours && last.batch <= w.stored", "", "TestAnotherPastThatIsLonger"},
	{"nobody looks for what was acknowledged (P6)", "feed/serve.go", "	if overwritten {\n", "	if overwritten && false {\n", "TestAnotherPastThatIsLonger"},
	{"a load may straddle a fall (R6)", "feed/reader.go", "now > before {", "false && now > before {", "TestFallsWhileItLoads"},
	{"a mark is of whatever has its number (R7)", "replica/tail.go", "reached = found && t.read[i].Is(mark)", "_, reached = i, found", "TestMarksOfMessages"},
	{"heartbeats go on while states are late (P2)", "feed/serve.go", "	if p.late() {\n", "	if false {\n", "TestStatesThatDoNotPass"},
	{"late states are not handed on (P2)", "feed/publisher.go", "p.inherited = before.Covered;", "p.inherited = time.Now();", "TestBookmarkTellsOfLateStates"},
	{"a busy run's deltas are as old as ever (P2)", "feed/cover.go", "case present.After(u.oldest) &&", "case false &&", "TestStateOfABusyRun"},
	{"what is on its way is not waited for (P6)", "feed/serve.go", "if err := within(p.flights.land); err != nil {", "if err := within(p.reference); err != nil {", "TestStateOnItsWay"},
	{"a stream is read before it is filled (R9)", "replica/follower.go", "if errors.Is(err, feed.ErrDiverged) {", "if false {", "TestShadowWaitsForTheStream"},
	{"lists are as of a message that is gone (R10)", "feed/partition.go", "min(w.through, w.sequence())", "w.through", "TestListsAreOfTheStreamThatThereIs"},
	{"states go before nodes let their date go (P2)", "feed/publisher.go", "s.Run.Date.At(p.longest, p.location)", "s.Run.Date.At(0, p.location)", "TestYesterdaysRunsAreFilledAgain"},
	{"a late retry puts an older state in a newer one's place (P2)", "feed/publisher.go", "if day[m.run].Above(m.version) {", "if false {", "TestLateRetry"},
}

// tried is how many schedules may pass until a fault is found.
const tried = 2000

var found = regexp.MustCompile(`seed (\d+) breaks (S\d)`)

// Faults that are planted in the code are found. Each is built with its file overlaid, and simulated until a schedule breaks a rule, or tested.
func TestPlantedFaults(t *testing.T) {
	pkg, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range plants {
		path := filepath.Join(pkg, p.file)
		code, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(code), p.before) != 1 {
			t.Fatalf("%s has %q %d times; want once", p.file, p.before, strings.Count(string(code), p.before))
		}
		if i >= *planted {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			args := []string{"-run", "^TestSchedules$", ".", "-sim.seeds", strconv.Itoa(tried), "-sim.brief", "-sim.only", p.by}
			test := strings.HasPrefix(p.by, "Test")
			if test {
				args = []string{"-run", "^" + p.by + "$", filepath.Dir(path)}
			}
			out := testWith(t, path, strings.Replace(string(code), p.before, p.after, 1), args)
			switch m := found.FindStringSubmatch(out); {
			case m != nil:
				t.Logf("%s after %s schedules", m[2], m[1])
			case test && strings.Contains(out, "--- FAIL: "+p.by):
				t.Logf("%s fails", p.by)
			default:
				t.Fatalf("not found:\n%s", out)
			}
		})
	}
}

// testWith tests with other code in a file, and returns what that printed.
func testWith(t *testing.T, path, code string, args []string) string {
	t.Helper()
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, filepath.Base(path)), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{changed: []byte(code), overlay: text} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "go", append([]string{"test", "-vet=off", "-overlay", overlay}, args...)...)
	out, err := command.CombinedOutput()
	if err == nil {
		return "all passes"
	}
	return string(out)
}
