//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/pkg/cluster"
	"github.com/yupiao/yupiao/pkg/link"
)

// fault is something that goes wrong, and what ends it.
type fault struct {
	name string
	// lacks says what it needs and does not have; empty for nothing.
	lacks string
	do    func(ctx context.Context) error
	lift  func(ctx context.Context) error // nil: it ends by itself when do returns
}

const (
	leader   = "leader"   // the server that orders the stream of changes
	follower = "follower" // one of the others
)

// name is a process by its name or its part.
func (s *stage) name(ctx context.Context, part string) (string, error) {
	if part != leader && part != follower {
		return part, nil
	}
	first, err := s.cluster.Leader(ctx)
	if err != nil || part == leader {
		return first, err
	}
	for i := range cluster.Servers {
		if other := fmt.Sprintf("nats-%d", i+1); other != first {
			return other, nil
		}
	}
	return "", fmt.Errorf("%s leads, and there is no other", first)
}

// kill kills processes, which stay away until the fault is lifted.
func (s *stage) kill(parts ...string) fault {
	var names []string
	f := fault{}
	f.do = func(ctx context.Context) error {
		names = nil
		for _, part := range parts {
			name, err := s.name(ctx, part)
			if err != nil {
				return err
			}
			names = append(names, name)
		}
		for _, name := range names {
			if err := s.cluster.KeepAway(name, true); err != nil {
				return err
			}
			if err := s.cluster.Signal(name, syscall.SIGKILL); err != nil {
				return err
			}
		}
		return nil
	}
	f.lift = func(context.Context) error {
		for _, name := range names {
			if err := s.cluster.KeepAway(name, false); err != nil {
				return err
			}
		}
		return nil
	}
	return f
}

// halt stops a process, which goes on when the fault is lifted.
func (s *stage) halt(part string) fault {
	var name string
	return fault{
		do: func(ctx context.Context) (err error) {
			if name, err = s.name(ctx, part); err != nil {
				return err
			}
			return s.cluster.Signal(name, syscall.SIGSTOP)
		},
		lift: func(context.Context) error { return s.cluster.Signal(name, syscall.SIGCONT) },
	}
}

// storm makes weather on links; the leader's name may stand in the pattern as LEADER.
func (s *stage) storm(pattern string, w link.Weather) fault {
	var where string
	return fault{
		do: func(ctx context.Context) error {
			where = pattern
			if strings.Contains(pattern, "LEADER") {
				name, err := s.cluster.Leader(ctx)
				if err != nil {
					return err
				}
				where = strings.ReplaceAll(pattern, "LEADER", name)
			}
			return s.weather(where, w)
		},
		lift: func(context.Context) error { return s.weather(where, link.Weather{}) },
	}
}

// unplug takes the leader off the network: what is on the way to it and from it is lost.
func (s *stage) unplug() fault {
	var name string
	return fault{
		lacks: s.noRoot,
		do: func(ctx context.Context) (err error) {
			if name, err = s.name(ctx, leader); err != nil {
				return err
			}
			return s.net.plug(ctx, name, false)
		},
		lift: func(ctx context.Context) error { return s.net.plug(ctx, name, true) },
	}
}

// fill fills the disk of a process. A NATS server is started again once there is room, as an operator would do.
func (s *stage) fill(part string) fault {
	var name, ballast string
	return fault{
		lacks: s.noRoot,
		do: func(ctx context.Context) (err error) {
			if name, err = s.name(ctx, part); err != nil {
				return err
			}
			folder := name
			if part == "bookingd" {
				folder = databaseDisk
			}
			ballast = filepath.Join(s.dir, folder, "ballast")
			return fillWith(ballast)
		},
		lift: func(context.Context) error {
			if err := os.Remove(ballast); err != nil || !isServer(name) {
				return err
			}
			return s.cluster.Signal(name, syscall.SIGTERM)
		},
	}
}

// fillWith writes a file until nothing more goes onto its disk.
func fillWith(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	for size := 1 << 20; size > 0; {
		if n, err := f.Write(make([]byte, size)); err != nil || n < size {
			size /= 2
		}
	}
	return f.Close()
}

// roll ends one node after the other in order, each when the one before is back.
func (s *stage) roll() fault {
	return fault{do: func(ctx context.Context) error {
		for i := range cluster.Nodes {
			name := fmt.Sprintf("node-%d", i+1)
			starts := s.cluster.Starts(name)
			if err := s.cluster.Signal(name, syscall.SIGTERM); err != nil {
				return err
			}
			at := time.Now()
			if err := await(ctx, name+" is back", func() bool {
				return s.cluster.Starts(name) > starts && s.cluster.Ready() == cluster.Nodes && s.askers.fresh(at) == cluster.Nodes
			}); err != nil {
				return err
			}
		}
		return nil
	}}
}

// switchOver starts other nodes, sends everybody there at once, and ends the first ones in order.
func (s *stage) switchOver() fault {
	return fault{do: func(ctx context.Context) error {
		var green []int
		for i := range spares {
			green = append(green, cluster.Nodes+i)
			if err := s.cluster.KeepAway(fmt.Sprintf("node-%d", cluster.Nodes+i+1), false); err != nil {
				return err
			}
		}
		if err := await(ctx, "the green nodes are live", func() bool {
			return !slices.ContainsFunc(green, func(i int) bool { return !s.isLive(ctx, s.cluster.NodeURLs()[i]) })
		}); err != nil {
			return err
		}
		if err := s.cluster.Use(green...); err != nil {
			return err
		}
		s.askers.use(green...)
		for i := range cluster.Nodes {
			name := fmt.Sprintf("node-%d", i+1)
			if err := s.cluster.KeepAway(name, true); err != nil {
				return err
			}
			if err := s.cluster.Signal(name, syscall.SIGTERM); err != nil {
				return err
			}
		}
		return await(ctx, "the blue nodes have ended", func() bool {
			for i := range cluster.Nodes {
				if s.cluster.Signal(fmt.Sprintf("node-%d", i+1), syscall.Signal(0)) == nil {
					return false
				}
			}
			return true
		})
	}}
}

// isLive: a node answers, and its answer is live.
func (s *stage) isLive(ctx context.Context, url string) bool {
	got, _, failure := fetch(ctx, &http.Client{Timeout: directPatience}, url+s.askers.path())
	return failure == "" && got.live
}

// faults are all that there are, in the order in which they are tried. The last one leaves other nodes behind.
func faults(s *stage) []fault {
	slow := link.Weather{Latency: 200 * time.Millisecond, Jitter: 100 * time.Millisecond}
	stalled, halfOpen, cut := link.Weather{Way: link.Stalled}, link.Weather{Way: link.HalfOpen}, link.Weather{Way: link.Cut}
	named := func(name string, f fault) fault {
		f.name = name
		return f
	}
	const routes = "LEADER>nats-.|nats-.>LEADER"
	return []fault{
		{name: "nothing", do: func(context.Context) error { return nil }, lift: func(context.Context) error { return nil }},
		named("kill -9: NATS leader", s.kill(leader)),
		named("kill -9: NATS follower", s.kill(follower)),
		named("kill -9: all NATS servers", s.kill("nats-1", "nats-2", "nats-3")),
		named("kill -9: bookingd", s.kill("bookingd")),
		named("kill -9: a node", s.kill("node-1")),
		named("kill -9: all nodes", s.kill("node-1", "node-2", "node-3")),
		named("SIGSTOP: NATS leader", s.halt(leader)),
		named("SIGSTOP: bookingd", s.halt("bookingd")),
		named("SIGSTOP: a node", s.halt("node-2")),
		named("nodes-NATS: 200 +- 100 ms each way", s.storm("node-.>nats-.", slow)),
		named("a node-NATS: stalled", s.storm("node-1>nats-.", stalled)),
		named("a node-NATS: cut", s.storm("node-2>nats-.", cut)),
		named("a node-NATS: half-open", s.storm("node-3>nats-.", halfOpen)),
		named("bookingd-NATS: 200 +- 100 ms each way", s.storm("bookingd>nats-.", slow)),
		named("bookingd-NATS: stalled", s.storm("bookingd>nats-.", stalled)),
		named("bookingd-NATS: cut", s.storm("bookingd>nats-.", cut)),
		named("bookingd-NATS: half-open", s.storm("bookingd>nats-.", halfOpen)),
		named("balancer-a node: 200 +- 100 ms each way", s.storm("balancer>node-1", slow)),
		named("balancer-a node: stalled", s.storm("balancer>node-1", stalled)),
		named("balancer-a node: cut", s.storm("balancer>node-2", cut)),
		named("balancer-a node: half-open", s.storm("balancer>node-3", halfOpen)),
		named("NATS routes: leader away, cut", s.storm(routes, cut)),
		named("NATS routes: leader away, half-open", s.storm(routes, halfOpen)),
		named("network namespace: leader unplugged", s.unplug()),
		named("disk full: NATS leader", s.fill(leader)),
		named("disk full: bookingd", s.fill("bookingd")),
		named("rolling restart of the nodes", s.roll()),
		named("blue-green switch", s.switchOver()),
	}
}
