// Command yupiao is for people: a demo railway, seat searches in a terminal, settings of all nodes, load.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(execute()) }

// execute runs the command line and returns the exit status.
func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "yupiao:", err)
		return 1
	}
	return 0
}

// command is yupiao with all that it can do.
func command() *cobra.Command {
	root := &cobra.Command{Use: "yupiao", Short: "Remaining seats: a demo railway, seat searches in a terminal, load", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(demoCommand(), queryCommand(), watchCommand(), ttlCommand(), loadCommand(), fleetCommand(), drainCommand(), actsCommand(), clusterCommand(), healthCommand())
	root.AddCommand(runCommands()...)
	return root
}
