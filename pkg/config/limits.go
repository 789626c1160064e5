package config

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits is how much is wanted of a node before it refuses.
type Limits struct {
	// RequestsPerSecond and Burst are each client's; 0 a second: no limit.
	RequestsPerSecond float64 `mapstructure:"requests_per_second"`
	Burst             int     `mapstructure:"burst"`
	// IPv6Prefix is how many bits of an IPv6 address tell clients apart.
	IPv6Prefix int `mapstructure:"ipv6_prefix"`
	// Clients are remembered at once.
	Clients int `mapstructure:"clients"`
	// KeyHeader is where trusted proxies tell a client's key.
	KeyHeader string `mapstructure:"key_header"`
	// QueueWait is how long what is no hit may wait for its turn; 0: all is done at once, and connections are accepted as they come.
	QueueWait time.Duration `mapstructure:"queue_wait"`
	// Connections and ConnectionsPerClient are those at once; 0: no limit.
	Connections          int `mapstructure:"connections"`
	ConnectionsPerClient int `mapstructure:"connections_per_client"`
}

// leastRate is a request in 1,000 seconds; a lower rate is a typing error.
const leastRate = 0.001

// Validate says what is wrong with it.
func (l *Limits) Validate() error {
	var rate error
	if r := l.RequestsPerSecond; r != 0 && !(r >= leastRate && r <= 1_000_000) { // NaN too
		rate = invalid("limits.requests_per_second", r, fmt.Sprintf("0, or %v to 1000000", leastRate))
	}
	return errors.Join(rate,
		within("limits.burst", l.Burst, 1, 1_000_000), within("limits.ipv6_prefix", l.IPv6Prefix, 16, 128), within("limits.clients", l.Clients, 128, 100_000_000),
		within("limits.queue_wait", l.QueueWait, 0, 10*time.Second),
		within("limits.connections", l.Connections, 0, 10_000_000), within("limits.connections_per_client", l.ConnectionsPerClient, 0, 10_000_000),
		headerName("limits.key_header", l.KeyHeader),
	)
}

// headerName checks the name of a header, which is a token (RFC 9110, 5.1), or nothing.
func headerName(key, name string) error {
	for _, c := range name {
		if c > '~' || c <= ' ' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) {
			return invalid(key, fmt.Sprintf("%q", name), "the name of a header, such as X-Api-Key")
		}
	}
	return nil
}
