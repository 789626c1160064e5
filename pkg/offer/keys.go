package offer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	"github.com/yupiao/yupiao/pkg/rail"
)

const (
	maxKeyID  = 8  // bytes of an id; fits the four bits of the layout
	minSecret = 16 // bytes
	macSize   = 16 // bytes of a signature
)

// Key signs and verifies. Its text is its id; the secret is printed by nothing.
type Key struct {
	// ID stands in the tokens: 1 to 8 letters, digits, '-' or '_'.
	ID string
	// Secret is at least 16 bytes. Shared, do not modify.
	Secret []byte `json:"-"`
}

// Format writes the id, whatever the verb (O4).
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.ID) } // never fails (fmt.State)

// Keys are an ordered set: the first signs, all verify. To rotate without refusing anybody, give the new key to every verifier as a later one,
// then put it first, and take the old one away when its tokens have expired. The zero Keys sign nothing and verify nothing. Safe to
// copy and for concurrent use.
type Keys struct{ signers []*signer }

// NewKeys checks keys. The error wraps ErrKey and names the number of the wrong one, from 1.
func NewKeys(keys ...Key) (Keys, error) {
	var out Keys
	for i, k := range keys {
		switch {
		case len(k.ID) > maxKeyID || rail.CheckToken(k.ID) != nil:
			return Keys{}, badKey(i, "its id is not 1 to %d letters, digits, '-' or '_'", maxKeyID)
		case len(k.Secret) < minSecret:
			return Keys{}, badKey(i, "its secret has %d bytes; want at least %d", len(k.Secret), minSecret)
		case out.find(k.ID) != nil:
			return Keys{}, badKey(i, "its id %s occurs twice", k.ID)
		}
		out.signers = append(out.signers, newSigner(k))
	}
	return out, nil
}

// ParseKeys reads entries "id:secret" with the secret in hexadecimal, the signing one first. No entries are no keys. The error wraps ErrKey and
// names the number of the wrong entry, from 1, never what it holds.
func ParseKeys(entries []string) (Keys, error) {
	keys := make([]Key, 0, len(entries))
	for i, entry := range entries {
		id, text, found := strings.Cut(strings.TrimSpace(entry), ":")
		if !found {
			return Keys{}, badKey(i, "it has no ':'; want id:hexadecimal")
		}
		secret, err := hex.DecodeString(text)
		if err != nil { // its text would show a byte of the secret
			return Keys{}, badKey(i, "its secret is not hexadecimal")
		}
		keys = append(keys, Key{ID: id, Secret: secret})
	}
	return NewKeys(keys...)
}

func badKey(i int, format string, args ...any) error {
	return fmt.Errorf("%w: entry %d: %s", ErrKey, i+1, fmt.Sprintf(format, args...))
}

// Format writes the ids in order, whatever the verb (O4).
func (k Keys) Format(f fmt.State, _ rune) {
	for i, s := range k.signers {
		if i > 0 {
			_, _ = io.WriteString(f, " ") // never fails (fmt.State)
		}
		_, _ = io.WriteString(f, s.id)
	}
}

// Empty reports whether there is no key.
func (k Keys) Empty() bool { return len(k.signers) == 0 }

// find is the signer of an id; nil if there is none.
func (k Keys) find(id string) *signer {
	for _, s := range k.signers {
		if s.id == id {
			return s
		}
	}
	return nil
}

// signer is a key at work.
type signer struct {
	id      string
	benches sync.Pool // of *bench
}

// bench is what one signature needs: the hash with the key in it, and room for a token's bytes.
type bench struct {
	mac hash.Hash
	raw []byte
}

func newSigner(k Key) *signer {
	s := &signer{id: k.ID}
	s.benches.New = func() any { return &bench{mac: hmac.New(sha256.New, k.Secret)} }
	return s
}

// borrow takes a bench; give it back with benches.Put.
func (s *signer) borrow() *bench {
	b, _ := s.benches.Get().(*bench) // the pool holds nothing else
	b.clear()
	return b
}

func (b *bench) clear() {
	b.mac.Reset()
	b.raw = b.raw[:0]
}

// sign appends the signature of all that is in b.raw to it.
func (b *bench) sign() {
	_, _ = b.mac.Write(b.raw) // never fails (hash.Hash)
	end := len(b.raw) + macSize
	b.raw = b.mac.Sum(b.raw)[:end]
}
