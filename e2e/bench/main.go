// Command bench compares the time of `slipway apply` with that of by-hand.sh, a shell script that takes the same steps over
// OpenSSH, on new machine containers: one control plane and two workers, or with -ha three control planes that share
// an address, and one worker.
//
//	go run ./e2e/bench -slipway bin/slipway -bundle DIR
//	go run ./e2e/bench -slipway bin/slipway -bundle DIR -ha
//
// It needs root. The exit code is 1 if slipway takes more than -max-ratio of the script's time or more than -max-time,
// or if an installation fails or exceeds its time limit.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"slipway.io/slipway/provision/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	slipway, bundle, script, lab, logs string
	pairs                              int
	ha                                 bool
	limit                              time.Duration
	goal
}

// goal is what slipway must reach.
type goal struct {
	// maxRatio is the largest ratio of slipway's time to the script's.
	maxRatio float64
	// maxTime is slipway's largest time; 0: any.
	maxTime time.Duration
}

// goalOf returns the goal for a kind of cluster.
func goalOf(ha bool) goal {
	if ha {
		return goal{maxRatio: 0.75, maxTime: 45 * time.Second}
	}
	return goal{maxRatio: 1}
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.slipway, "slipway", "bin/slipway", "path of the binary")
	flags.StringVar(&o.bundle, "bundle", "", "directory of the bundle that both install from")
	flags.StringVar(&o.script, "script", "e2e/bench/by-hand.sh", "script to compare slipway with")
	flags.StringVar(&o.lab, "lab", fmt.Sprintf("bench-%d", os.Getpid()), "name of the lab, which each installation creates and deletes")
	flags.StringVar(&o.logs, "logs", "", "directory for the output of each installation (default: printed if it fails)")
	flags.IntVar(&o.pairs, "pairs", 2, "number of installations with each of the two")
	flags.DurationVar(&o.limit, "limit", 10*time.Minute, "time limit of an installation")
	flags.BoolVar(&o.ha, "ha", false, "install three control planes with keepalived and haproxy, and one worker")
	flags.Float64Var(&o.maxRatio, "max-ratio", 0, "largest ratio of slipway's time to the script's (default 1, with -ha 0.75)")
	flags.DurationVar(&o.maxTime, "max-time", 0, "largest time of slipway (default none, with -ha 45s)")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	o.maxRatio = cmp.Or(o.maxRatio, goalOf(o.ha).maxRatio)
	o.maxTime = cmp.Or(o.maxTime, goalOf(o.ha).maxTime)
	switch {
	case flags.NArg() > 0:
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.bundle == "":
		return options{}, errors.New("-bundle is required")
	case o.pairs < 1:
		return options{}, fmt.Errorf("-pairs %d: must be at least 1", o.pairs)
	}
	// The script runs in another directory.
	for _, path := range []*string{&o.slipway, &o.bundle, &o.script, &o.logs} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return options{}, err
		}
		*path = abs
	}
	return o, nil
}

// contender is a way to install a cluster on the machines of a lab. Only the
// function that prepare returns is timed.
type contender struct {
	name    string
	prepare func(*bench, context.Context, *lab.Lab) (install func(context.Context) error, err error)
	took    []time.Duration
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	b := &bench{options: o, scratch: scratch, log: stderr}
	if err := b.warm(ctx); err != nil {
		return err
	}
	slipway := &contender{name: "slipway apply", prepare: (*bench).slipwayApply}
	byHand := &contender{name: "by hand", prepare: (*bench).byHand}
	for pair := range o.pairs {
		order := []*contender{slipway, byHand}
		if pair%2 == 1 {
			slices.Reverse(order) // neither always runs first
		}
		for _, c := range order {
			took, err := b.measure(ctx, c)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.took = append(c.took, took)
			fmt.Fprintf(stdout, "pair %d  %-14s %6.1f s\n", pair+1, c.name, took.Seconds())
		}
	}
	return verdict(stdout, slipway.took, byHand.took, o.goal)
}

// verdict prints the ratio of the medians. It is an error if slipway does not reach its goal.
func verdict(w io.Writer, slipway, byHand []time.Duration, want goal) error {
	ours, theirs := median(slipway), median(byHand)
	ratio := ours.Seconds() / theirs.Seconds()
	fmt.Fprintf(w, "median  slipway apply %.1f s, by hand %.1f s; ratio slipway/by-hand %.2f\n", ours.Seconds(), theirs.Seconds(), ratio)
	if ratio > want.maxRatio {
		return fmt.Errorf("slipway is too slow: ratio %.2f, at most %.2f allowed", ratio, want.maxRatio)
	}
	if want.maxTime > 0 && ours > want.maxTime {
		return fmt.Errorf("slipway is too slow: %.1f s, at most %.1f s allowed", ours.Seconds(), want.maxTime.Seconds())
	}
	return nil
}

// median of an even number is the mean of the middle two.
func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	upper := len(sorted) / 2
	lower := (len(sorted) - 1) / 2
	return (sorted[lower] + sorted[upper]) / 2
}
