// Package payment is the border to those who move money. The booking backend starts a payment and is told its result by a signed webhook: once, late,
// twice or never. No card data passes here: a provider takes them on pages of its own.
//
// Invariants (cited by the tests as Y1...):
//
//	Y1 A webhook is believed only if it was signed with one of the secrets within the last SignatureAge.
//	Y2 Several secrets are valid at once, so that they can be changed without refusing anybody: the first signs, all verify.
package payment

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// ErrSignature marks a webhook that is not to be believed. The text says why, and never what would have been right.
var ErrSignature = errors.New("bad signature")

// Intent is a payment that a traveller is about to make.
type Intent struct {
	// ID names the payment; a provider takes an ID once.
	ID       string
	Amount   rail.Money
	Currency string
	// Deadline is when the reservation expires.
	Deadline time.Time
	// Behaviour is for the sandbox; a real provider ignores it.
	Behaviour string
}

// Outcome is how a payment ended.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
)

// Result is what a provider's webhook says.
type Result struct {
	Payment  string     `json:"payment"`
	Outcome  Outcome    `json:"outcome"`
	Amount   rail.Money `json:"amount"`
	Currency string     `json:"currency"`
}

// Provider moves money. Both calls may be made again with the same ID, and must then do nothing more.
type Provider interface {
	// Start takes a payment on. An error means that it will not be made; nil says nothing of its result.
	Start(ctx context.Context, i Intent) error
	// Refund gives an amount of a payment back. An error means that it must be asked for again.
	Refund(ctx context.Context, payment string, amount rail.Money, currency string) error
}

// SignatureHeader carries the time and the signature of a webhook: "t=<unix seconds>,v1=<hex of HMAC-SHA-256 over time, a dot and the body>".
const SignatureHeader = "Yupiao-Signature"

// SignatureAge is how old a signature may be, so that one that was overheard is of no use later.
const SignatureAge = 5 * time.Minute

// Secrets sign webhooks (Y2).
type Secrets [][]byte

// ParseSecrets reads secrets as settings give them: text of at least 16 bytes each.
func ParseSecrets(texts []string) (out Secrets, err error) {
	for i, text := range texts {
		if len(text) < 16 {
			return nil, fmt.Errorf("secret %d has %d bytes; want at least 16", i+1, len(text))
		}
		out = append(out, []byte(text))
	}
	return out, nil
}

// Sign makes the value of SignatureHeader.
func (s Secrets) Sign(body []byte, now time.Time) string {
	at := strconv.FormatInt(now.Unix(), 10)
	return "t=" + at + ",v1=" + hex.EncodeToString(mac(s[0], at, body))
}

// Verify reports whether a body was signed with one of the secrets a short time ago (Y1). The error wraps ErrSignature.
func (s Secrets) Verify(header string, body []byte, now time.Time) error {
	at, signature, ok := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || !strings.HasPrefix(header, "t=") {
		return fmt.Errorf("%w: header %s is not of the form t=<seconds>,v1=<hex>", ErrSignature, SignatureHeader)
	}
	got, err := hex.DecodeString(signature)
	if err != nil {
		return fmt.Errorf("%w: v1 is not hexadecimal", ErrSignature)
	}
	if now.Sub(time.Unix(seconds, 0)).Abs() > SignatureAge {
		return fmt.Errorf("%w: made at %d, more than %s from now", ErrSignature, seconds, SignatureAge)
	}
	good := false
	for _, secret := range s { // all of them, so that the time taken says nothing
		good = hmac.Equal(got, mac(secret, at, body)) || good
	}
	if !good {
		return fmt.Errorf("%w: not made with a secret of ours", ErrSignature)
	}
	return nil
}

func mac(secret []byte, at string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(at)) // never fails (hash.Hash)
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}
