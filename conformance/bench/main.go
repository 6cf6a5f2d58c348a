// Command bench prints the figures of the design that this build can be held
// to, each beside what it is compared with, measured in the same run.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal("bench: ", err)
	}
}

func run(ctx context.Context) error {
	binary := os.Getenv("OUTCROP_BINARY")
	if binary == "" {
		return errors.New("OUTCROP_BINARY must name the program to measure; use `make bench`")
	}
	if err := startUp(ctx, binary); err != nil {
		return fmt.Errorf("start-up: %w", err)
	}
	return invokeRow(ctx)
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
