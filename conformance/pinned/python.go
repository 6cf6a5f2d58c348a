package pinned

import (
	"os/exec"
	"testing"
)

// Packages returns a directory with the Python packages of a lock file, and nothing that
// they ask for besides, which is to stand in PYTHONPATH. It is for what few tests need.
func Packages(t testing.TB, lock string) (dir string) {
	t.Helper()
	python := Program(t, "python")
	return once(t, python, []string{lock}, func(dir string) {
		install := exec.CommandContext(t.Context(), python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
			"--no-deps", "--no-compile", "--target", dir, "-r", lock)
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("pip install -r %s: %v: %s", lock, err, out)
		}
	})
}
