package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// C3: the shipped file says the defaults, so it knows every key.
func TestShippedFileIsTheDefaults(t *testing.T) {
	got, err := LoadNode(filepath.Join("..", "..", "configs", "yupiaod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	origins := got.Origins
	got.Origins = nil
	if want := DefaultNode(); !reflect.DeepEqual(got, want) {
		t.Errorf("the file says %+v\nthe code says %+v", got, want)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "yupiaod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "\n  ttl:")
	if at, line := origins["freshness.ttl"], strings.Count(before, "\n")+2; !strings.HasSuffix(at, fmt.Sprint("configs/yupiaod.yaml:", line)) {
		t.Errorf("freshness.ttl comes from %q, want line %d", at, line)
	}
	for section := range reflect.TypeFor[Node]().Fields() {
		if section.Type.Kind() != reflect.Struct {
			continue // the rules, which are held to the code above
		}
		for field := range section.Type.Fields() {
			if key := "\n  " + field.Tag.Get("mapstructure") + ":"; !strings.Contains(string(text), key) {
				t.Errorf("the file lacks %s", key)
			}
		}
	}
}

// C2: file over defaults, environment over file.
func TestLayers(t *testing.T) {
	path := write(t, "freshness:\n  degraded_after: 5s\nlog:\n  level: warn\n")
	t.Setenv("YUPIAO_LOG_LEVEL", "debug")
	t.Setenv("YUPIAO_STREAMS_MAX", "7")
	t.Setenv("YUPIAO_HTTP_TRUSTED_PROXIES", "[10.0.0.0/8]")
	t.Setenv("YUPIAO_ADMIN_ADDRESS", "")
	t.Setenv("YUPIAO_PAGE_BOOKING", "https://booking.example/api")
	n, err := LoadNode(path)
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultNode()
	want.Freshness.DegradedAfter, want.Log.Level, want.Streams.Max = 5*time.Second, "debug", 7
	want.HTTP.TrustedProxies, want.Admin.Address, want.Page.Booking = []string{"10.0.0.0/8"}, "", "https://booking.example/api"
	for key, from := range map[string]string{"log.level": "YUPIAO_LOG_LEVEL", "streams.max": "YUPIAO_STREAMS_MAX", "freshness.degraded_after": path + ":2", "freshness.ttl": ""} {
		if n.Origins[key] != from {
			t.Errorf("%s comes from %q; want %q", key, n.Origins[key], from)
		}
	}
	n.Origins = nil
	if !reflect.DeepEqual(n, want) {
		t.Errorf("got %+v\nwant %+v", n, want)
	}
}

// C1: every accident has a text that says where and what.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"empty":             {" \n", "is empty"},
		"not YAML":          {"http: [", "settings.yaml:1: not YAML"},
		"twice the same":    {"http:\n  address: a:1\n  address: a:2\n", "settings.yaml:3: not YAML: mapping key \"address\" already defined"},
		"unknown key":       {"http:\n  adress: x\n", "settings.yaml:2: unknown key http.adress"},
		"wrong kind":        {"streams:\n  max: lots\n", "max"},
		"bad duration":      {"freshness:\n  degraded_after: soon\n", "degraded_after"},
		"bare number":       {"freshness:\n  degraded_after: [2]\n", "degraded_after"},
		"out of range":      {"freshness:\n  degraded_after: 1ms\n", "settings.yaml:2: freshness: degraded_after is 1ms; want 500ms to 1h0m0s"},
		"no unit":           {"freshness:\n  ttl: 7\n", "7 has no unit; want a duration such as 500ms"},
		"no percent":        {"rules:\n  - name: a\n    ttl: auto\n    auto: {cpu: 60, max: 1s}\n", "60 has no unit; want a percentage"},
		"a rule's key":      {"rules:\n  - name: a\n    when:\n      dayz: [0, 1]\n    ttl: 1s\n", "settings.yaml:4: unknown key rules[0].when.dayz"},
		"a rule's value":    {"rules:\n  - name: a\n    ttl: soon\n", `ttl is "soon"; want a duration such as 500ms, or auto`},
		"a rule's sense":    {"rules:\n  - name: a\n    when:\n      days: [1, 0]\n    ttl: 1s\n", "settings.yaml:4: rules[0] (a): when.days is [1 0]"},
		"a dead rule":       {"rules:\n  - name: a\n    ttl: 1s\n  - name: b\n    when:\n      types: [G]\n    ttl: 2s\n", "settings.yaml:4: rules[1] (b) can never match: rules[0] (a)"},
		"not a choice":      {"log:\n  level: loud\n", `log.level is "loud"; want debug, info, warn, error`},
		"keys in the file":  {"offers:\n  keys: [k1:00112233445566778899aabbccddeeff]\n", "offers.keys holds something; want it from the environment (YUPIAO_OFFERS_KEYS)"},
		"a key in the file": {"offers:\n  keys: k1:00112233445566778899aabbccddeeff\n", "offers.keys holds something"},
		"not host:port":     {"http:\n  address: here\n", `http.address is "here"; want host:port`},
		"not a URL":         {"page:\n  booking: 127.0.0.1:8082\n", `page.booking is "127.0.0.1:8082"; want http:// or https://`},
		"another scheme":    {"page:\n  booking: ftp://here\n", `page.booking is "ftp://here"`},
		"no host":           {"page:\n  booking: http:///v1\n", `page.booking is "http:///v1"`},
		"a query":           {"page:\n  booking: http://here/?a=b\n", `page.booking is "http://here/?a=b"`},
		"a token":           {"admin:\n  token: 0011223300112233\n", "settings.yaml:2: admin.token holds something; want it from the environment (YUPIAO_ADMIN_TOKEN)"},
		"open to all":       {"admin:\n  address: 0.0.0.0:8081\n", `settings.yaml:2: admin.address is "0.0.0.0:8081"; want a loopback address, or a token (YUPIAO_ADMIN_TOKEN)`},
		"any interface":     {"admin:\n  address: :8081\n", `admin.address is ":8081"; want a loopback address`},
		"a negative rate":   {"limits:\n  requests_per_second: -1\n", "settings.yaml:2: limits.requests_per_second is -1; want 0, or 0.001 to 1000000"},
		"a hasty rate":      {"limits:\n  requests_per_second: .nan\n", "limits.requests_per_second is NaN"},
		"no burst":          {"limits:\n  burst: 0\n", "limits.burst is 0; want 1 to 1000000"},
		"no prefix":         {"limits:\n  ipv6_prefix: 8\n", "limits.ipv6_prefix is 8; want 16 to 128"},
		"few clients":       {"limits:\n  clients: 1\n", "limits.clients is 1; want 128 to 100000000"},
		"a long queue":      {"limits:\n  queue_wait: 1m\n", "limits.queue_wait is 1m0s; want 0s to 10s"},
		"few connections":   {"limits:\n  connections: -1\n", "limits.connections is -1; want 0 to"},
		"no header":         {"limits:\n  key_header: \"X Key\"\n", `limits.key_header is "X Key"; want the name of a header`},
		"a password":        {"page:\n  booking: http://me:00112233@here\n", `page.booking is "http://me:xxxxx@here"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadNode(write(t, tt.text))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "00112233") {
				t.Errorf("got %v; want one with %q", err, tt.want)
			}
		})
	}
	if _, err := LoadNode(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, ErrInvalid) {
		t.Errorf("missing file: %v", err)
	}
	t.Setenv("YUPIAO_STREAMS_MAX", "many")
	for _, path := range []string{"", write(t, "streams:\n  max: 5\n")} {
		if _, err := LoadNode(path); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "environment: YUPIAO_STREAMS_MAX: streams.max") {
			t.Errorf("bad variable: %v", err)
		}
	}
}

// A document changes what it gives and nothing else; an empty list of rules takes all away.
func TestParseDocument(t *testing.T) {
	base := policy.Default()
	d, err := ParseDocument([]byte("freshness:\n  ttl: 250ms\n"), "a", base)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Over(base); got.Defaults.TTL.Fixed != 250*time.Millisecond || got.Defaults.DegradedAfter != 2*time.Second || len(got.Rules) != 1 {
		t.Errorf("%+v", got)
	}
	if d, err = ParseDocument([]byte("rules: []\n"), "a", base); err != nil || len(d.Over(base).Rules) != 0 {
		t.Errorf("%+v %v", d, err)
	}
	text := "rules:\n  - name: auto\n    when: {from: [city:BJP], asked_above: 5}\n    ttl: auto\n    auto: {cpu: 60%, max: 2s}\n"
	if d, err = ParseDocument([]byte(text), "a", base); err != nil || !d.Rules[0].TTL.Auto || d.Rules[0].Auto.CPU != 0.6 || *d.Rules[0].When.AskedAbove != 5 {
		t.Errorf("%+v %v", d, err)
	}
	for text, want := range map[string]string{
		"": "a is empty", "freshness: 3\n": "freshness", "streams:\n  max: 3\n": "streams", "freshness:\n  ttl: auto\n": "freshness.ttl is auto", "rules: [": "a:1: not YAML", "freshness:\n  ttl: x\nrules: 3\nx: 1\n": "a:2: freshness.ttl: ttl is \"x\"; want a duration such as 500ms, or auto; a:3: rules: ",
		"freshness:\n  degraded_after: 1ms\n": "degraded_after is 1ms", "rules:\n  - ttl: 1s\n": `name is ""`,
	} {
		if _, err := ParseDocument([]byte(text), "a", base); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want one with %q", text, err, want)
		}
	}
}

// Single keys are put into a document and taken out; what else is in it stays, comments too.
func TestSetKey(t *testing.T) {
	const rules = "# for the new year\nrules:\n  - name: a # b\n    ttl: 1s\n"
	for name, c := range map[string]struct{ document, key, value, want string }{
		"into nothing":      {"", "freshness.ttl", "1s", "freshness:\n  ttl: 1s\n"},
		"another value":     {"freshness:\n  ttl: 1s # c\n", "freshness.ttl", "2s", "freshness:\n  ttl: 2s # c\n"},
		"another key":       {"freshness:\n  ttl: 1s\n", "freshness.refuse_after", "1m", "freshness:\n  ttl: 1s\n  refuse_after: 1m\n"},
		"beside rules":      {rules, "freshness.ttl", "1s", "freshness:\n  ttl: 1s\n" + rules},
		"out":               {"freshness:\n  ttl: 1s\n  refuse_after: 1m\n", "freshness.ttl", "", "freshness:\n  refuse_after: 1m\n"},
		"the last one":      {"freshness:\n  ttl: 1s\n", "freshness.ttl", "", ""},
		"the last of two":   {"freshness:\n  ttl: 1s\n" + rules, "freshness.ttl", "", rules},
		"out of nothing":    {"", "freshness.ttl", "", ""},
		"an empty section":  {"freshness:\n", "freshness.ttl", "1s", "freshness:\n  ttl: 1s\n"},
		"not checked here":  {"", "freshness.ttl", "soon", "freshness:\n  ttl: soon\n"},
		"what is no number": {"", "freshness.ttl", "3", "freshness:\n  ttl: \"3\"\n"},
	} {
		got, err := SetKey(c.document, c.key, c.value)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
	for _, key := range []string{"", "ttl", "freshness", "freshness.", "freshness.tl", "rules.ttl", "http.address"} {
		if _, err := SetKey("", key, "1s"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "unknown key "+key) || !strings.Contains(err.Error(), "freshness.ttl") {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, document := range []string{"a: [", "3", "- a"} {
		if got, err := SetKey(document, "freshness.ttl", "1s"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q becomes %q, %v", document, got, err)
		}
	}
}

// The rules that the README shows are good ones.
func TestReadmeRules(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rules, found := strings.Cut(string(text), "```yaml\nrules:")
	rules, _, _ = strings.Cut(rules, "```")
	if d, err := ParseDocument([]byte("rules:"+rules), "README.md", policy.Default()); !found || err != nil || len(d.Rules) != 1 {
		t.Errorf("found %t: %v", found, err)
	}
}

func FuzzParseDocument(f *testing.F) {
	f.Add("freshness:\n  ttl: 250ms\nrules:\n  - name: a\n    when: {days: [0, 1]}\n    ttl: 1s\n")
	f.Fuzz(func(t *testing.T, text string) {
		base := policy.Default()
		if d, err := ParseDocument([]byte(text), "a", base); err == nil && d.Over(base).Validate() != nil {
			t.Errorf("accepted what does not validate: %+v", d)
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add("http:\n  address: 127.0.0.1:1\n")
	f.Add("a: [\n")
	f.Add("log: {level: info}\nstreams: 3")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "settings.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := LoadNode(path); err == nil && n.Validate() != nil {
			t.Errorf("accepted what does not validate: %+v", n)
		}
	})
}

// C3: the shipped booking settings are the defaults, and a wrong number in them is refused with its place.
func TestBooking(t *testing.T) {
	path := filepath.Join("..", "..", "configs", "bookingd.yaml")
	got, err := LoadBooking(path)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := LoadBooking(""); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nthe file says %+v\nthe code says %+v", err, got, want)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for old, tt := range map[string]struct{ with, want string }{
		"places: 148":           {"places: -1", "categories[0] (high-speed): classes[1]: places is -1"},
		"per_km: 46.0":          {"per_kn: 46.0", "per_kn"},
		"accommodation: berth":  {"accommodation: bed", `accommodation is "bed"`},
		"speed_kmh: 220.0":      {"speed_kmh: fast", "speed_kmh"},
		"match: [\"*\"]":        {"match: [K]", `must match "*"`},
		"formations:\n  # Kind": {"formation:\n  # Kind", "formation"},
	} {
		broken := strings.Replace(string(text), old, tt.with, 1)
		if _, err := LoadBooking(write(t, broken)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want one with %q", tt.with, err, tt.want)
		}
	}
}
