package pinned

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// installing has one apt-get at a time in this process; other processes wait by
// apt's own lock.
var installing sync.Mutex

// System is the path of a program of the distribution's, by the name of its package.
// Where CI=true it is installed if need be and if root may; what cannot be had is a
// failure there, and a reason to skip elsewhere.
func System(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if os.Getenv("CI") != "true" {
		t.Skipf("%s is not installed: apt-get install -y %s", name, name)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("%s is not installed, and only root could: apt-get install -y %s", name, name)
	}
	installing.Lock()
	defer installing.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", name}} {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=240"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil && args[0] == "install" { // an old list may do
			t.Fatalf("install %s: %v\n%s", name, err, out)
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("apt-get installed %s, and yet: %v", name, err)
	}
	return path
}
