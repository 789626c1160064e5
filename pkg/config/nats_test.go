package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yupiao/yupiao/pkg/feed"
)

// How a program comes to NATS is read as it is written; what cannot work is refused with the key, and no password is told.
func TestNATS(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"empty.pem": "", "words.pem": "no certificate\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		text     string
		password string
		want     string
	}{
		"a password in the file": {"  password: \"swordfish\"\n", "", "feed.password holds something; want it from the environment (YUPIAO_FEED_PASSWORD)"},
		"no password":            {"  user: ann\n", "", `feed.password is empty; want that of feed.user "ann" (YUPIAO_FEED_PASSWORD)`},
		"no user":                {"  domain: yupiao\n", "swordfish", "feed.user is empty; want whose password YUPIAO_FEED_PASSWORD is"},
		"two ways":               {"  user: ann\n  credentials: ann.creds\n", "swordfish", `feed.user is "ann"; want none beside feed.credentials`},
		"two words":              {"  domain: a.b\n", "", `feed.domain is "a.b"; want one word`},
		"no such file":           {"  tls:\n    ca: " + folder + "/none.pem\n", "", "none.pem: no such file"},
		"an empty file":          {"  tls:\n    ca: " + folder + "/empty.pem\n", "", "want a file with certificates in PEM"},
		"no certificate":         {"  tls:\n    ca: " + folder + "/words.pem\n", "", "feed.tls.ca is \"" + folder + "/words.pem\"; want a file with certificates in PEM"},
		"half a pair":            {"  tls:\n    key: " + folder + "/words.pem\n", "", `feed.tls.certificate is ""; want both it and feed.tls.key`},
		"no pair":                {"  tls:\n    certificate: " + folder + "/words.pem\n    key: " + folder + "/words.pem\n", "", "want a certificate in PEM whose key is in feed.tls.key"},
		"unknown key":            {"  tls:\n    cert: x\n", "", "unknown key feed.tls.cert"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("YUPIAO_FEED_PASSWORD", tt.password)
			file := write(t, "feed:\n"+tt.text)
			_, err := LoadNode(file)
			_, other := LoadBooking(file)
			for _, err := range []error{err, other} {
				if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "swordfish") {
					t.Errorf("got %v; want %q", err, tt.want)
				}
			}
		})
	}
	t.Setenv("YUPIAO_ADMIN_NATS_PASSWORD", "swordfish")
	if _, err := LoadNode(""); err == nil || !strings.Contains(err.Error(), "admin.nats_user is empty") || strings.Contains(err.Error(), "swordfish") {
		t.Errorf("got %v", err)
	}
	t.Setenv("YUPIAO_ADMIN_NATS_USER", "operator")
	t.Setenv("YUPIAO_FEED_USER", "node")
	t.Setenv("YUPIAO_FEED_PASSWORD", "12345678")
	n, err := LoadNode(write(t, "feed:\n  url: tls://a:4222\n  domain: yupiao\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := feed.Options{URL: "tls://a:4222", Name: "yupiaod", User: "node", Password: "12345678", Domain: "yupiao"}
	if got := n.Feed.Options(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v", got)
	}
	want.Name, want.User, want.Password = "yupiaod acts", "operator", "swordfish"
	if got, apart := n.ActOptions(); !apart || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %t %+v", apart, got)
	}
	all := n.Settings()
	if text := fmt.Sprint(all); strings.Contains(text, "swordfish") || strings.Contains(text, "12345678") || !strings.Contains(text, "{feed.tls.ca  default false}") || !strings.Contains(text, "{feed.password *** YUPIAO_FEED_PASSWORD true}") {
		t.Errorf("shown are %s", text)
	}
	n.Admin = Admin{}
	if _, apart := n.ActOptions(); apart {
		t.Error("an operator that nobody named")
	}
	t.Setenv("YUPIAO_ADMIN_NATS_USER", "")
	t.Setenv("YUPIAO_ADMIN_NATS_PASSWORD", "")
	b, err := LoadBooking("")
	if got := b.Feed.Options(); err != nil || got.User != "node" || got.Password != "12345678" {
		t.Errorf("%v %+v", err, got)
	}
}
