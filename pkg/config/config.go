// Package config reads settings files. It is the only package that knows viper, and uses it as a reader and merger alone.
//
// Invariants (cited by the tests as C1...):
//
//	C1 A file that is empty, not YAML, or holds an unknown key or a value of the wrong kind is refused; the error names the file, the line and the key.
//	C2 A key that neither the file nor the environment gives has its default. The environment stands above the file.
//	C3 Every key of the shipped files is known, and every known key is in them.
//	C4 A file that changes while the node runs takes hold as a whole or not at all: the last good settings stay in force, and it is told why.
//	C5 A change of a key that needs a restart is refused, with the key's name.
//	C6 A secret comes from the environment or from a file of its own, and is shown by nothing.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/replica"
)

// ErrInvalid marks settings that cannot be used. The text names the file, the key, the value and what would be right.
var ErrInvalid = errors.New("invalid settings")

// envPrefix starts the name of every environment variable.
const envPrefix = "YUPIAO_"

// Node is the settings of a query node; configs/yupiaod.yaml says what each key means.
type Node struct {
	HTTP      HTTP      `mapstructure:"http"`
	Admin     Admin     `mapstructure:"admin"`
	Feed      Feed      `mapstructure:"feed"`
	Freshness Freshness `mapstructure:"freshness"`
	Answers   Answers   `mapstructure:"answers"`
	// Rules are tried in order; see package policy.
	Rules   []policy.Rule `mapstructure:"rules"`
	Streams Streams       `mapstructure:"streams"`
	Limits  Limits        `mapstructure:"limits"`
	Offers  Offers        `mapstructure:"offers"`
	Page    Page          `mapstructure:"page"`
	Trace   Trace         `mapstructure:"trace"`
	Log     Log           `mapstructure:"log"`
	// Origins tell where each value comes from, by key such as freshness.ttl: an environment variable, "file:line", or nothing for a default.
	Origins map[string]string `mapstructure:"-"`
}

// HTTP is the public listener.
type HTTP struct {
	Address        string        `mapstructure:"address"`
	TrustedProxies []string      `mapstructure:"trusted_proxies"`
	AllowedOrigins []string      `mapstructure:"allowed_origins"`
	Drain          time.Duration `mapstructure:"drain"`
	// FastLane answers the hot query before net/http (package lane).
	FastLane bool `mapstructure:"fast_lane"`
	// AccessLog is the share of requests that are logged, 0 to 1.
	AccessLog float64 `mapstructure:"access_log"`
}

// Admin is the operators' listener.
type Admin struct {
	Address string `mapstructure:"address"`
	// Token that operators show; only from the environment, or from a file of its own.
	Token     string `mapstructure:"token"`
	TokenFile string `mapstructure:"token_file"`
	// As whom operators' acts go to NATS; none: as the node itself. The password comes as the token does.
	NATSUser         string `mapstructure:"nats_user"`
	NATSPassword     string `mapstructure:"nats_password"`
	NATSPasswordFile string `mapstructure:"nats_password_file"`
	NATSCredentials  string `mapstructure:"nats_credentials"`
}

// Feed is where events come from.
type Feed struct {
	URL          string `mapstructure:"url"`
	User         string `mapstructure:"user"`
	Password     string `mapstructure:"password"` // as the token comes
	PasswordFile string `mapstructure:"password_file"`
	Credentials  string `mapstructure:"credentials"`
	Domain       string `mapstructure:"domain"`
	TLS          TLS    `mapstructure:"tls"`
	Name         string `mapstructure:"name"`
	// MaxRuns and MaxMemory, in MiB, bound the replica.
	MaxRuns   int `mapstructure:"max_runs"`
	MaxMemory int `mapstructure:"max_memory_mib"`
}

// Limits of the replica.
func (f *Feed) Limits() replica.Limits {
	return replica.Limits{Runs: f.MaxRuns, Memory: int64(f.MaxMemory) << 20}
}

// Freshness is what is done about age.
type Freshness struct {
	DegradedAfter time.Duration `mapstructure:"degraded_after"`
	RefuseAfter   time.Duration `mapstructure:"refuse_after"`
	ClientMaxAge  time.Duration `mapstructure:"client_max_age"`
	// StaleWhileRevalidate follows ClientMaxAge.
	StaleWhileRevalidate time.Duration `mapstructure:"stale_while_revalidate"`
	TTL                  time.Duration `mapstructure:"ttl"`
}

// Answers is how answers are kept.
type Answers struct {
	// Memory in MiB.
	Memory       int           `mapstructure:"memory_mib"`
	PositionWait time.Duration `mapstructure:"position_wait"`
}

// Trace is what a collector is told of requests.
type Trace struct {
	// Endpoint is its base URL for OTLP over HTTP; empty: nobody is told.
	Endpoint string `mapstructure:"endpoint"`
	// Sample is the share of the requests without a trace of their own, 0 to 1.
	Sample float64 `mapstructure:"sample"`
}

// Policy is what the settings say of answers.
func (n *Node) Policy() *policy.Policy {
	f := n.Freshness
	return &policy.Policy{Rules: n.Rules, Defaults: policy.Effects{
		TTL: policy.TTL{Fixed: f.TTL}, ClientMaxAge: f.ClientMaxAge, StaleWhileRevalidate: f.StaleWhileRevalidate, DegradedAfter: f.DegradedAfter, RefuseAfter: f.RefuseAfter,
	}}
}

// Streams bounds the streams of live answers.
type Streams struct {
	Max          int `mapstructure:"max"`
	MaxPerClient int `mapstructure:"max_per_client"`
}

// Offers is what signs offer tokens; see Load.
type Offers struct {
	Keys     Secrets `mapstructure:"keys"`
	KeysFile string  `mapstructure:"keys_file"`
}

// Page is what the node's page offers beside the query.
type Page struct {
	Booking string `mapstructure:"booking"`
}

// Log is how the node logs.
type Log struct {
	Level  string `mapstructure:"level"`
	Format string `mapstructure:"format"`
}

// baseURL is one, or nothing. What is no URL may hold a secret, so that it is not told.
func baseURL(key, text string) error {
	u, err := url.Parse(text)
	if text == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil {
		return nil
	}
	return invalid(key, "no base URL", "one such as http://127.0.0.1:4318, without a user")
}

// portion is a share of all.
func portion(key string, v float64) error {
	if v >= 0 && v <= 1 { // not so of NaN
		return nil
	}
	return invalid(key, fmt.Sprint(v), "0 to 1")
}

// Validate says what is wrong with it.
func (l Log) Validate() error {
	return errors.Join(oneOf("log.level", l.Level, "debug", "info", "warn", "error"), oneOf("log.format", l.Format, "json", "text"))
}

// SlogLevel is the level of settings that are valid.
func (l Log) SlogLevel() (level slog.Level) {
	_ = level.UnmarshalText([]byte(l.Level)) // validated
	return level
}

// Logger writes in the format of settings that are valid, at a level that may change.
func (l Log) Logger(w io.Writer, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// DefaultNode is the settings of a node that nobody has changed.
func DefaultNode() Node {
	return Node{
		HTTP:      HTTP{Address: "127.0.0.1:8080", TrustedProxies: []string{}, AllowedOrigins: []string{}, Drain: 10 * time.Second, FastLane: true},
		Admin:     Admin{Address: "127.0.0.1:8081"},
		Feed:      Feed{URL: "nats://127.0.0.1:4222", Name: "yupiaod", MaxRuns: replica.DefaultRuns, MaxMemory: replica.DefaultMemory >> 20},
		Freshness: Freshness{DegradedAfter: 2 * time.Second},
		Answers:   Answers{Memory: 256, PositionWait: time.Second},
		Rules:     policy.Default().Rules,
		Streams:   Streams{Max: 20000, MaxPerClient: 32},
		Limits:    Limits{Burst: 100, IPv6Prefix: 64, Clients: 131072, Connections: 50000},
		Offers:    Offers{Keys: Secrets{}},
		Trace:     Trace{Sample: 0.01},
		Log:       Log{Level: "info", Format: "json"},
	}
}

// LoadNode reads a node's settings from a file; an empty path means defaults and environment alone.
func LoadNode(path string) (Node, error) {
	n := DefaultNode()
	t, err := load(path, os.Environ(), &n)
	if err != nil {
		return Node{}, err
	}
	n.Origins = t.origins()
	return n, t.mark(n.Validate())
}

// Validate reports the first setting that cannot be used.
func (n *Node) Validate() error {
	return errors.Join(
		address("http.address", n.HTTP.Address, false), address("admin.address", n.Admin.Address, true), token(n.Admin.Token), guarded(n.Admin),
		within("http.drain", n.HTTP.Drain, 0, 10*time.Minute), origins(n.HTTP.AllowedOrigins),
		n.Policy().Validate(),
		within("answers.memory_mib", n.Answers.Memory, 1, 1<<20), within("answers.position_wait", n.Answers.PositionWait, time.Millisecond, 10*time.Second),
		within("streams.max", n.Streams.Max, 1, 1_000_000), within("streams.max_per_client", n.Streams.MaxPerClient, 1, 1_000_000),
		n.Limits.Validate(), n.Offers.keys(),
		base("page.booking", n.Page.Booking),
		login("feed.", n.Feed.User, n.Feed.Password, n.Feed.Credentials), login("admin.nats_", n.Admin.NATSUser, n.Admin.NATSPassword, n.Admin.NATSCredentials),
		domain(n.Feed.Domain), n.Feed.TLS.validate(), within("feed.max_runs", n.Feed.MaxRuns, 1, 1<<30), within("feed.max_memory_mib", n.Feed.MaxMemory, 16, 1<<20),
		n.Log.Validate(), portion("http.access_log", n.HTTP.AccessLog), portion("trace.sample", n.Trace.Sample), baseURL("trace.endpoint", n.Trace.Endpoint),
	)
}

func invalid(key string, value any, want string) error {
	return &fault{key, fmt.Sprintf("%s is %v; want %s", key, value, want)}
}

func address(key, value string, mayBeEmpty bool) error {
	if value == "" && mayBeEmpty {
		return nil
	}
	if _, _, err := net.SplitHostPort(value); err != nil {
		return invalid(key, fmt.Sprintf("%q", value), "host:port")
	}
	return nil
}

// guarded refuses an admin listener that others than this machine's own can reach without a token.
func guarded(a Admin) error {
	host, _, err := net.SplitHostPort(a.Address)
	if a.Token != "" || a.Address == "" || err != nil || host == "localhost" || net.ParseIP(host).IsLoopback() {
		return nil
	}
	return invalid("admin.address", fmt.Sprintf("%q", a.Address), "a loopback address, or a token ("+variable(adminToken)+")")
}

// base checks a base URL, under which paths are asked for. It is shown in the page, so that it must not hold a password either.
func base(key, value string) error {
	u, err := url.Parse(value)
	if value == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && !strings.ContainsAny(value, "?#") {
		return nil
	}
	if err == nil {
		value = u.Redacted()
	}
	return invalid(key, fmt.Sprintf("%q", value), "http:// or https://, a host and perhaps a path, without user, query and fragment")
}

func within[T int | time.Duration](key string, value, low, high T) error {
	if value < low || value > high {
		return invalid(key, value, fmt.Sprintf("%v to %v", low, high))
	}
	return nil
}

func oneOf(key, value string, all ...string) error {
	if !slices.Contains(all, value) {
		return invalid(key, fmt.Sprintf("%q", value), strings.Join(all, ", "))
	}
	return nil
}

// load merges defaults (what into holds), file and environment into the struct, strictly (C1, C2).
func load(path string, environ []string, into any) (*text, error) {
	v := viper.New()
	defaults := map[string]any{}
	if err := mapstructure.Decode(into, &defaults); err != nil {
		return nil, fmt.Errorf("read defaults: %w", err)
	}
	if err := v.MergeConfigMap(defaults); err != nil {
		return nil, fmt.Errorf("read defaults: %w", err)
	}
	t := &text{source: "environment"}
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if t, err = merge(v, data, path); err != nil {
			return nil, err
		}
	}
	if err := mergeEnvironment(v, environ, t); err != nil {
		return nil, err
	}
	if err := fromFiles(v, t); err != nil {
		return nil, t.mark(err)
	}
	return t, t.mark(v.UnmarshalExact(into, strictly))
}

// merge reads a text into viper.
func merge(v *viper.Viper, data []byte, source string) (*text, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%w: %s is empty; it may be in the middle of being written", ErrInvalid, source)
	}
	v.SetConfigType("yaml")
	if err := v.MergeConfig(bytes.NewReader(data)); err != nil {
		return nil, syntax(source, err)
	}
	t := readText(data, source)
	return t, t.mark(noSecrets(v))
}

// variable is the environment's name of a key.
func variable(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// mergeEnvironment sets keys from variables. Their values are read as YAML, so that a number is a number.
func mergeEnvironment(v *viper.Viper, environ []string, t *text) error {
	known := map[string]string{}
	for _, key := range v.AllKeys() {
		known[variable(key)] = key
	}
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		key, ok := known[name]
		if !ok {
			continue // the prefix is also used by tools around the node
		}
		t.override(key, name)
		if _, isText := v.Get(key).(string); isText {
			v.Set(key, text) // as it is: a token of digits is no number
			continue
		}
		if isList(key) {
			v.Set(key, secretsOf(text))
			continue
		}
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return fmt.Errorf("%w: environment: %s: %w", ErrInvalid, name, err)
		}
		if value == nil {
			value = ""
		}
		v.Set(key, value)
	}
	return nil
}
