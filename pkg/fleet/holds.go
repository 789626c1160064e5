package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
)

// RunAct is what an operator does to a run.
type RunAct struct {
	// Act is one of the acts below.
	Act string `json:"act"`
	// Run is its id, 20261201.G1, or the train's public number and its service date, G1@2026-12-01.
	Run string `json:"run"`
	// Reason is what travellers are told of a suspended run, 1 to 200 characters. Of all other acts it is a note.
	Reason string `json:"reason,omitempty"`
	// By is who does it, 1 to 64 characters.
	By string `json:"by"`
}

// The acts.
const (
	// Suspend shows the run as suspended, whatever the booking system says.
	Suspend = "suspend"
	// Resume ends that.
	Resume = "resume"
	// Pin lets no answer with the run be served without a look, whatever TTL the rules give.
	Pin = "pin"
	// Unpin ends that.
	Unpin = "unpin"
	// Purge has each node read the run anew from the booking system.
	Purge = "purge"
)

var runActs = []string{Suspend, Resume, Pin, Unpin, Purge}

func (a *RunAct) validate() error {
	switch {
	case !slices.Contains(runActs, a.Act):
		return fmt.Errorf("%w: act is %.40q; want one of %q", ErrInvalid, a.Act, runActs)
	case a.By == "" || !isLine(a.By, longestBy):
		return fmt.Errorf("%w: by is %.80q; want a name of 1 to %d characters", ErrInvalid, a.By, longestBy)
	case a.Act == Suspend && a.Reason == "":
		return fmt.Errorf("%w: reason is empty; want what travellers are told, in at most %d characters", ErrInvalid, longestNote)
	case !isLine(a.Reason, longestNote):
		return fmt.Errorf("%w: reason is %.80q...; want at most %d characters on one line", ErrInvalid, a.Reason, longestNote)
	}
	return nil
}

// HeldRun is a run that operators hold.
type HeldRun struct {
	Run       string    `json:"run"`
	Suspended bool      `json:"suspended,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Pinned    bool      `json:"pinned,omitempty"`
	By        string    `json:"by"`
	At        time.Time `json:"at"`
}

// Holding is all holds after an act.
type Holding struct {
	// Number counts from 1; At is the server's time.
	Number uint64    `json:"version"`
	At     time.Time `json:"at"`
	Act    *RunAct   `json:"act,omitempty"` // nil for none yet
	Runs   []HeldRun `json:"runs"`
}

// holdRecord is a Holding's message.
type holdRecord struct {
	Format int       `json:"format"` // see record
	Act    RunAct    `json:"act"`
	Runs   []HeldRun `json:"runs"`
}

// mostHeld runs: a bound for what every answer looks up, and far above what a person decides.
const mostHeld = 1000

// decodeHolds reads a version; nil is none.
func decodeHolds(s *feed.Stored) (*Holding, error) {
	if s == nil {
		return &Holding{Runs: []HeldRun{}}, nil
	}
	var r holdRecord
	if err := json.Unmarshal(s.Data, &r); err != nil {
		return nil, fmt.Errorf("holds, version %d: not JSON as this program writes it: %w", s.Sequence, err)
	}
	if r.Format != format {
		return nil, fmt.Errorf("%w: holds, version %d, have format %d, and this program knows %d", ErrNewer, s.Sequence, r.Format, format)
	}
	return &Holding{Number: s.Sequence, At: s.At, Act: &r.Act, Runs: r.Runs}, nil
}

// after is what is held after an act on one run. Runs whose day is long over are let go.
func (h *Holding) after(a RunAct, run rail.RunID, now time.Time) ([]HeldRun, error) {
	byRun, oldest := map[string]HeldRun{}, rail.DateOf(now, time.UTC)-3 // a train may be on its way for days
	for _, held := range h.Runs {
		if id, err := rail.ParseRunID(held.Run); err == nil && id.Date >= oldest {
			byRun[held.Run] = held
		}
	}
	held := byRun[run.String()]
	switch a.Act {
	case Suspend:
		held.Suspended, held.Reason = true, a.Reason
	case Resume:
		held.Suspended, held.Reason = false, ""
	case Pin:
		held.Pinned = true
	case Unpin:
		held.Pinned = false
	}
	held.Run, held.By, held.At = run.String(), a.By, now
	if byRun[held.Run] = held; !held.Suspended && !held.Pinned {
		delete(byRun, held.Run)
	}
	if len(byRun) > mostHeld {
		return nil, fmt.Errorf("%w: %d runs are held already, the most there may be; a whole line is suspended in the booking system", ErrInvalid, mostHeld)
	}
	return slices.SortedFunc(maps.Values(byRun), func(a, b HeldRun) int { return cmp.Compare(a.Run, b.Run) }), nil
}

// heldAs says in words how a run is held.
func heldAs(all []HeldRun, run string) string {
	i := slices.IndexFunc(all, func(h HeldRun) bool { return h.Run == run })
	if i < 0 {
		return "as booked"
	}
	return all[i].words()
}

func (h *HeldRun) words() string {
	var all []string
	if h.Suspended {
		all = append(all, "suspended")
	}
	if h.Pinned {
		all = append(all, "pinned")
	}
	return strings.Join(all, ", ")
}

// table is the holds as replicas want them. What cannot be a run is left out.
func (h *Holding) table() map[rail.RunID]replica.Hold {
	all := make(map[rail.RunID]replica.Hold, len(h.Runs))
	for _, held := range h.Runs {
		if id, err := rail.ParseRunID(held.Run); err == nil {
			all[id] = replica.Hold{Suspended: held.Suspended, Reason: held.Reason, Pinned: held.Pinned}
		}
	}
	return all
}
