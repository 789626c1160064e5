package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/demo"
	"github.com/yupiao/yupiao/pkg/rail"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	var from, formations string
	var verbose bool
	cmd := &cobra.Command{
		Use: "demo", Short: "A living railway in one process: NATS, booking backend, buyers, query node and page", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if from != "" {
				if o.From, err = rail.ParseDate(from); err != nil {
					return fmt.Errorf("--from-date: %w", err)
				}
			}
			settings, err := config.LoadBooking(formations)
			if err != nil {
				return err
			}
			o.Settings, o.Out = settings, cmd.OutOrStdout()
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelInfo
			}
			o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.GTFS, "gtfs", "", "GTFS feed to run (zip file or folder); default: a sample network")
	f.BoolVar(&o.Lenient, "lenient", false, "skip broken lines of the GTFS feed and count them")
	f.IntVar(&o.Days, "days", 15, "days on sale, 1 to 60")
	f.StringVar(&from, "from-date", "", "first service date, YYYY-MM-DD; default: today")
	f.StringVar(&o.HTTP, "http", "127.0.0.1:8080", "address of the page and the API")
	f.StringVar(&o.Admin, "admin", "127.0.0.1:8081", "address of metrics and profiles")
	f.StringVar(&o.Booking, "booking", "127.0.0.1:8082", "address of the booking API")
	f.StringVar(&o.NATS, "nats", "127.0.0.1:4222", "address of NATS; a taken port is replaced by a free one")
	f.Float64Var(&o.SalesPerSecond, "sales-per-second", 50, "acts of buyers a second, 0 to 10000")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of what they do")
	f.StringVar(&o.Data, "data", "", "folder for streams and orders, kept between starts; default: a temporary one")
	f.StringVar(&formations, "booking-config", "", "settings of the booking backend (see configs/bookingd.yaml)")
	f.BoolVarP(&verbose, "verbose", "v", false, "log what goes well, too")
	return cmd
}
