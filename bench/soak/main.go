//go:build linux

// Command soak lets a country sell for an hour, with everything that may go wrong going wrong, one thing a minute, and says whether the query nodes stood it: no wrong number that
// is not marked, no divergence, memory and goroutines flat.
//
// These processes take part, all on this machine and on loopback addresses alone:
//
//	soak            the booking system's record (country.Book and an outbox), the clocks, the load, the faults, the checks, the report
//	soak broker     a NATS server with its files in a temporary folder
//	soak publisher  the real feed.Publisher, which fetches from the record what was committed: when it is killed, nothing is lost but its memory
//	soak node       two query nodes, put together by package node as yupiaod is, with a clock that can be moved; a and b. Only b is ever killed, so that a has an unbroken life
//
// 5,000 changes/s alone take one of two processors, in all processes together, whatever the size of the country. 300 queries/s and 200 watchers take the other; the defaults leave it to whoever
// else is there.
//
// A day goes by every few minutes: all clocks jump at once by 24 hours, a date comes on sale and one is over. Node, publisher and record see nothing else of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	length   time.Duration
	scale    float64
	rate     int
	queries  float64
	watchers int
	seed     uint64
	out      string
	kinds    string // of faults, by their letters

	day, faultEvery, reloadEvery, warmUp time.Duration
}

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs the command line and returns the exit status: 1 if it could not be done, 2 if a verdict fails.
func execute(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	held, err := play(ctx, args)
	switch {
	case err != nil && !errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 1
	case err == nil && !held:
		return 2
	}
	return 0
}

// play is the part that the first argument names.
func play(ctx context.Context, args []string) (held bool, err error) {
	if len(args) > 0 {
		switch args[0] {
		case brokerPart:
			return true, playBroker(ctx, args[1:])
		case publisherPart:
			return true, playPublisher(ctx, args[1:])
		case nodePart:
			return true, playNode(ctx, args[1:])
		}
	}
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.DurationVar(&o.length, "for", time.Hour, "how long it is measured, after the warm-up")
	flags.Float64Var(&o.scale, "scale", 0.3, "size of the country, 0.01 to 1")
	flags.IntVar(&o.rate, "rate", 5000, "changes a second")
	flags.Float64Var(&o.queries, "queries", 100, "queries a second, over both nodes")
	flags.IntVar(&o.watchers, "watchers", 100, "open streams of live answers; all come anew each minute")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the country and of what people do")
	flags.StringVar(&o.out, "out", "", "folder and beginning of the names of the report's files: OUT.html, OUT.md, OUT.csv")
	flags.DurationVar(&o.day, "day", 5*time.Minute, "after how long a service date rolls")
	flags.DurationVar(&o.faultEvery, "fault-every", time.Minute, "after how long something else goes wrong")
	flags.DurationVar(&o.reloadEvery, "reload-every", 3*time.Minute, "after how long settings change")
	flags.DurationVar(&o.warmUp, "warm-up", 3*time.Minute, "how long it runs, faults included, before memory is judged")
	flags.StringVar(&o.kinds, "faults", "", "letters of the faults that are to happen, as in the report's table; none: all")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if flags.NArg() > 0 || o.length < 10*time.Second || o.rate < 1 || o.day < 5*time.Second || o.faultEvery < 5*time.Second || o.out == "" {
		return false, errors.New("want flags alone, --out, at least 10s --for, a rate, and 5s for --day and --fault-every; see --help")
	}
	if strings.Contains(o.kinds, "K") && !strings.Contains(o.kinds, "J") {
		return false, fmt.Errorf("--faults %s: K puts back what J has copied; want J as well", o.kinds)
	}
	return soak(ctx, o)
}
