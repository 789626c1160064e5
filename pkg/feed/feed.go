// Package feed carries events over NATS JetStream: a Publisher that keeps a booking backend's duties, and a Reader that brings the
// events to a replica. It is the only package that knows NATS.
//
// The publisher's duties (cited by the tests as P1...):
//
//	P1 Deltas of one run are published in Revision order, each after the change is committed, at least once.
//	P2 A RunState is published when a run opens, whenever something other than an adjust changes, every StateEvery deltas, and long
//	   before the run's oldest delta not covered by a RunState leaves the delta stream: state + retained deltas always reach the present. Where that
//	   cannot be kept, since no state passes, there is no heartbeat before deltas expire, and then everything is published again (P6). A bookmark says up to when deltas are covered;
//	   whoever takes charge publishes every state within a twelfth of the deltas' life. All states, the network and
//	   the patterns are published again, slowly and without end, for what nobody noticed; the network and the patterns at once when somebody else has written beside them.
//	P3 One publisher is in charge of a partition at a time. Taking charge moves the partition's last sequence, so that the next
//	   publish of the former one is refused by the server (expected last sequence): it is fenced off, not merged. Each batch says by a checksum which message
//	   it comes after, so that a partition is a chain: whoever has read another link in its place knows that the stream fell back, however long it has become since.
//	P4 Every change of a Version passes through the delta stream. One that is no sum of adjusts is a restated delta, right after its
//	   RunState. So the delta stream alone orders and proves all versions, and marks of it prove freshness.
//	P5 A heartbeat's time advances only as far as the backend says that every committed change was acknowledged.
//	P6 A stream that vanished, was recreated or rolled back is noticed and everything is published again. Until that is done there is no
//	   heartbeat, and from then on batches and heartbeats say how often it was, whoever publishes. Whoever takes charge and finds that it was more often than
//	   its bookmark says does it once more: who did it may have been deposed, and not have known all; and so does one that finds another message in its bookmark's place, as whoever is in charge looks for
//	   the last one that was acknowledged: a stream may also go back to a past in which it was longer. Heartbeats say how far the streams of reference data and states had
//	   come, so that a node which finds less there takes none for a proof before that is noticed.
//
// JetStream is a transport that can be rebuilt, never the record: an acknowledged message may still be lost by a crash of its servers.
package feed

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Errors of the feed.
var (
	// ErrFenced: another publisher took charge of the partition. The caller must stop publishing: what it has not published, the other will.
	ErrFenced = errors.New("fenced off by another publisher")
	// ErrDiverged: the stream is not the one that was read before, or has lost messages that are still needed. Load again into a new sink.
	ErrDiverged = errors.New("stream diverged")
	// ErrStream: a stream is missing or its limits are not those of the contract.
	ErrStream = errors.New("unfit stream")
	// ErrDenied: the servers do not let this connection's user do that.
	ErrDenied = errors.New("not permitted")
)

// DeltaStream is the stream whose sequences are marks in heartbeats and positions.
const DeltaStream = "YUPIAO_DELTA"

// Streams and subjects of the contract.
const (
	streamReference = "YUPIAO_REFERENCE"
	streamState     = "YUPIAO_STATE"
	streamDelta     = DeltaStream

	subjectRoot      = "yupiao.v1."
	subjectNetwork   = subjectRoot + "network"
	subjectPattern   = subjectRoot + "pattern."
	subjectState     = subjectRoot + "state."
	subjectDelta     = subjectRoot + "delta."
	subjectHeartbeat = subjectRoot + "heartbeat"
	subjectRepair    = subjectRoot + "repair"
	subjectVersions  = subjectRoot + "versions"
	subjectOutcome   = subjectRoot + "outcome"

	headerContentType = "Content-Type"
)

// streams are those of the feed, in the order in which they are to be read (R6 of package replica).
var streams = []string{streamReference, streamState, streamDelta}

func stateSubject(run rail.RunID) string { return subjectState + run.String() }

func deltaSubject(p rail.Partition) string { return subjectDelta + strconv.Itoa(int(p)) }

// StatePosition is where a run's last RunState is: the stream keeps no other.
func StatePosition(run rail.RunID) Position { return Position{Subject: stateSubject(run)} }

// DeltaPosition is where a message of deltas is.
func DeltaPosition(p rail.Partition, sequence uint64) Position {
	return Position{deltaSubject(p), sequence}
}

// runOfSubject is the run of a state subject.
func runOfSubject(subject string) (rail.RunID, error) {
	run, found := strings.CutPrefix(subject, subjectState)
	if !found {
		return rail.RunID{}, fmt.Errorf("subject %q; want %sYYYYMMDD.trip", subject, subjectState)
	}
	return rail.ParseRunID(run)
}

func partitionOfSubject(subject string) (rail.Partition, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(subject, subjectDelta), 10, 8)
	if err != nil || n >= rail.Partitions {
		return 0, fmt.Errorf("%w: subject %q; want %s0 to %s%d", event.ErrBroken, subject, subjectDelta, subjectDelta, rail.Partitions-1)
	}
	return rail.Partition(n), nil
}

// InProcess is an embedded server that can be reached without the network.
type InProcess interface {
	InProcessConn() (net.Conn, error)
}

// Options of a connection.
type Options struct {
	// URL of one or several servers, separated by commas. Not used with InProcess.
	URL string
	// InProcess, if set, is connected to directly.
	InProcess InProcess
	// Name shows up in the server's monitoring.
	Name string
	// Credentials is the path of a NATS credentials file; empty for none.
	Credentials string
	// User and Password log in to servers that know them so; empty for none.
	User, Password string
	// TLS, if any of it is set, is wanted of the servers.
	TLS TLS
	// Domain is that of JetStream; empty for the servers' own.
	Domain string
	// OnState, if set, is told when the connection is lost (err set) and back (err nil).
	OnState func(err error)
	// OnTrouble, if set, is told of what ends nothing by itself, such as that the server does not permit something (ErrDenied).
	OnTrouble func(err error)
}

// TLS is how servers prove who they are, and a client to them: paths of PEM files.
type TLS struct {
	// CA holds the certificates that those of the servers must go back to; empty: the system's.
	CA string
	// Certificate and Key are the client's own; both or none.
	Certificate, Key string
}

func (t TLS) options() (all []nats.Option) {
	if t.CA != "" {
		all = append(all, nats.RootCAs(t.CA))
	}
	if t.Certificate != "" {
		all = append(all, nats.ClientCert(t.Certificate, t.Key))
	}
	return all
}

// Conn is a connection to the feed. It reconnects for ever. Safe for concurrent use.
type Conn struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	denials denials
}

// Connect opens a connection. It fails if no server answers within a few seconds.
func Connect(o Options) (*Conn, error) {
	opts := []nats.Option{
		nats.Name(o.Name), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(5 * time.Second),
	}
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	if o.Credentials != "" {
		opts = append(opts, nats.UserCredentials(o.Credentials))
	}
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password))
	}
	opts = append(opts, o.TLS.options()...)
	c := &Conn{}
	opts = append(opts, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		c.denials.tell(err)
		if errors.Is(err, nats.ErrPermissionViolation) {
			err = fmt.Errorf("%w: %w", ErrDenied, err)
		}
		if o.OnTrouble != nil {
			o.OnTrouble(err)
		}
	}))
	if o.OnState != nil {
		opts = append(opts,
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err != nil {
					o.OnState(err)
				}
			}),
			nats.ReconnectHandler(func(*nats.Conn) { o.OnState(nil) }))
	}
	nc, err := nats.Connect(o.URL, opts...)
	if err != nil {
		if text := new(url.Error); errors.As(err, &text) {
			err = text.Err // the other words are the URL
		}
		return nil, fmt.Errorf("connect to NATS at %q: %w%s", Redacted(o.URL), err, o.advice(err))
	}
	c.nc = nc
	if o.Domain == "" {
		c.js, err = jetstream.New(nc)
	} else {
		c.js, err = jetstream.NewWithDomain(nc, o.Domain)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return c, nil
}

// advice is what to look at when nobody is let in.
func (o Options) advice(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Sprintf(": the server does not know user %q with this password, or these credentials", o.User)
	case errors.As(err, &unknown):
		return fmt.Sprintf(": the server's certificate does not go back to %s", cmp.Or(o.TLS.CA, "an authority that the system knows"))
	case errors.As(err, &name):
		return ": the server's certificate is not of the host in its URL"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return ": the settings want TLS, and the server has none"
	}
	return ""
}

// Redacted is a list of servers, separated by commas, as it may be shown: without passwords and tokens.
func Redacted(servers string) string {
	all := strings.Split(servers, ",")
	for i, text := range all {
		all[i] = redacted(strings.TrimSpace(text))
	}
	return strings.Join(all, ",")
}

func redacted(server string) string {
	text := server
	if !strings.Contains(text, "://") {
		text = "nats://" + text // as the library reads it
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "":
		return "***"
	case u.User == nil:
		return server
	}
	who := "***" // a name alone is a token
	if _, both := u.User.Password(); both {
		who = u.User.Username() + ":***"
	}
	return u.Scheme + "://" + who + "@" + u.Host
}

// Close ends the connection. Readers and publishers on it end with an error.
func (c *Conn) Close() { c.nc.Close() }

// Limits of the streams.
type Limits struct {
	// DeltaAge is how long deltas are kept. Zero means 30 minutes.
	DeltaAge time.Duration
	// Replicas of each stream, 1 to 5. Zero means 1.
	Replicas int
}

func (l Limits) orDefault() Limits {
	if l.DeltaAge <= 0 {
		l.DeltaAge = 30 * time.Minute
	}
	if l.Replicas <= 0 {
		l.Replicas = 1
	}
	return l
}
