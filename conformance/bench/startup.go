package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"
)

// The bars of a start (DESIGN: exec to first 200, resident when idle).
const (
	startBar    = 200 * time.Millisecond
	residentBar = 80 << 20
)

// startUp measures exec to the first 200, on an empty data directory and on one
// that exists, and what is resident when idle.
func startUp(ctx context.Context, binary string) error {
	var fresh, again []time.Duration
	var resident []int64
	for range 5 {
		dir, err := os.MkdirTemp("", "outcrop-bench-")
		if err != nil {
			return err
		}
		for _, list := range []*[]time.Duration{&fresh, &again} {
			took, rss, err := startOnce(ctx, binary, dir)
			if err != nil {
				return err
			}
			*list = append(*list, took)
			resident = append(resident, rss)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	rss := median(resident)
	fmt.Printf("\n%-44s %10s %10s\n", "server", "median", "bar")
	fmt.Printf("%-44s %10s %10s  %s\n", "exec to first 200, new data directory", ms(median(fresh)), ms(startBar), verdict(median(fresh) <= startBar))
	fmt.Printf("%-44s %10s %10s  %s\n", "exec to first 200, existing data directory", ms(median(again)), ms(startBar), verdict(median(again) <= startBar))
	fmt.Printf("%-44s %7d MiB %6d MiB  %s\n", "resident when idle", rss>>20, residentBar>>20, verdict(rss <= residentBar))
	return nil
}

func startOnce(ctx context.Context, binary, dir string) (time.Duration, int64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, binary, "serve", "--listen", addr, "--data", dir+"/data")
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // its status is no figure
	}()
	for time.Since(begun) < 10*time.Second {
		resp, err := http.Get("http://" + addr + "/_outcrop/health")
		if err != nil {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		took := time.Since(begun)
		_ = resp.Body.Close()
		time.Sleep(300 * time.Millisecond) // idle
		rss, err := residentBytes(cmd.Process.Pid)
		return took, rss, err
	}
	return 0, 0, fmt.Errorf("no answer at %s within 10 s", addr)
}

func median[T int64 | time.Duration | float64](v []T) T { return part(v, 2) }

// part is what one of so many parts of v is below.
func part[T int64 | time.Duration | float64](v []T, of int) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/of]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }
