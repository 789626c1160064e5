package event

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/yupiao/yupiao/pkg/timetable"
)

// decoders are all that read what comes, by name.
func decoders() map[string]func([]byte, Format) error {
	d := new(Decoder)
	return map[string]func([]byte, Format) error{
		"state": func(b []byte, f Format) error { _, err := d.State(b, f); return err },
		"deltas": func(b []byte, f Format) error {
			_, faults, err := d.Deltas(b, f)
			return errors.Join(append(faults, err)...)
		},
		"heartbeat":        func(b []byte, f Format) error { _, err := DecodeHeartbeat(b, f); return err },
		"network":          func(b []byte, f Format) error { _, err := DecodeNetwork(b, f); return err },
		"pattern":          func(b []byte, f Format) error { _, err := DecodePattern(b, f); return err },
		"outcome":          func(b []byte, f Format) error { _, err := DecodeOutcome(b, f); return err },
		"versions":         func(b []byte, _ Format) error { _, err := DecodeVersions(b, Protobuf); return err },
		"repair request":   func(b []byte, f Format) error { _, err := DecodeRepairRequest(b, f); return err },
		"versions request": func(b []byte, f Format) error { _, err := DecodeVersionsRequest(b, f); return err },
		"repair reply":     func(b []byte, f Format) error { _, err := DecodeRepairReply(b, f); return err },
	}
}

// allocated is how many bytes a call has allocated, garbage included.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// swollen are messages of some bytes that say nothing, over and over, or one thing at great length.
func swollen(size int) map[string][]byte {
	full := func(part []byte) []byte { return bytes.Repeat(part, size/len(part)) }
	run, version := field(1, []byte(someRun.String())), field(2, scalar(2, 1))
	all := map[string][]byte{
		"a name":        field(1, full([]byte{'x'})),
		"a reason":      slices.Concat(run, field(2, []byte("p")), field(3, scalar(2, 1)), field(5, full([]byte{'x'}))),
		"valid deltas":  full(field(1, run, version)),
		"valid adjusts": field(1, run, version, full(field(3, field(1, []byte("O")), scalar(4, 1)))),
		"buckets":       field(8, field(1, []byte("O")), full(field(2))),
		"spans":         field(8, field(1, []byte("O")), field(2, full(field(3, scalar(2, 1))))),
		"quotas":        field(8, field(1, []byte("O")), field(2, full(field(4)))),
		"fares":         field(5, field(1, []byte("O")), field(3, full([]byte{1}))),
		"languages":     field(4, full(field(5))),
		"deep groups":   full([]byte{0x7b}),
		"of no form":    full([]byte{0xff}),
	}
	for n := range 9 {
		all[fmt.Sprintf("empty messages of field %d", n+1)] = full(field(protowire.Number(n + 1)))
	}
	for what, part := range map[string]string{"deltas": `{},`, "runs": `{},`, "cities": `{},`, "stations": `{"names":{}},`, "stops": `{},`, "classes": `{"buckets":[{}]},`, "marks": `{},`, "digests": `{},`, "new": `[{}],`} {
		all["JSON of "+what] = []byte(`{"` + what + `":[` + strings.TrimSuffix(string(full([]byte(part))), ",") + `]}`)
	}
	return all
}

// E1: whatever a message says, and however often, reading it takes no more memory than a small multiple of it: what an adjust of seven bytes becomes has 32, and five times that are allocated in all while a slab grows.
func TestNothingSwells(t *testing.T) {
	const size = 1 << 20
	for name, data := range swollen(size) {
		f := formatFor(strings.HasPrefix(name, "JSON"))
		for kind, decode := range decoders() {
			var err error
			if n := allocated(func() { err = decode(data, f) }); n > 32*size {
				t.Errorf("%s in a %s: %d KiB allocated for %d; %.200v", name, kind, n>>10, size>>10, err)
			}
			if err != nil && len(err.Error()) > 16<<10 {
				t.Errorf("%s in a %s: an error of %d bytes", name, kind, len(err.Error()))
			}
		}
	}
}

// E1: what is too large is refused before anything is made of it, in a few words.
func TestTooLarge(t *testing.T) {
	huge := make([]byte, 60<<20)
	for kind, decode := range decoders() {
		for _, f := range []Format{Protobuf, JSON} {
			var err error
			n := allocated(func() { err = decode(huge, f) })
			if n > 64<<10 || !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), kind+": message is 62914560 bytes long; want at most ") {
				t.Errorf("%s: %d bytes allocated; %.200v", kind, n, err)
			}
		}
	}
}

// E3: names are texts of a line, of a length that a screen can hold.
func TestNames(t *testing.T) {
	station := func(name string) []byte {
		n := *someNetwork
		n.Stations = []timetable.Station{{Code: "X1", Names: timetable.Names{Name: "X", Other: map[string]string{"en": name}}}}
		data, _ := EncodeNetwork(&n, Protobuf)
		return data
	}
	train := func(name string) []byte {
		p := *somePattern
		p.Train = name
		data, _ := EncodePattern(&p, Protobuf)
		return data
	}
	reason := func(text string) []byte {
		s := *someState
		s.Reason = text
		data, _ := EncodeState(&s, Protobuf)
		return data
	}
	for _, tt := range []struct {
		kind string
		data []byte
		want string // empty: it is taken
	}{
		{"network", station("St. Pancras <b>International</b> & Söhne"), ""},
		{"network", station("\x1b]0;owned\a"), `stations[0].names is "\x1b]0;owned\a"; want a text without control characters`},
		{"network", station(strings.Repeat("x", 1<<20)), "stations[0].names is 1048576 bytes long; want at most 256"},
		{"pattern", train("G1\nG2"), `train is "G1\nG2"; want a text without control characters`},
		{"pattern", train(strings.Repeat("G", 1<<20)), "train is 1048576 bytes long; want at most 256"},
		{"state", reason("台风 <script>"), ""},
		{"state", reason("a\rb"), `reason is "a\rb"; want a text without control characters`},
		{"state", reason(strings.Repeat("风", MaxReason)), "reason is 3072 bytes long; want at most 1024"},
		{"state", slices.Concat(reason("x"), field(5, []byte{0xff})), "not UTF-8"},
		{"pattern", slices.Concat(train("G1"), field(2, []byte{0xff})), "UTF-8"},
		{"deltas", field(3, bytes.Repeat([]byte("b"), 257)), "publisher is 257 bytes long; want at most 256"},
		{"deltas", scalar(5, 1<<33), "history is 8589934592; want at most 4294967296"},
		{"heartbeat", slices.Concat(field(1), scalar(6, 1<<63)), "history is 9223372036854775808"},
		{"deltas", bytes.Repeat(field(1), maxFaults+1), "the number of broken ones in one message is above 64; want fewer"},
	} {
		err := decoders()[tt.kind](tt.data, Protobuf)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %.200v; want %q", tt.kind, err, tt.want)
		}
	}
}

// An id that looks like a hash is the hash of its pattern. Other ids are the publisher's own affair.
func TestPatternHash(t *testing.T) {
	p := *somePattern
	p.ID = p.ContentID()
	encode := func() []byte { return must(EncodePattern(&p, Protobuf))(t) }
	if _, err := DecodePattern(encode(), Protobuf); err != nil {
		t.Fatal(err)
	}
	was := p.ID
	p.Stops = slices.Clone(p.Stops[:2])
	p.Classes = nil
	if _, err := DecodePattern(encode(), Protobuf); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), fmt.Sprintf("id is %s; want %s", was, p.ContentID())) {
		t.Errorf("other content under the same hash: %v", err)
	}
	p.ID = "G1-winter"
	if _, err := DecodePattern(encode(), Protobuf); err != nil {
		t.Error(err)
	}
}
