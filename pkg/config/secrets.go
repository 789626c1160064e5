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
)

func isList(secret string) bool { return secret == offerKeys || secret == webhookSecrets }

// secretsOf splits a variable's text at commas and white space. Brackets and quotes around, as other lists have them, are passed over. It is
// not read as YAML, whose errors would show a part of it.
func secretsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("[]\"', \t\r\n", r) })
}

// noSecrets refuses a file that gives secrets, without showing them.
func noSecrets(v *viper.Viper) error {
	for _, key := range []string{offerKeys, webhookSecrets, adminToken} {
		if holds(v.Get(key)) {
			return &fault{key, fmt.Sprintf("%s holds something; want it from the environment (%s)", key, variable(key))}
		}
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
