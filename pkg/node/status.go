package node

import (
	"errors"

	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/trial"
)

// status is what the node says of itself.
func (n *Node) status() fleet.Status {
	s := fleet.Status{Started: n.started, Settings: n.layers.Settings()}
	if err := n.options.Refused(); err != nil {
		s.Settings.FileRefused = err.Error()
	}
	s.Requests, s.HitRatio, s.CPU = n.meter.rates()
	if r := n.follower.Replica(); r != nil {
		s.Ready, s.Runs = true, r.Stats().Runs
		if age, proved := r.Age(n.options.Clock()); proved {
			seconds := age.Seconds()
			s.Age = &seconds
		}
	}
	for i := range s.Settings.Rules {
		r := &s.Settings.Rules[i]
		if ttl, why, ok := n.pilot.present(r.Name); ok && r.Auto != "" {
			r.TTL, r.Why = ttl.String(), why
		}
	}
	return s
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
