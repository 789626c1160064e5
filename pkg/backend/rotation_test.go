package backend_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/bearer"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/store"
	"github.com/yupiao/yupiao/pkg/testkit"
)

const (
	oldKey = "old:00112233445566778899aabbccddeeff"
	newKey = "new:ffeeddccbbaa99887766554433221100"
)

// O3 of package offer and Y2 of package payment, on the whole way: keys are changed in files while travellers hand tokens back, and nobody is refused. What is signed with no key of now is.
func TestRotationRefusesNobody(t *testing.T) {
	server, folder := testkit.Broker(t), t.TempDir()
	file := func(name string, lines ...string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s := settings(testkit.SQLite(t), "")
	s.Offers.KeysFile, s.Payment.WebhookSecrets = file("backend", oldKey), config.Secrets{"the secret before"}
	b := run(t, s, backend.Options{InProcess: server}).leads(t)
	published(t, client(b.Address()))
	ns := [2]config.Node{config.DefaultNode(), config.DefaultNode()}
	var nodes [2]*node.Node
	for i := range nodes {
		ns[i].Offers.KeysFile = file(fmt.Sprint("node", i), oldKey)
		nodes[i] = query(t, ns[i], node.Options{InProcess: server})
		testkit.Eventually(t, "an answer with offers", func() bool { return len(offersOf(t, nodes[i])) == 9 })
	}
	before := offersOf(t, nodes[0])[0]

	post := func(c *crowd.Client, key string, o offered) int {
		status, _ := c.Call(http.MethodPost, "/v1/reservations", map[string]any{"run": o.run, "class": o.class, "from": 0, "to": 4, "passengers": 1, "offer": o.token}, nil, "Idempotency-Key", key)
		return status
	}
	var handed, refused, signedNew atomic.Int64
	stop := testkit.Run(t, func(ctx context.Context) error {
		c := client(b.Address())
		for i := 0; ctx.Err() == nil; i++ {
			for j, o := range offersOf(t, nodes[i%2]) {
				if status := post(c, fmt.Sprintf("%d-%d", i, j), o); status != http.StatusCreated && status != http.StatusConflict { // sold out: the token was taken
					refused.Add(1)
					t.Errorf("a token was refused: %d", status)
				}
				handed.Add(1)
			}
		}
		return nil
	})
	more := func(what string) {
		t.Helper()
		from := handed.Load()
		testkit.Eventually(t, "tokens handed back "+what, func() bool { return handed.Load() >= from+40 })
	}
	backendHas := func(secrets config.Secrets, lines ...string) {
		file("backend", lines...)
		if s.Payment.WebhookSecrets = secrets; b.Follow(&s) != nil {
			t.Error("keys refused")
		}
	}
	more("under the old key")
	backendHas(config.Secrets{"the secret before", "the secret after"}, oldKey, newKey) // whoever verifies comes first
	more("when both are known")
	for i := range nodes {
		file(fmt.Sprint("node", i), newKey, oldKey)
		nodes[i].Follow(&ns[i])
		more("while nodes sign with either")
	}
	backendHas(config.Secrets{"the secret after"}, newKey)
	more("under the new key")
	stop()
	for _, n := range nodes {
		for _, o := range offersOf(t, n) {
			if o.token != "" && o.token[:5] != before.token[:5] { // its beginning names the key
				signedNew.Add(1)
			}
		}
	}
	t.Logf("%d tokens handed back, %d refused", handed.Load(), refused.Load())
	if signedNew.Load() == 0 {
		t.Error("no token is signed with the new key")
	}
	c, now := client(b.Address()), offersOf(t, nodes[0])[0]
	changed := []byte(now.token)
	changed[len(changed)/2] ^= 1
	for what, token := range map[string]string{"of-the-old-key": before.token, "changed": string(changed), "cut": now.token[:len(now.token)-1], "nonsense": "nonsense"} {
		o := now
		if o.token = token; what == "of-the-old-key" {
			o = before
		}
		if status := post(c, what, o); status != http.StatusUnprocessableEntity {
			t.Errorf("a token that is %s: %d", what, status)
		}
	}
	for secret, want := range map[string]int{"the secret before": http.StatusUnauthorized, "the secret after": http.StatusNotFound} {
		body := []byte(`{"payment":"p_none","outcome":"succeeded","amount":1,"currency":"CNY"}`)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.Address()+"/v1/payments/webhook", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(payment.SignatureHeader, payment.Secrets{[]byte(secret)}.Sign(body, time.Now()))
		if status, text := do(t, r); status != want {
			t.Errorf("a webhook signed with %s: %d %s", secret, status, text)
		}
	}
	bad := s
	bad.Offers.KeysFile = file("bad", "nonsense")
	if b.Follow(&bad) == nil || post(c, "after-a-bad-file", now) == http.StatusUnprocessableEntity {
		t.Error("a bad file of keys did not leave the good ones")
	}
}

func do(t *testing.T, r *http.Request) (status int, text string) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // it was read
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// marker is every secret of the next test: hexadecimal, so that it can be a key's, too.
const marker = "5ec2e75ec2e75ec2e75ec2e75ec2e7aa"

// told is where a secret could be told.
type told struct {
	t   *testing.T
	all int
}

func (o *told) hold(where, text string) {
	o.t.Helper()
	o.all++
	for _, form := range []string{marker, marker[:12], strings.ToUpper(marker), fmt.Sprintf("%x", marker)} {
		if strings.Contains(text, form) {
			o.t.Errorf("%s tells a secret: %s", where, text)
		}
	}
}

// C6: no secret is in what a node and a backend log, answer and refuse, whatever goes wrong.
func TestSecretsAreNotTold(t *testing.T) {
	o, log := &told{t: t}, &testkit.Log{}
	for name, value := range map[string]string{
		"ADMIN_TOKEN": marker, "FEED_USER": "ann", "FEED_PASSWORD": marker, "ADMIN_NATS_USER": "bob", "ADMIN_NATS_PASSWORD": marker, "OFFERS_KEYS": "k1:" + marker, "PAYMENT_WEBHOOK_SECRETS": marker,
		"LOG_LEVEL": "debug", "HTTP_ADDRESS": "127.0.0.1:0", "ADMIN_ADDRESS": "127.0.0.1:0", "FEED_URL": "nats://ann:" + marker + "@127.0.0.1:1", "HTTP_ACCESS_LOG": "1.0", "NAME": "test",
	} {
		t.Setenv("YUPIAO_"+name, value)
	}
	ns, err := config.LoadNode("")
	if err != nil {
		t.Fatal(err)
	}
	set := 0
	for _, s := range ns.Settings() {
		if s.Secret && s.Value == "***" {
			set++
		} else if s.Secret {
			t.Errorf("%s is not tried here", s.Key)
		}
	}
	bs, err := config.LoadBooking("")
	if err != nil || set != 4 {
		t.Fatalf("%d secrets of a node are set; %v", set, err)
	}
	bs.Database, bs.Formations = testkit.SQLite(t), smallRules()
	o.hold("the settings", fmt.Sprintf("%v %+v", ns.Settings(), bs.Payment))

	_, err = node.New(ns, node.Options{Log: slog.New(slog.NewJSONHandler(log, nil))}) // no server is there
	o.hold("a node without a feed", fmt.Sprint(err))
	if err == nil {
		t.Error("a node connected to nothing")
	}
	for _, address := range []string{"postgres://ann:" + marker + "@127.0.0.1:1/x", "postgres://ann:" + marker + "@127.0.0.1:port/x", "postgres://ann:" + marker + "@[::1/x", marker} {
		_, err := store.Open(t.Context(), address)
		o.hold("a database that is not there", fmt.Sprint(err))
		if err == nil {
			t.Error("a database opened")
		}
	}
	server, verbose := testkit.Broker(t), slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b := run(t, bs, backend.Options{InProcess: server, Log: verbose, Schedule: schedule()})
	testkit.Eventually(t, "the lead", func() bool { return b.Status().Leading })
	n, err := node.New(ns, node.Options{InProcess: server, Log: verbose})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, n.Run)
	testkit.Eventually(t, "a node that is ready", func() bool { return n.Follower().Replica() != nil })

	ask := func(method, address, path, body string, headers ...string) {
		for _, token := range []string{"", "wrong", marker} {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			bearer.Show(r, token)
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			status, text := do(t, r)
			o.hold(fmt.Sprint(method, " ", path, ": ", status), text)
		}
	}
	for _, path := range []string{"/metrics", "/node/config", "/node/history", "/fleet/nodes", "/fleet/acts", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/none", "/"} {
		ask(http.MethodGet, n.AdminAddress(), path, "")
	}
	ask(http.MethodPost, n.AdminAddress(), "/fleet/settings", "{")
	ask(http.MethodPost, n.AdminAddress(), "/fleet/drain", `{"node":"none","by":"ann"}`)
	ask(http.MethodGet, n.Address(), "/v1/availability?from=S00&to=S04&offers=true&date="+day().String(), "")
	ask(http.MethodGet, n.Address(), "/v1/availability?from=none", "")
	for _, path := range []string{"/admin/v1/status", "/readyz", "/v1/reservations/none", "/none"} {
		ask(http.MethodGet, b.Address(), path, "")
	}
	ask(http.MethodPost, b.Address(), "/admin/v1/resync?date=x", "")
	ask(http.MethodPost, b.Address(), "/v1/payments/webhook", "{}", payment.SignatureHeader, "t=1,v1=00")
	ask(http.MethodPost, b.Address(), "/v1/reservations", `{"run":"x","offer":"nonsense"}`, "Idempotency-Key", "k")
	ask(http.MethodPost, b.Address(), "/v1/reservations", fmt.Sprintf(`{"run":%q,"class":"O","from":0,"to":4,"passengers":1,"offer":"nonsense"}`, runs()[0].String()), "Idempotency-Key", "k")
	if !strings.Contains(log.String(), `"msg":"request"`) {
		t.Error("nothing was logged")
	}
	for line := range strings.Lines(log.String()) {
		o.hold("the log", line)
	}

	file := filepath.Join(t.TempDir(), "secret")
	for name, value := range map[string]string{
		"OFFERS_KEYS": marker, "ADMIN_TOKEN": marker[:13], "PAYMENT_WEBHOOK_SECRETS": marker[:13], "OFFERS_KEYS_FILE": file, "FEED_USER": "", "FEED_PASSWORD_FILE": file, "ADMIN_TOKEN_FILE": file, "PAYMENT_WEBHOOK_SECRETS_FILE": file,
	} {
		if err := os.WriteFile(file, []byte(marker), 0o600); err != nil {
			t.Fatal(err)
		}
		was := os.Getenv("YUPIAO_" + name)
		t.Setenv("YUPIAO_"+name, value)
		_, first := config.LoadNode("")
		_, second := config.LoadBooking("")
		o.hold("settings with a bad "+name, fmt.Sprint(first, second))
		if first == nil && second == nil {
			t.Errorf("%s: taken", name)
		}
		t.Setenv("YUPIAO_"+name, was)
	}
	t.Logf("%d texts were looked at", o.all)
}
