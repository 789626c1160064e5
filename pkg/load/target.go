package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// target is a server that was checked (L4).
type target struct {
	host    string   // as it stands in requests
	address []string // of the server, each loopback, with its port
}

// resolver finds the addresses of a name.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// resolve checks a server's address. A name is looked up here, once, and what was found is dialled (L4).
func resolve(ctx context.Context, server string, names resolver) (*target, error) {
	refuse := func(why string) (*target, error) {
		return nil, fmt.Errorf("%w: server is %q%s; want http://HOST:PORT with a host in 127.0.0.0/8, ::1 or localhost: load is for this machine alone", ErrOption, server, why)
	}
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return refuse("")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	var all []netip.Addr
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		all = []netip.Addr{ip}
	} else if strings.EqualFold(u.Hostname(), "localhost") {
		if all, err = names.LookupNetIP(ctx, "ip", "localhost"); err != nil {
			return nil, fmt.Errorf("look up localhost: %w", err)
		}
	}
	t := &target{host: u.Host}
	for _, ip := range all {
		if !ip.Unmap().IsLoopback() {
			return refuse(", that is " + ip.String())
		}
		t.address = append(t.address, net.JoinHostPort(ip.Unmap().String(), port))
	}
	if len(t.address) == 0 {
		return refuse("")
	}
	return t, nil
}

// dial connects to the first of the addresses that answers.
func (t *target) dial(ctx context.Context) (conn net.Conn, err error) {
	var d net.Dialer
	for _, address := range t.address {
		if conn, err = d.DialContext(ctx, "tcp", address); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// OnSale asks a query node of this machine for the boarding dates that it has on sale, the nearest first. The error wraps ErrOption if the server is none (L4).
func OnSale(ctx context.Context, server string) ([]rail.Date, error) {
	t, err := resolve(ctx, server, net.DefaultResolver)
	if err != nil {
		return nil, err
	}
	client := http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return t.dial(ctx) }, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // it would lead elsewhere
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.host+"/readyz", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no query node answers at %s: %w", server, err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	var ready struct {
		Dates []rail.Date `json:"sale_dates"`
	}
	if err := json.NewDecoder(response.Body).Decode(&ready); err != nil || len(ready.Dates) == 0 {
		return nil, fmt.Errorf("%s has no dates on sale (status %d): is it a query node that is ready?", server, response.StatusCode)
	}
	return ready.Dates, nil
}
