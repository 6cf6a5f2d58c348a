package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/image"
)

// What the client writes, the server's checks must take.
func TestServerUnpacksWhatWeWrite(t *testing.T) {
	folder := write(t, t.TempDir(), map[string]string{
		"main.py": "print('hi')\n", "bin/tool!": "#!/bin/sh\n", "größe/ünder.txt": "utf-8", "empty.txt": "", "deep/" + strings.Repeat("d/", 40) + "x": "x",
	})
	if err := os.Symlink("../main.py", filepath.Join(folder, "bin", "alias.py")); err != nil {
		t.Fatal(err)
	}
	b, _, err := build(t, Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := image.NewCache(t.TempDir(), image.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	zip, err := os.Open(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer zip.Close()
	code, err := cache.Unpack(context.Background(), zip, b.Size, b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer code.Release()
	if code.Files != b.Files || code.Size != b.Unzipped {
		t.Errorf("the server counts %d files of %d bytes, the client %d of %d", code.Files, code.Size, b.Files, b.Unzipped)
	}
	if text, err := os.ReadFile(filepath.Join(code.Dir, "bin", "alias.py")); err != nil || string(text) != "print('hi')\n" {
		t.Errorf("through the link: %q, %v", text, err)
	}
	if info, err := os.Stat(filepath.Join(code.Dir, "bin", "tool")); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("tool: %v, %v", info, err)
	}
}

func TestCloseRemovesTheZip(t *testing.T) {
	b, _, err := build(t, Options{Folder: write(t, t.TempDir(), map[string]string{"main.py": ""})})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// BenchmarkWriteZip packages 50 MB of source text in 2,500 files.
func BenchmarkWriteZip(b *testing.B) {
	dir := b.TempDir()
	files := make([]file, 2500)
	for i := range files {
		text := strings.Repeat(fmt.Sprintf("def function_%d(argument):\n    return argument + %d\n", i, i*i), 400)
		f := file{name: fmt.Sprintf("pkg/module_%04d.py", i), size: int64(len(text))}
		f.source = filepath.Join(dir, filepath.Base(f.name))
		if err := os.WriteFile(f.source, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		files[i] = f
		b.SetBytes(int64(len(text)) * int64(len(files)))
	}
	o := Options{TempDir: dir, Progress: func(Event) {}}
	for b.Loop() {
		z, err := writeZip(context.Background(), o, files)
		if err != nil {
			b.Fatal(err)
		}
		if err := z.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
