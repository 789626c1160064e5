package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/fleet"
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

// Config is part of admin.Node. What is in force may be neither the file's nor the environment's: what all nodes share lies over them, and an operator may have changed the log's level.
func (l local) Config() []config.Setting {
	all := l.settings.Load().Settings()
	inForce := l.layers.Settings().Values
	if v := l.options.Level; v != nil && v.Level() != l.settings.Load().Log.SlogLevel() {
		inForce = append(inForce, fleet.Value{Key: "log.level", Value: strings.ToLower(v.Level().String()), From: "an operator"})
	}
	for _, v := range inForce {
		if i := slices.IndexFunc(all, func(s config.Setting) bool { return s.Key == v.Key }); i >= 0 {
			all[i].Value, all[i].From = v.Value, v.From
		}
	}
	return all
}

// SetLevel is part of admin.Node.
func (l local) SetLevel(ctx context.Context, level, by string) (before string, err error) {
	want := config.Log{Level: level, Format: "json"}
	if err := fleet.Signed(by, ""); err != nil {
		return "", err
	}
	if want.Validate() != nil {
		return "", fmt.Errorf("%w: level is %.40q; want debug, info, warn or error", fleet.ErrInvalid, level)
	}
	now := l.options.Level
	if now == nil {
		return "", fmt.Errorf("%w: this node's log has a fixed level", fleet.ErrInvalid)
	}
	was, is := now.Level(), want.SlogLevel()
	before = strings.ToLower(was.String())
	now.Set(min(was, is))
	l.options.Log.Log(ctx, max(now.Level(), slog.LevelInfo), "log level", "by", by, "before", before, "after", level) // at a level at which it is heard, before and after
	now.Set(is)
	act := fleet.Act{By: by, What: "log", Target: l.settings.Load().Feed.Name, Before: before, After: level}
	return before, fleet.NewOperator(l.acts).Record(ctx, act)
}
