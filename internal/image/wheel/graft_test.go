package wheel_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/image/wheel"
	"github.com/outcrop/outcrop/internal/image/wheel/wheeltest"
)

// read is the content of a tree's files by name, links as "-> TARGET".
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			all[rel] = "-> " + target
			return err
		}
		b, err := os.ReadFile(name)
		all[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestGraft: a distribution's files are replaced, and nothing else is touched.
func TestGraft(t *testing.T) {
	arm, x86 := wheeltest.ELF("aarch64"), wheeltest.ELF("x86_64")
	const script = "#!/usr/bin/python\nimport odd\n"
	base := wheeltest.Write(t, t.TempDir(), wheeltest.Merge(
		map[string]string{"main.py": "mine", "odd/mine.txt": "put there by hand", "odd/__pycache__/__init__.cpython-311.pyc": "stale", "odd/__pycache__/mine.cpython-311.pyc": "kept"},
		wheeltest.Installed("odd", "1.0", armTag, map[string]string{"odd/__init__.py": "old", "odd/_x.aarch64.so": arm, "odd/only/gone.py": "", "bin/odd": script, "bin/tool": arm, "space/__init__.py": "shared"}),
		wheeltest.Installed("pure", "2", anyTag, map[string]string{"pure.py": "", "space/__init__.py": "shared"}),
	))
	if err := os.Symlink("main.py", filepath.Join(base, "link.py")); err != nil {
		t.Fatal(err)
	}
	before := read(t, base)
	r, err := wheel.Scan(t.Context(), base, "x86_64")
	if err != nil || text(r) != "odd 1.0 in ." {
		t.Fatalf("%s, %v", text(r), err)
	}
	tree := wheeltest.Write(t, t.TempDir(), wheeltest.Installed("odd", "1.0", x86Tag, map[string]string{
		"odd/__init__.py": "new", "odd/_x.x86_64.so": x86, "odd.libs/l.so.1": x86, "bin/tool": x86, "bin/odd": "#!/home/x/python\n", "space/__init__.py": "other", "odd/__pycache__/y.pyc": "",
	}))
	out := t.TempDir()
	written, files, err := wheel.Graft(t.Context(), base, out, r, []wheel.Fetched{{Pin: wheel.Pin{Name: "Odd", Version: "1.0"}, Tree: tree}})
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, out)
	want := map[string]string{
		"main.py": "mine", "link.py": "-> main.py", "odd/mine.txt": "put there by hand", "odd/__pycache__/mine.cpython-311.pyc": "kept",
		"odd/__init__.py": "new", "odd/_x.x86_64.so": x86, "odd.libs/l.so.1": x86, "bin/tool": x86, "bin/odd": script, "space/__init__.py": "shared", "pure.py": "",
	}
	for name, content := range got {
		if strings.Contains(name, "dist-info") {
			continue
		}
		if want[name] != content {
			t.Errorf("%s is %q, want %q", name, content, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", slices.Sorted(maps.Keys(want)))
	}
	if !strings.Contains(got["odd-1.0.dist-info/WHEEL"], "x86_64") || got["pure-2.dist-info/WHEEL"] == "" {
		t.Error("the dist-info directories are not those of what is there")
	}
	if files != len(got) || written < int64(3*len(x86)) {
		t.Errorf("%d files, %d bytes; there are %d files", files, written, len(got))
	}
	if !maps.Equal(before, read(t, base)) {
		t.Error("the tree that was copied has changed")
	}
	if _, err := os.Stat(filepath.Join(out, "odd", "only")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an emptied directory is left: %v", err)
	}
	// What is kept takes no room of its own.
	a, errA := os.Stat(filepath.Join(base, "main.py"))
	b, errB := os.Stat(filepath.Join(out, "main.py"))
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		t.Errorf("main.py was copied: %v %v", errA, errB)
	}
	if again, err := wheel.Scan(t.Context(), out, "x86_64"); err != nil || !again.Clean() {
		t.Errorf("%s, %v", text(again), err)
	}
}

func TestUnpack(t *testing.T) {
	limits := wheel.Limits{Bytes: 1 << 20, Files: 100}
	good := wheeltest.Zip(t, map[string]string{
		"odd/__init__.py": "x", "odd-1.data/scripts/tool": "elf", "odd-1.data/platlib/p.so": "so", "odd-1.data/data/share/d.txt": "d", "odd-1.data/headers/h.h": "h", "odd-1.dist-info/RECORD": "",
	})
	dir := t.TempDir()
	if err := wheel.Unpack(t.Context(), strings.NewReader(string(good)), int64(len(good)), dir, limits); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(read(t, dir)))
	if want := "bin/tool odd-1.dist-info/RECORD odd/__init__.py p.so share/d.txt"; strings.Join(got, " ") != want {
		t.Errorf("unpacked %v, want %s", got, want)
	}
	many := map[string]string{}
	for i := range 101 {
		many[strings.Repeat("x", i+1)] = ""
	}
	for name, body := range map[string][]byte{
		"no zip":             []byte("no zip"),
		"leaves":             wheeltest.Zip(t, map[string]string{"../x": ""}),
		"absolute":           wheeltest.Zip(t, map[string]string{"/x": ""}),
		"in data":            wheeltest.Zip(t, map[string]string{"odd-1.data/data/../../../x": ""}),
		"too large":          wheeltest.Zip(t, map[string]string{"x": strings.Repeat("x", 1<<20+1)}),
		"too many":           wheeltest.Zip(t, many),
		"a file as a folder": wheeltest.Zip(t, map[string]string{"a": "", "a/b": ""}),
		"twice":              wheeltest.Zip(t, map[string]string{"a": "", "odd-1.data/purelib/a": ""}),
	} {
		dir := filepath.Join(t.TempDir(), "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := wheel.Unpack(t.Context(), strings.NewReader(string(body)), int64(len(body)), dir, limits); !errors.Is(err, wheel.ErrBad) {
			t.Errorf("%s: %v", name, err)
		}
		if all, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(all) != 1 {
			t.Errorf("%s: it wrote %v, %v", name, all, err)
		}
	}
}

func TestVerify(t *testing.T) {
	limits := wheel.Limits{Bytes: 1 << 20, Files: 10}
	pin := wheel.Pin{Name: "Odd.Name", Version: "1.0"}
	r, err := wheel.Scan(t.Context(), wheeltest.Write(t, t.TempDir(), wheeltest.Installed("odd-name", "1.0", armTag, map[string]string{"x.so": wheeltest.ELF("aarch64")})), "x86_64")
	if err != nil || len(r.Foreign) != 1 {
		t.Fatal(r, err)
	}
	old := r.Foreign[0]
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"good":            {wheeltest.Installed("odd-name", "1.0", x86Tag, map[string]string{"x.so": wheeltest.ELF("x86_64")}), ""},
		"another package": {wheeltest.Installed("even", "1.0", x86Tag, nil), "it is even 1.0, and Odd.Name 1.0 was asked for"},
		"another version": {wheeltest.Installed("odd-name", "1.1", x86Tag, nil), "it is odd-name 1.1"},
		"two of them":     {wheeltest.Merge(wheeltest.Installed("odd-name", "1.0", x86Tag, nil), wheeltest.Installed("even", "1.0", x86Tag, nil)), "2 dist-info"},
		"foreign":         {wheeltest.Installed("odd-name", "1.0", armTag, map[string]string{"x.so": wheeltest.ELF("aarch64")}), "another machine"},
		"somebody else's": {map[string]string{"odd_name-1.0.dist-info/METADATA": "Name: odd-name\nVersion: 1.0\nSummary: Mine\nAuthor: M\n"}, "another summary or author"},
		"too large":       {wheeltest.Installed("odd-name", "1.0", x86Tag, map[string]string{"x": strings.Repeat("x", 1<<20)}), "more than"},
	} {
		dir := wheeltest.Write(t, t.TempDir(), tt.files)
		err := wheel.Verify(t.Context(), wheel.Fetched{Pin: pin, Tree: dir}, old, "x86_64", limits)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, wheel.ErrBad) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	dir := wheeltest.Write(t, t.TempDir(), wheeltest.Installed("odd-name", "1.0", x86Tag, nil))
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	if err := wheel.Verify(t.Context(), wheel.Fetched{Pin: pin, Tree: dir}, old, "x86_64", limits); !errors.Is(err, wheel.ErrBad) {
		t.Errorf("a link: %v", err)
	}
}

// FuzzUnpack unpacks whatever an index may answer with: nothing is written outside.
func FuzzUnpack(f *testing.F) {
	f.Add(wheeltest.Zip(f, map[string]string{"odd/__init__.py": "x", "odd-1.data/scripts/tool": "elf"}))
	f.Add(wheeltest.Zip(f, map[string]string{"../x": "", "odd-1.data/data/../../y": ""}))
	f.Fuzz(func(t *testing.T, body []byte) {
		dir := filepath.Join(t.TempDir(), "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_ = wheel.Unpack(t.Context(), strings.NewReader(string(body)), int64(len(body)), dir, wheel.Limits{Bytes: 1 << 20, Files: 100})
		if all, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(all) != 1 {
			t.Errorf("it wrote %v, %v", all, err)
		}
		_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !d.Type().IsRegular() {
				t.Errorf("%s is %v", name, d.Type())
			}
			return nil
		})
	})
}
