package load

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func refused(t *testing.T, o Options, want string) {
	t.Helper()
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrOption) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v; want %s", err, want)
	}
}

// names resolves localhost as it is told.
type names []string

func (n names) LookupNetIP(_ context.Context, _, host string) (all []netip.Addr, err error) {
	if host != "localhost" {
		return nil, errors.New("only localhost may be looked up")
	}
	for _, text := range n {
		all = append(all, netip.MustParseAddr(text))
	}
	return all, nil
}

// L4.
func TestLoopbackAlone(t *testing.T) {
	for server, want := range map[string]string{
		"http://127.0.0.1:8080": "127.0.0.1:8080", "http://127.9.8.7:1/": "127.9.8.7:1", "http://[::1]:8080": "[::1]:8080", "http://127.0.0.1": "127.0.0.1:80",
		"http://[::ffff:127.0.0.1]:8080": "127.0.0.1:8080", "http://LocalHost:8080": "127.0.0.1:8080 [::1]:8080",
	} {
		target, err := resolve(t.Context(), server, names{"127.0.0.1", "::1"})
		if err != nil || strings.Join(target.address, " ") != want {
			t.Errorf("%s: %+v %v; want %s", server, target, err, want)
		}
	}
	for _, server := range []string{
		"", "127.0.0.1:8080", "https://127.0.0.1:8080", "http://", "http://192.0.2.1:8080", "http://10.0.0.1", "http://0.0.0.0:8080", "http://[::]:8080", "http://[2001:db8::1]:80",
		"http://example.com", "http://127.0.0.1.example.com", "http://localhost.example.com", "http://127.0.0.1:8080@192.0.2.1", "http://127.0.0.1:8080/path", "http://127.0.0.1:8080?a=b",
		"http://[::ffff:192.0.2.1]:8080", "http://2130706433:8080", "http://127.1:8080", "ftp://127.0.0.1", "http://127.0.0.1:99999999999:1", "http://[fe80::1%25eth0]:80",
	} {
		o := options(t)
		o.Server = server
		refused(t, o, "want http://HOST:PORT with a host in 127.0.0.0/8, ::1 or localhost")
		if _, err := OnSale(t.Context(), server); !errors.Is(err, ErrOption) {
			t.Errorf("dates on sale of %s: %v", server, err)
		}
	}
	if _, err := resolve(t.Context(), "http://localhost:8080", names{"127.0.0.1", "192.0.2.1"}); err == nil || !strings.Contains(err.Error(), "that is 192.0.2.1") {
		t.Errorf("a localhost that is elsewhere, too: %v", err)
	}
	if _, err := resolve(t.Context(), "http://localhost:8080", names{}); err == nil {
		t.Error("a localhost that is nowhere")
	}
}

// L4: an answer cannot lead elsewhere, and the dates are those of the node.
func TestOnSale(t *testing.T) {
	answer := `{"status":"ready","sale_dates":["2026-12-01","2026-12-02"]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer == "" {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(answer)) // the client is the test
	}))
	defer server.Close()
	dates, err := OnSale(t.Context(), server.URL)
	if err != nil || len(dates) != 2 || dates[1].String() != "2026-12-02" {
		t.Errorf("%v %v", dates, err)
	}
	for _, answer = range []string{"", "{}", "<html>", `{"sale_dates":["soon"]}`} {
		if _, err := OnSale(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "has no dates on sale") {
			t.Errorf("%q: %v", answer, err)
		}
	}
}
