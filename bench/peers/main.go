// Command peers serves one answer by the designs that people know, beside ours, on one machine, and measures what a request costs in each.
//
// The answer is a search of 17 trains with four classes. It is the same bytes in every design, which is checked before anything is measured; only the bare
// servers and the static file keep what they were given, all others follow 5,000 changes a second while they are measured.
//
//	core 0  the design, all of its processes: server, proxy and backend, redis-server
//	core 1  this program (changes, publisher, Redis updater, prober), NATS, wrk
//
// Designs take turns, one at a time: round 1 of all, round 2 of all, and so on, so that what else happens on the machine meets them all. Each turn starts the
// design, checks its answer, warms it up, measures, checks its answer again and stops it. wrk is a closed loop: a connection asks again when it was answered, so
// requests/s are what a saturated core gives, and latencies are those of saturation. CPU is of all processes of the design, divided by the requests of wrk and
// of the prober; for designs that follow the changes, the cost of following is in it.
//
// Only loopback addresses are used: type endpoint is the only way to one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs the command line and returns the exit status.
func execute(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(args) > 0 && args[0] == roleCommand {
		err = runRole(ctx, args[1:])
	} else {
		err = compare(ctx, args, os.Stdout, os.Stderr)
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case ctx.Err() != nil:
		err = errors.New("interrupted; everything was stopped")
	}
	fmt.Fprintln(os.Stderr, "peers:", err)
	return 1
}

// settings are the command line.
type settings struct {
	rounds, connections, others int
	seconds                     int // whole ones, as wrk wants them
	changes                     float64
	servers, load               core
	designs                     []design
	yupiaod, json               string
	laneKey                     bool
}

// parse reads the command line.
func parse(args []string, complain io.Writer) (settings, error) {
	var s settings
	var only string
	var servers, load uint
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(complain)
	f.IntVar(&s.rounds, "rounds", 5, "rounds, each of all designs")
	f.IntVar(&s.seconds, "seconds", 10, "how long a design is measured in a round")
	f.IntVar(&s.connections, "connections", 32, "connections of wrk")
	f.Float64Var(&s.changes, "changes", 5000, "changes a second, spread evenly over the runs")
	f.IntVar(&s.others, "others", 300, "trains that do not serve the asked-for pair of stations, on 15 dates like those that do; more of them leave fewer changes to the answer")
	f.StringVar(&only, "only", "", "designs to measure, separated by commas, of "+strings.Join(names(catalogue()), ", ")+"; default: all")
	f.UintVar(&servers, "server-core", 0, "core of the design under measure")
	f.UintVar(&load, "load-core", 1, "core of everything else")
	f.StringVar(&s.yupiaod, "yupiaod", "", "a yupiaod program; default: built from this tree")
	f.BoolVar(&s.laneKey, "lane-key", true, "write http.fast_lane into our settings; false for a node that does not know the key: ours and ours-gin are then the same")
	f.StringVar(&s.json, "json", "", "file for the figures as JSON, beside the text")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.servers, s.load = core(servers), core(load)
	var err error
	if s.designs, err = choose(only); err != nil {
		return s, err
	}
	switch {
	case f.NArg() > 0:
		return s, fmt.Errorf("argument %q; want flags alone", f.Arg(0))
	case s.rounds < 1 || s.connections < 1 || s.others < 0:
		return s, errors.New("--rounds and --connections must be 1 or more, --others not negative")
	case s.seconds < 1 || s.seconds > 600 || !(s.changes >= 0 && s.changes <= 100_000): // written so that NaN fails
		return s, errors.New("--seconds must be 1 to 600, --changes 0 to 100000")
	case s.servers == s.load:
		return s, errors.New("--server-core and --load-core must differ: what the load costs is not the server's")
	}
	return s, nil
}

// duration is how long a design is measured in a round.
func (s *settings) duration() time.Duration { return time.Duration(s.seconds) * time.Second }

// compare measures and writes the report.
func compare(ctx context.Context, args []string, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	if err := missing(s.designs); err != nil {
		return err
	}
	report := newReport(&s)
	if err := measure(ctx, &s, report, progress); err != nil {
		return err
	}
	report.write(out)
	if s.json == "" {
		return nil
	}
	return report.save(s.json)
}
