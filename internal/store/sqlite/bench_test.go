package sqlite_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func benchDoc(n int64) store.Document {
	return store.Document{
		Key:   store.Key{Scope: store.Scope{Account: "1", Region: "r"}, Kind: "bench", ID: fmt.Sprint(n)},
		Spec:  json.RawMessage(`{"agentRuntimeName":"hello","networkConfiguration":{"networkMode":"PUBLIC"}}`),
		State: json.RawMessage(`{"status":"CREATING"}`),
	}
}

// BenchmarkUpdate shows what a durable write costs alone and in company: with
// more goroutines more of them share a commit and its fsync.
func BenchmarkUpdate(b *testing.B) {
	for _, workers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", workers), func(b *testing.B) {
			s := open(b, b.TempDir(), nil)
			defer s.Close()
			var n atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			done := make(chan error)
			for range workers {
				go func() {
					for {
						i := n.Add(1)
						if i > int64(b.N) {
							done <- nil
							return
						}
						err := s.Update(b.Context(), func(tx store.Tx) error {
							_, err := tx.InsertDocument(benchDoc(i))
							return err
						})
						if err != nil {
							done <- err
							return
						}
					}
				}()
			}
			for range workers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := open(b, b.TempDir(), nil)
	defer s.Close()
	const docs = 10_000
	if err := s.Update(b.Context(), func(tx store.Tx) error {
		for i := range int64(docs) {
			if _, err := tx.InsertDocument(benchDoc(i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	get := func(i int64) error {
		return s.View(b.Context(), func(r store.Reader) error {
			_, err := r.Document(benchDoc(i % docs).Key)
			return err
		})
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := get(int64(i)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		var n atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := get(n.Add(1)); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkOpen(b *testing.B) {
	for _, name := range []string{"new", "existing"} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			for i := 0; b.Loop(); i++ {
				path := filepath.Join(dir, "outcrop.db")
				if name == "new" {
					path = filepath.Join(dir, fmt.Sprint(i))
				}
				s, err := sqlite.Open(b.Context(), path, sqlite.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRows is one page of a listing: 1000 of 100,000 rows.
func BenchmarkRows(b *testing.B) {
	s := open(b, b.TempDir(), nil)
	defer s.Close()
	const rows = 100_000
	if err := s.Update(b.Context(), func(tx store.Tx) error {
		for i := range rows {
			if err := tx.PutRow("objects", fmt.Appendf(nil, "bucket/key-%06d", i), make([]byte, 200)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.View(b.Context(), func(r store.Reader) error {
			from := fmt.Appendf(nil, "bucket/key-%06d", (i*7919)%(rows-1000))
			for _, err := range r.Rows("objects", store.Range{From: from, Limit: 1000}) {
				if err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}
