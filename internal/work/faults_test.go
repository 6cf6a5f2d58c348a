package work_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store/faulty"
	"github.com/outcrop/outcrop/internal/work"
)

// TestAFaultyStoreLosesNothing lets three writes in ten go wrong, lost
// acknowledgements included: each item is done at least once, and those of a key
// in order.
func TestAFaultyStoreLosesNothing(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			run(t, func(t *testing.T, b *bench) {
				const items = 8
				keys := []string{"a", "b", "c"}
				for range items {
					b.enqueue(keys...)
				}
				sound := b.store
				broken := faulty.New(sound, faulty.Random(seed, 0.3))
				b.store = broken
				var mu sync.Mutex
				last := map[string]int64{}
				done := map[string]int{}
				b.begin(work.Options{}, handler{do: func(_ context.Context, item *work.Item) error {
					mu.Lock()
					defer mu.Unlock()
					if item.ID < last[item.Key] {
						t.Errorf("%s after item %d", item, last[item.Key])
					}
					if item.ID > last[item.Key] {
						done[item.Key]++
					}
					last[item.Key] = item.ID
					return nil
				}}, work.Policy{})
				pass(time.Hour)
				b.end()
				b.store = sound
				if broken.Faults() < 5 {
					t.Errorf("only %d faults", broken.Faults())
				}
				for _, key := range keys {
					if left := b.left(key); len(left) != 0 || done[key] != items {
						t.Errorf("%s: %d done, left %v", key, done[key], left)
					}
				}
			})
		})
	}
}
