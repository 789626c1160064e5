package fleet

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/policy"
)

// Layers are a node's own settings and the shared ones over them (F1). Safe for concurrent use.
type Layers struct {
	policy atomic.Pointer[policy.Policy]

	mu sync.Mutex // guards what follows
	// In force.
	base     *config.Node
	shared   *Version // nil for none
	document *policy.Document
	// The node's own settings as they are now, and why they are not in force; base if they are.
	own    *config.Node
	misfit error
	// What was stored last, and why it is not in force.
	seen    uint64
	seenAt  time.Time
	refused error
}

// NewLayers begins with a node's own settings, which must be good.
func NewLayers(base *config.Node) *Layers {
	l := &Layers{base: base, own: base, document: &policy.Document{}}
	l.policy.Store(base.Policy())
	return l
}

// Policy in force. Do not modify it.
func (l *Layers) Policy() *policy.Policy { return l.policy.Load() }

// Base takes other settings of the node's own, which must be good. The error says why the shared ones cannot lie over them; then everything stays as it is.
func (l *Layers) Base(own *config.Node) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own = own
	if err := l.document.Over(own.Policy()).Validate(); err != nil {
		l.misfit = fmt.Errorf("the node's own settings are good, but %s cannot lie over them: %w", l.shared.name(), err)
		return l.misfit
	}
	l.hold(l.shared, l.document)
	return nil
}

// hold puts shared settings in force, over the node's own.
func (l *Layers) hold(v *Version, d *policy.Document) {
	l.shared, l.document, l.base, l.misfit = v, d, l.own, nil
	l.policy.Store(d.Over(l.own.Policy()))
}

// Share takes what was stored last, nil for nothing (F5). The error says why it is refused; then everything stays as it is (F2). Changed says that it is new,
// refused or not.
func (l *Layers) Share(s *feed.Stored) (changed bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == nil || s.Sequence == l.seen && s.At.Equal(l.seenAt) {
		return false, l.refused
	}
	l.seen, l.seenAt = s.Sequence, s.At
	v, err := decode(s)
	if err == nil {
		err = l.take(v)
	}
	l.refused = err
	return true, err
}

func (l *Layers) take(v *Version) error {
	d, err := parse(v.Document, v.name(), l.own)
	if err == nil {
		l.hold(v, d)
	}
	return err
}

// parse reads a document that is to lie over a node's settings; an empty one says nothing.
func parse(document, source string, base *config.Node) (*policy.Document, error) {
	if document == "" {
		return &policy.Document{}, nil
	}
	return config.ParseDocument([]byte(document), source, base.Policy())
}

// Under is the policy that would be in force here if a document were shared; the error says why it would be refused.
func (l *Layers) Under(document string) (*policy.Policy, error) {
	l.mu.Lock()
	base := l.own
	l.mu.Unlock()
	d, err := parse(document, "the document", base)
	if err != nil {
		return nil, err
	}
	return d.Over(base.Policy()), nil
}

// Version of the shared settings that is in force, 0 for none.
func (l *Layers) Version() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shared == nil {
		return 0
	}
	return l.shared.Number
}

// Refused says why what was stored last, or the node's own settings, are not in force; nil if they are.
func (l *Layers) Refused() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.misfit, l.refused)
}

// Settings tells what is in force and where it comes from.
func (l *Layers) Settings() Settings {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Settings{}
	if l.shared != nil {
		s.Version = l.shared.Number
	}
	if l.refused != nil {
		s.Refused, s.RefusedVersion = l.refused.Error(), l.seen
	}
	if l.misfit != nil {
		s.FileRefused = l.misfit.Error()
	}
	p := l.policy.Load()
	e, own := p.Defaults, &l.document.Freshness
	for _, v := range []struct {
		key    string
		value  any
		shared bool
	}{
		{"freshness.ttl", e.TTL, own.TTL != nil},
		{"freshness.client_max_age", e.ClientMaxAge, own.ClientMaxAge != nil},
		{"freshness.stale_while_revalidate", e.StaleWhileRevalidate, own.StaleWhileRevalidate != nil},
		{"freshness.degraded_after", e.DegradedAfter, own.DegradedAfter != nil},
		{"freshness.refuse_after", e.RefuseAfter, own.RefuseAfter != nil},
	} {
		s.Values = append(s.Values, Value{v.key, fmt.Sprint(v.value), l.from(v.shared, v.key)})
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		out := Rule{Name: r.Name, When: r.When.String(), Effects: r.Change.String(), From: l.from(l.document.RulesGiven, fmt.Sprintf("rules[%d]", i))}
		if r.Auto != nil {
			out.Auto = r.Auto.String()
		}
		s.Rules = append(s.Rules, out)
	}
	return s
}

func (l *Layers) from(shared bool, key string) string {
	switch {
	case shared:
		return fmt.Sprintf("shared %d", l.shared.Number)
	case l.base.Origins[key] != "":
		return l.base.Origins[key]
	default:
		return "default"
	}
}
