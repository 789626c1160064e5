// Command yupiaod is a query node: it follows a booking system's feed over NATS and answers seat searches over HTTP.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/node"
)

func main() { os.Exit(execute()) }

// execute runs the command line and returns the exit status.
func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var file string
	cmd := &cobra.Command{
		Use: "yupiaod", Short: "A query node: follows the feed, answers seat searches", Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), file) },
	}
	cmd.Flags().StringVar(&file, "config", "", "settings file (see configs/yupiaod.yaml); without one: defaults and YUPIAO_ environment variables")
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "yupiaod:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, file string) error {
	settings, err := config.LoadNode(file)
	if err != nil {
		return err
	}
	log := logger(settings.Log)
	n, err := node.New(settings, node.Options{Log: log})
	if err != nil {
		return err
	}
	log.Info("listening", "http", n.Address(), "admin", n.AdminAddress(), "feed", settings.Feed.URL)
	return n.Run(ctx)
}

func logger(s config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.Level)) // validated
	options := &slog.HandlerOptions{Level: level}
	if s.Format == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}
