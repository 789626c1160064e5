//go:build linux

// Command faults does real harm to a real fleet, one fault after the other, and holds every answer against the truth.
//
//	crowd -> bookingd -> nats-1, nats-2, nats-3 -> node-1, node-2, node-3 -> balancer -> queries
//	              |                                                                         |
//	          history (every committed change, by a trigger in the database)  ---------> judge
//
// The processes are pkg/cluster's, with a pkg/link on every connection between two of them. As root, the NATS servers run in network namespaces of their own, and they and the
// booking system's database keep their files on small file systems of their own, so that a network can fail and a disk be full. Everything is on this machine, and all of it
// goes, however it ends.
//
// An answer is right if each run that it does not mark shows what was true at some moment between its Yupiao-As-Of and its arrival. The truth is what the booking system's
// database committed: it comes neither by way of the feed nor from code that a node has.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	only     *regexp.Regexp
	balanced float64       // queries a second through the balancer
	direct   float64       // at each node
	sales    float64       // acts a second
	hold     time.Duration // how long a fault lasts
	programs string
	verbose  bool
	seed     uint64
}

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs the command line and returns the exit status.
func execute(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	only := flags.String("only", "", "regular expression for the names of the faults to try; default: all")
	flags.Float64Var(&o.balanced, "rate", 200, "queries a second through the balancer")
	flags.Float64Var(&o.direct, "direct", 40, "queries a second at each node, without the balancer")
	flags.Float64Var(&o.sales, "sales", 50, "acts of buyers a second")
	flags.DurationVar(&o.hold, "hold", 6*time.Second, "how long a fault lasts")
	flags.StringVar(&o.programs, "programs", "", "folder with bookingd, yupiaod and nats-server; default: they are built")
	flags.BoolVar(&o.verbose, "v", false, "tell what the cluster says")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of what people buy and ask for")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	var err error
	if o.only, err = regexp.Compile(*only); err == nil {
		err = bench(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 1
	}
	return 0
}

// errWrong: an answer was wrong and not marked, or something did not recover.
var errWrong = errors.New("not as it should be; see the table")

// bench tries the faults and prints the table.
func bench(ctx context.Context, o options) (err error) {
	s, err := newStage(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	rows, err := s.play(ctx, faults(s))
	fmt.Println()
	printTable(os.Stdout, s, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		if !rows[i].good() {
			return errWrong
		}
	}
	return nil
}
