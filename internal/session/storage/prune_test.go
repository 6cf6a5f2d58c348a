package storage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/session/storage"
)

func TestPrune(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dir := filepath.Join(t.TempDir(), "a[b*")
	var asleep []storage.Key
	s, err := storage.New(storage.Config{Dir: dir, Keep: func() []storage.Key { return asleep }, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Wait()
	named := func(owner, session string) storage.Key {
		return storage.Key{Owner: owner, Endpoint: "DEFAULT", Session: session, Version: "1"}
	}
	use := func(k storage.Key) {
		t.Helper()
		v := volume(t, s, k)
		write(t, v, k.Session)
		v.Close()
	}
	prune := func(o storage.PruneOptions, want storage.Pruned) {
		t.Helper()
		if done, err := s.Prune(o); err != nil || done != want {
			t.Errorf("Prune(%+v) = %+v, %v; want %+v", o, done, err, want)
		}
	}
	owners := func(all ...string) func() ([]string, error) {
		return func() ([]string, error) { return all, nil }
	}
	use(named("a", "one"))
	use(named("b", "three"))
	scratch, err := s.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	prune(storage.PruneOptions{Survey: true}, storage.Pruned{Left: 2, LeftBytes: 8})
	prune(storage.PruneOptions{Owners: owners("a"), Unused: time.Hour}, storage.Pruned{})
	prune(storage.PruneOptions{Owners: owners("a"), DryRun: true, Survey: true}, storage.Pruned{Places: 1, Bytes: 5, Left: 1, LeftBytes: 3})
	prune(storage.PruneOptions{Owners: owners("a")}, storage.Pruned{Places: 1, Bytes: 5})
	failure := errors.New("the store is away")
	if _, err := s.Prune(storage.PruneOptions{All: true, Owners: func() ([]string, error) { return nil, failure }}); !errors.Is(err, failure) {
		t.Errorf("without knowing: %v", err)
	}

	now = now.Add(7 * 24 * time.Hour)
	use(named("a", "young"))
	open := volume(t, s, named("a", "open"))
	use(named("a", "asleep"))
	asleep = []storage.Key{named("a", "asleep")}
	prune(storage.PruneOptions{All: true, Unused: 24 * time.Hour}, storage.Pruned{Places: 1, Bytes: 3})
	prune(storage.PruneOptions{All: true, Survey: true}, storage.Pruned{Places: 1, Bytes: 5, Left: 2, LeftBytes: 6})
	prune(storage.PruneOptions{Owners: owners()}, storage.Pruned{})
	open.Close()
	if open := volume(t, s, named("a", "asleep")); read(t, open) != "asleep" {
		t.Error("what a session comes back to is gone")
	} else {
		open.Close()
	}
	now = now.Add(storage.DefaultMaxAge)
	prune(storage.PruneOptions{}, storage.Pruned{Places: 1, Bytes: 0})
	asleep = nil
	prune(storage.PruneOptions{}, storage.Pruned{Places: 1, Bytes: 6})
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 { // trash and scratch
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(scratch.Path()); err != nil {
		t.Error(err)
	}
}

// TestPruneBesideStart: while others prune, whoever has a directory open keeps it.
func TestPruneBesideStart(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Wait()
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.Prune(storage.PruneOptions{All: true, Survey: true}); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 200 {
		v := volume(t, s, key)
		text := fmt.Sprint(i)
		write(t, v, text)
		if got := read(t, v); got != text {
			t.Fatalf("%q of %q is left", got, text)
		}
		v.Close()
	}
}
