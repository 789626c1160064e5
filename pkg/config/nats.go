package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/yupiao/yupiao/pkg/feed"
)

// TLS is how NATS servers are known, and known to: paths of PEM files.
type TLS struct {
	CA          string `mapstructure:"ca"`
	Certificate string `mapstructure:"certificate"`
	Key         string `mapstructure:"key"`
}

// Options are those of a connection to the feed.
func (f *Feed) Options() feed.Options {
	return feed.Options{URL: f.URL, Name: f.Name, User: f.User, Password: f.Password, Credentials: f.Credentials, Domain: f.Domain, TLS: feed.TLS(f.TLS)}
}

// Options are those of a connection to the feed, but for the name.
func (f *BookingFeed) Options() feed.Options {
	return feed.Options{URL: f.URL, User: f.User, Password: f.Password, Credentials: f.Credentials, Domain: f.Domain, TLS: feed.TLS(f.TLS)}
}

// ActOptions are those of a connection for operators' acts; false if they go over the node's own.
func (n *Node) ActOptions() (feed.Options, bool) {
	o := n.Feed.Options()
	o.User, o.Password, o.Credentials = n.Admin.NATSUser, n.Admin.NATSPassword, n.Admin.NATSCredentials
	o.Name += " acts"
	return o, o.User != "" || o.Credentials != ""
}

// login is one by name and password, or by a credentials file, or none. The password is never told.
func login(prefix, user, password, credentials string) error {
	switch {
	case user != "" && credentials != "":
		return invalid(prefix+"user", fmt.Sprintf("%q", user), "none beside "+prefix+"credentials")
	case user != "" && password == "":
		return invalid(prefix+"password", "empty", fmt.Sprintf("that of %suser %q (%s)", prefix, user, variable(prefix+"password")))
	case user == "" && password != "":
		return invalid(prefix+"user", "empty", "whose password "+variable(prefix+"password")+" is")
	}
	return nil
}

// domain is a word of a subject.
func domain(text string) error {
	if strings.ContainsAny(text, ".*> \t\r\n") {
		return invalid("feed.domain", fmt.Sprintf("%q", text), "one word, such as yupiao")
	}
	return nil
}

// validate reads the files, so that what cannot work is known before a server is asked.
func (t TLS) validate() error {
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return invalid("feed.tls.ca", fmt.Sprintf("%q", t.CA), "a file that can be read: "+err.Error())
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return invalid("feed.tls.ca", fmt.Sprintf("%q", t.CA), "a file with certificates in PEM")
		}
	}
	if (t.Certificate == "") != (t.Key == "") {
		return invalid("feed.tls.certificate", fmt.Sprintf("%q", t.Certificate), fmt.Sprintf("both it and feed.tls.key, which is %q, or none", t.Key))
	}
	if t.Certificate != "" {
		if _, err := tls.LoadX509KeyPair(t.Certificate, t.Key); err != nil {
			return invalid("feed.tls.certificate", fmt.Sprintf("%q", t.Certificate), fmt.Sprintf("a certificate in PEM whose key is in feed.tls.key, %q: %s", t.Key, err))
		}
	}
	return nil
}
