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

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
)

// The verbs about runs.
const (
	verbFind    = "find"
	verbPurge   = "purge"
	verbSums    = "sums"
	verbNumbers = "numbers"
)

// runVerbs are what a member answers about its runs.
func (m *Member) runVerbs() map[string]func(context.Context, []byte) ([]byte, error) {
	return map[string]func(context.Context, []byte) ([]byte, error){verbFind: m.find, verbPurge: m.purge, verbSums: m.sums, verbNumbers: m.numbers}
}

// lookHolds takes the holds that are stored now (F5).
func (m *Member) lookHolds(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := m.o.Conn.Last(ctx, feed.SharedHolds)
	if err != nil || s == nil || m.sameHolds(s) {
		return
	}
	h, err := decodeHolds(s)
	if err != nil {
		m.o.Log.Error("holds refused, the last good ones stay in force", "version", s.Sequence, "error", err)
		return
	}
	m.o.Holds.Set(h.table())
	m.held.Store(h)
	m.o.Log.Info("holds in force", "version", h.Number, "runs", len(h.Runs), "act", h.Act.Act, "run", h.Act.Run, "by", h.Act.By, "reason", h.Act.Reason)
}

func (m *Member) sameHolds(s *feed.Stored) bool {
	h := m.held.Load()
	return h != nil && h.Number == s.Sequence && h.At.Equal(s.At)
}

// ready is the replica to act on.
func (m *Member) ready() (*replica.Replica, error) {
	if r := m.o.Replica(); r != nil {
		return r, nil
	}
	return nil, errors.New("not loaded yet")
}

// find lists the ids of the runs that a text means; none is no error.
func (m *Member) find(_ context.Context, data []byte) ([]byte, error) {
	r, err := m.ready()
	if err != nil {
		return nil, err
	}
	ids := []string{}
	if train, date, ok := strings.Cut(string(data), "@"); ok {
		d, err := rail.ParseDate(date)
		if err != nil {
			return nil, err
		}
		for _, id := range r.Named(d, train) {
			ids = append(ids, id.String())
		}
		return json.Marshal(ids)
	}
	id, err := rail.ParseRunID(string(data))
	if err != nil {
		return nil, err
	}
	if r.Run(id) != nil {
		ids = append(ids, id.String())
	}
	return json.Marshal(ids)
}

// purgePatience is how long a node waits for the booking system before it says that nothing has come.
const purgePatience = 5 * time.Second

func (m *Member) purge(ctx context.Context, data []byte) ([]byte, error) {
	var a RunAct
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, err
	}
	id, err := rail.ParseRunID(a.Run)
	if err != nil {
		return nil, err
	}
	r, err := m.ready()
	if err != nil {
		return nil, err
	}
	done := r.Purge(id)
	if done == nil {
		return nil, fmt.Errorf("this node has no run of %s", id.Date)
	}
	m.o.Log.Info("purge", "run", id.String(), "by", a.By, "note", a.Reason)
	wait := time.NewTimer(purgePatience)
	defer wait.Stop()
	select {
	case <-done:
		return nil, nil
	case <-wait.C:
		return nil, fmt.Errorf("the booking system has not published run %s again within %s; until it does, its answers say that it is behind", id, purgePatience)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Part is the runs of a partition on a service date.
type Part struct {
	Partition rail.Partition `json:"partition"`
	Date      rail.Date      `json:"date"`
}

// RunSum is a replica's sum of a run as it goes over the wire: the id, Epoch, Revision, health and content.
type RunSum struct {
	Run      string `json:"r"`
	Epoch    uint64 `json:"e"`
	Revision uint64 `json:"v"`
	Health   string `json:"h"`
	Content  uint64 `json:"c,string"`
}

// Sum is what it stands for.
func (s *RunSum) Sum() replica.Sum {
	out := replica.Sum{Version: rail.Version{Epoch: s.Epoch, Revision: s.Revision}, Content: s.Content}
	out.Run, _ = rail.ParseRunID(s.Run) // a node's own
	for h := replica.Live; h <= replica.Quarantined; h++ {
		if h.String() == s.Health {
			out.Health = h
		}
	}
	return out
}

func (m *Member) sums(_ context.Context, data []byte) ([]byte, error) {
	var p Part
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	r, err := m.ready()
	if err != nil {
		return nil, err
	}
	if int(p.Partition) >= rail.Partitions {
		return nil, fmt.Errorf("partition is %d; want 0 to %d", p.Partition, rail.Partitions-1)
	}
	all := []RunSum{}
	for _, s := range r.Sums(p.Partition, p.Date) {
		all = append(all, RunSum{s.Run.String(), s.Version.Epoch, s.Version.Revision, s.Health.String(), s.Content})
	}
	return json.Marshal(all)
}

// Numbers are the remaining places of a run at a Version.
type Numbers struct {
	Epoch    uint64  `json:"epoch"`
	Revision uint64  `json:"revision"`
	All      []int32 `json:"all"` // see replica.Sheet
}

func (m *Member) numbers(_ context.Context, data []byte) ([]byte, error) {
	id, err := rail.ParseRunID(string(data))
	if err != nil {
		return nil, err
	}
	r, err := m.ready()
	if err != nil {
		return nil, err
	}
	run := r.Run(id)
	if run == nil {
		return nil, fmt.Errorf("this node has no run %s", id)
	}
	sheet := run.Sheet()
	if sheet == nil {
		return nil, fmt.Errorf("the day of run %s has ended", id)
	}
	v := sheet.Version()
	return json.Marshal(Numbers{v.Epoch, v.Revision, sheet.Numbers()})
}

// OnRun does something to a run on every node, and tells which have it. Version is that of the holds after it, 0 for a purge.
func (o *Operator) OnRun(ctx context.Context, a RunAct) (version uint64, verdicts []Verdict, err error) {
	if err := a.validate(); err != nil {
		return 0, nil, err
	}
	var nodes []Status
	var run rail.RunID
	asking, both := errgroup.WithContext(ctx)
	asking.Go(func() (err error) { nodes, err = o.Nodes(both); return err })
	asking.Go(func() (err error) { run, err = o.runOf(both, a.Run); return err })
	if err := asking.Wait(); err != nil {
		return 0, nil, err
	}
	a.Run = run.String()
	act := Act{By: a.By, What: a.Act, Target: a.Run, Note: a.Reason}
	if a.Act == Purge {
		act.Nodes = o.purge(ctx, nodes, a)
		return 0, act.Nodes, o.Record(ctx, act)
	}
	if version, act.Before, act.After, err = o.storeHolds(ctx, a, run); err != nil {
		return 0, nil, err
	}
	act.Nodes = o.awaitHolds(ctx, nodes, version)
	return version, act.Nodes, o.Record(ctx, act)
}

// runOf is the one run that a text means, as far as the nodes that answer know.
func (o *Operator) runOf(ctx context.Context, text string) (rail.RunID, error) {
	if train, date, ok := strings.Cut(text, "@"); ok {
		if _, err := rail.ParseDate(date); err != nil || train == "" {
			return rail.RunID{}, fmt.Errorf("%w: run is %.80q; want the train's number and its date, as G1@2026-12-01", ErrInvalid, text)
		}
	} else if _, err := rail.ParseRunID(text); err != nil {
		return rail.RunID{}, fmt.Errorf("%w: run is %.80q; want an id such as 20261201.G1, or a train and its date, as G1@2026-12-01", ErrInvalid, text)
	}
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	answers, err := o.conn.AskFleet(ctx, verbFind, []byte(text))
	if err != nil {
		return rail.RunID{}, err
	}
	var ids []string
	for _, data := range answers {
		var found []string
		if err := json.Unmarshal(data, &found); err != nil {
			return rail.RunID{}, fmt.Errorf("a node's runs: %w", err)
		}
		ids = append(ids, found...)
	}
	slices.Sort(ids)
	switch ids = slices.Compact(ids); {
	case len(ids) == 0:
		return rail.RunID{}, fmt.Errorf("%w: no node that answers has a run %s", ErrUnknown, text)
	case len(ids) > 1:
		return rail.RunID{}, fmt.Errorf("%w: %s may be any of %s; give the id", ErrInvalid, text, strings.Join(ids, ", "))
	}
	return rail.ParseRunID(ids[0])
}

func (o *Operator) purge(ctx context.Context, nodes []Status, a RunAct) []Verdict {
	data, err := json.Marshal(a)
	return each(nodes, func(n *Status) error {
		ctx, cancel := context.WithTimeout(ctx, purgePatience+roundTime)
		defer cancel()
		_, asked := o.conn.AskNode(ctx, n.ID, verbPurge, data)
		return cmp.Or(err, asked)
	})
}

// Holds in force, as they were stored last.
func (o *Operator) Holds(ctx context.Context) (*Holding, error) {
	s, err := o.conn.Last(ctx, feed.SharedHolds)
	if err != nil {
		return nil, err
	}
	return decodeHolds(s)
}

// storeHolds adds an act to what is held. Somebody else who was faster is no reason to ask again: acts on other runs go together.
func (o *Operator) storeHolds(ctx context.Context, a RunAct, run rail.RunID) (version uint64, before, after string, err error) {
	const attempts = 5
	for range attempts {
		held, err := o.Holds(ctx)
		if err != nil {
			return 0, "", "", err
		}
		record := holdRecord{Format: format, Act: a}
		if record.Runs, err = held.after(a, run, time.Now()); err != nil {
			return 0, "", "", err
		}
		data, err := json.Marshal(record)
		if err != nil {
			return 0, "", "", err
		}
		if version, err = o.conn.Store(ctx, feed.SharedHolds, data, held.Number); !errors.Is(err, feed.ErrConflict) {
			return version, heldAs(held.Runs, a.Run), heldAs(record.Runs, a.Run), err
		}
	}
	return 0, "", "", fmt.Errorf("%w: %d times", ErrConflict, attempts)
}

// awaitHolds waits until each node has a version of the holds in force.
func (o *Operator) awaitHolds(ctx context.Context, nodes []Status, version uint64) []Verdict {
	return o.wait(ctx, nodes, func(s *Status) (bool, error) {
		if s.HoldsVersion >= version {
			return true, nil
		}
		return false, fmt.Errorf("still has version %d of the holds", s.HoldsVersion)
	})
}

// Sums asks a node what it holds of the runs of a part.
func (o *Operator) Sums(ctx context.Context, node string, p Part) (all []RunSum, err error) {
	err = o.askFor(ctx, node, verbSums, p, &all)
	return all, err
}

// Numbers asks a node for those of a run.
func (o *Operator) Numbers(ctx context.Context, node string, run rail.RunID) (*Numbers, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	data, err := o.conn.AskNode(ctx, node, verbNumbers, []byte(run.String()))
	if err != nil {
		return nil, err
	}
	var n Numbers
	return &n, json.Unmarshal(data, &n)
}

// PurgeOn has one node read a run anew.
func (o *Operator) PurgeOn(ctx context.Context, node *Status, a RunAct) error {
	if v := o.purge(ctx, []Status{*node}, a)[0]; v.Refused != "" {
		return errors.New(v.Refused)
	}
	return nil
}

// askFor asks a node something in JSON.
func (o *Operator) askFor(ctx context.Context, node, verb string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	data, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if data, err = o.conn.AskNode(ctx, node, verb, data); err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}
