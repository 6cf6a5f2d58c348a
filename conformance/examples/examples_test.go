// Package examples follows the README of each example against the real program,
// command by command, and holds it to what it says they print.
package examples

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestReadmes has one server, as somebody who tries them all would.
func TestReadmes(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	s.Python() // or skip
	for _, name := range folders(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sh := newShell(t, s)
			sh.follow(filepath.Join(sh.dir, "examples", name, "README.md"))
			if t.Failed() {
				t.Logf("server:\n%s", s.Log())
			}
		})
	}
}

// TestTable holds that the list of examples has them all, and no others.
func TestTable(t *testing.T) {
	for file, prefix := range map[string]string{"../../examples/README.md": "", "../../README.md": "examples/"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var listed []string
		for line := range strings.Lines(string(text)) {
			if name, found := strings.CutPrefix(line, "| ["); found && strings.Contains(line, "]("+prefix) && strings.Contains(line, "/README.md)") {
				name, _, _ = strings.Cut(name, "]")
				listed = append(listed, name)
			}
		}
		slices.Sort(listed)
		if want := folders(t); !slices.Equal(listed, want) {
			t.Errorf("%s lists %v; there are %v", file, listed, want)
		}
	}
}

// folders are the names of the examples.
func folders(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// newShell stands in a copy of the checkout that has the examples alone, with
// outcrop, the AWS CLI and Python on its PATH, and `outcrop env` evaluated.
func newShell(t *testing.T, s *server.Server) shell {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "examples"), os.DirFS("../../examples")); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(server.Binary(t), filepath.Join(bin, "outcrop")); err != nil {
		t.Fatal(err)
	}
	// Logins and images go with the test. buildah wants the docker configuration that is
	// named to be there.
	home := filepath.Join(dir, "home")
	storage := filepath.Join(home, "storage.conf")
	images := fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", filepath.Join(home, "graph"), filepath.Join(home, "run"))
	if err := errors.Join(os.Mkdir(home, 0o700), os.WriteFile(filepath.Join(home, "config.json"), []byte("{}"), 0o600),
		os.WriteFile(storage, []byte(images), 0o600)); err != nil {
		t.Fatal(err)
	}
	env := append(s.Env(), "PATH="+bin+":"+filepath.Dir(pinned.Program(t, "python"))+":"+os.Getenv("PATH"),
		"DOCKER_CONFIG="+home, "CONTAINERS_STORAGE_CONF="+storage, "STORAGE_DRIVER=", "AWS_PAGER=", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_COMPILE=0", "PYTHONUNBUFFERED=1")
	return shell{t: t, dir: dir, env: env}
}
