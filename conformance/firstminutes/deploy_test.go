//go:build linux

package firstminutes

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDeployHere deploys a folder that holds more than the agent, among it the
// server's own data.
func TestDeployHere(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	project := p.agent("project", map[string]string{
		"keep/me.txt": "kept", ".git/HEAD": "ref: refs/heads/main\n", ".git/objects/ab/cdef": "secret",
		".venv/pyvenv.cfg": "home = /usr/bin\n", ".venv/lib/x.py": "", ".env": "SECRET=1\n", "sub/.env": "SECRET=2\n",
	})
	s := p.serveOn(filepath.Join(project, "data"))
	python(t, s)
	r := p.must(project, "deploy", ".")
	if !regexp.MustCompile(`(?m)^\d+(\.\d+)? (bytes|kB) in 2 files, \d+ bytes zipped$`).MatchString(r.stderr) {
		t.Errorf("neither size nor count:\n%s", r)
	}
	var files []string
	p.evaluate("project", `sorted(os.path.relpath(os.path.join(d, f), "/var/task") for d, _, fs in os.walk("/var/task") for f in fs)`, &files)
	if got := strings.Join(files, " "); got != "keep/me.txt main.py" {
		t.Errorf("the agent's files are %s", got)
	}
}

func TestDeployTooLarge(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	python(t, p.serve())
	dir := p.agent("mine", map[string]string{"small/one.txt": "x"})
	if err := os.Mkdir(filepath.Join(dir, "model"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "model", "weights.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), 251<<20); err != nil { // nothing of it can be squeezed
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir()
	p.env = append(p.env, "TMPDIR="+scratch)
	r := p.run(p.home, "deploy", dir)
	if r.code != 1 || r.stdout != "" {
		t.Errorf("%s", r)
	}
	wants(t, r.stderr, "the code zip is larger than 250.0 MB, which is the limit. The largest", "251.0 MB  model/", ".outcropignore")
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if r := p.must(p.home, "ls"); strings.Contains(r.stdout, "mine") {
		t.Errorf("it was made all the same: %s", r)
	}
}
