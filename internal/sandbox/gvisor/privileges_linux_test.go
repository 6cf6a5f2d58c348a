package gvisor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrivileges looks at the process of a sandbox from outside: each of its
// threads is held to a system call filter, and where there is a second user to be
// had it is nobody's and has no capability at all, not even in its own namespaces.
func TestPrivileges(t *testing.T) {
	e := open(t)
	defer e.Close(context.Background())
	s := sleeper(t, e, "a")
	want := map[string]string{"NoNewPrivs": "1", "Seccomp": "2"}
	if (host{}).privileges().separate {
		want["Uid"], want["Gid"] = strings.Repeat("65534\t", 3)+"65534", strings.Repeat("65534\t", 3)+"65534"
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			want[set] = "0000000000000000"
		}
	}
	threads := 0
	for _, p := range look(t).processes {
		pid, line, _ := strings.Cut(p, " ")
		if !strings.HasPrefix(line, "runsc-sandbox ") {
			continue
		}
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%s/task/*/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range tasks {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // it has ended
			}
			threads++
			got := map[string]string{}
			for line := range strings.Lines(string(text)) {
				name, value, _ := strings.Cut(line, ":")
				got[name] = strings.TrimSpace(value)
			}
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s: %s is %q, want %q", path, name, got[name], value)
				}
			}
		}
	}
	if threads == 0 {
		t.Error("there is no process of a sandbox")
	}
	if err := s.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}
