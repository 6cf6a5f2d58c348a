//go:build !windows

package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Resized implements Console.
func (*console) Resized(ctx context.Context) <-chan struct{} {
	signals, resized := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-signals:
				select {
				case resized <- struct{}{}:
				default: // one is waiting
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return resized
}

// understandSequences has nothing to do: terminals do.
func understandSequences(int) (restore func(), err error) { return func() {}, nil }
