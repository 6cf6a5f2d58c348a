package bundle

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes files below dir; a name that ends in ! is executable.
func write(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		name, exec := strings.CutSuffix(name, "!")
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o640)
		if exec {
			mode = 0o750
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func targets() []Target {
	return []Target{
		{Runtime: "PYTHON_3_10", Version: "3.10.13", Machine: "x86_64", Libc: "glibc 2.36"},
		{Runtime: "PYTHON_3_11", Version: "3.11.2", Machine: "x86_64", Libc: "glibc 2.36"},
		{Runtime: "PYTHON_3_12", Version: "3.12.1", Machine: "x86_64", Libc: "glibc 2.36"},
		{Runtime: "NODE_22", Version: "22.9.0", Machine: "x86_64"},
	}
}

// build bundles folder and returns the zip's listing too.
func build(t *testing.T, o Options) (*Bundle, string, error) {
	t.Helper()
	if o.Targets == nil {
		o.Targets = targets()
	}
	if o.CacheDir == "" {
		o.CacheDir = t.TempDir()
	}
	o.TempDir = t.TempDir()
	if o.Env == nil {
		o.Env = []string{"PATH=/nowhere"}
	}
	b, err := Build(context.Background(), o)
	if err != nil {
		if left, _ := os.ReadDir(o.TempDir); len(left) != 0 {
			t.Errorf("left in the temporary directory: %v", left)
		}
		return nil, "", err
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, listing(t, b.Path), nil
}

func listing(t *testing.T, file string) string {
	t.Helper()
	r, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out strings.Builder
	for _, f := range r.File {
		body, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %s", f.Mode(), f.Name)
		if f.Mode()&os.ModeSymlink != 0 {
			fmt.Fprintf(&out, " -> %s", text)
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (UPDATE_GOLDEN=1 rewrites it):\n got %s\nwant %s", name, got, want)
	}
}

func TestBuildLeavesOutWhatDoesNotBelong(t *testing.T) {
	folder := write(t, t.TempDir(), map[string]string{
		"main.py": "", "run.sh!": "#!/bin/sh\n", "pkg/mod.py": "", "pkg/data/big.bin": "", "pkg/data/keep.bin": "", "README.md": "",
		".git/HEAD": "", ".venv/pyvenv.cfg": "", ".venv/bin/python": "", "env39/pyvenv.cfg": "", "env39/lib/x.py": "", "venv/x": "",
		".env": "SECRET=1", ".env.local": "", "sub/.env": "", ".envrc": "", ".aws/credentials": "", "__pycache__/main.pyc": "", "pkg/old.pyc": "",
		"pkg/__pycache__/mod.cpython-311.pyc": "", "node_modules/.cache/x": "", "node_modules/dep/index.js": "", ".outcrop/state": "", ".DS_Store": "",
		"data/outcrop.db": "secret", "notes/private.txt": "", "notes/public.txt": "", "docs/a.md": "", "docs/deep/b.md": "", "tests/test_main.py": "", "pkg/tests/x.py": "",
		".env.example":   "",
		".outcropignore": "# comment\n/tests/\n*.bin\n!keep.bin\nnotes/*\n!notes/public.txt\ndocs/**/*.md\n!.env.example\n",
	})
	if err := os.Symlink("main.py", filepath.Join(folder, "alias.py")); err != nil {
		t.Fatal(err)
	}
	b, list, err := build(t, Options{Folder: folder, Exclude: []string{filepath.Join(folder, "data")}})
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "left-in.txt", list)
	if b.Runtime != "PYTHON_3_12" || strings.Join(b.EntryPoint, " ") != "main.py" || b.Files != strings.Count(list, "\n") {
		t.Errorf("%+v", b)
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	files := map[string]string{"main.py": "print(1)\n", "a/b.py": strings.Repeat("x = 1\n", 1000), "tool!": "#!/bin/sh\n"}
	first, _, err := build(t, Options{Folder: write(t, t.TempDir(), files)})
	if err != nil {
		t.Fatal(err)
	}
	again := write(t, t.TempDir(), files)
	if err := os.Chmod(filepath.Join(again, "main.py"), 0o600); err != nil { // another umask
		t.Fatal(err)
	}
	second, _, err := build(t, Options{Folder: again})
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest != second.Digest || first.Size != second.Size {
		t.Errorf("%+v\n%+v", first, second)
	}
	files["main.py"] = "print(2)\n"
	third, _, err := build(t, Options{Folder: write(t, t.TempDir(), files)})
	if err != nil || third.Digest == first.Digest {
		t.Errorf("another file, the same digest %s: %v", third.Digest, err)
	}
}

func TestBuildRefuses(t *testing.T) {
	big := func(size int64) func(string) error {
		return func(dir string) error {
			if err := os.MkdirAll(filepath.Join(dir, "model"), 0o755); err != nil {
				return err
			}
			return os.Truncate(create(t, filepath.Join(dir, "model", "weights.bin")), size)
		}
	}
	symlink := func(target string) func(string) error {
		return func(dir string) error { return os.Symlink(target, filepath.Join(dir, "link")) }
	}
	py := map[string]string{"main.py": ""}
	cases := []struct {
		name  string
		files map[string]string
		setup func(string) error
		o     Options
	}{
		{name: "no entry point", files: map[string]string{"README.md": ""}},
		{name: "several scripts", files: map[string]string{"one.py": "", "two.py": ""}},
		{name: "typescript", files: map[string]string{"index.ts": ""}},
		{name: "entry not there", files: py, o: Options{Entry: "agent/main.py"}},
		{name: "entry outside", files: py, o: Options{Entry: "../main.py"}},
		{name: "entry of another language", files: map[string]string{"main.py": "", "run.sh": ""}, o: Options{Entry: "run.sh"}},
		{name: "no runtime at all", files: py, o: Options{Runtime: "python3"}},
		{name: "runtime not there", files: py, o: Options{Runtime: "PYTHON_3_14"}},
		{name: "runtime of another language", files: py, o: Options{Runtime: "NODE_22"}},
		{name: "runtime too old", files: map[string]string{"main.py": "", "pyproject.toml": "[project]\nrequires-python = \">=3.11\"\n"}, o: Options{Runtime: "PYTHON_3_10"}},
		{name: "no fitting runtime", files: map[string]string{"main.py": "", "pyproject.toml": "[project]\nrequires-python = \">=3.13\"\n"}},
		{name: "no python", files: py, o: Options{Targets: []Target{{Runtime: "NODE_22", Version: "22.9.0"}}}},
		{name: "no runtime", files: py, o: Options{Targets: []Target{}}},
		{name: "no installer", files: map[string]string{"main.py": "", "requirements.txt": "requests\n"}},
		{name: "editable", files: map[string]string{"main.py": "", "requirements.txt": "-e .\n"}},
		{name: "missing include", files: map[string]string{"main.py": "", "requirements.txt": "-r base.txt\n"}},
		{name: "circular include", files: map[string]string{"main.py": "", "requirements.txt": "-r requirements.txt\n"}},
		{name: "dynamic dependencies", files: map[string]string{"main.py": "", "pyproject.toml": "[project]\ndynamic = [\"dependencies\"]\n"}},
		{name: "poetry", files: map[string]string{"main.py": "", "pyproject.toml": "[tool.poetry.dependencies]\nrequests = \"*\"\n"}},
		{name: "damaged pyproject", files: map[string]string{"main.py": "", "pyproject.toml": "[project\n"}},
		{name: "npm not run", files: map[string]string{"index.js": "", "package.json": `{"dependencies": {"express": "4"}}`}},
		{name: "damaged package.json", files: map[string]string{"index.js": "", "package.json": `{`}},
		{name: "link out", files: py, setup: symlink("../secret")},
		{name: "absolute link", files: py, setup: symlink("/etc/passwd")},
		{name: "dangling link", files: py, setup: symlink("nothing")},
		{name: "link to itself", files: py, setup: symlink("link")},
		{name: "control character", files: map[string]string{"main.py": "", "a\nb": ""}},
		{name: "bad pattern", files: map[string]string{"main.py": "", ".outcropignore": "[z-a]\n"}},
		{name: "too large", files: map[string]string{"main.py": "", "small.txt": "x"}, setup: big(800 << 20)},
	}
	var golden strings.Builder
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, filepath.Join(t.TempDir(), "agent"), c.files)
			if c.setup != nil {
				if err := c.setup(dir); err != nil {
					t.Fatal(err)
				}
			}
			c.o.Folder = dir
			_, _, err := build(t, c.o)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			fmt.Fprintf(&golden, "== %s\n%s\n", c.name, strings.ReplaceAll(e.Error(), filepath.Dir(dir), "HOME"))
		})
	}
	checkGolden(t, "refusals.txt", golden.String())
	if _, _, err := build(t, Options{Folder: "/nowhere/at/all"}); err == nil || !strings.Contains(err.Error(), "there is no folder /nowhere/at/all") {
		t.Errorf("no folder: %v", err)
	}
}

func create(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTooLargeZippedNamesTheLargest(t *testing.T) {
	err := tooLarge([]file{{name: "torch/lib/a.so", size: 600 << 20}, {name: "torch/b.py", size: 1 << 20}, {name: "main.py", size: 12}})
	want := "the code zip is larger than 250.0 MB, which is the limit. The largest, unzipped:\n    601.0 MB  torch/\n    12 bytes  main.py\n"
	if got := err.Error(); !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestBuildStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{
		Folder: write(t, t.TempDir(), map[string]string{"main.py": ""}), Targets: targets(), CacheDir: t.TempDir(), TempDir: t.TempDir(),
		Env: []string{"PATH=/nowhere"}, Progress: func(e Event) { cancel() },
	}
	if _, err := Build(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(o.TempDir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestName(t *testing.T) {
	for folder, want := range map[string]string{
		"/x/hello": "hello", "my-agent": "my_agent", "3 little agents": "little_agents", "größe": "gr__e", "---": "agent", strings.Repeat("a", 60): strings.Repeat("a", 48),
	} {
		if got := Name(folder); got != want {
			t.Errorf("Name(%q) = %q, want %q", folder, got, want)
		}
	}
}
