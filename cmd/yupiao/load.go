package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/load"
	"github.com/yupiao/yupiao/pkg/rail"
)

// loading is what the command line says of a run and load.Options does not.
type loading struct {
	load.Options
	gtfs, pairs, report string
	lenient             bool
	dates               []string
}

func loadCommand() *cobra.Command {
	l := &loading{Options: load.Defaults()}
	cmd := &cobra.Command{
		Use: "load", Short: "Ask a query node of this machine as a crowd would, and report how it fared", Args: cobra.NoArgs,
		Long: `Ask a query node of this machine as a crowd would, and report how it fared.

Requests are due at a constant rate whatever the answers do, and latencies count from when a request was due: a stall of the server is felt by all who came
meanwhile. Pin the node and this command to different processors (taskset -c) where the numbers matter.`,
		Example: `  yupiao load --rate 5000 --for 1m --conditional 0.3 --gzip 0.8
  yupiao load --rate 2000 --rush-at 10s --rush-factor 10 --rush-for 5s --shift 10s --watchers 500 --report /tmp/report`,
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&l.Server, "server", "http://127.0.0.1:8080", "address of a query node on this machine")
	f.Float64Var(&l.Rate, "rate", l.Rate, "requests that are due a second, 1 to 1000000")
	f.DurationVar(&l.For, "for", l.For, "how long, 100ms to 24h")
	f.IntVar(&l.Connections, "connections", l.Connections, "connections, 1 to 10000")
	f.IntVar(&l.Queue, "queue", l.Queue, "requests that may wait for a connection, 1 to 10000000; of more, the oldest is given up")
	f.DurationVar(&l.Timeout, "timeout", l.Timeout, "how long a request is waited for from when it was due, 10ms to 5m")
	f.StringVar(&l.gtfs, "gtfs", "", "GTFS feed whose places are asked for (zip file or folder); default: the sample network of yupiao demo")
	f.BoolVar(&l.lenient, "lenient", false, "skip broken lines of the GTFS feed and count them")
	f.StringVar(&l.pairs, "pairs", "", "CSV file of from,to,weight to ask for instead; places are station codes, or city: and a city's code")
	f.StringSliceVar(&l.dates, "dates", nil, "boarding dates to ask for, YYYY-MM-DD, the most wanted first; default: those that the node has on sale")
	f.DurationVar(&l.Shift, "shift", 0, "how often other pairs become the wanted ones; 0s for never")
	f.DurationVar(&l.Rush.At, "rush-at", 0, "when a sale opens: more requests, for the last boarding date; default: never")
	f.Float64Var(&l.Rush.Factor, "rush-factor", 10, "how many times as many requests are due in the rush, 1 to 1000")
	f.DurationVar(&l.Rush.For, "rush-for", 5*time.Second, "how long the rush lasts")
	f.Float64Var(&l.Conditional, "conditional", 0, "share of requests with If-None-Match, 0 to 1")
	f.Float64Var(&l.Gzip, "gzip", 0, "share of requests that accept gzip, 0 to 1")
	f.IntVar(&l.Watchers, "watchers", 0, "streams that are held open meanwhile, 0 to 20000; the node's streams.max_per_client must allow them")
	f.Uint64Var(&l.Seed, "seed", l.Seed, "seed of what is asked for")
	f.StringVar(&l.report, "report", "", "folder for report.json and report.html; made if it does not exist")
	cmd.MarkFlagsMutuallyExclusive("gtfs", "pairs")
	return cmd
}

func (l *loading) run(cmd *cobra.Command) (err error) {
	rush := cmd.Flags().Changed("rush-at")
	for _, name := range []string{"rush-factor", "rush-for"} {
		if cmd.Flags().Changed(name) && !rush {
			return fmt.Errorf("%w: %s without rush-at; want both, or neither", load.ErrOption, name)
		}
	}
	if !rush {
		l.Rush = load.Rush{}
	}
	if l.Demand, err = l.wanted(); err != nil {
		return err
	}
	if l.Dates, err = l.boarding(cmd.Context()); err != nil {
		return err
	}
	if l.report != "" { // a folder that cannot be made is found before the run, not after it
		if err := os.MkdirAll(l.report, 0o755); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
	}
	l.Progress = func(p load.Progress) { fmt.Fprintln(cmd.ErrOrStderr(), p) }
	report, err := load.Run(cmd.Context(), l.Options)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteText(cmd.OutOrStdout()), l.write(report))
}

// wanted is the demand of the file of pairs, or of a timetable.
func (l *loading) wanted() (*demand.Demand, error) {
	if l.pairs != "" {
		file, err := os.Open(l.pairs)
		if err != nil {
			return nil, fmt.Errorf("--pairs: %w", err)
		}
		defer func() { _ = file.Close() }() // it was read
		d, err := demand.Read(file)
		if err != nil {
			return nil, fmt.Errorf("--pairs: %s: %w", l.pairs, err)
		}
		return d, nil
	}
	settings := config.DefaultBooking()
	settings.Timetable.GTFS, settings.Timetable.Lenient = l.gtfs, l.lenient
	schedule, err := backend.ReadTimetable(settings, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return demand.New(schedule), nil
}

// boarding is the dates of the command line, or those that the node has on sale.
func (l *loading) boarding(ctx context.Context) (dates []rail.Date, err error) {
	if len(l.dates) == 0 {
		return load.OnSale(ctx, l.Server)
	}
	for _, text := range l.dates {
		date, err := rail.ParseDate(text)
		if err != nil {
			return nil, fmt.Errorf("--dates: %w", err)
		}
		dates = append(dates, date)
	}
	return dates, nil
}

// write writes the report's files, if they are wanted.
func (l *loading) write(report *load.Report) error {
	if l.report == "" {
		return nil
	}
	page, err := report.HTML()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"report.json": report.JSON(), "report.html": page} {
		if err := os.WriteFile(filepath.Join(l.report, name), data, 0o644); err != nil {
			return fmt.Errorf("--report: %w", err)
		}
	}
	return nil
}
