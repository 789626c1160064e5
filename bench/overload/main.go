//go:build linux

// Command overload asks a query node for five times what it can do, and tells what becomes of it: how much is still answered, how fast, what becomes of the rest, whether operators and
// balancers are still heard, and how soon all is as before. At the end comes the opening of a sale, to which a hundred thousand requests come at once.
//
//	overload   a broker, a made-up railway (pkg/country), the crowd on one processor, probes
//	yupiaod    the real query node on the other processor
//
// A crowd is told by what it asks for, and how. Of a mixed one four of five requests are for something that nobody has asked for before, so that an answer must be made; the others are
// for what is kept. It keeps its connections, or opens a new one for each request. The saturating load is the highest rate, found by steps, at which 98 % are answered with 200.
//
// The share is no choice of taste. To read a request and refuse it takes about as long as to answer from what is kept; so that five times as many can be told anything at all, an answer
// must cost several times that on the average. With hits alone, five times as many are more than can be read: see the rows that are no goals.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/bench/process"
)

// options are the command line.
type options struct {
	seed     uint64
	scale    float64
	program  string
	settings string
	over     time.Duration
	step     time.Duration
	only     string
	burst    int
	opensIn  time.Duration
	cold     float64
	factor   float64
	profile  string
}

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs the command line and returns the exit status.
func execute(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, args); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "overload:", err)
		return 1
	}
	return 0
}

func bench(ctx context.Context, args []string) (err error) {
	var o options
	flags := flag.NewFlagSet("overload", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the country")
	flags.Float64Var(&o.scale, "scale", 0.1, "size of the country, 0.01 to 1")
	flags.StringVar(&o.program, "yupiaod", "", "program of the node; built if there is none")
	flags.StringVar(&o.settings, "settings", "limits: {queue_wait: 200ms}", "further settings of the node, as a line of YAML")
	flags.DurationVar(&o.over, "for", time.Minute, "how long the overload is")
	flags.DurationVar(&o.step, "step", 2*time.Second, "how long a step is on the way to the saturating load")
	flags.StringVar(&o.only, "only", "", "crowds and bursts, separated by semicolons, instead of all; see the table")
	flags.IntVar(&o.burst, "burst", 100_000, "requests at the sale's opening")
	flags.Float64Var(&o.cold, "cold", 0.8, "share of a mixed crowd's requests for which an answer must be made")
	flags.Float64Var(&o.factor, "factor", 5, "how many times the saturating load")
	flags.StringVar(&o.profile, "profile", "", "file for a profile of the node's processor under overload")
	flags.DurationVar(&o.opensIn, "opens-in", 10*time.Second, "when the sale opens, from the start on, if there is nothing but bursts; otherwise it opens after the crowds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("want flags alone; see --help")
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Printf("%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	return (&run{options: o, say: say}).all(ctx)
}

// run is a bench under way.
type run struct {
	options
	say   func(string, ...any)
	stage *stage
	table []row
}

// kinds of crowds, and of bursts.
var kinds = []kind{
	{name: "mixed", cold: -1, connections: 1000},
	{name: "mixed, reconnecting", cold: -1, connections: 1000, reconnect: true},
	{name: "half cold, beyond the goals", cold: 0.5, connections: 1000, short: true},
	{name: "hits, beyond the goals", cold: 0, connections: 1000, short: true},
}

// kind of crowd.
type kind struct {
	name        string
	cold        float64 // share; below 0: that of the options
	connections int
	reconnect   bool
	short       bool // a quarter of the overload is enough: it stands beside the goals
}

func (r *run) wanted(name string) bool {
	if r.only == "" {
		return true
	}
	for _, one := range strings.Split(r.only, ";") {
		if one == name {
			return true
		}
	}
	return false
}

func (r *run) all(ctx context.Context) (err error) {
	r.say("%s, %s, GOMAXPROCS of the node 1", process.Machine(), runtime.Version())
	var crowds []kind
	for _, k := range kinds {
		if r.wanted(k.name) {
			crowds = append(crowds, k)
		}
	}
	if len(crowds) > 0 {
		if err := r.on(ctx, time.Hour, func() error { return r.crowds(ctx, crowds) }); err != nil {
			return err
		}
	}
	for _, reconnect := range []bool{false, true} {
		name := map[bool]string{false: "burst", true: "burst, reconnecting"}[reconnect]
		if !r.wanted(name) {
			continue
		}
		if err := r.on(ctx, r.opensIn, func() error { return r.rush(ctx, name, reconnect) }); err != nil {
			return err
		}
	}
	printTable(r.table)
	return nil
}

// on does something on a stage of its own, whose sale opens after a time.
func (r *run) on(ctx context.Context, opensIn time.Duration, do func() error) (err error) {
	o := r.options
	o.opensIn = opensIn
	if r.stage, err = newStage(ctx, o, r.say); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stage.close()) }()
	return do()
}

func (r *run) crowds(ctx context.Context, all []kind) error {
	for _, k := range all {
		if err := r.crowd(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return nil
}
