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
	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
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
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var n *node.Node
	var log *slog.Logger
	var level slog.LevelVar
	live, err := config.OpenLive(file, config.LiveOptions{ // which calls these once it runs
		Hup: hup, OnTrouble: func(err error) { tell(log, err) },
		OnChange: func(s *config.Node) { level.Set(s.Log.SlogLevel()); n.Follow(s) },
	})
	if err != nil {
		return err
	}
	settings := live.Current()
	level.Set(settings.Log.SlogLevel())
	log = settings.Log.Logger(os.Stderr, &level)
	if n, err = node.New(*settings, node.Options{Log: log, Level: &level, Refused: live.Trouble}); err != nil {
		return err
	}
	log.Info("listening", "http", n.Address(), "admin", n.AdminAddress(), "feed", feed.Redacted(settings.Feed.URL))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.Run(ctx) })
	group.Go(func() error { return live.Run(ctx) })
	return group.Wait()
}

func tell(log *slog.Logger, err error) {
	if err != nil {
		log.Error("settings refused, the last good ones stay in force", "error", err)
		return
	}
	log.Info("the settings file is in force again")
}
