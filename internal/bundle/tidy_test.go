package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestInstalledTreesAreTheSame: what differs between two machines that install
// the same packages is gone, so that their zips have one digest.
func TestInstalledTreesAreTheSame(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs are left out there")
	}
	for _, python := range []string{"#!/usr/bin/python3\n", "#!/home/me/venv/bin/python3.12\n", "#!/bin/sh\n'''exec' /long/python \"$0\" \"$@\"\n' '''\n"} {
		for _, bin := range []string{"../../bin/tool", "bin/tool"} {
			sum := len(python)
			dir := write(t, t.TempDir(), map[string]string{
				"bin/tool!":            python + "import x\n",
				"x-1.dist-info/RECORD": fmt.Sprintf("x/__init__.py,sha256=abc,4\n%s,sha256=%d,%d\nx-1.dist-info/RECORD,,\n", bin, sum, sum),
			})
			if err := tidy(dir); err != nil {
				t.Fatal(err)
			}
			script, err := os.ReadFile(filepath.Join(dir, "bin", "tool"))
			if err != nil || string(script) != shebang+"import x\n" {
				t.Errorf("script %q, %v", script, err)
			}
			record, err := os.ReadFile(filepath.Join(dir, "x-1.dist-info", "RECORD"))
			if want := "x/__init__.py,sha256=abc,4\n" + bin + ",,\nx-1.dist-info/RECORD,,\n"; err != nil || string(record) != want {
				t.Errorf("record %q, %v", record, err)
			}
		}
	}
}
