package node

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/trial"
)

// status is what the node says of itself.
func (n *Node) status() fleet.Status {
	s := fleet.Status{Started: n.started, State: fleet.Loading, Memory: resident(), Settings: n.layers.Settings()}
	if err := n.options.Refused(); err != nil {
		s.Settings.FileRefused = err.Error()
	}
	s.Requests, s.HitRatio, s.CPU = n.meter.rates()
	p99, errors := n.meter.searches()
	s.P99, s.Errors = p99.Seconds(), errors
	s.Streams, _ = n.server.Streams()
	if r := n.follower.Replica(); r != nil {
		stats := r.Stats()
		s.Ready, s.Runs, s.Behind, s.Quarantined, s.Lacking, s.Lag, s.State = true, stats.Runs, stats.Behind, stats.Quarantined, stats.Lacking, r.Lag(), fleet.Degraded
		if age, proved := r.Age(n.options.Clock()); proved {
			seconds := age.Seconds()
			s.Age = &seconds
			if age <= n.layers.Policy().Defaults.DegradedAfter && n.follower.Degraded() == "" {
				s.State = fleet.Live
			}
		}
	}
	if n.server.Draining() {
		s.State = fleet.Draining
	}
	for i := range s.Settings.Rules {
		r := &s.Settings.Rules[i]
		if ttl, why, ok := n.pilot.present(r.Name); ok && r.Auto != "" {
			r.TTL, r.Why = ttl.String(), why
		}
	}
	return s
}

// resident is what the process has in memory, in bytes; 0 where the system does not tell.
func resident() uint64 {
	data, err := os.ReadFile("/proc/self/statm") // Linux: pages, see proc(5)
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// drain drains the node, or takes that back, unless the node is leaving.
func (n *Node) drain(on bool) {
	n.drains.Lock()
	defer n.drains.Unlock()
	if on || n.leaving {
		on = true
		n.server.Drain()
	} else {
		n.server.Return()
	}
	if l := n.lane(); l != nil {
		l.Last(on)
	}
}

// refused says why settings that somebody wrote are not in force.
func (n *Node) refused() error { return errors.Join(n.options.Refused(), n.layers.Refused()) }

// try tells what a policy would do.
func (n *Node) try(tried *policy.Policy) (*trial.Report, error) {
	sample, err := n.answers.Sample()
	if err != nil {
		return nil, err
	}
	inForce := n.layers.Policy()
	sample.Auto = n.pilot.ttls(inForce)
	return trial.Compare(sample, inForce, tried, n.meter.costs()), nil
}

// point is the node at a moment, and how many events its replica has applied.
func (n *Node) point(now time.Time) (p Point, applied uint64) {
	s := n.status()
	if r := n.follower.Replica(); r != nil {
		applied = r.Stats().Applied
	}
	return Point{
		At: now, State: s.State, Requests: s.Requests, HitRatio: s.HitRatio, Errors: s.Errors, P99: s.P99, Age: s.Age, Lag: s.Lag, Behind: s.Behind + s.Quarantined,
		Streams: s.Streams, CPU: s.CPU, Memory: s.Memory,
	}, applied
}
