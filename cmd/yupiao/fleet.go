package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/fleet"
)

func fleetCommand() *cobra.Command {
	r, asJSON, watch := &reach{}, false, time.Duration(0)
	cmd := &cobra.Command{
		Use: "fleet", Short: "What every query node says of itself", Args: cobra.NoArgs,
		Example: "  yupiao fleet\n  yupiao fleet --watch 2s\n  yupiao fleet --admin http://127.0.0.1:8081 --json",
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write what the nodes say as JSON")
	cmd.Flags().DurationVar(&watch, "watch", 0, "show it again at this interval, until interrupted")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, _ []string) error {
		var roll fleet.RollCall
		for {
			nodes, err := f.Nodes(ctx)
			switch {
			case ctx.Err() != nil && watch > 0:
				return nil
			case err != nil && watch <= 0:
				return err
			case err != nil:
				_, err = fmt.Fprintln(out, "!", err) // what was shown before stays above it, and the next look may work
			case asJSON:
				err = writeJSON(out, roll.Call(nodes, time.Now()))
			default:
				if watch > 0 {
					_, _ = io.WriteString(out, clearScreen)
				}
				err = fleet.WriteFleet(out, roll.Call(nodes, time.Now()), time.Now())
			}
			if err != nil || watch <= 0 {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(watch):
			}
		}
	})
	return cmd
}

// errNotDone is the exit of an act that some node has not done, so that a script does not go on as if it had.
var errNotDone = errors.New("not done on every node")

func done(verdicts []fleet.Verdict) error {
	if slices.ContainsFunc(verdicts, func(v fleet.Verdict) bool { return v.Refused != "" }) {
		return errNotDone
	}
	return nil
}

// clearScreen clears a terminal.
const clearScreen = "\x1b[H\x1b[2J"

func drainCommand() *cobra.Command {
	r, d, back := &reach{}, fleet.DrainOrder{}, false
	cmd := &cobra.Command{
		Use: "drain NODE", Short: "Send a node's clients elsewhere, or let them come again", Args: cobra.ExactArgs(1),
		Long:    "Send a node's clients elsewhere: it says at /readyz that it is not ready, and its streams begin anew. It goes on following the feed.\n\nNODE is a name or an id, as in yupiao fleet.",
		Example: "  yupiao drain node-2 --note \"a new disk\"\n  yupiao drain node-2 --return",
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&back, "return", false, "take it back: the node is as before")
	cmd.Flags().StringVar(&d.By, "by", defaultAuthor(), "who does it")
	cmd.Flags().StringVarP(&d.Note, "note", "m", "", "why")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, args []string) error {
		d.Node, d.Draining = args[0], !back
		verdicts, err := f.Drain(ctx, d)
		if len(verdicts) == 0 {
			return err
		}
		if written := fleet.WriteDrained(out, &d, verdicts); written != nil {
			return written
		}
		return cmp.Or(err, done(verdicts))
	})
	return cmd
}

func actsCommand() *cobra.Command {
	r, most := &reach{}, 20
	cmd := &cobra.Command{Use: "acts", Short: "What operators have done: drains, acts on runs, settings", Args: cobra.NoArgs}
	r.flags(cmd)
	cmd.Flags().IntVarP(&most, "number", "n", most, "so many of the last")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, _ []string) error {
		acts, err := f.Acts(ctx, min(max(most, 1), 1000))
		if err != nil {
			return err
		}
		return fleet.WriteActs(out, acts)
	})
	return cmd
}
