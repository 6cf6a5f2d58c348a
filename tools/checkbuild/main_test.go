package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build compiles a small program.
func build(t *testing.T, name, system, arch, version string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{"go.mod": "module small\n", "main.go": "package main\n\nvar version = \"none\"\n\nfunc main() { print(version) }\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X main.version="+version, "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return out
}

func TestCheck(t *testing.T) {
	const version = "v1.2.3-4-gabcdef012345"
	linux := build(t, "outcrop-linux-amd64", "linux", "amd64", version)
	if err := check(linux, false, version); err != nil {
		t.Error(err)
	}
	windows := build(t, "outcrop-windows-amd64.exe", "windows", "amd64", version)
	if err := check(windows, true, version); err != nil {
		t.Error(err)
	}
	renamed := func(path, name string) string {
		to := filepath.Join(t.TempDir(), name)
		if err := os.Link(path, to); err != nil {
			t.Fatal(err)
		}
		return to
	}
	for want, bad := range map[string]struct {
		path    string
		sandbox bool
		version string
	}{
		"for EM_X86_64":              {path: renamed(linux, "outcrop-linux-arm64")},
		"invalid magic":              {path: renamed(linux, "outcrop-darwin-arm64")},
		"unrecognized PE machine":    {path: renamed(linux, "outcrop-windows-arm64.exe")},
		"for machine 0x8664":         {path: renamed(windows, "outcrop-windows-arm64.exe")},
		"no others, end with .exe":   {path: renamed(linux, "outcrop-linux-amd64.exe")},
		"does not end with a system": {path: renamed(linux, "outcrop")},
		"nothing is known":           {path: renamed(linux, "outcrop-plan9-amd64")},
		"does not say version v9":    {path: linux, version: "v9.9.9"},
		"linux-amd64.zst is false":   {path: linux, sandbox: true},
		"no such file":               {path: filepath.Join(t.TempDir(), "outcrop-linux-amd64")},
	} {
		if err := check(bad.path, bad.sandbox, bad.version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", bad.path, err, want)
		}
	}
}
