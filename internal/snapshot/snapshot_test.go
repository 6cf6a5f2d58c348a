package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxfake"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a directory, its key, an engine and a clock.
type bench struct {
	t      testing.TB
	dir    string
	box    *secret.Box
	engine *sandboxfake.Engine
	now    time.Time
	load   func(context.Context, io.Reader) (sandbox.Snapshot, error)
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, dir: filepath.Join(t.TempDir(), "snapshots"), engine: &sandboxfake.Engine{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.box = b.newBox("key")
	b.load = b.engine.Load
	return b
}

func (b *bench) newBox(name string) *secret.Box {
	b.t.Helper()
	return secrettest.At(b.t, filepath.Join(filepath.Dir(b.dir), name))
}

// open opens the directory; change adjusts the configuration.
func (b *bench) open(change func(*snapshot.Config)) *snapshot.Store {
	b.t.Helper()
	cfg := snapshot.Config{
		Dir: b.dir, Kind: "test", Box: b.box, Load: b.load, Memory: 1 << 20,
		Now: func() time.Time { return b.now }, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := snapshot.New(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return s
}

func key(id string) snapshot.Key { return snapshot.Key{Owner: "hello", Part: "1", ID: id} }

func (b *bench) put(s *snapshot.Store, k snapshot.Key, of string) *sandboxfake.Snapshot {
	b.t.Helper()
	b.now = b.now.Add(time.Second)
	snap := &sandboxfake.Snapshot{Of: of, Env: []string{"API_KEY=canary-" + of}}
	if err := s.Put(b.t.Context(), k, snap); err != nil {
		b.t.Fatal(err)
	}
	return snap
}

func (b *bench) get(s *snapshot.Store, k snapshot.Key) *snapshot.Handle {
	b.t.Helper()
	b.now = b.now.Add(time.Second)
	h, err := s.Get(b.t.Context(), k)
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

func (b *bench) missing(s *snapshot.Store, k snapshot.Key) {
	b.t.Helper()
	if _, err := s.Get(b.t.Context(), k); !errors.Is(err, snapshot.ErrMissing) {
		b.t.Errorf("Get %s = %v, want ErrMissing", k.ID, err)
	}
	if _, ok := s.Stat(k); ok {
		b.t.Errorf("Stat %s finds it", k.ID)
	}
}

// files are the names in the directory, the key of the names left out.
func (b *bench) files() []string {
	b.t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.Name() != "names.key" {
			out = append(out, e.Name())
		}
	}
	return out
}

func of(h *snapshot.Handle) string { return h.Snapshot().(*sandboxfake.Snapshot).Of }

func TestPutAndGet(t *testing.T) {
	b := newBench(t)
	s := b.open(nil)
	b.missing(s, key("a"))
	first := b.put(s, key("a"), "one")
	h := b.get(s, key("a"))
	if of(h) != "one" || b.engine.Loads() != 0 {
		t.Errorf("got %s after %d loads, want the snapshot that was put", of(h), b.engine.Loads())
	}
	b.put(s, key("a"), "two") // in place of the first, which is in use
	if first.Closed() {
		t.Error("a snapshot in use was closed")
	}
	h.Release()
	h.Release()
	if !first.Closed() {
		t.Error("a replaced snapshot outlives its last user")
	}
	h = b.get(s, key("a"))
	defer h.Release()
	if of(h) != "two" || len(b.files()) != 1 {
		t.Errorf("got %s, files %v", of(h), b.files())
	}
	if info, ok := s.Stat(key("a")); !ok || info.Size == 0 || info.Created.IsZero() {
		t.Errorf("Stat = %+v, %v", info, ok)
	}
}

// TestAnotherProcess: what one process stored the next one finds, and it removes
// what a killed one left half-written and what it does not know.
func TestAnotherProcess(t *testing.T) {
	b := newBench(t)
	s := b.open(nil)
	b.put(s, key("a"), "one")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new-123", "stranger", "dir/inside"} {
		path := filepath.Join(b.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s = b.open(nil)
	if files := b.files(); len(files) != 1 {
		t.Errorf("files %v, want one", files)
	}
	h := b.get(s, key("a"))
	defer h.Release()
	if of(h) != "one" || b.engine.Loads() != 1 {
		t.Errorf("got %s after %d loads", of(h), b.engine.Loads())
	}
}

// TestNothingInTheClear: neither what a guest had in memory nor what a snapshot
// depends on can be read or guessed, and nobody else may look.
func TestNothingInTheClear(t *testing.T) {
	b := newBench(t)
	s := b.open(nil)
	k := snapshot.Key{Owner: "owner-canary", Part: "part-canary", ID: "API_KEY=id-canary"}
	b.put(s, k, "one")
	seen := 0
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if d.IsDir() {
			return nil
		}
		seen++
		body, err := os.ReadFile(path)
		if bytes.Contains(body, []byte("canary")) || strings.Contains(d.Name(), "canary") || bytes.Contains(body, []byte("pretended")) {
			t.Errorf("%s holds it in the clear", d.Name())
		}
		return err
	})
	if err != nil || seen != 2 {
		t.Errorf("%d files, %v", seen, err)
	}
	// The hash is keyed: the same key has another name elsewhere.
	other := newBench(t)
	other.put(other.open(nil), k, "one")
	if b.files()[0] == other.files()[0] {
		t.Error("the name of the file can be computed by anybody")
	}
}

func TestDamage(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"a changed byte": func(t *testing.T, path string) {
			body, err := os.ReadFile(path)
			if err == nil {
				body[len(body)/2] ^= 1
				err = os.WriteFile(path, body, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(t *testing.T, path string) {
			if err := os.Truncate(path, 300); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"of another": func(t *testing.T, path string) {
			b := newBench(t)
			b.put(b.open(nil), key("a"), "one")
			if err := os.Rename(filepath.Join(b.dir, b.files()[0]), path); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.put(b.open(nil), key("a"), "one")
			do(t, filepath.Join(b.dir, b.files()[0]))
			s := b.open(nil)
			b.missing(s, key("a"))
			if files := b.files(); len(files) != 0 {
				t.Errorf("files %v are left", files)
			}
			b.put(s, key("a"), "two")
			b.get(s, key("a")).Release()
		})
	}
	t.Run("renamed", func(t *testing.T) {
		b := newBench(t)
		s := b.open(nil)
		b.put(s, key("a"), "one")
		a := b.files()[0]
		b.put(s, key("b"), "two")
		other := b.files()[0]
		if other == a {
			other = b.files()[1]
		}
		if err := os.Rename(filepath.Join(b.dir, a), filepath.Join(b.dir, other)); err != nil {
			t.Fatal(err)
		}
		b.missing(b.open(nil), key("b"))
	})
	t.Run("another engine", func(t *testing.T) {
		b := newBench(t)
		b.put(b.open(nil), key("a"), "one")
		b.load = func(context.Context, io.Reader) (sandbox.Snapshot, error) { return nil, sandbox.ErrSnapshot }
		b.missing(b.open(nil), key("a"))
	})
	t.Run("more than the engine reads", func(t *testing.T) {
		b := newBench(t)
		b.put(b.open(nil), key("a"), "one")
		part := &sandboxfake.Snapshot{}
		b.load = func(context.Context, io.Reader) (sandbox.Snapshot, error) { return part, nil }
		b.missing(b.open(nil), key("a"))
		if !part.Closed() {
			t.Error("what was loaded of it is not closed")
		}
	})
	t.Run("another key file", func(t *testing.T) {
		b := newBench(t)
		b.put(b.open(nil), key("a"), "one")
		b.box = b.newBox("other")
		b.missing(b.open(nil), key("a"))
	})
}

// TestDiskTrouble: a disk that cannot be read just now is no damage.
func TestDiskTrouble(t *testing.T) {
	b := newBench(t)
	b.put(b.open(nil), key("a"), "one")
	trouble := errors.New("input/output error")
	b.load = func(context.Context, io.Reader) (sandbox.Snapshot, error) { return nil, trouble }
	s := b.open(nil)
	if _, err := s.Get(t.Context(), key("a")); !errors.Is(err, trouble) || errors.Is(err, snapshot.ErrMissing) {
		t.Errorf("Get = %v", err)
	}
	if len(b.files()) != 1 {
		t.Error("the file is gone")
	}
}

func TestLoadsOnce(t *testing.T) {
	b := newBench(t)
	b.put(b.open(nil), key("a"), "one")
	gate, asked := make(chan struct{}), make(chan struct{}, 100)
	b.load = func(ctx context.Context, r io.Reader) (sandbox.Snapshot, error) {
		asked <- struct{}{}
		<-gate
		return b.engine.Load(ctx, r)
	}
	s := b.open(func(c *snapshot.Config) { c.Memory = 0 })
	impatient, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := s.Get(impatient, key("a")); !errors.Is(err, context.Canceled) {
			t.Errorf("Get = %v", err)
		}
	})
	<-asked
	cancel() // who asked first leaves; the load goes on
	got := make(chan *snapshot.Handle, 20)
	for range cap(got) {
		wg.Go(func() {
			h, err := s.Get(t.Context(), key("a"))
			if err != nil {
				t.Error(err)
				return
			}
			got <- h
		})
	}
	close(gate)
	wg.Wait()
	close(got)
	var last *sandboxfake.Snapshot
	for h := range got {
		last = h.Snapshot().(*sandboxfake.Snapshot)
		if last.Closed() {
			t.Error("a snapshot in use was closed")
		}
		h.Release()
	}
	if !last.Closed() || s.Stats().Memory != 0 {
		t.Errorf("over its memory the store holds %+v", s.Stats())
	}
}

// TestMemory: the least recently used is unloaded, and loaded again from its file.
func TestMemory(t *testing.T) {
	b := newBench(t)
	size := (&sandboxfake.Snapshot{Of: "x", Env: []string{"API_KEY=canary-x"}}).Size()
	s := b.open(func(c *snapshot.Config) { c.Memory = 2 * size })
	one := b.put(s, key("a"), "1")
	two := b.put(s, key("b"), "2")
	b.get(s, key("a")).Release()
	b.put(s, key("c"), "3")
	if one.Closed() || !two.Closed() {
		t.Error("not the least recently used was unloaded")
	}
	if st := s.Stats(); st.Memory != 2*size || st.Loaded != 2 || st.Files != 3 {
		t.Errorf("%+v", st)
	}
	h := b.get(s, key("b"))
	if b.engine.Loads() != 1 || of(h) != "2" {
		t.Errorf("%d loads", b.engine.Loads())
	}
	h.Release()
}

func TestBounds(t *testing.T) {
	b := newBench(t)
	s := b.open(func(c *snapshot.Config) { c.MaxFiles, c.Evict = 2, true })
	b.put(s, key("a"), "1")
	b.put(s, key("b"), "2")
	b.get(s, key("a")).Release()
	b.put(s, key("c"), "3")
	b.missing(s, key("b"))
	b.get(s, key("a")).Release()
	if n := len(b.files()); n != 2 {
		t.Errorf("%d files", n)
	}

	b = newBench(t)
	size := (&sandboxfake.Snapshot{Of: "1", Env: []string{"API_KEY=canary-1"}}).Size()
	s = b.open(func(c *snapshot.Config) { c.MaxBytes = 2 * size })
	b.put(s, key("a"), "1")
	kept := &sandboxfake.Snapshot{Of: "2", Ballast: int(2 * size)}
	if err := s.Put(t.Context(), key("b"), kept); !errors.Is(err, snapshot.ErrFull) {
		t.Errorf("Put = %v, want ErrFull", err)
	}
	if kept.Closed() || len(b.files()) != 1 {
		t.Error("a snapshot that was not stored is the caller's, and nothing makes room for it")
	}
}

func TestMaxAge(t *testing.T) {
	b := newBench(t)
	s := b.open(func(c *snapshot.Config) { c.MaxAge = time.Hour })
	b.put(s, key("a"), "1")
	b.now = b.now.Add(time.Hour - 2*time.Second)
	b.get(s, key("a")).Release()
	b.now = b.now.Add(2 * time.Second)
	b.missing(s, key("a"))
	if len(b.files()) != 0 {
		t.Error("the file is left")
	}
}

// TestTake: a snapshot is had once, also by the next process.
func TestTake(t *testing.T) {
	b := newBench(t)
	s := b.open(func(c *snapshot.Config) { c.Memory = 0 })
	if put := b.put(s, key("a"), "1"); !put.Closed() {
		t.Error("what was stored is still in memory")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 10 {
		wg.Go(func() {
			snap, err := s.Take(t.Context(), key("a"))
			if errors.Is(err, snapshot.ErrMissing) {
				return
			}
			if err != nil || snap.(*sandboxfake.Snapshot).Of != "1" || len(b.files()) != 0 {
				t.Errorf("Take = %v, %v, files %v", snap, err, b.files())
			}
			mu.Lock()
			taken++
			mu.Unlock()
		})
	}
	wg.Wait()
	if taken != 1 {
		t.Errorf("taken %d times", taken)
	}
	b.missing(b.open(nil), key("a"))
}

func TestDrop(t *testing.T) {
	b := newBench(t)
	s := b.open(nil)
	keys := map[string]snapshot.Key{}
	for _, owner := range []string{"x", "y"} {
		for _, part := range []string{"1", "2"} {
			for _, id := range []string{"a", "b"} {
				keys[owner+part+id] = snapshot.Key{Owner: owner, Part: part, ID: id}
			}
		}
	}
	left := func(want ...string) {
		t.Helper()
		var got []string
		for _, name := range []string{"x1a", "x1b", "x2a", "x2b", "y1a", "y1b", "y2a", "y2b"} {
			if _, ok := s.Stat(keys[name]); ok {
				got = append(got, name)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(b.files()) != len(want) {
			t.Errorf("left %v and %d files, want %v", got, len(b.files()), want)
		}
	}
	for _, k := range keys {
		b.put(s, k, "1")
	}
	held := b.get(s, keys["x1a"])
	s.DropOthers(keys["x1b"])
	left("x1b", "x2a", "x2b", "y1a", "y1b", "y2a", "y2b")
	if held.Snapshot().(*sandboxfake.Snapshot).Closed() {
		t.Error("a dropped snapshot was taken from its user")
	}
	held.Release()
	s.DropOwner("y")
	left("x1b", "x2a", "x2b")
	s.Drop(keys["x2a"])
	s.Drop(keys["x2a"])
	left("x1b", "x2b")
	s.Retain([]snapshot.Key{keys["x2b"], keys["y1a"]})
	left("x2b")
}

func TestClosed(t *testing.T) {
	b := newBench(t)
	s := b.open(nil)
	snap := b.put(s, key("a"), "1")
	h := b.get(s, key("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if snap.Closed() {
		t.Error("a snapshot in use was closed")
	}
	h.Release()
	if !snap.Closed() {
		t.Error("a snapshot outlives its store")
	}
	if _, err := s.Get(t.Context(), key("a")); !errors.Is(err, snapshot.ErrClosed) {
		t.Errorf("Get = %v", err)
	}
	if err := s.Put(t.Context(), key("a"), snap); !errors.Is(err, snapshot.ErrClosed) {
		t.Errorf("Put = %v", err)
	}
}

// TestPutGivenUp leaves no file.
func TestPutGivenUp(t *testing.T) {
	b := newBench(t)
	s := b.open(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	snap := &sandboxfake.Snapshot{Of: "1"}
	if err := s.Put(ctx, key("a"), snap); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v", err)
	}
	if len(b.files()) != 0 || snap.Closed() {
		t.Errorf("files %v", b.files())
	}
}

// TestOlderForm: a file that was made before files were packed is read, and one
// that is packed badly is dropped.
func TestOlderForm(t *testing.T) {
	var before strings.Builder
	if _, err := (&sandboxfake.Snapshot{Of: "before"}).WriteTo(&before); err != nil {
		t.Fatal(err)
	}
	reseal := func(t *testing.T, text string) *bench {
		t.Helper()
		b := newBench(t)
		b.put(b.open(nil), key("a"), "one")
		name := b.files()[0]
		f, err := os.Create(filepath.Join(b.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w, err := b.box.SealStream(t.Context(), secret.Owner{Scope: "snapshot", Kind: "test", ID: name}, f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Run("an engine's own text", func(t *testing.T) {
		b := reseal(t, before.String())
		h := b.get(b.open(nil), key("a"))
		defer h.Release()
		if of(h) != "before" {
			t.Errorf("it is of %s", of(h))
		}
	})
	for what, text := range map[string]string{"packed badly": "\x01sNaPpY", "packed, nothing": "\x01", "nothing": ""} {
		t.Run(what, func(t *testing.T) {
			b := reseal(t, text)
			b.missing(b.open(nil), key("a"))
		})
	}
}

// TestFreeDisk: what the disk does not have is not taken, and nothing is dropped
// that would not make room.
func TestFreeDisk(t *testing.T) {
	b := newBench(t)
	free := int64(1 << 20)
	open := func(evict bool) *snapshot.Store {
		return b.open(func(c *snapshot.Config) { c.Free, c.Evict = func() (int64, error) { return free, nil }, evict })
	}
	s := open(true)
	b.put(s, key("a"), "1")
	b.put(s, key("b"), "2")
	free = 0
	if err := s.Put(t.Context(), key("c"), &sandboxfake.Snapshot{Of: "3", Ballast: 1 << 20}); !errors.Is(err, snapshot.ErrFull) || len(b.files()) != 2 {
		t.Errorf("Put = %v, files %v", err, b.files())
	}
	free = (&sandboxfake.Snapshot{Of: "3", Env: []string{"API_KEY=canary-3"}}).Size() - 1
	if err := open(false).Put(t.Context(), key("c"), &sandboxfake.Snapshot{Of: "3", Env: []string{"API_KEY=canary-3"}}); !errors.Is(err, snapshot.ErrFull) {
		t.Errorf("Put = %v, want ErrFull", err)
	}
	free = 1 << 20
	b.put(s, key("c"), "3")
}
