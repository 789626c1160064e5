package offer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

var (
	now   = time.Date(2026, 11, 23, 7, 0, 0, 120e6, time.UTC)
	shown = Offer{
		Run: rail.RunID{Date: rail.NewDate(2026, 12, 1), Trip: "24000000G10C"}, Class: "O", From: 0, To: 3, Version: rail.Version{Epoch: 1, Revision: 2},
		Age: 120 * time.Millisecond, TTL: time.Second, At: now,
	}
	// longest is the offer with the longest token.
	longest = Offer{
		Run: rail.RunID{Date: maxDate, Trip: rail.TripID(strings.Repeat("x", 64))}, Class: "WZ", From: rail.MaxStops - 2, To: rail.MaxStops - 1,
		Version: rail.Version{Epoch: math.MaxUint64, Revision: math.MaxUint64}, Age: MaxAge, TTL: MaxAge, At: time.UnixMilli(maxMillis).UTC(),
	}
	oldKey = Key{ID: "k1", Secret: []byte("0123456789abcdef")}
	newKey = Key{ID: "k2-2026b", Secret: bytes.Repeat([]byte{0xff}, 64)}
)

func keys(t testing.TB, all ...Key) Keys {
	t.Helper()
	k, err := NewKeys(all...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The layout of the package's comment, computed apart from this code, so that others can test theirs by it.
func TestVector(t *testing.T) {
	const want = "EmsxtKIBDDI0MDAwMDAwRzEwQwFPAAMBAnjoB_ir0bmgNMYIGSlwVHjX-uiGNs4adHY"
	if got := keys(t, oldKey).Sign(shown); got != want || len(got) >= 90 {
		t.Errorf("%d characters: %s; want %s", len(got), got, want)
	}
}

// O1: an offer comes back equal; what lies outside its ranges is brought within, or verifies nowhere.
func TestRoundTrip(t *testing.T) {
	change := func(do func(*Offer)) Offer {
		o := shown
		do(&o)
		return o
	}
	for name, tt := range map[string]struct {
		in, out Offer
		refused string
	}{
		"plain":           {in: shown, out: shown},
		"longest":         {in: longest, out: longest},
		"zero ages":       {in: change(func(o *Offer) { o.Age, o.TTL = 0, 0 }), out: change(func(o *Offer) { o.Age, o.TTL = 0, 0 })},
		"negative ages":   {in: change(func(o *Offer) { o.Age, o.TTL = -1, math.MinInt64 }), out: change(func(o *Offer) { o.Age, o.TTL = 0, 0 })},
		"long ages":       {in: change(func(o *Offer) { o.Age, o.TTL = math.MaxInt64, MaxAge+1 }), out: change(func(o *Offer) { o.Age, o.TTL = MaxAge, MaxAge })},
		"finer than ms":   {in: change(func(o *Offer) { o.Age, o.At = o.Age+999, o.At.Add(999) }), out: shown},
		"another zone":    {in: change(func(o *Offer) { o.At = o.At.In(time.FixedZone("CST", 8*3600)) }), out: shown},
		"no revision":     {in: change(func(o *Offer) { o.Version.Revision = 0 }), refused: "revision"},
		"no way":          {in: change(func(o *Offer) { o.To = o.From }), refused: "stops"},
		"stop out of run": {in: change(func(o *Offer) { o.To = rail.MaxStops }), refused: "to"},
		"no class":        {in: change(func(o *Offer) { o.Class = "" }), refused: "class"},
		"long class":      {in: change(func(o *Offer) { o.Class = "BIZ" }), refused: "class"},
		"no trip":         {in: change(func(o *Offer) { o.Run.Trip = "" }), refused: "trip"},
		"trip no token":   {in: change(func(o *Offer) { o.Run.Trip = "G 1" }), refused: "trip"},
		"huge trip":       {in: change(func(o *Offer) { o.Run.Trip = rail.TripID(strings.Repeat("x", 300)) }), refused: "256"},
		"year 10000":      {in: change(func(o *Offer) { o.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), refused: "time"},
	} {
		k := keys(t, oldKey)
		got, err := k.Verify(k.Sign(tt.in), now, 0)
		switch {
		case name == "longest": // of the year 9999
			got, err = k.Verify(k.Sign(tt.in), tt.in.At, 0)
			if err != nil || got != tt.out || len(k.Sign(tt.in)) > MaxToken {
				t.Errorf("%s: %v, %+v", name, err, got)
			}
		case tt.refused != "":
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.refused) || got != (Offer{}) {
				t.Errorf("%s: %v, %+v; want %s", name, err, got, tt.refused)
			}
		case err != nil || got != tt.out:
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, tt.out)
		}
	}
}

// O1: tokens of the old key hold through a rotation, step by step, until the old key is taken away.
func TestRotation(t *testing.T) {
	before, known, turned, after := keys(t, oldKey), keys(t, oldKey, newKey), keys(t, newKey, oldKey), keys(t, newKey)
	for name, tt := range map[string]struct {
		signs, verifies Keys
		want            error
	}{
		"before":                    {before, before, nil},
		"a verifier knows it first": {before, known, nil},
		"a node turns first":        {turned, known, nil},
		"a late node":               {known, turned, nil},
		"after":                     {after, turned, nil},
		"the old one is gone":       {before, after, ErrForged},
		"a new one too early":       {after, before, ErrForged},
		"no keys":                   {before, Keys{}, ErrForged},
	} {
		if got, err := tt.verifies.Verify(tt.signs.Sign(shown), now, time.Hour); !errors.Is(err, tt.want) || err == nil && got != shown {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	if token := (Keys{}).Sign(shown); token != "" || !(Keys{}).Empty() || known.Empty() {
		t.Errorf("no key signs %q", token)
	}
}

// O2: no change of a bit, no other character, nothing more or less verifies; a key of the same name with another secret does not either.
func TestForgery(t *testing.T) {
	k := keys(t, oldKey, newKey)
	token := k.Sign(shown)
	forged := func(what, text string) {
		t.Helper()
		if got, err := k.Verify(text, now, 0); !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) || got != (Offer{}) {
			t.Errorf("%s: %v, %+v", what, err, got)
		}
	}
	raw, err := coding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(raw) {
		changed := bytes.Clone(raw)
		changed[bit/8] ^= 1 << (bit % 8)
		forged(fmt.Sprint("bit ", bit), coding.EncodeToString(changed))
	}
	for i := range len(token) {
		for c := range 256 {
			if byte(c) != token[i] {
				forged(fmt.Sprintf("character %d as %q", i, byte(c)), token[:i]+string([]byte{byte(c)})+token[i+1:])
			}
		}
		forged(fmt.Sprint("without character ", i), token[:i]+token[i+1:])
		forged(fmt.Sprint("cut at ", i), token[:i])
		forged(fmt.Sprint("a line's end at ", i), token[:i]+"\n"+token[i:])
	}
	forged("twice", token+token)
	forged("a zero byte more", coding.EncodeToString(append(bytes.Clone(raw), 0)))
	forged("padded", token+"=")
	forged("of another secret", keys(t, Key{ID: oldKey.ID, Secret: newKey.Secret}).Sign(shown))
	forged("of the other key's name", coding.EncodeToString(append([]byte{layout<<4 | 8}, append([]byte(newKey.ID), raw[3:]...)...)))
}

// What is no token at all is refused before anything is computed.
func TestMalformed(t *testing.T) {
	k := keys(t, oldKey)
	for text, want := range map[string]string{
		"": "layout 1", "?": "base64url", "AAAA": "layout 1", strings.Repeat("A", MaxToken+1): "257 characters; want at most 256",
		strings.Repeat("\x00", 40): "base64url", strings.Repeat("H", 40): "names no key", strings.Repeat("A", 40): "layout 1",
	} {
		if _, err := k.Verify(text, now, 0); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

// O1: a token lives as long as its reader says; one from a clock that runs ahead is not believed.
func TestExpiry(t *testing.T) {
	k := keys(t, oldKey)
	for _, tt := range []struct {
		since, maxAge time.Duration
		want          error
	}{
		{0, time.Minute, nil}, {time.Minute, time.Minute, nil}, {time.Minute + 1, time.Minute, ErrExpired}, {1000 * time.Hour, time.Minute, ErrExpired},
		{1000 * time.Hour, 0, nil}, {1000 * time.Hour, -1, nil}, {-time.Minute, time.Minute, nil}, {-time.Minute - 1, time.Minute, ErrExpired}, {-time.Hour, 0, ErrExpired},
	} {
		if _, err := k.Verify(k.Sign(shown), now.Add(tt.since), tt.maxAge); !errors.Is(err, tt.want) {
			t.Errorf("%s after, at most %s: %v", tt.since, tt.maxAge, err)
		}
	}
}

// O4: keys are read from settings; a wrong one is named by its number, and nothing of it is shown.
func TestParseKeys(t *testing.T) {
	const secret, other = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
	good, err := ParseKeys([]string{"a:" + secret, " b-2:" + other + other + "\n"})
	if err != nil || len(good.signers) != 2 || good.signers[0].id != "a" {
		t.Fatal(good, err)
	}
	if none, err := ParseKeys(nil); err != nil || !none.Empty() {
		t.Error(none, err)
	}
	for name, tt := range map[string]struct{ entry, want string }{
		"no id":          {secret, "entry 2: it has no ':'"},
		"empty":          {"", "entry 2: it has no ':'"},
		"empty id":       {":" + other, "entry 2: its id"},
		"long id":        {"abcdefghi:" + other, "entry 2: its id"},
		"wrong id":       {"a b:" + other, "entry 2: its id"},
		"not hex":        {"b:" + other[:31] + "g", "entry 2: its secret is not hexadecimal"},
		"odd":            {"b:" + other[:31], "entry 2: its secret is not hexadecimal"},
		"short":          {"b:" + other[:30], "entry 2: its secret has 15 bytes; want at least 16"},
		"twice":          {"a:" + other, "entry 2: its id a occurs twice"},
		"a list in one":  {"b:" + other + ",c:" + other, "entry 2: its secret is not hexadecimal"},
		"another letter": {"b:" + strings.Repeat("é", 16), "entry 2: its secret is not hexadecimal"},
	} {
		_, err := ParseKeys([]string{"a:" + secret, tt.entry})
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), other[:8]) || strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%s: %v; want %s", name, err, tt.want)
		}
	}
}

// O4: no way of printing shows a secret.
func TestKeysAreNotPrinted(t *testing.T) {
	key := Key{ID: "k1", Secret: []byte("Geheimnis-Geheimnis")}
	set := keys(t, key)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "keys", set)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "keys", set)
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb+verb+verb, key, set, []Key{key})
	}
	for _, hidden := range []string{"Geheim", fmt.Sprintf("%x", "Geheim"), "R2VoZWlt", fmt.Sprint([]byte("Geheim"))[1:20]} {
		if strings.Contains(all, hidden) {
			t.Errorf("%s is shown in %s", hidden, all)
		}
	}
}

func TestResults(t *testing.T) {
	for r, want := range map[Result]string{0: "NONE", Held: "HELD", SoldOut: "SOLD_OUT", Refused: "REFUSED", 4: "NONE"} {
		if r.String() != want {
			t.Errorf("%d is %s; want %s", r, r, want)
		}
	}
}

// Signing makes no garbage: an answer has a hundred tokens. The pool stands aside, since with the race detector it forgets at random.
func TestSigningDoesNotAllocate(t *testing.T) {
	s, dst := keys(t, oldKey).signers[0], make([]byte, 0, MaxToken)
	b := s.borrow()
	sign := func() {
		b.clear()
		b.token(dst, s.id, &shown)
	}
	sign()
	if n := testing.AllocsPerRun(100, sign); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// O3, O2: whatever comes, no panic; what verifies is the token of its offer, to the letter.
func FuzzVerify(f *testing.F) {
	k := keys(f, oldKey, newKey)
	for _, o := range []Offer{shown, longest, {}} {
		token := k.Sign(o)
		f.Add(token)
		f.Add(token[:len(token)/2])
	}
	f.Add("")
	f.Add(strings.Repeat("E", MaxToken))
	f.Fuzz(func(t *testing.T, token string) {
		for _, text := range []string{token, resigned(k, token)} {
			o, err := k.Verify(text, now, 0)
			switch {
			case errors.Is(err, ErrMalformed), errors.Is(err, ErrForged), errors.Is(err, ErrExpired):
			case err != nil:
				t.Errorf("%q: %v", text, err)
			default:
				if back, err := k.Verify(k.Sign(o), now, 0); err != nil || back != o {
					t.Errorf("%q: %v\n%+v\n%+v", text, err, o, back)
				}
			}
		}
	})
}

// resigned is a text of any bytes with a true signature, so that the reader behind it is tried as well.
func resigned(k Keys, text string) string {
	b := k.signers[0].borrow()
	b.raw = append(append(append(b.raw, byte(layout<<4|len(oldKey.ID))), oldKey.ID...), text...)
	b.sign()
	return coding.EncodeToString(b.raw)
}

func BenchmarkAppendSign(b *testing.B) {
	k, dst := keys(b, oldKey), make([]byte, 0, MaxToken)
	b.ReportAllocs()
	for b.Loop() {
		dst = k.AppendSign(dst[:0], shown)
	}
	b.ReportMetric(float64(len(dst)), "characters")
}

func BenchmarkVerify(b *testing.B) {
	for name, k := range map[string]Keys{"keys=1": keys(b, oldKey), "keys=2": keys(b, newKey, oldKey)} {
		token := keys(b, oldKey).Sign(shown)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Verify(token, now, time.Hour); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
