package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const (
	one = "k1:00112233445566778899aabbccddeeff"
	two = "k2:ffeeddccbbaa99887766554433221100"
)

// C2: a list in the environment may be written in any of the ways that people write one.
func TestKeysOfTheEnvironment(t *testing.T) {
	for text, want := range map[string]Secrets{
		"": {}, "[]": {}, one: {one}, one + "," + two: {one, two}, one + "\n" + two + "\n": {one, two}, "[" + one + ", '" + two + "']": {one, two}, "[\"" + one + "\"]": {one},
	} {
		t.Setenv("YUPIAO_OFFERS_KEYS", text)
		n, err := LoadNode("")
		if err != nil || !reflect.DeepEqual(append(Secrets{}, n.Offers.Keys...), want) {
			t.Errorf("%q: %v, %q", text, err, []string(n.Offers.Keys))
		}
	}
}

func TestLoadKeys(t *testing.T) {
	file := func(text string) Offers { return Offers{KeysFile: write(t, text)} }
	for name, tt := range map[string]struct {
		in          Offers
		keys, wrong string
	}{
		"none":             {in: Offers{}},
		"environment":      {in: Offers{Keys: Secrets{one, two}}, keys: "k1 k2"},
		"file":             {in: file("# of 2026\n" + two + "\r\n\n" + one), keys: "k2 k1"},
		"both":             {in: Offers{Keys: Secrets{one}, KeysFile: "x"}, wrong: "offers.keys is (1 secrets); want none beside offers.keys_file"},
		"no file":          {in: Offers{KeysFile: filepath.Join(t.TempDir(), "none")}, wrong: "offers.keys_file: open"},
		"empty file":       {in: file("# soon\n\n"), wrong: "holds no key"},
		"large file":       {in: file(strings.Repeat("#\n", maxKeysFile)), wrong: "more than 65536 bytes"},
		"wrong entry":      {in: Offers{Keys: Secrets{one, one}}, wrong: "offers.keys: unusable offer key: entry 2: its id k1 occurs twice"},
		"wrong line":       {in: file("# x\n" + one + "\n" + two + "x"), wrong: "settings.yaml: unusable offer key: entry 2: its secret is not hexadecimal"},
		"a line with more": {in: file(one + " # the first"), wrong: "entry 1"},
	} {
		keys, err := tt.in.Load()
		if got := fmt.Sprint(keys); got != tt.keys || (err != nil) != (tt.wrong != "") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if err != nil && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), one[3:9]) || strings.Contains(err.Error(), two[3:9])) {
			t.Errorf("%s: %v; want %s", name, err, tt.wrong)
		}
	}
}

// Settings can be logged and printed whole.
func TestSecretsAreNotPrinted(t *testing.T) {
	n := DefaultNode()
	n.Offers.Keys = Secrets{one, two}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "settings", n, "keys", n.Offers.Keys)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "settings", n, "keys", n.Offers.Keys)
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		all += fmt.Sprintf(verb+verb, n, n.Offers.Keys)
	}
	if strings.Contains(all, one[3:]) || strings.Contains(all, fmt.Sprintf("%x", one)) || strings.Count(all, "(2 secrets)") < 15 {
		t.Error(all)
	}
}

// C6: a file holds a secret instead of the environment, for every secret there is; not both, and never a part of it in what is said.
func TestSecretsFromFiles(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	path, file := write(t, secret+"\n"), write(t, "feed:\n  user: ann\nadmin:\n  nats_user: bob\n")
	for _, key := range environmentOnly {
		name := variable(key)
		if key == offerKeys {
			continue // Offers.Load's
		}
		if key != webhookSecrets {
			for _, with := range []string{feedPassword, actsPassword, adminToken} {
				t.Setenv(variable(with), strings.Repeat("x", 20))
			}
			t.Setenv(name, "")
			t.Setenv(name+"_FILE", path)
			n, err := LoadNode(file)
			if got := map[string]string{adminToken: n.Admin.Token, feedPassword: n.Feed.Password, actsPassword: n.Admin.NATSPassword}[key]; err != nil || got != secret || n.Origins[key] != path {
				t.Errorf("%s: %v, %q from %s", key, err, got, n.Origins[key])
			}
			for _, s := range n.Settings() {
				if s.Key == key && (s.Value != "***" || !s.Secret || s.From != path) || strings.Contains(s.Value, secret) {
					t.Errorf("%+v", s)
				}
			}
			t.Setenv(name, secret)
			if _, err := LoadNode(file); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), key+"_file is") || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: both: %v", key, err)
			}
			t.Setenv(name, "")
			for what, bad := range map[string]string{"holds no key": write(t, "\n"), "no such file": filepath.Join(t.TempDir(), "none")} {
				t.Setenv(name+"_FILE", bad)
				if _, err := LoadNode(file); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), key+"_file: ") || !strings.Contains(err.Error(), what) {
					t.Errorf("%s: %s: %v", key, what, err)
				}
			}
			t.Setenv(name+"_FILE", "")
			continue
		}
		t.Setenv(name+"_FILE", write(t, secret+"-1\n"+secret+"-2\n"))
		if b, err := LoadBooking(""); err != nil || len(b.Payment.WebhookSecrets) != 2 || b.Payment.WebhookSecrets[1] != secret+"-2" {
			t.Errorf("%s: %v, %d", key, err, len(b.Payment.WebhookSecrets))
		}
		t.Setenv(name+"_FILE", "")
	}
}
