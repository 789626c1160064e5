package bearer

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAllows(t *testing.T) {
	const secret = "correct horse battery staple"
	token := New(secret)
	for header, want := range map[string]bool{
		"Bearer " + secret: true, "bearer " + secret: true, "": false, "Bearer": false, "Bearer " + secret + " ": false,
		"Bearer " + secret[1:]: false, secret: false, "Basic " + secret: false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", header)
		if got := token.Allows(r); got != want {
			t.Errorf("%q: %t", header, got)
		}
		if New("").Allows(r) || (Token{}).Allows(r) {
			t.Errorf("%q: no token allows it", header)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	if r.Header.Set("Authorization", "Bearer "); token.Allows(r) || New("").Allows(r) {
		t.Error("an empty token is allowed")
	}
	r.Header.Del("Authorization")
	if Show(r, ""); r.Header.Get("Authorization") != "" {
		t.Error("an empty token is shown")
	}
	if Show(r, secret); !token.Allows(r) || !token.Set() || New("").Set() {
		t.Error("a shown token is not allowed")
	}
	if text := fmt.Sprintf("%v %+v %#v", token, token, token); strings.Contains(text, secret) {
		t.Error("it prints its text")
	}
}
