package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestList(t *testing.T) {
	cache := newTestCache(t)
	code, err := unpackBytes(cache, makeZip(t, member{name: "f", body: "four"}))
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.TrimPrefix(code.Digest, digestPrefix)
	stranger := strings.Repeat("0", 64) // of another version of ours
	old := time.Now().Add(-time.Hour)
	dir := filepath.Join(cache.dir, "sha256")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(dir, stranger, "task"), 0o755), os.WriteFile(filepath.Join(dir, stranger, "task", "f"), []byte("12"), 0o600),
		os.Mkdir(filepath.Join(dir, tmpPrefix+"1"), 0o700), os.Chtimes(cache.manifestPath(hash), old, old),
	); err != nil {
		t.Fatal(err)
	}
	list := func() Stored {
		t.Helper()
		all, err := cache.List()
		for _, s := range all {
			if s.Digest == digestPrefix+stranger && (s.Size != 2 || s.Held || s.Used.IsZero()) {
				t.Errorf("of another version: %+v", s)
			}
			if s.Digest == code.Digest && len(all) == 2 && s.Size == 4 && s.Files == 1 {
				return s
			}
		}
		t.Fatalf("%+v, %v", all, err)
		return Stored{}
	}
	if s := list(); !s.Held || !s.Used.Equal(old) {
		t.Errorf("held and old: %+v", s)
	}
	code.Release()
	if s := list(); s.Held || time.Since(s.Used) > time.Minute {
		t.Errorf("just released: %+v", s)
	}
	if err := os.Chtimes(cache.manifestPath(hash), old, old); err != nil {
		t.Fatal(err)
	}
	again, err := cache.Open(code.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if s := list(); !s.Held || time.Since(s.Used) > time.Minute {
		t.Errorf("opened again: %+v", s)
	}
}

func TestPruneAbandoned(t *testing.T) {
	cache, err := NewCache(filepath.Join(t.TempDir(), "a[b*"), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(cache.dir, "sha256", tmpPrefix+"1")
	if err := errors.Join(os.MkdirAll(filepath.Join(half, "task"), 0o755), os.WriteFile(filepath.Join(half, "task", "f"), []byte("123"), 0o444)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		before time.Time
		dryRun bool
		want   Abandoned
	}{
		{time.Now().Add(-time.Hour), false, Abandoned{}}, {time.Now().Add(time.Hour), true, Abandoned{1, 3}},
		{time.Now().Add(time.Hour), false, Abandoned{1, 3}}, {time.Now().Add(time.Hour), false, Abandoned{}},
	} {
		if done, err := cache.PruneAbandoned(step.before, step.dryRun); err != nil || done != step.want {
			t.Errorf("%+v, %v; want %+v", done, err, step.want)
		}
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// TestPruneBesideStart: whoever gets code while others prune has all of it until
// it is released.
func TestPruneBesideStart(t *testing.T) {
	cache := newTestCache(t)
	zip := makeZip(t, member{name: "main.py", body: "print(1)"}, member{name: "lib/a.py", body: "a"})
	digest := digestOf(zip)
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() {
		for ctx.Err() == nil {
			_, err := cache.Prune(ctx, []string{digest}, func() (map[string]bool, error) { return nil, nil })
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if _, err := cache.List(); err != nil {
				t.Error(err)
			}
		}
	})
	defer cancel()
	for range 50 {
		code, err := unpackBytes(cache, zip)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"main.py": "print(1)", "lib/a.py": "a"} {
			if body, err := os.ReadFile(filepath.Join(code.Dir, name)); err != nil || string(body) != want {
				t.Fatalf("%s: %q, %v", name, body, err)
			}
		}
		code.Release()
	}
}
