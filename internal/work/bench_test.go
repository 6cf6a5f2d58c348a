package work_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/work"
)

// BenchmarkItems is the whole way of an item, from the transaction that enqueues
// it to the one that removes it, for keys of their own.
func BenchmarkItems(b *testing.B) {
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "outcrop.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var left sync.WaitGroup
	r := work.New(s, work.Options{Owner: us})
	if err := r.Register("k", handler{do: func(context.Context, *work.Item) error { left.Done(); return nil }}, work.Policy{}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	n := 0
	for b.Loop() {
		left.Add(1)
		n++
		if err := s.Update(b.Context(), func(tx store.Tx) error {
			_, err := tx.EnqueueWork(store.Work{Kind: "k", Key: fmt.Sprint(n)})
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
	left.Wait()
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}
