package feed_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/configs/nats"
	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// authority issues certificates into a folder.
type authority struct {
	t      *testing.T
	folder string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

// newAuthority writes its own certificate as ca.pem.
func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, folder: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes name.pem and name.key.
func (a *authority) issue(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.folder, name) }

// listening is a server with a settings file of its own, in the format of NATS, and its URL.
func listening(t *testing.T, settings string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := broker.Start(broker.Options{Dir: t.TempDir(), Address: "127.0.0.1:0", Config: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return "nats://" + s.Addr().String()
}

// With TLS, only a server whose certificate goes back to the right authority is talked to, and only a client that has one, where the server asks. What is wrong is said.
func TestTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	server := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	ours.issue("server", server)
	ours.issue("elsewhere", &x509.Certificate{DNSNames: []string{"nats.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	for _, a := range []*authority{ours, others} {
		a.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	with := func(name, more string) string {
		return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q%s }\n", ours.file(name+".pem"), ours.file(name+".key"), ours.file("ca.pem"), more)
	}
	plain, encrypted, elsewhere, asking := listening(t, ""), listening(t, with("server", "")), listening(t, with("elsewhere", "")), listening(t, with("server", ", verify: true"))
	own := feed.TLS{CA: ours.file("ca.pem"), Certificate: ours.file("client.pem"), Key: ours.file("client.key")}
	for name, tt := range map[string]struct {
		url  string
		tls  feed.TLS
		want string // of the error
	}{
		"the right authority":           {encrypted, feed.TLS{CA: own.CA}, ""},
		"another authority":             {encrypted, feed.TLS{CA: others.file("ca.pem")}, "the server's certificate does not go back to " + others.file("ca.pem")},
		"the system's authorities":      {encrypted, feed.TLS{}, "does not go back to an authority that the system knows"},
		"another host's certificate":    {elsewhere, feed.TLS{CA: own.CA}, "the server's certificate is not of the host in its URL"},
		"a server without TLS":          {plain, feed.TLS{CA: own.CA}, "the settings want TLS, and the server has none"},
		"its URL insists":               {strings.Replace(plain, "nats:", "tls:", 1), feed.TLS{}, "the settings want TLS, and the server has none"},
		"a certificate of our own":      {asking, own, ""},
		"none":                          {asking, feed.TLS{CA: own.CA}, "connect to NATS"},
		"one that the server knows not": {asking, feed.TLS{CA: own.CA, Certificate: others.file("client.pem"), Key: others.file("client.key")}, "connect to NATS"},
		"a file that is not there":      {encrypted, feed.TLS{CA: ours.file("none.pem")}, "none.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := feed.Connect(feed.Options{URL: tt.url, TLS: tt.tls})
			if err == nil {
				defer c.Close()
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q", err, tt.want)
			}
		})
	}
}

// Whoever is not known is not let in, and is told so; the password is in no error. TLS and accounts go together.
func TestLogin(t *testing.T) {
	for party, variable := range nats.Parties {
		t.Setenv(variable, testkit.Password(party))
	}
	ours := newAuthority(t)
	ours.issue("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	url := listening(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q }\n%s", ours.file("server.pem"), ours.file("server.key"), nats.Accounts))
	for _, o := range []feed.Options{{}, {User: "node", Password: "swordfish"}, {User: "nobody", Password: "swordfish"}, {User: "node", Password: testkit.Password(nats.Operator)}} {
		o.URL, o.TLS = url, feed.TLS{CA: ours.file("ca.pem")}
		_, err := feed.Connect(o)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the server does not know user %q", o.User)) || o.Password != "" && strings.Contains(err.Error(), o.Password) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	o := feed.Options{URL: url, TLS: feed.TLS{CA: ours.file("ca.pem")}, User: "operator", Password: testkit.Password(nats.Operator), Domain: nats.Domain}
	c := testkit.Connect(t, o)
	if err := c.Append(t.Context(), feed.SharedActs, []byte("{}")); err != nil {
		t.Error(err)
	}
}
