package target

import (
	"context"
	"errors"
	"time"
)

// Calls are how many calls of one target run at once, and Queue is how long a further one
// waits for its turn: what one target's callers hold of this server is bounded.
const (
	Calls = 1000
	Queue = 10 * time.Second
)

// ErrBusy says that as many calls run as may, and that none has ended.
var ErrBusy = errors.New("too many calls of the target run at once")

// Slots are the calls of a target that run. They are safe for concurrent use.
type Slots struct {
	taken chan struct{}
	queue time.Duration
}

// NewSlots returns Slots for a number of calls; a further one waits as long as queue says.
func NewSlots(calls int, queue time.Duration) *Slots {
	return &Slots{make(chan struct{}, calls), queue}
}

// Enter waits for a turn, which Leave ends. The error is ErrBusy, or that of ctx.
func (s *Slots) Enter(ctx context.Context) error {
	select {
	case s.taken <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(s.queue)
	defer timer.Stop()
	select {
	case s.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ErrBusy
	}
}

// Leave ends a turn.
func (s *Slots) Leave() { <-s.taken }
