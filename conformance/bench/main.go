// Command bench prints the figures of the design that this build can be held
// to, each beside what it is compared with, measured in the same run. With -json
// it writes them down as well, for package page.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/conformance/bench/figures"
)

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.json, "json", "", "`file` to write the figures to as well")
	flag.StringVar(&o.commit, "commit", "unknown", "commit that is measured, for that file")
	flag.StringVar(&o.note, "note", "", "what else readers of that file must know of the run")
	flag.IntVar(&o.starts, "starts", 12, "session starts of each kind")
	flag.IntVar(&o.sessions, "sessions", 16, "sessions to take the memory of")
	flag.StringVar(&o.sandbox, "sandbox", "", "sandbox `executable` to use in the rows of the engine, such as one with symbols for a profile")
	aide := flag.Bool("aide", false, "be a process that a row needs beside it; arguments say which")
	rows := flag.String("rows", strings.Join(allRows(), ","), "rows to measure")
	flag.Parse()
	if *aide {
		if err := beAide(flag.Arg(0), flag.Arg(1)); err != nil {
			log.Fatal("bench: ", err)
		}
		return
	}
	o.rows = strings.Split(*rows, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatal("bench: ", err)
	}
}

type options struct {
	json, commit     string
	note             string
	starts, sessions int
	rows             []string
	sandbox          string
	binary, dir      string // the program, and a directory for what is left behind
}

func allRows() []string {
	return []string{"server", "invoke", "access", "gateway", "sockets", "hop", "images", "starts", "room"}
}

func run(ctx context.Context, o options) error {
	program := os.Getenv("OUTCROP_BINARY")
	if program == "" {
		return errors.New("OUTCROP_BINARY must name the program to measure; use `make bench`")
	}
	for _, row := range o.rows {
		if !slices.Contains(allRows(), row) {
			return fmt.Errorf("there is no row %q; there are %s", row, strings.Join(allRows(), ", "))
		}
	}
	dir, err := os.MkdirTemp("", "outcrop-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// A build in between does not change what is measured.
	o.dir, o.binary = dir, filepath.Join(dir, "outcrop")
	if err := copyProgram(o.binary, program); err != nil {
		return err
	}
	report := figures.Report{Commit: o.commit, Note: o.note, Machine: machine(), Load: []float64{loadAverage()}}
	if err := measure(ctx, o, &report); err != nil {
		return err
	}
	report.Load = append(report.Load, loadAverage())
	fmt.Printf("\nload average: %.1f at the start, %.1f at the end, of which the measurement itself makes a part\n", report.Load[0], report.Load[1])
	if o.json == "" {
		return nil
	}
	return report.Write(o.json)
}

// measure goes through the rows.
func measure(ctx context.Context, o options, report *figures.Report) error {
	rows := map[string]func() error{
		"server":  func() error { return startUp(ctx, o.binary) },
		"invoke":  func() error { return invokeRow(ctx) },
		"access":  func() error { return accessRow(ctx, report) },
		"gateway": func() error { return gatewayRow(ctx, o, report) },
		"sockets": func() error { return socketsRow(ctx, report) },
		"hop":     func() error { return hopRow(ctx, o, report) },
		"images":  func() error { return imagesRow(ctx, o, report) },
		"starts":  func() error { return startsRow(ctx, o, report) },
		"room":    func() error { return roomRow(ctx, o, report) },
	}
	for _, name := range o.rows {
		if err := rows[name](); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func copyProgram(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// The shape of a measurement.
const (
	rounds   = 3
	duration = 2 * time.Second
)

// verdict says how a figure stands to its bar.
func verdict(ok bool) string {
	if ok {
		return "meets"
	}
	return "MISSES"
}
