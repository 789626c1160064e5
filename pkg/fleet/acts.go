package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/feed"
)

// Act is something that an operator has done to nodes, runs or settings.
type Act struct {
	At time.Time `json:"at"`
	By string    `json:"by"`
	// What was done: drain, return, one of the acts on runs, repair, log, or settings; "unreadable" of a record that another program has left.
	What string `json:"what"`
	// Target is the node or the run; empty for settings.
	Target string `json:"target,omitempty"`
	Note   string `json:"note,omitempty"`
	// Before and After are what it changed, in short.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Nodes are those that were to do it, and what became of that. Absent for settings: a node that starts later has them as well.
	Nodes []Verdict `json:"nodes,omitempty"`
}

// Record keeps an act, which is done already; At is the server's. The error, an ErrUnrecorded, says only that nobody will read of it.
func (o *Operator) Record(ctx context.Context, a Act) error {
	data, err := json.Marshal(a)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundTime)
		defer cancel()
		err = o.conn.Append(ctx, feed.SharedActs, data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnrecorded, err)
	}
	return nil
}

// Acts are so many of the last, the newest first, with the versions of the shared settings among them.
func (o *Operator) Acts(ctx context.Context, most int) ([]Act, error) {
	stored, err := o.conn.History(ctx, feed.SharedActs, most)
	if err != nil {
		return nil, err
	}
	acts := make([]Act, 0, 2*most)
	for i := range stored {
		a := Act{At: stored[i].At}
		if err := json.Unmarshal(stored[i].Data, &a); err != nil {
			a = Act{What: "unreadable", Note: fmt.Sprintf("record %d is not JSON as this program writes it", stored[i].Sequence)}
		}
		a.At = stored[i].At // the server's clock, as that of the settings
		acts = append(acts, a)
	}
	if stored, err = o.conn.History(ctx, feed.SharedSettings, most); err != nil {
		return nil, err
	}
	for i := range stored {
		acts = append(acts, shared(&stored[i]))
	}
	slices.SortStableFunc(acts, func(a, b Act) int { return b.At.Compare(a.At) })
	return acts[:min(len(acts), most)], nil
}

// shared is the act of sharing a version of the settings.
func shared(s *feed.Stored) Act {
	a := Act{At: s.At, What: "settings", After: fmt.Sprintf("version %d", s.Sequence)}
	if s.Sequence > 1 {
		a.Before = fmt.Sprintf("version %d", s.Sequence-1)
	}
	v, err := decode(s)
	if err != nil { // it is told all the same: perhaps it is why nodes complain
		a.Note = err.Error()
		return a
	}
	a.By, a.Note = v.By, v.Note
	switch {
	case v.Restores > 0:
		a.After += fmt.Sprintf(" (%d again)", v.Restores)
	case v.Document == "":
		a.After += " (nothing shared)"
	}
	return a
}

// DrainOrder is an order to drain a node, or to take that back.
type DrainOrder struct {
	// Node is its name or its id.
	Node string `json:"node"`
	// Draining: the node says that it is not ready, and its clients go elsewhere. Otherwise it is as before.
	Draining bool   `json:"draining"`
	By       string `json:"by"`
	Note     string `json:"note,omitempty"`
}

func (d *DrainOrder) what() string {
	if d.Draining {
		return "drain"
	}
	return "return"
}

// verbDrain is the verb of a DrainOrder.
const verbDrain = "drain"

func (m *Member) drain(_ context.Context, data []byte) ([]byte, error) {
	var d DrainOrder
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	if err := Signed(d.By, d.Note); err != nil { // other JSON that strays here is no order
		return nil, err
	}
	before := m.Status().State
	m.o.Drain(d.Draining)
	after := m.Status().State
	m.o.Log.Info(d.what(), "by", d.By, "note", d.Note, "before", before, "after", after)
	return json.Marshal([2]string{before, after})
}

// Drain drains a node, or takes that back. A name that two nodes have is refused: an id is not.
func (o *Operator) Drain(ctx context.Context, d DrainOrder) ([]Verdict, error) {
	if err := Signed(d.By, d.Note); err != nil {
		return nil, err
	}
	n, err := o.named(ctx, d.Node)
	if err != nil {
		return nil, err
	}
	var states [2]string
	verdict := Verdict{ID: n.ID, Name: n.Name}
	if err := o.askFor(ctx, n.ID, verbDrain, d, &states); err != nil {
		verdict.Refused = err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			verdict.Refused += "; it may do it yet, when it goes on"
		}
	}
	act := Act{By: d.By, What: d.what(), Target: n.Name, Note: d.Note, Before: states[0], After: states[1], Nodes: []Verdict{verdict}}
	return act.Nodes, o.Record(ctx, act)
}

// named is the one node of a name or an id.
func (o *Operator) named(ctx context.Context, node string) (*Status, error) {
	nodes, err := o.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	var names, ids []string
	var found *Status
	for i := range nodes {
		names = append(names, nodes[i].Name)
		if nodes[i].ID == node || nodes[i].Name == node {
			found, ids = &nodes[i], append(ids, nodes[i].ID)
		}
	}
	switch {
	case len(ids) > 1:
		return nil, fmt.Errorf("%w: %d nodes are called %.80q; give an id: %s", ErrInvalid, len(ids), node, strings.Join(ids, ", "))
	case found == nil:
		return nil, fmt.Errorf("%w: node %.80q; those that are connected are %s", ErrUnknown, node, cmp.Or(strings.Join(names, ", "), "none"))
	}
	return found, nil
}
