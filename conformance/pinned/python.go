package pinned

import (
	"os/exec"
	"testing"
)

// Packages installs the Python packages of a lock file, and nothing that they ask for
// besides, in a new directory, which is to stand in PYTHONPATH. It is for what one test
// alone needs.
func Packages(t testing.TB, lock string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	install := exec.CommandContext(t.Context(), Program(t, "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--no-compile", "--target", dir, "-r", lock)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("pip install -r %s: %v: %s", lock, err, out)
	}
	return dir
}
