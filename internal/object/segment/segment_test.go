package segment_test

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/outcrop/outcrop/internal/object/segment"
)

func newID(t *testing.T) segment.ID {
	t.Helper()
	id, err := segment.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func write(t *testing.T, d *segment.Dir, text string) segment.ID {
	t.Helper()
	id := newID(t)
	w, err := d.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestSegmentIsIncomingUntilSettled(t *testing.T) {
	root := filepath.Join(t.TempDir(), "objects")
	d, err := segment.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	kept, dropped := write(t, d, "kept"), write(t, d, "dropped")

	// A new process finds both.
	if d, err = segment.Open(root); err != nil {
		t.Fatal(err)
	}
	incoming, err := d.Incoming()
	if err != nil || len(incoming) != 2 || !slices.Contains(incoming, kept) || !slices.Contains(incoming, dropped) {
		t.Fatalf("incoming = %v, %v", incoming, err)
	}
	if err := errors.Join(d.Settle(kept, true), d.Settle(dropped, false)); err != nil {
		t.Fatal(err)
	}
	if incoming, _ = d.Incoming(); len(incoming) != 0 {
		t.Fatalf("incoming after settling = %v", incoming)
	}
	if _, err := d.Open(dropped); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open of a dropped segment = %v", err)
	}
	f, err := d.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := d.Remove(kept); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(f); err != nil || string(data) != "kept" {
		t.Fatalf("read after remove = %q, %v", data, err)
	}
	if err := d.Remove(kept); err != nil {
		t.Fatalf("second remove = %v", err)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	root := t.TempDir()
	d, err := segment.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	w, err := d.Create(newID(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := w.Discard(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	root := filepath.Join(t.TempDir(), "objects")
	d, err := segment.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, "x")
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	root := t.TempDir()
	d, err := segment.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"incoming/README", "content/notes"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := d.Incoming(); err != nil || len(ids) != 0 {
		t.Fatalf("incoming = %v, %v", ids, err)
	}
	id := write(t, d, "ours")
	var seen []segment.ID
	err = d.Each(func(id segment.ID) error { seen = append(seen, id); return nil })
	if err != nil || !slices.Equal(seen, []segment.ID{id}) {
		t.Fatalf("each = %v, %v", seen, err)
	}
}

func TestIDText(t *testing.T) {
	id := newID(t)
	text, _ := id.MarshalText()
	var back segment.ID
	if err := back.UnmarshalText(text); err != nil || back != id || back.IsZero() {
		t.Fatalf("%s came back as %s, %v", id, back, err)
	}
	for _, bad := range []string{"", "00", "zz" + id.String()[2:], id.String() + "00"} {
		if back.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}

// TestResume goes on where the store says that a segment ends.
func TestResume(t *testing.T) {
	d, err := segment.Open(filepath.Join(t.TempDir(), "objects"))
	if err != nil {
		t.Fatal(err)
	}
	id := write(t, d, "named, and not")
	if err := d.Settle(id, true); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		size       int64
		text, want string
		sync       bool
	}{{5, " more", "named more", true}, {10, " and given up", "named more", false}} {
		w, err := d.Resume(id, step.size)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(w, step.text)
		if step.sync {
			err = errors.Join(err, w.Sync())
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		f, err := d.Open(id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil || string(got) != step.want {
			t.Errorf("%q, %v, want %q", got, err, step.want)
		}
	}
	if _, err := d.Resume(newID(t), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of one that is not there: %v", err)
	}
}
