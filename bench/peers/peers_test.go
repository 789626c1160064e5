package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
)

func TestOnlyLoopback(t *testing.T) {
	for _, address := range []string{"127.0.0.1:80", "127.9.9.9:1", "[::1]:80"} {
		if _, err := newEndpoint(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"", "localhost:80", "0.0.0.0:80", "10.0.0.1:80", "192.168.1.1:80", "8.8.8.8:53", "[::]:80", "127.0.0.1", "[fe80::1]:80"} {
		if _, err := newEndpoint(address); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
	s := &stage{settings: &settings{connections: 1}, dir: t.TempDir()}
	if _, err := s.load(t.Context(), "http://192.0.2.1:80/v1", time.Second); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("load on another machine: %v", err)
	}
	if e, err := freeEndpoint(); err != nil || !strings.HasPrefix(e.url("/x"), "http://127.0.0.1:") {
		t.Errorf("free endpoint %q, %v", e, err)
	}
}

func TestParseArguments(t *testing.T) {
	s, err := parse([]string{"--only", "redis,ours", "--seconds", "2", "--rounds", "1"}, io.Discard)
	if err != nil || !slices.Equal(names(s.designs), []string{"ours", "redis"}) || s.duration() != 2*time.Second || !s.laneKey {
		t.Errorf("parsed %+v, %v", s, err)
	}
	if s, err := parse(nil, io.Discard); err != nil || len(s.designs) != len(catalogue()) {
		t.Errorf("without arguments: %+v, %v", s, err)
	}
	for _, args := range []string{"x", "--only=apache", "--only=,", "--rounds=0", "--seconds=0.5", "--connections=0", "--others=-1", "--changes=-1", "--changes=NaN", "--load-core=0", "--unknown"} {
		if _, err := parse([]string{args}, io.Discard); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}

func TestMissingPrograms(t *testing.T) {
	all := catalogue()
	if err := missingOf(all, func(string) bool { return true }); err != nil {
		t.Error(err)
	}
	err := missingOf(all, func(name string) bool { return slices.Contains(everywhere[:2], name) })
	if err == nil || !strings.Contains(err.Error(), "apt-get install -y wrk nginx-light redis-server varnish\n") {
		t.Errorf("nothing is installed: %v", err)
	}
	bare, err := choose("fasthttp")
	if err != nil {
		t.Fatal(err)
	}
	err = missingOf(bare, func(name string) bool { return name != "wrk" && name != "nginx" })
	if err == nil || !strings.Contains(err.Error(), "missing: wrk.") || strings.Contains(err.Error(), "nginx") {
		t.Errorf("a bare server without wrk: %v", err)
	}
	for _, name := range needed(all) {
		if packages[name] == "" {
			t.Errorf("no package is known for %s", name)
		}
	}
}

func TestVersionIn(t *testing.T) {
	for text, want := range map[string]string{
		"nginx version: nginx/1.22.1": "1.22.1", "varnishd (varnish-7.1.1 revision 7cee1c58)": "7.1.1", "Redis server v=7.0.15 sha=00000000:0": "7.0.15",
		"wrk debian/4.1.0-3+b2 [epoll]": "4.1.0", "": "of an unknown version",
	} {
		if got := versionIn(text); got != want {
			t.Errorf("versionIn(%q) = %q; want %q", text, got, want)
		}
	}
}

func TestParseWrk(t *testing.T) {
	got, err := parseWrk("Running 1s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n" + wrkMark + "12345 1000200 1310 18670 0 2\n")
	want := counted{Requests: 12345, Took: 1000200 * time.Microsecond, P50: 1310 * time.Microsecond, P99: 18670 * time.Microsecond, Failed: 2}
	if err != nil || got != want {
		t.Errorf("parseWrk = %+v, %v; want %+v", got, err, want)
	}
	for _, text := range []string{"", "unable to connect", wrkMark + "1 2 3", wrkMark + "1 2 3 4 5 x", wrkMark + "0 1000 0 0 0 0", wrkMark + "nan 1 1 1 1 1"} {
		if got, err := parseWrk(text); err == nil {
			t.Errorf("parseWrk(%q) = %+v", text, got)
		}
	}
}

func FuzzParseWrk(f *testing.F) {
	f.Add(wrkMark + "12345 1000200 1310 18670 0 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseWrk(text); err == nil && (c.Requests == 0 || c.Took == 0) {
			t.Errorf("parseWrk(%q) = %+v", text, c)
		}
	})
}

func TestNginxAndVarnishConfigs(t *testing.T) {
	c := proxyConfig{Dir: "/tmp/x", Listen: "127.0.0.1:81", Backend: "127.0.0.1:82"}
	for _, want := range []struct {
		parts    []string
		has, not []string
	}{
		{[]string{staticRest, nginxBase}, []string{"worker_processes 1;", "sendfile on;", "access_log off;", "listen 127.0.0.1:81;", "root /tmp/x/root;"}, []string{"user ", "proxy_pass", "<no value>"}},
		{[]string{cacheRest, nginxBase}, []string{"listen 127.0.0.1:81;", "server 127.0.0.1:82;", "proxy_cache_valid 200 1s;", "proxy_cache_path /tmp/x/cache"}, []string{"root "}},
		{[]string{varnishVCL}, []string{`.host = "127.0.0.1"; .port = "82";`, "beresp.ttl = 1s;"}, []string{"<no value>"}},
	} {
		text, err := c.render(want.parts...)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range want.has {
			if !strings.Contains(text, s) {
				t.Errorf("%q is missing in:\n%s", s, text)
			}
		}
		for _, s := range want.not {
			if strings.Contains(text, s) {
				t.Errorf("%q stands in:\n%s", s, text)
			}
		}
		if strings.Count(text, "{") != strings.Count(text, "}") {
			t.Errorf("braces do not match:\n%s", text)
		}
	}
	c.User = "root"
	if text, err := c.render(staticRest, nginxBase); err != nil || !strings.HasPrefix(text, "user root;\n") {
		t.Errorf("%v: root's nginx:\n%s", err, text)
	}
}

// Our own settings are settings, without a rule, and the lane's key is where it was asked for.
func TestOwnSettings(t *testing.T) {
	s := &stage{settings: &settings{}, nats: "nats://127.0.0.1:4222"}
	o := &ours{stage: s, http: "127.0.0.1:81", admin: "127.0.0.1:82"}
	file := filepath.Join(t.TempDir(), "yupiaod.yaml")
	if err := os.WriteFile(file, []byte(o.settings()), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := config.LoadNode(file)
	if err != nil || len(n.Rules) != 0 || n.HTTP.Address != "127.0.0.1:81" || n.Admin.Address != "127.0.0.1:82" || n.Freshness.TTL != 0 {
		t.Errorf("settings %+v, %v", n, err)
	}
	s.settings.laneKey = true
	for _, lane := range []bool{true, false} {
		o.lane = lane
		if want := "  address: 127.0.0.1:81\n  fast_lane: " + strconv.FormatBool(lane) + "\nadmin:"; !strings.Contains(o.settings(), want) {
			t.Errorf("%q is missing in:\n%s", want, o.settings())
		}
	}
}

func TestCounter(t *testing.T) {
	text := []byte("# HELP a b\na{by=\"x\"} 3\na{by=\"rendered\"} 1.5e+06\n")
	if n, err := counter(text, `a{by="rendered"}`); n != 1_500_000 || err != nil {
		t.Errorf("counter = %d, %v", n, err)
	}
	if _, err := counter(text, "b"); err == nil {
		t.Error("a metric that is not there was found")
	}
}

// The bare servers write the bytes and nothing else.
func TestConstantServers(t *testing.T) {
	body := []byte(strings.Repeat("余票", 3000))
	for name, handler := range map[string]http.Handler{"net/http": constantHTTP(body), "gin": constantGin(body)} {
		server := httptest.NewServer(handler)
		response, err := http.Get(server.URL + "/v1/availability?from=a")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		server.Close()
		if err != nil || string(got) != string(body) || response.Header.Get("Content-Type") != contentType || response.ContentLength != int64(len(body)) {
			t.Errorf("%s: %d bytes, length %d, %s, %v", name, len(got), response.ContentLength, response.Header.Get("Content-Type"), err)
		}
	}
}

func TestRoleArguments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"gin", "127.0.0.1:0"}, {"gin", "0.0.0.0:0", file}, {"apache", "127.0.0.1:0", file}, {"gin", "127.0.0.1:0", file + "x"}, {roleUsual, "127.0.0.1:0", file, "socket"}} {
		if err := runRole(t.Context(), args); err == nil {
			t.Errorf("role %q ended without an error", args)
		}
	}
}

// allowed is a core that this process may use.
func allowed(t *testing.T) core {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "Cpus_allowed_list:\t")
	n, err := strconv.ParseUint(list[:strings.IndexAny(list, ",-\n")], 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return core(n)
}

// A process that does not come up is named, with the end of its log; one that runs is stopped with its children.
func TestProcess(t *testing.T) {
	t.Setenv("YUPIAO_HTTP_ADDRESS", "0.0.0.0:80")
	p, err := start(t.TempDir(), allowed(t), "wrongd", "sh", "-c", `echo "no way$YUPIAO_HTTP_ADDRESS"; exit 3`)
	if err != nil {
		t.Fatal(err)
	}
	never := func(context.Context) error { return errors.New("not yet") }
	if err := p.await(t.Context(), never); err == nil || !strings.Contains(err.Error(), "wrongd ended by itself") || !strings.Contains(err.Error(), "  no way") || strings.Contains(err.Error(), "0.0.0.0") {
		t.Errorf("a process that ended: %v", err)
	}
	p.stop()

	p, err = start(t.TempDir(), allowed(t), "longd", "sh", "-c", "sleep 1000 & wait")
	if err != nil {
		t.Fatal(err)
	}
	ready := func(context.Context) error {
		all, err := tasks("/proc")
		if err == nil && len(family(all, p.pid())) < 2 {
			err = errors.New("no child yet")
		}
		return err
	}
	if err := p.await(t.Context(), ready); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.await(cancelled, never); !errors.Is(err, context.Canceled) {
		t.Errorf("await when interrupted: %v", err)
	}
	all, err := tasks("/proc")
	if err != nil {
		t.Fatal(err)
	}
	mine := family(all, p.pid())
	p.stop()
	gone := func() error {
		all, err := tasks("/proc")
		for _, pid := range mine {
			if all[pid].parent == p.pid() || pid == p.pid() && all[pid].parent == os.Getpid() {
				err = errors.New("still there")
			}
		}
		return err
	}
	if err := poll(t.Context(), gone); err != nil {
		t.Error(err)
	}
	(*process)(nil).stop() // one that never started
}
