package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/audit"
	"github.com/yupiao/yupiao/pkg/fleet"
)

// runCommands are what can be done to a run on all nodes.
func runCommands() (all []*cobra.Command) {
	for _, c := range []struct{ act, short, example string }{
		{fleet.Suspend, "Show a run as suspended, with a reason, whatever the booking system says", `  yupiao suspend G1@2026-12-01 --reason "a tree on the line"`},
		{fleet.Resume, "Show a suspended run as the booking system says again", "  yupiao resume G1@2026-12-01"},
		{fleet.Pin, "Let no answer with a run be served without a look, whatever TTL the rules give", "  yupiao pin G1@2026-12-01"},
		{fleet.Unpin, "Let the rules hold for a run again", "  yupiao unpin G1@2026-12-01"},
		{fleet.Purge, "Have each node read a run anew from the booking system", "  yupiao purge 20261201.G1"},
	} {
		all = append(all, runCommand(c.act, c.short, c.example))
	}
	return append(all, holdsCommand(), auditCommand())
}

func runCommand(act, short, example string) *cobra.Command {
	r, a := &reach{}, fleet.RunAct{Act: act}
	cmd := &cobra.Command{
		Use: act + " RUN", Short: short, Args: cobra.ExactArgs(1), Example: example,
		Long: short + ".\n\nRUN is the id of a run, as answers show it, or the train's number and its service date, as G1@2026-12-01. It holds on every node within a second, and on nodes that\n" +
			"start later; the output says which have it.",
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&a.By, "by", defaultAuthor(), "who does it")
	cmd.Flags().StringVarP(&a.Reason, "reason", "m", "", "why; travellers are told the reason of a suspension")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, args []string) error {
		a.Run = args[0]
		version, verdicts, err := f.OnRun(ctx, a)
		if len(verdicts) == 0 {
			return err
		}
		if written := fleet.WriteRunVerdicts(out, &a, version, verdicts); written != nil {
			return written
		}
		return cmp.Or(err, done(verdicts))
	})
	return cmd
}

func holdsCommand() *cobra.Command {
	r, asJSON := &reach{}, false
	cmd := &cobra.Command{Use: "holds", Short: "The runs that are suspended or pinned by operators", Args: cobra.NoArgs}
	r.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write them as JSON")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, _ []string) error {
		held, err := f.Holds(ctx)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(out, held)
		}
		return fleet.WriteHolds(out, held)
	})
	return cmd
}

// errFound is the exit of an audit that found something.
var errFound = errors.New("not all is as it should be")

func auditCommand() *cobra.Command {
	r, o, asJSON := &reach{}, audit.Options{}, false
	cmd := &cobra.Command{
		Use: "audit", Short: "Hold every number of every node against the booking system", Args: cobra.NoArgs,
		Long: `Hold every number of every node against the booking system.

It loads all runs from the feed, which takes the memory of a node for a moment, compares them with the booking system's list and with what each node holds, and ends
with status 1 if something is wrong and was not mended.`,
		Example: "  yupiao audit\n  yupiao audit --repair\n  yupiao audit --node node-2 --json",
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&o.Repair, "repair", false, "have the nodes read anew what is found")
	cmd.Flags().StringVar(&o.Node, "node", "", "name or id of the only node to look at")
	cmd.Flags().StringVar(&o.By, "by", defaultAuthor(), "who has it repaired")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the report as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if r.admin != "" {
			return errors.New("an audit reads the feed itself: it wants --nats, not --admin")
		}
		conn, err := r.connect("yupiao audit")
		if err != nil {
			return err
		}
		defer conn.Close()
		o.Conn = conn
		o.Progress = func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) }
		report, err := audit.Run(cmd.Context(), o)
		if err != nil {
			return err
		}
		write := report.Write
		if asJSON {
			write = func(out io.Writer) error { return writeJSON(out, report) }
		}
		if err := write(cmd.OutOrStdout()); err != nil {
			return err
		}
		if !report.Clean() {
			return errFound
		}
		return nil
	}
	return cmd
}
