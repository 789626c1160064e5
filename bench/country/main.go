//go:build linux

// Command country measures a query node that holds a whole country: how long it loads, what memory it takes, how soon it shows a change, what a query costs
// beside the same on the sample network, and what a date that rolls in or out does to those who ask.
//
// Three kinds of process take part, all on this machine and on loopback addresses alone:
//
//	country          makes the railway (pkg/country), publishes it with the real feed.Publisher, asks, and measures
//	country broker   a NATS server with its files in a temporary folder
//	yupiaod          the real query node, built for the purpose; for the roll of dates a node whose clock can be moved (country node)
//
// It depends on nothing but what the feed, the replica and the node's HTTP promise to all. All processes end, and the folder goes, however it ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/gtfs"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// options are the command line.
type options struct {
	seed     uint64
	scale    float64
	rounds   int
	gtfs     string
	json     string
	profiles string
}

// phase is how long each rate of changes, and the queries, are measured.
func (o *options) phase() time.Duration { return time.Duration(o.rounds) * 4 * time.Second }

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs the command line and returns the exit status.
func execute(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := play(ctx, args); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "country:", err)
		return 1
	}
	return 0
}

// play is the part that the first argument names.
func play(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == brokerPart {
		return playBroker(ctx, args[1])
	}
	if len(args) == 2 && args[0] == nodePart {
		return playNode(ctx, args[1])
	}
	var o options
	flags := flag.NewFlagSet("country", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the country and of what people do")
	flags.Float64Var(&o.scale, "scale", 1, "size of the country, 0.01 to 1")
	flags.IntVar(&o.rounds, "rounds", 5, "how often loading is measured; each rate of changes, and the queries, for four seconds times as many")
	flags.StringVar(&o.gtfs, "gtfs", "", "GTFS feed, to be grown to the country's number of trains, instead of a made-up country")
	flags.StringVar(&o.json, "json", "", "file for the results as JSON")
	flags.StringVar(&o.profiles, "profiles", "", "folder for profiles of a node that loads and is asked, in a round of its own")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.rounds < 1 {
		return fmt.Errorf("want flags alone, and at least 1 round; see --help")
	}
	return bench(ctx, o)
}

// bench measures everything and tells it. What cannot be measured ends it.
func bench(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "yupiao-country-")
	if err != nil {
		return err
	}
	b := &run{options: o, dir: dir, began: time.Now(), result: Result{Scale: o.scale, Seed: o.seed, Rounds: o.rounds, Machine: process.Machine()}}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, step := range []func(context.Context) error{b.build, b.open, b.load, b.change, b.ask, b.watch, b.roll} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	b.result.Print(os.Stdout)
	if o.json == "" {
		return nil
	}
	data, err := json.MarshalIndent(b.result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(data, '\n'), 0o644)
}

// run is a bench under way.
type run struct {
	options
	dir     string
	program string // yupiaod
	began   time.Time
	result  Result

	country *railway
	sample  *railway
	node    *node // of the country, loaded
	ending  []func() error
}

// close ends what was started, the last first.
func (b *run) close() (err error) {
	for i := len(b.ending) - 1; i >= 0; i-- {
		err = errors.Join(err, b.ending[i]())
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

func (b *run) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// build builds the query node.
func (b *run) build(ctx context.Context) error {
	b.say("build yupiaod")
	b.program = filepath.Join(b.dir, "yupiaod")
	return process.Tool(ctx, "go", "build", "-o", b.program, "github.com/yupiao/yupiao/cmd/yupiaod")
}

// schedule is the timetable to be measured, with one date more than is on sale at first.
func (b *run) schedule(first rail.Date) (*timetable.Schedule, error) {
	if b.gtfs == "" {
		c, err := country.New(country.Options{Seed: b.seed, Scale: b.scale})
		if err != nil {
			return nil, err
		}
		return c.Schedule(first, country.SaleDays+1), nil
	}
	s, report, err := gtfs.Read(b.gtfs, gtfs.Options{Rules: formation.Default(), From: first, Days: country.SaleDays + 1, Lenient: true})
	if err != nil {
		return nil, err
	}
	daily := float64(report.Runs) / (country.SaleDays + 1)
	return country.Grow(s, country.TrainsPerDay*b.scale/daily), nil
}
