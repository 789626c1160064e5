// Package broker runs a NATS server with JetStream inside a process: for the demo and for tests. It is apart from everything else because the
// server is three quarters of a program that links it; a query node does not.
package broker

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ErrStart says that the server did not come up.
var ErrStart = errors.New("start embedded NATS")

// Options of a server.
type Options struct {
	// Dir keeps the streams. It must be set: streams are files.
	Dir string
	// Address to listen on, "host:port". A taken port is replaced by a free one. Empty: reachable only in process.
	Address string
	// Config is the path of a file in nats-server's own format, for all that is not said here, such as accounts and TLS. Empty for none.
	Config string
	// MaxPayload is the most bytes of a message, at most 64 MiB; 0: 8 MiB, in which a whole country's stations and cities have much room.
	MaxPayload int32
}

// Server is a running server. It is a feed.InProcess.
type Server struct {
	*server.Server
	// Replaced says that the wished-for port was taken.
	Replaced bool
}

// Start starts a server and waits until it is ready.
func Start(o Options) (*Server, error) {
	opts, err := o.read()
	if err != nil {
		return nil, err
	}
	s := &Server{}
	if o.Address != "" {
		if err := s.pickPort(o.Address, opts); err != nil {
			return nil, err
		}
	}
	inner, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	s.Server = inner
	go inner.Start()
	if !inner.ReadyForConnections(10 * time.Second) {
		inner.Shutdown()
		return nil, fmt.Errorf("%w: not ready within 10 s (store %s)", ErrStart, o.Dir)
	}
	if !inner.JetStreamEnabled() {
		inner.Shutdown()
		return nil, fmt.Errorf("%w: JetStream could not use %s", ErrStart, o.Dir)
	}
	return s, nil
}

// read is the file's options under ours.
func (o Options) read() (*server.Options, error) {
	opts := &server.Options{}
	if o.Config != "" {
		var err error
		if opts, err = server.ProcessConfigFile(o.Config); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStart, err)
		}
	}
	opts.ServerName, opts.JetStream, opts.StoreDir, opts.DontListen, opts.NoSigs, opts.NoLog = "yupiao", true, o.Dir, o.Address == "", true, true
	opts.MaxPayload = cmp.Or(o.MaxPayload, 8<<20)
	return opts, nil
}

// pickPort takes the wished-for port, or a free one if it is taken.
func (s *Server) pickPort(address string, opts *server.Options) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w: address %q: want host:port: %w", ErrStart, address, err)
	}
	opts.Host = host
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return fmt.Errorf("%w: address %q: want a numeric port", ErrStart, address)
	}
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
		return nil
	}
	probe, err := net.Listen("tcp", address)
	if err != nil {
		opts.Port, s.Replaced = server.RANDOM_PORT, true
		return nil
	}
	return probe.Close()
}

// URL is the address for clients; empty if the server does not listen.
func (s *Server) URL() string {
	if s.Addr() == nil {
		return ""
	}
	return s.ClientURL()
}

// Stop ends the server and waits until its files are closed.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}
