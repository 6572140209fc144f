// Command bench implements "make bench". It measures Kaban, servers that only copy
// lines (bench/floor) and the bare disk, in one run on one machine, and writes
// docs/performance.md.
//
// Each figure is the median of several runs. The servers take turns within a run,
// so that other load on the machine affects all of them. Every measurement starts
// a new server. The JSON file next to the page contains all figures, not just the
// medians.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// plan is the parsed command line.
type plan struct {
	runs     int
	duration time.Duration
	growth   int            // messages in the largest database
	only     *regexp.Regexp // works to run; nil is all
	into     bool           // publish them with the others of the last record
	docs     string
	dir      string // for binaries and data
}

func main() {
	var p plan
	var only string
	flag.IntVar(&p.runs, "runs", 5, "how often to measure; the medians are shown")
	flag.DurationVar(&p.duration, "duration", 3*time.Second, "how long each measurement takes")
	flag.IntVar(&p.growth, "growth", 1_000_000, "messages in the largest database that is built, 10000 to 10000000")
	flag.StringVar(&only, "only", "", "only works that match this regular expression; without -into nothing is written")
	flag.BoolVar(&p.into, "into", false, "with -only: write the page with them and the other works as they were measured last, to complete a run of the same version")
	flag.StringVar(&p.docs, "docs", "docs", "where performance.md is")
	flag.StringVar(&p.dir, "dir", "bin", "where to build and to keep data for a while; its disk is measured")
	flag.Parse()
	if err := run(p, only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(p plan, only string) error {
	if p.runs < 1 || p.runs > 100 || p.duration < 100*time.Millisecond || p.growth < 10_000 || p.growth > 10_000_000 {
		return errors.New("-runs must be 1 to 100, -duration at least 100ms, -growth 10000 to 10000000")
	}
	if p.into && only == "" {
		return errors.New("-into is for some works: name them with -only")
	}
	if only != "" {
		var err error
		if p.only, err = regexp.Compile(only); err != nil {
			return fmt.Errorf("-only: %w", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	var err error
	if p.dir, err = filepath.Abs(p.dir); err != nil {
		return err
	}
	for _, name := range []string{"kaban", "floor"} {
		source := "./cmd/kaban"
		if name == "floor" {
			source = "./bench/floor"
		}
		build := exec.CommandContext(ctx, "go", "build", "-pgo=auto", "-trimpath", "-o", filepath.Join(p.dir, "bench-"+name), source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, output)
		}
	}
	scratch, err := os.MkdirTemp(p.dir, "bench-data-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	r := &record{Machine: describeMachine(ctx), Runs: p.runs, Seconds: p.duration.Seconds(), Figures: make(figures)}
	m := &meter{plan: p, ctx: ctx, scratch: scratch, record: r}
	if busy, err := strconv.ParseFloat(r.Machine.Load, 64); err == nil && busy > 1 {
		fmt.Fprintf(os.Stderr, "the machine is busy (load %s): the figures will tell little\n", r.Machine.Load)
	}
	err = m.all()
	if ctx.Err() != nil {
		return err
	}
	if p.only != nil {
		err = errors.Join(r.print(os.Stdout), err)
		if !p.into || err != nil {
			return err
		}
		last, err := published(p.docs)
		if err != nil {
			return err
		}
		if err := last.takes(r); err != nil {
			return err
		}
		r = last.with(r)
	}
	return errors.Join(r.publish(p.docs), err)
}
