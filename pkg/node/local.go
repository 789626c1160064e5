package node

import (
	"errors"
	"math"
	"strings"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/trial"
)

// local is the node as its own admin listener tells of it.
type local struct{ *Node }

// History is part of admin.Node.
func (l local) History() []admin.Point { return l.history.all() }

// Hot is part of admin.Node.
func (l local) Hot(most int) ([]admin.Hot, error) {
	sample, err := l.answers.Sample()
	if errors.Is(err, trial.ErrIdle) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []admin.Hot
	for _, r := range sample.Routes(most) {
		all = append(all, admin.Hot{From: r.From.String(), To: r.To.String(), Days: r.Days, Requests: r.Requests})
	}
	return all, nil
}

// curveDays are those of a sale.
const curveDays = 15

// Curve is part of admin.Node.
func (l local) Curve() (all []admin.Day) {
	p := l.layers.Policy()
	ruling := func(f policy.Facts) (out admin.Ruling) {
		rule, effects := p.Match(&f)
		if rule == policy.None {
			return admin.Ruling{TTL: effects.TTL.Fixed.Seconds()}
		}
		out = admin.Ruling{Rule: p.Rules[rule].Name, TTL: effects.TTL.Fixed.Seconds(), Auto: effects.TTL.Auto}
		if out.Auto {
			ttl, _ := l.pilot.ttl(&p.Rules[rule])
			out.TTL = ttl.Seconds()
		}
		return out
	}
	for days := range curveDays {
		all = append(all, admin.Day{
			Days: days, Quiet: ruling(policy.Facts{Days: days}), Busy: ruling(policy.Facts{Days: days, Asked: math.MaxFloat64, Changed: math.MaxFloat64}),
		})
	}
	return all
}

// Config is part of admin.Node.
func (l local) Config() []config.Setting { return l.settings.Load().Settings() }

// SetLevel is part of admin.Node.
func (l local) SetLevel(level, by string) (before string, err error) {
	if l.options.Level == nil {
		return "", errors.New("this node's log has a fixed level")
	}
	want := config.Log{Level: level, Format: "json"}
	if err := want.Validate(); err != nil {
		return "", err
	}
	before = strings.ToLower(l.options.Level.Level().String())
	l.options.Level.Set(want.SlogLevel())
	l.options.Log.Info("log level", "by", by, "before", before, "after", level)
	return before, nil
}
