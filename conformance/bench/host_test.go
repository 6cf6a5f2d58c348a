package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestProcField(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(path, []byte("Name:\tVmRSS: 1\nVmRSS:\t    12 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := procField(path, "VmRSS"); n != 12<<10 || err != nil {
		t.Errorf("procField = %d, %v", n, err)
	}
	if _, err := procField(path, "Pss"); err == nil {
		t.Error("a field that is not there was found")
	}
}

// TestFamily finds a child of a child, which has a name with a parenthesis.
func TestFamily(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "a) b")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	if err := os.Symlink(sleep, odd); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `"$0" 60 & echo $!; wait`, odd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 32)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	all, err := family(os.Getpid())
	if err != nil || !slices.Contains(all, cmd.Process.Pid) {
		t.Errorf("family = %d, %v, want %d in it and what it said: %s", all, err, cmd.Process.Pid, line[:n])
	}
	below, err := family(cmd.Process.Pid)
	if err != nil || len(below) != 1 {
		t.Fatalf("family of the child = %d, %v, want one", below, err)
	}
	if share, err := shareBytes(below); err != nil || share <= 0 {
		t.Errorf("shareBytes = %d, %v", share, err)
	}
	child, err := os.FindProcess(below[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is the killed one's
}
