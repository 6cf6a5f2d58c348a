// Package lambda has unmodified clients make, invoke and delete functions on a real
// server, in real sandboxes.
package lambda

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// told runs a client of a server, which says so at its end.
func told(t *testing.T, s *server.Server, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(s.Env(), "PATH="+filepath.Dir(pinned.Program(t, "python"))+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if lines := strings.Split(strings.TrimSpace(string(out)), "\n"); err != nil || lines[len(lines)-1] != "told" {
		t.Fatalf("%v\n%s\nserver:\n%s", err, out, s.Log())
	}
}

func TestBoto3(t *testing.T) {
	told(t, server.Start(t, server.Options{}), pinned.Program(t, "python"), "testdata/functions.py")
}

func TestCLI(t *testing.T) {
	told(t, server.Start(t, server.Options{}), "bash", "testdata/story.sh")
}

func TestToolkit(t *testing.T) {
	told(t, server.Start(t, server.Options{}), pinned.Program(t, "python"), "testdata/toolkit.py")
}

func TestJavaScript(t *testing.T) {
	s := server.Start(t, server.Options{})
	node, dir := pinned.Node(t, "testdata/js", "testdata/invoke.mjs")
	told(t, s, node, filepath.Join(dir, "invoke.mjs"), archive(t, "index.js", "exports.handler = async (event) => event;"), "arn:aws:iam::"+s.Account+":role/none")
}

// archive is a zip with one file.
func archive(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "function.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	file, err := w.Create(name)
	if err == nil {
		_, err = file.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}
