// Package bearer is the token by which operators' HTTP interfaces know who may act (RFC 6750).
package bearer

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// Token is a secret that requests have to show. The zero Token allows nobody. It prints nothing of itself. Safe for concurrent use.
type Token struct {
	set    bool
	digest [sha256.Size]byte
}

// New is the token of a text; an empty text makes the zero Token.
func New(text string) Token { return Token{text != "", sha256.Sum256([]byte(text))} }

// Set reports whether it can allow anybody.
func (t Token) Set() bool { return t.set }

// Allows reports whether a request shows the token as "Authorization: Bearer ...". What it compares is of one length, in constant time, so that the time taken
// tells nothing of the token.
func (t Token) Allows(r *http.Request) bool {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(got[:], t.digest[:]) == 1 && t.set && strings.EqualFold(scheme, "Bearer")
}

// Show puts a token's text on a request; an empty one leaves it as it is.
func Show(r *http.Request, text string) {
	if text != "" {
		r.Header.Set("Authorization", "Bearer "+text)
	}
}
