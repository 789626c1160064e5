// Command bookingd is the reference booking backend: it sells, takes payment, and publishes every change to the query nodes over NATS.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/rail"
)

func main() { os.Exit(execute()) }

// execute runs the command line and returns the exit status.
func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var file string
	root := &cobra.Command{
		Use: "bookingd", Short: "The reference booking backend: sells, takes payment, publishes every change", Args: cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: with(&file, func(ctx context.Context, settings config.Booking) error { return serve(ctx, file, settings) }),
	}
	root.PersistentFlags().StringVar(&file, "config", "", "settings file (see configs/bookingd.yaml); without one: defaults and YUPIAO_ environment variables")
	root.AddCommand(resync(&file), &cobra.Command{
		Use: "restore-epoch", Short: "After the database was restored from an older copy: begin a new history, which every node will believe", Args: cobra.NoArgs,
		RunE: with(&file, func(ctx context.Context, settings config.Booking) error {
			return backend.RestoreEpoch(ctx, settings, root.OutOrStdout())
		}),
	})
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bookingd:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, file string, settings config.Booking) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return backend.Serve(ctx, settings, hup, func() (config.Booking, error) { return config.LoadBooking(file) })
}

func resync(file *string) *cobra.Command {
	var date string
	cmd := &cobra.Command{Use: "resync", Short: "Have the running backend publish the state of every run again", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&date, "date", "", "only of a service date, YYYY-MM-DD")
	cmd.RunE = with(file, func(ctx context.Context, settings config.Booking) error {
		if _, err := rail.ParseDate(date); date != "" && err != nil {
			return fmt.Errorf("--date: %w", err)
		}
		return backend.Resync(ctx, settings, date, cmd.OutOrStdout())
	})
	return cmd
}

// with reads the settings for a command.
func with(file *string, do func(context.Context, config.Booking) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		settings, err := config.LoadBooking(*file)
		if err != nil {
			return err
		}
		return do(cmd.Context(), settings)
	}
}
