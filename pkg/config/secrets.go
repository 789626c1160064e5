package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"github.com/yupiao/yupiao/pkg/offer"
)

// Secrets are texts that nothing prints: their text is their number.
type Secrets []string

// Format writes how many there are, whatever the verb.
func (s Secrets) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "(%d secrets)", len(s)) } // never fails (fmt.State)

// MarshalText writes the same into JSON and YAML.
func (s Secrets) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", s), nil }

// The keys whose values only the environment gives: a settings file is copied, mailed and put under version control.
const (
	offerKeys      = "offers.keys"
	webhookSecrets = "payment.webhook_secrets"
	adminToken     = "admin.token"
	feedPassword   = "feed.password"
	actsPassword   = "admin.nats_password"
)

// environmentOnly are all of them. Beside each is a key with the path of a file that holds it: its name and _file.
var environmentOnly = []string{offerKeys, webhookSecrets, adminToken, feedPassword, actsPassword}

func isList(secret string) bool { return secret == offerKeys || secret == webhookSecrets }

// secretsOf splits a variable's text at commas and white space. Brackets and quotes around, as other lists have them, are passed over. It is
// not read as YAML, whose errors would show a part of it.
func secretsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("[]\"', \t\r\n", r) })
}

// noSecrets refuses a file that gives secrets, without showing them.
func noSecrets(v *viper.Viper) error {
	for _, key := range environmentOnly {
		if holds(v.Get(key)) {
			return &fault{key, fmt.Sprintf("%s holds something; want it from the environment (%s)", key, variable(key))}
		}
	}
	return nil
}

// fromFiles takes secrets from the files that other keys name. Those that sign offers are Offers.Load's, as they are many and have comments.
func fromFiles(v *viper.Viper, t *text) error {
	for _, key := range environmentOnly {
		path := v.GetString(key + "_file")
		switch {
		case path == "" || key == offerKeys:
			continue
		case holds(v.Get(key)):
			return &fault{key + "_file", fmt.Sprintf("%s_file is %q; want none beside %s", key, path, variable(key))}
		}
		secret, err := readKeys(path)
		if err != nil {
			return &fault{key + "_file", fmt.Sprintf("%s_file: %v", key, err)}
		}
		t.override(key, path)
		if isList(key) {
			v.Set(key, secretsOf(secret))
			continue
		}
		v.Set(key, strings.TrimSpace(secret))
	}
	return nil
}

func holds(value any) bool {
	switch given := value.(type) {
	case nil, Secrets: // the default
		return false
	case string:
		return given != ""
	case []any:
		return len(given) > 0
	case []string:
		return len(given) > 0
	default:
		return true
	}
}

// maxKeysFile is far more than any set of keys has, in bytes.
const maxKeysFile = 64 << 10

// Load is the keys that sign offer tokens, the signing one first: those of Keys, or those of the file KeysFile, one entry "id:hexadecimal" a line, empty
// lines and lines that start with # left out. No entries are no keys. The error wraps ErrInvalid and never shows a secret.
func (o Offers) Load() (offer.Keys, error) {
	entries, source := []string(o.Keys), offerKeys
	if o.KeysFile != "" {
		if len(o.Keys) > 0 {
			return offer.Keys{}, invalid(offerKeys, o.Keys, "none beside offers.keys_file")
		}
		text, err := readKeys(o.KeysFile)
		if err != nil {
			return offer.Keys{}, fmt.Errorf("%w: offers.keys_file: %w", ErrInvalid, err)
		}
		entries, source = lines(text), o.KeysFile
	}
	keys, err := offer.ParseKeys(entries)
	if err != nil {
		return offer.Keys{}, fmt.Errorf("%w: %s: %w", ErrInvalid, source, err)
	}
	return keys, nil
}

// keys says what is wrong with them.
func (o Offers) keys() error {
	if _, err := o.Load(); err != nil {
		return &fault{offerKeys, strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")}
	}
	return nil
}

// readKeys reads a whole file that is not large and not empty.
func readKeys(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeysFile+1))
	switch err = errors.Join(err, f.Close()); {
	case err != nil:
		return "", err
	case len(text) > maxKeysFile:
		return "", fmt.Errorf("%s has more than %d bytes", path, maxKeysFile)
	case len(lines(string(text))) == 0:
		return "", fmt.Errorf("%s holds no key; it may be in the middle of being written", path)
	}
	return string(text), nil
}

// lines are the lines that say something.
func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return line == "" || line[0] == '#'
	})
}
