// Package audit holds query nodes against the booking system. It loads a replica of its own from the feed, holds that against the publisher's list of versions, and then what each node
// holds of every run against it.
//
// Invariants (cited by the tests as A1...):
//
//	A1 A finding is what stays: what was only on its way between two looks is none.
//	A2 Numbers are compared at equal Versions alone, and all of them: what an answer says of any OD of the run is in its sum.
//	A3 A repair has the node read the run anew (R11). It is called mended when the node was looked at again and holds what it should.
package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
)

// Options of an audit.
type Options struct {
	Conn *feed.Conn
	// Node is the name or id of the only one to look at; empty: all.
	Node string
	// Repair has the nodes mend what is found; By is who wants it.
	Repair bool
	By     string
	// Progress, if set, is told what is under way.
	Progress func(text string)
	// Rounds are how often what differs is looked at again, and Every how long after the last time. Defaults 8 and 300 ms: two and a half seconds, ten heartbeats.
	Rounds int
	Every  time.Duration
}

// Report is what was found.
type Report struct {
	// Runs that the feed has, and Booking those of which the publisher's list has a higher Version: no node can know that.
	Runs    int       `json:"runs"`
	Booking []Finding `json:"booking"`
	// BookingSilent says why the publisher's list could not be had; empty if it could.
	BookingSilent string `json:"booking_silent,omitempty"`
	Nodes         []Node `json:"nodes"`
}

// Clean reports whether nothing is wrong, or all of it was mended.
func (r *Report) Clean() bool {
	return len(r.Booking) == 0 && r.BookingSilent == "" && !slices.ContainsFunc(r.Nodes, func(n Node) bool {
		return n.Silent != "" || slices.ContainsFunc(n.Findings, func(f Finding) bool { return !f.Mended })
	})
}

// Node is what was found on a node.
type Node struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Silent says why the node could not be looked at; empty if it could.
	Silent string `json:"silent,omitempty"`
	// Compared runs were found equal; Moving ones changed faster than they could be compared.
	Compared int       `json:"compared"`
	Moving   int       `json:"moving,omitempty"`
	Findings []Finding `json:"findings"`
}

// Finding is a run that is not as it should be.
type Finding struct {
	Run  string `json:"run"`
	Kind string `json:"kind"`
	// Text says it in words.
	Text string `json:"text"`
	// Mended: a repair has worked; Failed says why it has not.
	Mended bool   `json:"mended,omitempty"`
	Failed string `json:"failed,omitempty"`
}

// Kinds of findings.
const (
	// Missing: the node lacks the run.
	Missing = "missing"
	// Unknown: it has one that the feed has not.
	Unknown = "unknown"
	// Behind: its Version is lower.
	Behind = "behind"
	// Ahead: its Version is higher.
	Ahead = "ahead"
	// Quarantined: it does not show its numbers.
	Quarantined = "quarantined"
	// Numbers: it shows wrong ones.
	Numbers = "numbers"
)

// auditor is an audit under way.
type auditor struct {
	Options
	operator *fleet.Operator
	ours     *replica.Replica
}

// Run audits. The error says that it could not be done at all.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := fleet.Signed(o.By, ""); o.Repair && err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Rounds <= 0 {
		o.Rounds = 8
	}
	if o.Every <= 0 {
		o.Every = 300 * time.Millisecond
	}
	a := &auditor{Options: o, operator: fleet.NewOperator(o.Conn)}
	group, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancel(ctx)
	follower := replica.NewFollower(o.Conn, replica.Options{})
	group.Go(func() error { return follower.Run(ctx) })
	var report *Report
	group.Go(func() (err error) {
		defer done()
		if err = a.load(ctx, follower); err == nil {
			report, err = a.audit(ctx)
		}
		return err
	})
	return report, group.Wait()
}

// load waits for the replica, and for its first proof that it is complete.
func (a *auditor) load(ctx context.Context, f *replica.Follower) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("load the feed: %w", ctx.Err())
		case <-f.Ready():
			a.ours = f.Replica()
			return nil
		case <-ticker.C:
			if why := f.Degraded(); why != "" {
				return fmt.Errorf("load the feed: %s", why)
			}
			p := f.Progress()
			a.Progress(fmt.Sprintf("loading the feed: %d of %d runs", p.States, p.Expected))
		}
	}
}

func (a *auditor) audit(ctx context.Context) (*Report, error) {
	nodes, err := a.nodes(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{Runs: int(a.ours.Stats().Runs), Booking: []Finding{}}
	a.Progress(fmt.Sprintf("%d runs of the feed, against the booking system", r.Runs))
	if err := a.booking(ctx, r); err != nil {
		r.BookingSilent = err.Error()
	}
	for i := range nodes {
		a.Progress(fmt.Sprintf("node %s", nodes[i].Name))
		n := a.node(ctx, &nodes[i])
		if a.Repair {
			a.repair(ctx, &nodes[i], n)
			a.record(ctx, n)
		}
		r.Nodes = append(r.Nodes, *n)
	}
	return r, ctx.Err()
}

// record puts a node's repair on record.
func (a *auditor) record(ctx context.Context, n *Node) {
	if len(n.Findings) == 0 {
		return
	}
	left := 0
	for i := range n.Findings {
		if !n.Findings[i].Mended {
			left++
		}
	}
	v := fleet.Verdict{ID: n.ID, Name: n.Name}
	if left > 0 {
		v.Refused = fmt.Sprintf("%d runs are not mended; the audit told why", left)
	}
	act := fleet.Act{By: a.By, What: "repair", Target: n.Name, Before: fmt.Sprintf("%d runs wrong", len(n.Findings)), After: fmt.Sprintf("%d runs wrong", left), Nodes: []fleet.Verdict{v}}
	if err := a.operator.Record(ctx, act); err != nil {
		a.Progress(err.Error())
	}
}

func (a *auditor) nodes(ctx context.Context) ([]fleet.Status, error) {
	nodes, err := a.operator.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	if a.Node != "" {
		nodes = slices.DeleteFunc(nodes, func(n fleet.Status) bool { return n.ID != a.Node && n.Name != a.Node })
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%w: no node %s answers", fleet.ErrUnknown, a.Node)
	}
	return nodes, nil
}

// parts are all that there is to look at: a partition on a service date.
func (a *auditor) parts() (all []fleet.Part) {
	for _, date := range a.ours.Dates() {
		for p := range rail.Partition(rail.Partitions) {
			all = append(all, fleet.Part{Partition: p, Date: date})
		}
	}
	return all
}

// booking holds our replica against the publisher's list: a Version in it that has not come by the feed until the last round never does.
func (a *auditor) booking(ctx context.Context, r *Report) error {
	today := rail.DateOf(time.Now(), a.ours.Index().Location())
	missing := map[rail.RunID]rail.Version{}
	for _, part := range a.parts() {
		if part.Date < today {
			continue // the publisher has forgotten it
		}
		asking, cancel := context.WithTimeout(ctx, 2*time.Second)
		list, err := a.Conn.Versions(asking, part.Partition, part.Date)
		cancel()
		if err != nil {
			return err
		}
		for _, l := range list.Runs {
			if l.Version.Above(a.version(l.Run)) {
				missing[l.Run] = l.Version
			}
		}
	}
	for round := 0; round < a.Rounds && len(missing) > 0; round++ {
		if err := a.pause(ctx); err != nil {
			return err
		}
		for run, v := range missing {
			if !v.Above(a.version(run)) {
				delete(missing, run)
			}
		}
	}
	for run, v := range missing {
		r.Booking = append(r.Booking, Finding{Run: run.String(), Kind: Behind, Text: fmt.Sprintf("the booking system has published %s, the feed has %s", v, a.version(run))})
	}
	sortFindings(r.Booking)
	return nil
}

// version that the feed has; zero if it lacks the run.
func (a *auditor) version(run rail.RunID) rail.Version {
	if r := a.ours.Run(run); r != nil {
		if s := r.Sheet(); s != nil {
			return s.Version()
		}
	}
	return rail.Version{}
}

func (a *auditor) pause(ctx context.Context) error {
	wait := time.NewTimer(a.Every)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return nil
	}
}
