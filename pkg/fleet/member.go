package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/trial"
)

// lookEvery is how often a member looks at what is stored, whatever it hears.
const lookEvery = 5 * time.Second

// MemberOptions of a node.
type MemberOptions struct {
	Conn   *feed.Conn
	Layers *Layers
	// Name and Program are those of its Status.
	Name, Program string
	// Status tells the rest: all but ID, Name and Program.
	Status func() Status
	// Try tells what a policy would do, beside the one in force.
	Try func(tried *policy.Policy) (*trial.Report, error)
	// Replica to act on; nil while there is none. Holds are those of it.
	Replica func() *replica.Replica
	Holds   *replica.Holds
	// Drain drains the node, or takes that back.
	Drain func(on bool)
	// Changed, if set, is called when other shared settings are in force.
	Changed func()
	Log     *slog.Logger
}

// Member is a node as one of the fleet.
type Member struct {
	o  MemberOptions
	id atomic.Pointer[string]
	// held is what was stored last and is in force; nil for none.
	held atomic.Pointer[Holding]
}

// NewMember makes a member. Run it.
func NewMember(o MemberOptions) *Member {
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Replica == nil {
		o.Replica = func() *replica.Replica { return nil }
	}
	if o.Drain == nil {
		o.Drain = func(bool) {}
	}
	if o.Holds == nil {
		o.Holds = &replica.Holds{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Member{o: o}
}

// Run follows the shared settings and answers operators until ctx ends (nil).
func (m *Member) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.o.Conn.Watch(ctx, feed.SharedSettings, lookEvery, m.lookSettings) })
	group.Go(func() error { return m.o.Conn.Watch(ctx, feed.SharedHolds, lookEvery, m.lookHolds) })
	verbs := m.runVerbs()
	verbs[verbStatus], verbs[verbCheck], verbs[verbTry], verbs[verbDrain] = m.status, m.check, m.try, m.drain
	group.Go(func() error {
		return m.o.Conn.ServeOperators(ctx, feed.Service{
			Version: semantic(m.o.Program), About: map[string]string{"name": m.o.Name, "program": m.o.Program},
			Verbs: verbs,
		}, func(id string) { m.id.Store(&id) })
	})
	return group.Wait()
}

// semantic is a version as the service's registry wants it.
func semantic(program string) string {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(program, "v%d.%d.%d", &major, &minor, &patch); n != 3 {
		return "0.0.0"
	}
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

// patience is how long one look may take.
const patience = 2 * time.Second

// Look takes what is stored now. A server that does not answer changes nothing (F5).
func (m *Member) Look(ctx context.Context) {
	m.lookSettings(ctx)
	m.lookHolds(ctx)
}

func (m *Member) lookSettings(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := m.o.Conn.Last(ctx, feed.SharedSettings)
	if err != nil {
		return // the feed's own log tells of a lost connection
	}
	switch changed, err := m.o.Layers.Share(s); {
	case !changed:
	case err != nil:
		m.o.Log.Error("shared settings refused, the last good ones stay in force", "version", s.Sequence, "error", err)
	default:
		m.o.Log.Info("shared settings in force", "version", s.Sequence)
		m.o.Changed()
	}
}

// Status is what the node says of itself.
func (m *Member) Status() Status {
	s := m.o.Status()
	s.Name, s.Program = m.o.Name, m.o.Program
	if id := m.id.Load(); id != nil {
		s.ID = *id
	}
	if h := m.held.Load(); h != nil {
		s.HoldsVersion, s.Holds = h.Number, len(h.Runs)
	}
	return s
}

// The verbs, by which operators ask.
const (
	verbStatus = "status"
	verbCheck  = "check"
	verbTry    = "try"
)

func (m *Member) status(context.Context, []byte) ([]byte, error) { return json.Marshal(m.Status()) }

// check says whether a document would be accepted here.
func (m *Member) check(_ context.Context, data []byte) ([]byte, error) {
	_, err := m.o.Layers.Under(string(data))
	return nil, err
}

func (m *Member) try(_ context.Context, data []byte) ([]byte, error) {
	tried, err := m.o.Layers.Under(string(data))
	if err != nil {
		return nil, err
	}
	report, err := m.o.Try(tried)
	if err != nil {
		return nil, err
	}
	return json.Marshal(report)
}
