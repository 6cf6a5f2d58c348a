package flight_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/outcrop/outcrop/internal/image/flight"
)

func TestOneMakerAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group
		land, err := g.TakeOff(t.Context(), "a")
		if err != nil || !g.Under("a") || g.Under("b") {
			t.Fatalf("%v, %v", err, g.Under("b"))
		}
		other, err := g.TakeOff(t.Context(), "b") // which waits for nobody
		if err != nil {
			t.Fatal(err)
		}
		other()
		ctx, cancel := context.WithCancelCause(t.Context())
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := g.TakeOff(ctx, "a"); err != context.Canceled {
				t.Errorf("who stops waiting is told %v", err)
			}
		})
		makers, most := 0, 0
		for range 10 {
			waiting.Go(func() {
				land, err := g.TakeOff(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				makers++ // guarded by the flight itself
				most = max(most, makers)
				makers--
				land()
			})
		}
		synctest.Wait()
		cancel(errors.New("another cause"))
		synctest.Wait()
		land()
		waiting.Wait()
		if most != 1 || g.Under("a") {
			t.Errorf("%d makers at a time", most)
		}
	})
}
