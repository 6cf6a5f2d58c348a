//go:build linux

package firstminutes

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bare is a copy of what decides whether to build, and a PATH of links to what
// this machine has, which tests take from.
type bare struct {
	*person
	tree, bin string
}

func newBare(t *testing.T) bare {
	t.Helper()
	b := bare{person: newPerson(t)}
	b.tree, b.bin = filepath.Join(b.home, "tree"), filepath.Join(b.home, "bin")
	from := checkout(t)
	for _, name := range []string{"Makefile", "go.mod", "go.sum", "scripts", "conformance/requirements.txt"} {
		to := filepath.Join(b.tree, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-r", filepath.Join(from, name), to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.Mkdir(b.bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{
		"awk", "basename", "bash", "cat", "cut", "date", "dirname", "env", "find", "git", "grep", "head", "id", "ls", "make", "mkdir",
		"mktemp", "rm", "sed", "sh", "sleep", "sort", "tail", "touch", "tr", "uname", "xargs", "cc", "curl",
	} {
		if path, err := exec.LookPath(tool); err == nil {
			if err := os.Symlink(path, filepath.Join(b.bin, tool)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Stand-ins: which version is installed here does not matter, and nothing is
	// to be built.
	b.stand("go", `case "$*" in "env GOVERSION") echo go99.1 ;; "env GOARCH") echo amd64 ;; *) echo built > built ;; esac`)
	b.stand("python3", "exit 0")
	b.path = b.bin
	return b
}

// stand puts a script in the place of a tool; an empty one takes the tool away.
func (b bare) stand(tool, script string) {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.bin, tool)); err != nil {
		b.t.Fatal(err)
	}
	if script != "" {
		write(b.t, b.bin, map[string]string{tool + "!": "#!/bin/sh\n" + script + "\n"})
	}
}

// files lists the tree, to see what was made in it.
func (b bare) files() []string {
	b.t.Helper()
	var all []string
	err := filepath.WalkDir(b.tree, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func TestMissingTools(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	apt := "apt-get install -y "
	if os.Getuid() != 0 {
		apt = "sudo " + apt
	}
	const oldGo = `case "$*" in version) echo go version go1.19.8 linux/amd64 ;; *) exit 1 ;; esac` // it does not understand go.mod
	for name, tt := range map[string]struct {
		tool, script string
		target       string
		want         []string
	}{
		"no go":             {"go", "", "demo", []string{"missing: Go 1.", "https://go.dev/dl/go1.", "tar -C /usr/local -xz"}},
		"no go, test":       {"go", "", "test", []string{"missing: Go 1."}},
		"go too old":        {"go", oldGo, "demo", []string{"missing: Go 1.", "this is 1.19.8", "https://go.dev/dl/go1."}},
		"go a little old":   {"go", `echo go1.25.99`, "demo", []string{"this is 1.25.99"}},
		"no compiler":       {"cc", "", "test", []string{"missing: a C compiler", apt + "gcc libc6-dev"}},
		"no python":         {"python3", "", "demo", []string{"missing: pip or uv", apt + "python3-pip"}},
		"no pip":            {"python3", `case "$*" in *pip*) exit 1 ;; esac`, "demo", []string{"missing: pip or uv", apt + "python3-pip"}},
		"no venv":           {"python3", `case "$*" in *venv*) exit 1 ;; esac`, "test", []string{"missing: Python 3 with venv", apt + "python3-venv"}},
		"macOS":             {"uname", "echo Darwin", "demo", []string{"missing: Linux", "brew install lima && limactl start"}},
		"macOS, test":       {"uname", "echo Darwin", "test", []string{"missing: Linux"}},
		"Windows":           {"uname", "echo MINGW64_NT-10.0-26100", "demo", []string{"missing: Linux", "wsl --install"}},
		"clients, no venv":  {"python3", `case "$*" in *venv*) exit 1 ;; esac`, "clients", []string{"missing: Python 3 with venv"}},
		"build, go too old": {"go", oldGo, "build", []string{"missing: Go 1."}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBare(t)
			b.stand(tt.tool, tt.script)
			before := b.files()
			r := b.exec(b.tree, filepath.Join(b.bin, "make"), tt.target)
			if r.code == 0 {
				t.Errorf("it works:\n%s", r)
			}
			wants(t, r.stderr, tt.want...)
			if n := strings.Count(r.stderr, "missing: "); n != 1 || r.stdout != "" && strings.Contains(r.stdout, "building bin") {
				t.Errorf("%d lines say what is missing, or it went on:\n%s", n, r)
			}
			if after := b.files(); !slices.Equal(before, after) {
				t.Errorf("made: %v", slices.DeleteFunc(after, func(f string) bool { return slices.Contains(before, f) }))
			}
		})
	}
	t.Run("everything", func(t *testing.T) {
		b := newBare(t)
		if r := b.exec(b.tree, "scripts/preflight"); r.code != 0 || r.stderr != "" {
			t.Errorf("%s", r)
		}
		for _, tool := range []string{"go", "cc", "gcc", "python3", "make", "curl"} {
			b.stand(tool, "")
		}
		r := b.exec(b.tree, "scripts/preflight")
		wants(t, r.stderr, "missing: make", "missing: Go", apt+"curl && ", "missing: a C compiler", "missing: pip", "missing: Python 3 with venv")
		if r.code != 1 || strings.Count(r.stderr, "\n") != 5 {
			t.Errorf("%s", r)
		}
	})
}
