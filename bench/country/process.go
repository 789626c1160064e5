//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/config"
	nodes "github.com/yupiao/yupiao/pkg/node"
)

// Parts that this program plays in processes of their own.
const (
	brokerPart = "broker"
	nodePart   = "node"
)

// startBroker starts a NATS server on files of its own and tells its URL.
func (b *run) startBroker(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	c, err := process.Start(false, self, brokerPart, filepath.Join(b.dir, name))
	if err != nil {
		return "", err
	}
	b.ending = append(b.ending, c.Stop)
	line, err := c.Lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("start broker: %w", err)
	}
	address := strings.TrimSpace(line)
	go c.Rest()
	return address, process.Loopback(address)
}

// playBroker is the process of startBroker. It ends when it is told so, or when nobody holds its standard input any more.
func playBroker(ctx context.Context, dir string) error {
	s, err := broker.Start(broker.Options{Dir: dir, Address: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Println(s.URL())
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is what is waited for
		cancel()
	}()
	<-ctx.Done()
	return nil
}

// node is a query node in a process of its own.
type node struct {
	*process.Child
	started     time.Time
	http, admin string // base URLs
}

// startNode starts the real query node on a feed.
func (b *run) startNode(feed string) (*node, error) {
	file, err := os.CreateTemp(b.dir, "yupiaod-*.yaml")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(file, "http: {address: \"127.0.0.1:0\"}\nadmin: {address: \"127.0.0.1:0\"}\nfeed: {url: %q, name: country}\nstreams: {max_per_client: %d}\n", feed, watchers)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	n := &node{started: time.Now()}
	if n.Child, err = process.Start(true, b.program, "--config", file.Name()); err != nil {
		return nil, err
	}
	b.ending = append(b.ending, n.Stop)
	n.http, n.admin, err = n.Listening()
	return n, err
}

// startMovable starts a node whose clock move moves.
func (b *run) startMovable(feed string) (*node, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := &node{started: time.Now()}
	if n.Child, err = process.Start(false, self, nodePart, feed); err != nil {
		return nil, err
	}
	b.ending = append(b.ending, n.Stop)
	n.http, n.admin, err = n.Listening()
	return n, err
}

// move puts the clock of a movable node so much forward.
func (n *node) move(by time.Duration) error {
	_, err := fmt.Fprintln(n.Stdin, by)
	return err
}

// playNode is the process of startMovable: a query node that reads from its standard input how far its clock is ahead.
func playNode(ctx context.Context, feed string) error {
	var ahead atomic.Int64
	settings := config.DefaultNode()
	settings.HTTP.Address, settings.Admin.Address, settings.Feed.URL = "127.0.0.1:0", "127.0.0.1:0", feed
	n, err := nodes.New(settings, nodes.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		return err
	}
	fmt.Printf("{\"msg\":\"listening\",\"http\":%q,\"admin\":%q}\n", n.Address(), n.AdminAddress())
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if by, err := time.ParseDuration(lines.Text()); err == nil {
				ahead.Store(int64(by))
			}
		}
	}()
	return n.Run(ctx)
}
