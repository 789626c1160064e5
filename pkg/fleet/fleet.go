// Package fleet is the query nodes as one: what each says of itself, and the settings that they share. A node is a Member; people act as an Operator.
//
// Shared settings are a document like a settings file with `freshness` and `rules` alone. Its versions lie in a stream beside the feed's.
//
// Invariants (cited by the tests as F1...):
//
//	F1 Shared settings lie over each node's own: what they do not say is as in the node's file, and of every value it is known where it comes from.
//	F2 A version that a node answering refuses is not stored. Each node checks again, over its own file; one that refuses keeps its last good settings and says why.
//	F3 A version is stored only on top of the one that its author saw. None is changed or removed afterwards: to go back is a new version.
//	F4 What was stored last holds on every node that reaches the server within a second, and on a node that starts before it answers anybody.
//	F5 A server that is away, or has lost the settings, changes nothing.
//	F6 Holds of runs are stored whole, one version upon the other, and hold everywhere as F4 says. An act tells of each node whether it has it.
package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/yupiao/yupiao/pkg/feed"
)

// Errors of the fleet.
var (
	// ErrNewer: a newer version of the program has stored the settings.
	ErrNewer = errors.New("shared settings of a newer program")
	// ErrInvalid marks what cannot be done as it was asked for; the text says what is wrong.
	ErrInvalid = errors.New("not valid")
	// ErrRefused: a node refuses the proposal; the text says which, and why.
	ErrRefused = errors.New("refused")
	// ErrConflict: another version was stored meanwhile.
	ErrConflict = errors.New("another version came in between")
	// ErrUnrecorded: what was asked for is done, but is not on record.
	ErrUnrecorded = errors.New("it is done, but could not be put on record")
	// ErrUnknown: there is no such node or version.
	ErrUnknown = errors.New("not known")
	// ErrDenied: NATS does not let this user do that.
	ErrDenied = feed.ErrDenied
)

// Version is shared settings as they were stored.
type Version struct {
	// Number counts from 1; At is the server's time.
	Number uint64    `json:"version"`
	At     time.Time `json:"at"`
	// By is who stored it, Note why.
	By   string `json:"by"`
	Note string `json:"note,omitempty"`
	// Restores is the earlier version that this one brings back; 0 for none.
	Restores uint64 `json:"restores,omitempty"`
	// Document is the settings as they were written; empty: nothing is shared any more.
	Document string `json:"document"`
}

// record is a Version's message.
type record struct {
	// Format is raised when a program that does not know what is new would misread it.
	Format   int    `json:"format"`
	By       string `json:"by"`
	Note     string `json:"note,omitempty"`
	Restores uint64 `json:"restores,omitempty"`
	Document string `json:"document"`
}

const (
	format       = 1
	longestBy    = 64
	longestNote  = 200
	longestWrite = 128 << 10
)

func decode(s *feed.Stored) (*Version, error) {
	var r record
	if err := json.Unmarshal(s.Data, &r); err != nil {
		return nil, fmt.Errorf("shared settings, version %d: not JSON as this program writes it: %w", s.Sequence, err)
	}
	if r.Format > format {
		return nil, fmt.Errorf("%w: version %d has format %d, and this program knows %d; bring it up to date", ErrNewer, s.Sequence, r.Format, format)
	}
	if r.Format < 1 {
		return nil, fmt.Errorf("shared settings, version %d: format is %d; want %d", s.Sequence, r.Format, format)
	}
	return &Version{Number: s.Sequence, At: s.At, By: r.By, Note: r.Note, Restores: r.Restores, Document: r.Document}, nil
}

// name is how a version is called in messages.
func (v *Version) name() string { return fmt.Sprintf("shared settings, version %d", v.Number) }

// Proposal is what an operator wants to be shared.
type Proposal struct {
	// Document to share; empty: nothing any more.
	Document string `json:"document"`
	// By is who wants it, 1 to 64 characters; Note is why, at most 200.
	By   string `json:"by"`
	Note string `json:"note,omitempty"`
	// Restores is the version that it brings back; 0 for none.
	Restores uint64 `json:"restores,omitempty"`
	// After is the version that the author saw, 0 for none.
	After uint64 `json:"after"`
}

func (p *Proposal) validate() error {
	if len(p.Document) > longestWrite {
		return fmt.Errorf("%w: the document has %d bytes; want at most %d", ErrInvalid, len(p.Document), longestWrite)
	}
	return Signed(p.By, p.Note)
}

// Signed reports what is wrong with who does something, and why; ErrInvalid is in it.
func Signed(by, note string) error {
	switch {
	case by == "" || !isLine(by, longestBy):
		return fmt.Errorf("%w: by is %.80q; want a name of 1 to %d characters", ErrInvalid, by, longestBy)
	case !isLine(note, longestNote):
		return fmt.Errorf("%w: note is %.80q...; want at most %d characters on one line", ErrInvalid, note, longestNote)
	}
	return nil
}

func isLine(text string, most int) bool {
	if utf8.RuneCountInString(text) > most || !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func (p *Proposal) encode() ([]byte, error) {
	return json.Marshal(record{Format: format, By: p.By, Note: p.Note, Restores: p.Restores, Document: p.Document})
}

// Status is what a node says of itself.
type Status struct {
	// ID is the node's alone, anew with each start; Name is its feed.name, which others may have.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Program is the version of the program.
	Program string    `json:"program"`
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`
	// State is one of the states below; empty of a node that does not tell, as one of an older program.
	State string `json:"state,omitempty"`
	// Silent says why a node that is connected tells nothing else of itself; empty if it does.
	Silent string `json:"silent,omitempty"`
	// Age of the data in seconds; nil if nothing proves any. Runs that it can show.
	Age  *float64 `json:"age,omitempty"`
	Runs uint64   `json:"runs"`
	// Requests are seat searches per second, HitRatio the share that was not rendered for its caller, CPU the share of one core that the process uses; over the last seconds.
	Requests float64 `json:"requests"`
	HitRatio float64 `json:"hit_ratio"`
	CPU      float64 `json:"cpu"`
	// P99 of the time in which seat searches were answered, in seconds, and Errors of ours per second; over the last ten seconds.
	P99    float64 `json:"p99_seconds,omitempty"`
	Errors float64 `json:"errors,omitempty"`
	// Lag is how many messages of deltas the node has before it, as far as it has heard.
	Lag uint64 `json:"lag_messages"`
	// Memory is what the process has in memory, in bytes; 0 if that is not known.
	Memory uint64 `json:"memory_bytes,omitempty"`
	// Streams are open; Behind and Quarantined are runs.
	Streams     int    `json:"streams"`
	Behind      uint64 `json:"runs_behind"`
	Quarantined uint64 `json:"runs_quarantined"`
	// Lacking are dates, by partition, of which runs are missing since the node had no room for them.
	Lacking  uint64   `json:"dates_lacking,omitempty"`
	Settings Settings `json:"settings"`
	// HoldsVersion is that of the holds in force, 0 for none; Holds how many runs are held.
	HoldsVersion uint64 `json:"holds_version,omitempty"`
	Holds        int    `json:"holds,omitempty"`
}

// States of a node.
const (
	// Loading: it answers nothing yet.
	Loading = "loading"
	// Live: its numbers are proved to be young.
	Live = "live"
	// Degraded: they are not, or it is known not to follow.
	Degraded = "degraded"
	// Draining: an operator wants its clients to go elsewhere, or it is about to end.
	Draining = "draining"
)

// Settings are those in force on a node.
type Settings struct {
	// Version of the shared settings that is in force, 0 for none.
	Version uint64 `json:"version"`
	// Refused says why what was stored last, RefusedVersion, is not in force; FileRefused why what is in the node's file is not.
	Refused        string `json:"refused,omitempty"`
	RefusedVersion uint64 `json:"refused_version,omitempty"`
	FileRefused    string `json:"file_refused,omitempty"`
	// Values are the defaults, by key; Rules are in order.
	Values []Value `json:"values"`
	Rules  []Rule  `json:"rules"`
}

// Value is one setting.
type Value struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	// From is "default", a file and line, a variable of the environment, or "shared 7".
	From string `json:"from"`
}

// Rule is one rule.
type Rule struct {
	Name string `json:"name"`
	// When and Effects are its conditions and effects, and Auto the target of its TTL, on one line each.
	When    string `json:"when"`
	Effects string `json:"effects"`
	Auto    string `json:"auto,omitempty"`
	From    string `json:"from"`
	// TTL is the present one of a rule whose TTL is auto, and Why the last reason for it.
	TTL string `json:"ttl,omitempty"`
	Why string `json:"why,omitempty"`
}
