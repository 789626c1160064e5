package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/trial"
)

// Operator acts on the whole fleet over its NATS server. Safe for concurrent use.
type Operator struct{ conn *feed.Conn }

// NewOperator acts over a connection.
func NewOperator(conn *feed.Conn) *Operator { return &Operator{conn} }

// The longest that nodes are waited for.
const (
	roundTime = 2 * time.Second
	trialTime = 30 * time.Second
)

// Nodes are those that are connected, by name. One that does not answer with the others is Silent.
func (o *Operator) Nodes(ctx context.Context) ([]Status, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	var answers [][]byte
	var present []feed.Present
	asking, both := errgroup.WithContext(ctx)
	asking.Go(func() (err error) { answers, err = o.conn.AskFleet(both, verbStatus, nil); return err })
	asking.Go(func() (err error) { present, err = o.conn.Fleet(both); return err })
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	nodes := roll(answers, present)
	slices.SortFunc(nodes, func(a, b Status) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return nodes, nil
}

// roll is those that answered, and as Silent those that are present and did not, or not in words of this program: one node of another program must not hide all others.
func roll(answers [][]byte, present []feed.Present) []Status {
	nodes, why := make([]Status, 0, len(present)), map[string]string{}
	for _, data := range answers {
		s, err := decodeStatus(data)
		if err != nil { // what could be read is read
			why[s.ID] = "it is of another program, and this one cannot read what it says: " + err.Error()
			continue
		}
		nodes = append(nodes, *s)
	}
	for _, p := range present {
		if !slices.ContainsFunc(nodes, func(s Status) bool { return s.ID == p.ID }) {
			nodes = append(nodes, Status{ID: p.ID, Name: p.About["name"], Program: p.About["program"], Silent: cmp.Or(why[p.ID], "it is connected, and does not answer")})
		}
	}
	return nodes
}

func decodeStatus(data []byte) (*Status, error) {
	var s Status
	if err := json.Unmarshal(data, &s); err != nil {
		return &s, fmt.Errorf("a node's status: %w", err)
	}
	return &s, nil
}

// History is so many of the last versions, the newest first. A version that this program cannot read is an error, ErrNewer perhaps.
func (o *Operator) History(ctx context.Context, most int) ([]Version, error) {
	stored, err := o.conn.History(ctx, feed.SharedSettings, most)
	if err != nil {
		return nil, err
	}
	all := make([]Version, 0, len(stored))
	for i := range stored {
		v, err := decode(&stored[i])
		if err != nil {
			return nil, err
		}
		all = append(all, *v)
	}
	return all, nil
}

// Verdict is what a node says of something that it was asked; Refused is empty if it accepts.
type Verdict struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Refused string `json:"refused,omitempty"`
}

// Check asks every node whether it would accept a document. Without any node it is read over the default settings.
func (o *Operator) Check(ctx context.Context, document string) ([]Verdict, error) {
	nodes, err := o.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	if nodes = speaking(nodes); len(nodes) == 0 { // the silent must not stand in the way of the others
		base := config.DefaultNode()
		_, err := parse(document, "the document", &base)
		return nil, err
	}
	return each(nodes, func(n *Status) error {
		ctx, cancel := context.WithTimeout(ctx, roundTime)
		defer cancel()
		_, err := o.conn.AskNode(ctx, n.ID, verbCheck, []byte(document))
		return err
	}), nil
}

// RollCall remembers nodes: one that halts or loses the server cannot say so itself. The zero RollCall remembers none. It is not safe for concurrent use.
type RollCall struct{ seen map[string]seen }

type seen struct {
	node Status
	at   time.Time
}

// missedFor is how long a node that is gone is missed.
const missedFor = time.Hour

// Call gives those that are there, and behind them as Silent those that are gone and have not come back under their name.
func (r *RollCall) Call(nodes []Status, now time.Time) []Status {
	if r.seen == nil {
		r.seen = map[string]seen{}
	}
	back := map[string]bool{}
	for _, n := range nodes {
		r.seen[n.ID], back[n.Name] = seen{n, now}, true
	}
	all := slices.Clone(nodes)
	for _, id := range slices.Sorted(maps.Keys(r.seen)) {
		s := r.seen[id]
		switch {
		case s.at.Equal(now):
		case back[s.node.Name] || now.Sub(s.at) > missedFor:
			delete(r.seen, id)
		default:
			s.node.Silent = "it is gone since " + s.at.Local().Format(time.TimeOnly)
			all = append(all, s.node)
		}
	}
	return all
}

// speaking are the nodes that answer.
func speaking(nodes []Status) []Status {
	return slices.DeleteFunc(nodes, func(s Status) bool { return s.Silent != "" })
}

// each asks all nodes side by side.
func each(nodes []Status, ask func(*Status) error) []Verdict {
	out := make([]Verdict, len(nodes))
	var group sync.WaitGroup
	for i := range nodes {
		group.Go(func() {
			out[i] = Verdict{ID: nodes[i].ID, Name: nodes[i].Name}
			if err := ask(&nodes[i]); err != nil {
				out[i].Refused = strings.TrimPrefix(err.Error(), feed.ErrRefused.Error()+": ")
			}
		})
	}
	group.Wait()
	return out
}

// Share stores settings for all nodes, if every node that answers accepts them (F2) and nobody was faster (F3). It then waits a few seconds until each has
// them in force, and tells what became of that. The number is that of the new version.
func (o *Operator) Share(ctx context.Context, p Proposal) (number uint64, verdicts []Verdict, err error) {
	if number, err = o.store(ctx, p); err != nil {
		return 0, nil, err
	}
	nodes, err := o.Nodes(ctx)
	if err != nil {
		return number, nil, fmt.Errorf("version %d is stored, but which nodes have it is not known: %w", number, err)
	}
	return number, o.await(ctx, nodes, number), nil
}

func (o *Operator) store(ctx context.Context, p Proposal) (number uint64, err error) {
	if err := p.validate(); err != nil {
		return 0, err
	}
	verdicts, err := o.Check(ctx, p.Document)
	if err != nil {
		return 0, err
	}
	for _, v := range verdicts {
		if v.Refused != "" {
			return 0, fmt.Errorf("%w by node %s: %s", ErrRefused, v.Name, v.Refused)
		}
	}
	data, err := p.encode()
	if err != nil {
		return 0, err
	}
	number, err = o.conn.Store(ctx, feed.SharedSettings, data, p.After)
	if errors.Is(err, feed.ErrConflict) {
		return 0, fmt.Errorf("%w: version %d is not the last any more; look at the history and try again", ErrConflict, p.After)
	}
	return number, err
}

const (
	// awaitTime is five times as long as F4 gives a node.
	awaitTime  = 5 * time.Second
	awaitEvery = 20 * time.Millisecond
)

// await waits until each node has a version in force, or refuses it.
func (o *Operator) await(ctx context.Context, nodes []Status, number uint64) []Verdict {
	return o.wait(ctx, nodes, func(s *Status) (bool, error) {
		if s.Settings.RefusedVersion == number {
			return true, errors.New(s.Settings.Refused)
		}
		if s.Settings.Version >= number {
			return true, nil
		}
		return false, fmt.Errorf("still has version %d", s.Settings.Version)
	})
}

// wait asks each node for its status until that settles something, with or without an error. After a time the last error is the node's.
func (o *Operator) wait(ctx context.Context, nodes []Status, settled func(*Status) (bool, error)) []Verdict {
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	return each(nodes, func(n *Status) error {
		for {
			s, err := o.node(ctx, n.ID)
			if err != nil {
				return err
			}
			done, err := settled(s)
			if done {
				return err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w after %s", err, awaitTime)
			case <-time.After(awaitEvery):
			}
		}
	})
}

func (o *Operator) node(ctx context.Context, id string) (*Status, error) {
	data, err := o.conn.AskNode(ctx, id, verbStatus, nil)
	if err != nil {
		return nil, err
	}
	return decodeStatus(data)
}

// Try asks a node what would happen if a document were shared. The node is named by its id or its name; empty: the one that is asked most.
func (o *Operator) Try(ctx context.Context, node, document string) (*Status, *trial.Report, error) {
	n, err := o.pick(ctx, node)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	data, err := o.conn.AskNode(ctx, n.ID, verbTry, []byte(document))
	if err != nil {
		return nil, nil, err
	}
	var report trial.Report
	if err := json.Unmarshal(data, &report); err != nil {
		return nil, nil, fmt.Errorf("the report of node %s: %w", n.Name, err)
	}
	return n, &report, nil
}

func (o *Operator) pick(ctx context.Context, node string) (*Status, error) {
	nodes, err := o.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	if nodes = speaking(nodes); node != "" {
		nodes = slices.DeleteFunc(nodes, func(s Status) bool { return s.ID != node && s.Name != node })
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%w: no node %s answers", ErrUnknown, node)
	}
	busiest := slices.MaxFunc(nodes, func(a, b Status) int { return cmp.Compare(a.Requests, b.Requests) })
	return &busiest, nil
}
