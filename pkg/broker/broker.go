// Package broker runs a NATS server with JetStream inside a process: for the demo and for tests. It is apart from everything else because the
// server is three quarters of a program that links it; a query node does not.
package broker

import (
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
}

// Server is a running server. It is a feed.InProcess.
type Server struct {
	*server.Server
	// Replaced says that the wished-for port was taken.
	Replaced bool
}

// Start starts a server and waits until it is ready.
func Start(o Options) (*Server, error) {
	opts := &server.Options{
		ServerName: "yupiao", JetStream: true, StoreDir: o.Dir, DontListen: o.Address == "", NoSigs: true, NoLog: true,
		MaxPayload: 8 << 20, // a whole country's stations and cities are under 1 MiB; leave room
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
