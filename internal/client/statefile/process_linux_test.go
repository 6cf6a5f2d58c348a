package statefile

import (
	"os"
	"os/exec"
	"testing"
)

func TestProcess(t *testing.T) {
	first, alive := Process(os.Getpid())
	if !alive || first == "" {
		t.Fatalf("Process(self) = %q, %v", first, alive)
	}
	if second, _ := Process(os.Getpid()); second != first {
		t.Errorf("start differs between two looks: %q, %q", first, second)
	}
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, alive := Process(pid); alive {
		t.Error("a process that was waited for is alive")
	}
}
