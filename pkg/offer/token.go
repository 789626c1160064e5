package offer

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// MaxToken is the greatest length of a token in characters. A longer text is refused unread. Every Offer within its ranges has a shorter one; one of
// a Chinese train has about 75.
const MaxToken = 256

const (
	layout     = 1
	maxDate    = 2932896         // 9999-12-31
	maxMillis  = 253402300799999 // the last one of that year
	maxClass   = 2               // bytes of a class code
	skew       = time.Minute     // how far a node's clock may be ahead of ours
	durationMs = math.MaxUint32
)

// coding is strict: of the last character's bits none is without meaning (O2).
var coding = base64.RawURLEncoding.Strict()

// Sign is the token of an offer by the first key; empty if there is no key. What lies outside the ranges of Offer is signed as it is, but
// verifies nowhere, except that Age and TTL are brought within theirs and times are cut to milliseconds.
func (k Keys) Sign(o Offer) string { return string(k.AppendSign(nil, o)) }

// AppendSign appends what Sign returns. It allocates nothing if dst has room.
func (k Keys) AppendSign(dst []byte, o Offer) []byte {
	if k.Empty() {
		return dst
	}
	s := k.signers[0]
	b := s.borrow()
	defer s.benches.Put(b)
	return b.token(dst, s.id, &o)
}

// token appends a token.
func (b *bench) token(dst []byte, id string, o *Offer) []byte {
	b.raw = append(b.raw, byte(layout<<4|len(id)))
	b.raw = append(b.raw, id...)
	b.raw = appendOffer(b.raw, o)
	b.sign()
	return coding.AppendEncode(dst, b.raw)
}

func appendOffer(raw []byte, o *Offer) []byte {
	raw = binary.AppendUvarint(raw, uint64(max(o.Run.Date, 0)))
	raw = appendText(raw, string(o.Run.Trip))
	raw = appendText(raw, string(o.Class))
	raw = binary.AppendUvarint(raw, uint64(o.From))
	raw = binary.AppendUvarint(raw, uint64(o.To))
	raw = binary.AppendUvarint(raw, o.Version.Epoch)
	raw = binary.AppendUvarint(raw, o.Version.Revision)
	raw = binary.AppendUvarint(raw, millis(o.Age))
	raw = binary.AppendUvarint(raw, millis(o.TTL))
	return binary.AppendUvarint(raw, uint64(max(o.At.UnixMilli(), 0)))
}

func appendText(raw []byte, s string) []byte {
	return append(binary.AppendUvarint(raw, uint64(len(s))), s...)
}

// millis are a duration's whole milliseconds, within 0 and MaxAge.
func millis(d time.Duration) uint64 { return uint64(min(max(d, 0), MaxAge) / time.Millisecond) }

// Verify is the offer that a token was signed for. The error wraps ErrMalformed, ErrForged or ErrExpired; the Offer is zero then. A token is expired
// when it was shown more than maxAge before now (0 or less: it never is), or more than a minute after it, which no clock in order says.
func (k Keys) Verify(token string, now time.Time, maxAge time.Duration) (Offer, error) {
	o, err := k.open(token)
	if err != nil {
		return Offer{}, err
	}
	switch age := now.Sub(o.At); {
	case maxAge > 0 && age > maxAge:
		return Offer{}, fmt.Errorf("%w: it was shown %s ago; want at most %s", ErrExpired, age.Truncate(time.Millisecond), maxAge)
	case age < -skew:
		return Offer{}, fmt.Errorf("%w: it was shown %s after now", ErrExpired, -age.Truncate(time.Millisecond))
	}
	return o, nil
}

// open verifies the signature, then reads what was signed.
func (k Keys) open(token string) (Offer, error) {
	if len(token) > MaxToken {
		return Offer{}, malformed("it has %d characters; want at most %d", len(token), MaxToken)
	}
	var buffer [MaxToken]byte
	raw, err := coding.AppendDecode(buffer[:0], []byte(token))
	if err != nil || strings.ContainsAny(token, "\r\n") { // which the decoder passes over
		return Offer{}, malformed("it is not base64url")
	}
	if len(raw) <= macSize || raw[0]>>4 != layout {
		return Offer{}, malformed("it is not of layout %d", layout)
	}
	body, mac := raw[:len(raw)-macSize], raw[len(raw)-macSize:]
	length := int(raw[0] & 15)
	if length > maxKeyID || 1+length > len(body) {
		return Offer{}, malformed("it names no key")
	}
	s := k.find(string(body[1 : 1+length]))
	if s == nil {
		return Offer{}, fmt.Errorf("%w: it is signed by no key that is known here", ErrForged)
	}
	if !s.signed(body, mac) {
		return Offer{}, fmt.Errorf("%w: its signature does not fit", ErrForged)
	}
	return readOffer(body[1+length:])
}

// signed compares in constant time (O3).
func (s *signer) signed(body, mac []byte) bool {
	b := s.borrow()
	defer s.benches.Put(b)
	b.raw = append(b.raw, body...)
	b.sign()
	return hmac.Equal(b.raw[len(body):], mac)
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// readOffer reads what appendOffer has written, within the ranges of Offer.
func readOffer(body []byte) (Offer, error) {
	r := reader{rest: body}
	o := Offer{
		Run:   rail.RunID{Date: rail.Date(r.integer("date", maxDate)), Trip: rail.TripID(r.text("trip", MaxToken))},
		Class: rail.Class(r.text("class", maxClass)),
		From:  rail.StopIndex(r.integer("from", rail.MaxStops-1)), To: rail.StopIndex(r.integer("to", rail.MaxStops-1)),
		Version: rail.Version{Epoch: r.integer("epoch", math.MaxUint64), Revision: r.integer("revision", math.MaxUint64)},
		Age:     time.Duration(r.integer("age", durationMs)) * time.Millisecond, TTL: time.Duration(r.integer("TTL", durationMs)) * time.Millisecond,
		At: time.UnixMilli(int64(r.integer("time", maxMillis))).UTC(),
	}
	r.want("trip", rail.CheckToken(string(o.Run.Trip)) == nil)
	r.want("class", o.Class != "")
	r.want("stops", o.From < o.To)
	r.want("revision", o.Version.Revision > 0)
	r.want("end", len(r.rest) == 0)
	if r.wrong != "" {
		return Offer{}, malformed("its %s is out of range", r.wrong)
	}
	return o, nil
}

// reader reads the parts of a token one by one, and keeps the name of the first that is wrong.
type reader struct {
	rest  []byte
	wrong string
}

func (r *reader) want(name string, holds bool) {
	if !holds && r.wrong == "" {
		r.wrong = name
	}
}

func (r *reader) integer(name string, most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > most {
		r.want(name, false)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text(name string, most uint64) string {
	n := r.integer(name, most)
	if n > uint64(len(r.rest)) {
		r.want(name, false)
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}
