package faulty_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/faulty"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, now func() time.Time, plan faulty.Plan) *faulty.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return faulty.New(s, plan)
}

// TestSuite shows that the wrapper is sound without faults.
func TestSuite(t *testing.T) {
	storetest.Run(t, func(t testing.TB, dir string, now func() time.Time) store.Store { return open(t, dir, now, nil) })
}

func put(key string) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.PutRow("t", []byte(key), nil) }
}

func has(t *testing.T, s store.Store, key string) bool {
	t.Helper()
	var err error
	if viewErr := s.View(t.Context(), func(r store.Reader) error { _, err = r.Row("t", []byte(key)); return nil }); viewErr != nil {
		t.Fatal(viewErr)
	}
	return err == nil
}

func TestFaults(t *testing.T) {
	s := open(t, t.TempDir(), nil, nil)
	defer s.Close()
	for name, c := range map[string]struct {
		fault  faulty.Fault
		runs   int
		err    error
		stored bool
	}{
		"none":   {faulty.Fault{}, 1, nil, true},
		"before": {faulty.Fault{Before: faulty.ErrInjected}, 0, faulty.ErrInjected, false},
		"undo":   {faulty.Fault{Undo: store.ErrFull}, 1, store.ErrFull, false},
		"after":  {faulty.Fault{After: faulty.ErrInjected}, 1, faulty.ErrInjected, true},
		"rerun":  {faulty.Fault{Rerun: true}, 2, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Faults()
			s.Follow(faulty.Writes(c.fault))
			runs := 0
			err := s.Update(t.Context(), func(tx store.Tx) error {
				runs++
				return put(name)(tx)
			})
			if !errors.Is(err, c.err) || runs != c.runs || has(t, s, name) != c.stored {
				t.Errorf("error %v, %d runs, stored %t", err, runs, has(t, s, name))
			}
			if hit := s.Faults() - before; hit != 0 && name == "none" || hit != 1 && name != "none" {
				t.Errorf("%d faults counted", hit)
			}
			if err := s.Update(t.Context(), put(name+" later")); err != nil {
				t.Errorf("after the script: %v", err)
			}
		})
	}
}

func TestAViewCanFail(t *testing.T) {
	s := open(t, t.TempDir(), nil, faulty.Script(faulty.Fault{Before: faulty.ErrInjected}))
	defer s.Close()
	if err := s.View(t.Context(), func(store.Reader) error { return nil }); !errors.Is(err, faulty.ErrInjected) {
		t.Error(err)
	}
}

func TestStale(t *testing.T) {
	s := open(t, t.TempDir(), nil, faulty.Writes(faulty.Fault{}, faulty.Fault{Stale: 1}))
	defer s.Close()
	d := store.Document{Key: store.Key{Scope: store.Scope{Account: "1", Region: "r"}, Kind: "k", ID: "a"}}
	if err := s.Update(t.Context(), func(tx store.Tx) (err error) { d, err = tx.InsertDocument(d); return err }); err != nil {
		t.Fatal(err)
	}
	replace := func(tx store.Tx) error { _, err := tx.ReplaceDocument(d); return err }
	if err := s.Update(t.Context(), replace); !errors.Is(err, store.ErrStale) {
		t.Errorf("first: %v", err)
	}
	if err := s.Update(t.Context(), replace); err != nil {
		t.Errorf("second: %v", err)
	}
}

func TestDelayEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), nil, faulty.Writes(faulty.Fault{Delay: time.Second}, faulty.Fault{Delay: time.Hour}))
		defer s.Close()
		begin := time.Now()
		if err := s.Update(t.Context(), put("a")); err != nil || time.Since(begin) != time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Update(ctx, put("b")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestRandomRepeatsWithItsSeed(t *testing.T) {
	outcome := func(seed uint64) (out string) {
		plan := faulty.Random(seed, 0.5)
		for i := range 100 {
			out += fmt.Sprintln(plan(faulty.Call{Number: i + 1, Write: true}))
		}
		return out
	}
	first, again, other := outcome(1), outcome(1), outcome(2)
	if first != again || first == other {
		t.Error("a seed does not decide")
	}
}
