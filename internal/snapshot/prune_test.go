package snapshot_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxfake"
	"github.com/outcrop/outcrop/internal/snapshot"
)

// prune wants a number of files to go.
func (b *bench) prune(s *snapshot.Store, o snapshot.PruneOptions, want int) {
	b.t.Helper()
	before := s.Stats()
	done, err := s.Prune(o)
	if err != nil || done.Files != want {
		b.t.Errorf("Prune(%+v) = %+v, %v; want %d files", o, done, err, want)
	}
	after := s.Stats()
	if o.DryRun {
		done = snapshot.Pruned{}
	}
	if before.Files-after.Files != done.Files || before.Bytes-after.Bytes != done.Bytes || len(b.files()) != after.Files {
		b.t.Errorf("from %+v to %+v and the files %v, with %+v pruned", before, after, b.files(), done)
	}
}

func known(keys ...snapshot.Key) func() ([]snapshot.Key, error) {
	return func() ([]snapshot.Key, error) { return keys, nil }
}

func TestPrune(t *testing.T) {
	b := newBench(t)
	s := b.open(func(c *snapshot.Config) { c.MaxAge = 10 * time.Hour })
	one, two := snapshot.Key{Owner: "hello", Part: "1", ID: "a"}, snapshot.Key{Owner: "hello", Part: "2", ID: "a"}
	other := snapshot.Key{Owner: "bye", Part: "1", ID: "a"}
	for _, k := range []snapshot.Key{one, two, other} {
		b.put(s, k, k.Owner+k.Part)
	}
	b.prune(s, snapshot.PruneOptions{}, 0)
	b.prune(s, snapshot.PruneOptions{Known: known(one, two, other)}, 0)
	b.prune(s, snapshot.PruneOptions{Known: known(one), Unused: time.Hour}, 0)
	b.prune(s, snapshot.PruneOptions{Known: known(one), DryRun: true}, 2)
	b.prune(s, snapshot.PruneOptions{Known: known(one, snapshot.Key{Owner: "hello", Part: "2", ID: "another"})}, 1)
	b.missing(s, other)
	failure := errors.New("the store is away")
	if _, err := s.Prune(snapshot.PruneOptions{All: true, Known: func() ([]snapshot.Key, error) { return nil, failure }}); !errors.Is(err, failure) {
		t.Errorf("without knowing: %v", err)
	}
	b.now = b.now.Add(2 * time.Hour)
	b.get(s, two).Release()
	b.prune(s, snapshot.PruneOptions{All: true, Unused: time.Hour}, 1)
	b.missing(s, one)
	b.now = b.now.Add(9 * time.Hour) // two is too old
	b.prune(s, snapshot.PruneOptions{Known: known(two)}, 1)
	if left := s.Stats(); left != (snapshot.Stats{}) {
		t.Errorf("left: %+v", left)
	}
}

// TestPruneSpares what is being used, loaded, and written.
func TestPruneSpares(t *testing.T) {
	b := newBench(t)
	s := b.open(nil)
	b.put(s, key("used"), "used")
	h := b.get(s, key("used"))
	b.prune(s, snapshot.PruneOptions{All: true}, 0)
	h.Release()
	b.prune(s, snapshot.PruneOptions{All: true}, 1)

	b.put(s, key("loaded"), "loaded")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begun, goOn := make(chan struct{}), make(chan struct{})
	load := b.load
	b.load = func(ctx context.Context, r io.Reader) (sandbox.Snapshot, error) {
		begun <- struct{}{}
		<-goOn
		return load(ctx, r)
	}
	s = b.open(nil)
	got := make(chan *snapshot.Handle)
	go func() {
		h, err := s.Get(t.Context(), key("loaded"))
		if err != nil {
			t.Error(err)
		}
		got <- h
	}()
	<-begun
	b.prune(s, snapshot.PruneOptions{All: true}, 0)
	close(goOn)
	(<-got).Release()

	slow := &slowSnapshot{begun: begun, goOn: make(chan struct{})}
	put := make(chan error)
	go func() { put <- s.Put(t.Context(), key("loaded"), slow) }() // in place of the one there is
	<-begun
	if done, err := s.Prune(snapshot.PruneOptions{All: true}); err != nil || done.Files != 0 {
		t.Errorf("while it is written: %+v, %v", done, err)
	}
	if done, err := s.PruneAbandoned(time.Hour, false); err != nil || done.Files != 0 {
		t.Errorf("while it is written: %+v, %v", done, err)
	}
	close(slow.goOn)
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	b.prune(s, snapshot.PruneOptions{All: true}, 1)
}

// slowSnapshot waits in the middle of being written.
type slowSnapshot struct{ begun, goOn chan struct{} }

func (*slowSnapshot) Size() int64  { return 1 }
func (*slowSnapshot) Close() error { return nil }
func (s *slowSnapshot) WriteTo(w io.Writer) (int64, error) {
	s.begun <- struct{}{}
	<-s.goOn
	n, err := w.Write([]byte("x"))
	return int64(n), err
}

func TestPruneAbandoned(t *testing.T) {
	b := newBench(t)
	s := b.open(nil)
	b.put(s, key("a"), "a")
	left := filepath.Join(b.dir, "new-1")
	if err := errors.Join(os.WriteFile(left, []byte("four"), 0o600), os.Chtimes(left, b.now, b.now)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after  time.Duration
		dryRun bool
		want   snapshot.Pruned
	}{
		{time.Minute, false, snapshot.Pruned{}}, {time.Hour, true, snapshot.Pruned{Files: 1, Bytes: 4}},
		{0, false, snapshot.Pruned{Files: 1, Bytes: 4}}, {0, false, snapshot.Pruned{}},
	} {
		b.now = b.now.Add(step.after)
		if done, err := s.PruneAbandoned(time.Hour, step.dryRun); err != nil || done != step.want {
			t.Errorf("%+v, %v; want %+v", done, err, step.want)
		}
	}
	if len(b.files()) != 1 {
		t.Errorf("left: %v", b.files())
	}
}

// TestPruneBesideUse: whoever makes and uses snapshots while others prune gets a
// whole one or none, and the table is what the directory has.
func TestPruneBesideUse(t *testing.T) {
	b := newBench(t)
	s := b.open(func(c *snapshot.Config) { c.Memory = 0 }) // so that files are read
	work := []func() error{
		func() error { _, err := s.Prune(snapshot.PruneOptions{All: true}); return err },
		func() error { return s.Put(t.Context(), key("a"), &sandboxfake.Snapshot{Of: "a"}) },
		func() error {
			h, err := s.Get(t.Context(), key("a"))
			if errors.Is(err, snapshot.ErrMissing) {
				return nil
			}
			if err == nil {
				if of(h) != "a" {
					t.Errorf("got %q", of(h))
				}
				h.Release()
			}
			return err
		},
	}
	var all sync.WaitGroup
	for _, do := range work {
		all.Go(func() {
			for range 100 {
				if err := do(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := s.Put(t.Context(), key("a"), &sandboxfake.Snapshot{Of: "a"}); err != nil {
		t.Fatal(err)
	}
	b.get(s, key("a")).Release()
	if n := len(b.files()); n != 1 || s.Stats().Files != 1 {
		t.Errorf("%d files, %+v", n, s.Stats())
	}
}
