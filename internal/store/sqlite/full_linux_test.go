package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/store/storetest"
)

// TestDeleteOnAFullDisk has others take all that is free, again and again: who
// makes room gets along on the reserve, nobody else uses it up, and it is back as
// soon as there is room.
func TestDeleteOnAFullDisk(t *testing.T) {
	dir := storetest.SmallDisk(t, "16m")
	now := time.Unix(0, 0)
	path, ballast := filepath.Join(dir, "outcrop.db"), filepath.Join(dir, "ballast")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{Reserve: 2 << 20, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	for i := range 400 {
		if err := putRow(t, s, fmt.Sprintf("%04d", i), make([]byte, 10<<10)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(i int) error {
		return s.Update(store.Freeing(t.Context()), func(tx store.Tx) error {
			return tx.DeleteRow("t", fmt.Appendf(nil, "%04d", i))
		})
	}
	added := 0
	for i := range 300 {
		storetest.FillUp(t, ballast)
		if i == 0 { // it also starts with nothing free
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			storetest.FillUp(t, ballast)
			s = open()
			storetest.FillUp(t, ballast)
		}
		if err := remove(i); err != nil {
			t.Fatalf("delete %d: %v", i, err)
		}
		now = now.Add(time.Hour)
		// Somebody writes as long as he can.
		for {
			err := putRow(t, s, fmt.Sprintf("more %d", added), make([]byte, 10<<10))
			if errors.Is(err, store.ErrFull) {
				break
			}
			if err != nil {
				t.Fatalf("write after delete %d: %v", i, err)
			}
			added++
		}
	}
	if n := count(t, s, "t"); n != 100+added {
		t.Errorf("%d rows, %d of them added", n, added)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := remove(300); err != nil { // this alone brings the reserve back
		t.Fatal(err)
	}
	if err := putRow(t, s, "later", nil); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if info, err := os.Stat(path + ".reserve"); err != nil || info.Size() != 2<<20 {
		t.Errorf("reserve: %v, %v", info, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestDiskFull fills a small file system, and finds a typed error, everything
// acknowledged in place, nothing half-written, and a store that works again once
// there is room.
func TestDiskFull(t *testing.T) {
	dir := storetest.SmallDisk(t, "4m")
	s := mustOpen(t, filepath.Join(dir, "outcrop.db"))
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 20<<10)
	stored := 0
	for {
		err := s.Update(t.Context(), func(tx store.Tx) error {
			if err := tx.PutRow("t", fmt.Appendf(nil, "%04d", stored), value); err != nil {
				return err
			}
			return tx.PutRow("pair", fmt.Appendf(nil, "%04d", stored), nil)
		})
		if errors.Is(err, store.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if stored++; stored > 1000 {
			t.Fatal("never full")
		}
	}
	for _, table := range []string{"t", "pair"} {
		if n := count(t, s, table); n != stored {
			t.Errorf("%d rows in %s, %d acknowledged", n, table, stored)
		}
	}
	crowd(t, s)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := putRow(t, s, "later", value); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.DeleteRows("t", store.Prefix([]byte("crowd ")))
		return err
	}); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if n := count(t, s, "t"); n != stored+1 {
		t.Errorf("%d rows", n)
	}
}

// crowd writes from many goroutines where only some writes fit: those that share a
// commit with one that does not fit may fail too, but each is told the truth.
func crowd(t *testing.T, s store.Store) {
	t.Helper()
	const writers, each = 16, 20
	var mu sync.Mutex
	stored, refused := 0, 0
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				// Some of these grow the file at once, and fail before the commit.
				err := putRow(t, s, fmt.Sprintf("crowd %d %d", w, i), make([]byte, (w*i)%7*40<<10))
				mu.Lock()
				switch {
				case err == nil:
					stored++
				case errors.Is(err, store.ErrFull):
					refused++
				default:
					t.Errorf("crowd: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	found := 0
	err := s.View(t.Context(), func(r store.Reader) error {
		found = 0
		for _, err := range r.Rows("t", store.Prefix([]byte("crowd "))) {
			if err != nil {
				return err
			}
			found++
		}
		return nil
	})
	if err != nil || found != stored || refused == 0 {
		t.Errorf("%d stored, %d refused, %d found, %v", stored, refused, found, err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.DeleteRows("t", store.Prefix([]byte("crowd ")))
		return err
	}); err != nil && !errors.Is(err, store.ErrFull) {
		t.Errorf("remove the crowd: %v", err)
	}
}

func count(t *testing.T, s store.Store, table string) (n int) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) error {
		n = 0
		for _, err := range r.Rows(table, store.Range{}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
