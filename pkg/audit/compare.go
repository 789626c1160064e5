package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/yupiao/yupiao/pkg/fleet"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
)

// suspect is a run that was not equal when it was looked at last.
type suspect struct {
	part fleet.Part
	// What both held when it was first seen, and now; the zero Sum for nothing.
	theirsFirst, oursFirst rail.Version
	theirs, ours           replica.Sum
	// looks at equal Versions with other numbers.
	wrong int
}

// node compares all runs of a node, and then those that differ again and again (A1).
func (a *auditor) node(ctx context.Context, status *fleet.Status) *Node {
	n := &Node{ID: status.ID, Name: status.Name, Findings: []Finding{}}
	suspects := map[string]*suspect{}
	for _, part := range a.parts() {
		equal, err := a.look(ctx, status.ID, part, suspects)
		if err != nil {
			n.Silent = err.Error()
			return n
		}
		n.Compared += equal
	}
	for round := 0; round < a.Rounds && len(suspects) > 0; round++ {
		if a.pause(ctx) != nil {
			break
		}
		before := len(suspects)
		if err := a.again(ctx, status.ID, suspects); err != nil {
			n.Silent = err.Error()
			return n
		}
		n.Compared += before - len(suspects)
	}
	for run, s := range suspects {
		if f, found := s.finding(run); !found {
			n.Moving++
		} else {
			if f.Kind == Numbers {
				f.Text = a.difference(ctx, status.ID, s)
			}
			n.Findings = append(n.Findings, f)
		}
	}
	sortFindings(n.Findings)
	return n
}

func sortFindings(all []Finding) {
	slices.SortFunc(all, func(a, b Finding) int { return cmp.Compare(a.Run, b.Run) })
}

// again looks at the parts that have suspects, and lets those go that are none.
func (a *auditor) again(ctx context.Context, node string, suspects map[string]*suspect) error {
	parts := map[fleet.Part]map[string]*suspect{}
	for run, s := range suspects {
		if parts[s.part] == nil {
			parts[s.part] = map[string]*suspect{}
		}
		parts[s.part][run] = s
	}
	for part, before := range parts {
		now := map[string]*suspect{}
		if _, err := a.look(ctx, node, part, now); err != nil {
			return err
		}
		for run, s := range before {
			is := now[run]
			if is == nil {
				delete(suspects, run)
				continue
			}
			s.theirs, s.ours = is.theirs, is.ours
			s.wrong += is.wrong
		}
	}
	return nil
}

// look compares a part once. The node is asked first: what it has by then, we have a moment later, or soon.
func (a *auditor) look(ctx context.Context, node string, part fleet.Part, suspects map[string]*suspect) (equal int, err error) {
	list, err := a.operator.Sums(ctx, node, part)
	if err != nil {
		return 0, err
	}
	theirs, ours := map[string]replica.Sum{}, map[string]replica.Sum{}
	for i := range list {
		theirs[list[i].Run] = list[i].Sum()
	}
	for _, s := range a.ours.Sums(part.Partition, part.Date) {
		ours[s.Run.String()] = s
	}
	for run, their := range theirs {
		our, have := ours[run]
		delete(ours, run)
		if have && their.Version == our.Version && their.Content == our.Content && their.Health == replica.Live {
			equal++
			continue
		}
		s := &suspect{part: part, theirsFirst: their.Version, oursFirst: our.Version, theirs: their, ours: our}
		if have && their.Version == our.Version && their.Content != our.Content && their.Content != 0 && our.Content != 0 {
			s.wrong = 1
		}
		suspects[run] = s
	}
	for run, our := range ours {
		suspects[run] = &suspect{part: part, oursFirst: our.Version, ours: our}
	}
	return equal, nil
}

// finding is what is wrong with a run that was never equal; false: both have moved on, and it could not be compared.
func (s *suspect) finding(run string) (f Finding, found bool) {
	f = Finding{Run: run}
	say := func(kind, format string, args ...any) (Finding, bool) {
		f.Kind, f.Text = kind, fmt.Sprintf(format, args...)
		return f, true
	}
	switch {
	case s.theirs.Version.IsZero():
		return say(Missing, "the feed has version %s", s.ours.Version)
	case s.ours.Version.IsZero():
		return say(Unknown, "it has version %s", s.theirs.Version)
	case s.theirs.Health == replica.Quarantined:
		return say(Quarantined, "its numbers are not shown")
	case s.wrong > 1:
		return say(Numbers, "other numbers at version %s", s.theirs.Version)
	case s.oursFirst.Above(s.theirs.Version):
		return say(Behind, "it has version %s, the feed has had %s for a while", s.theirs.Version, s.oursFirst)
	case s.theirsFirst.Above(s.ours.Version):
		return say(Ahead, "it has had version %s for a while, the feed has %s", s.theirsFirst, s.ours.Version)
	case s.theirs.Health == replica.Behind:
		return say(Behind, "it says so itself, at version %s", s.theirs.Version)
	}
	return f, false
}

// difference is the first number that differs, in words.
func (a *auditor) difference(ctx context.Context, node string, s *suspect) string {
	text := fmt.Sprintf("other numbers at version %s", s.theirs.Version)
	theirs, err := a.operator.Numbers(ctx, node, s.theirs.Run)
	run := a.ours.Run(s.theirs.Run)
	if err != nil || run == nil {
		return text
	}
	sheet := run.Sheet()
	if sheet == nil || sheet.Version() != (rail.Version{Epoch: theirs.Epoch, Revision: theirs.Revision}) {
		return text // it has moved on
	}
	i, differ, at := 0, 0, ""
	sheet.Each(func(from, to rail.StopIndex, numbers []int32) {
		for c, ours := range numbers {
			if i < len(theirs.All) && theirs.All[i] != ours {
				if differ++; differ == 1 {
					at = fmt.Sprintf("class %s from %s to %s: %d, the feed says %d", sheet.Counts.Class(c), sheet.Pattern.Stops[from].Station, sheet.Pattern.Stops[to].Station, theirs.All[i], ours)
				}
			}
			i++
		}
	})
	if differ == 0 {
		return text
	}
	return fmt.Sprintf("at version %s, %d numbers differ; %s", sheet.Version(), differ, at)
}

// repair has the node read anew what was found, and looks again (A3).
func (a *auditor) repair(ctx context.Context, status *fleet.Status, n *Node) {
	for i := range n.Findings {
		f := &n.Findings[i]
		a.Progress(fmt.Sprintf("node %s: run %s is read anew", n.Name, f.Run))
		act := fleet.RunAct{Act: fleet.Purge, Run: f.Run, Reason: "audit: " + f.Kind, By: a.By}
		if err := a.operator.PurgeOn(ctx, status, act); err != nil {
			f.Failed = err.Error()
			continue
		}
		f.Mended = a.mended(ctx, status.ID, f.Run)
		if !f.Mended {
			f.Failed = "it was read anew, and is not as it should be"
		}
	}
}

// mended looks at one run again.
func (a *auditor) mended(ctx context.Context, node, run string) bool {
	id, err := rail.ParseRunID(run)
	if err != nil {
		return false
	}
	part := fleet.Part{Partition: id.Partition(), Date: id.Date}
	for range a.Rounds {
		suspects := map[string]*suspect{}
		if _, err := a.look(ctx, node, part, suspects); err == nil && suspects[run] == nil {
			return true
		}
		if a.pause(ctx) != nil {
			return false
		}
	}
	return false
}
