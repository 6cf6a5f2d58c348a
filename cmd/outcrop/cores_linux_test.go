package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestRefuseCores looks at what a process inherits that has turned core dumps off.
// It does so in a process of its own: the setting cannot be taken back.
func TestRefuseCores(t *testing.T) {
	const variable = "OUTCROP_TEST_CORES"
	if os.Getenv(variable) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), variable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	if err := refuseCores(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("cat", "/proc/self/limits", "/proc/self/coredump_filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	var limit, filter string
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			limit = strings.Join(strings.Fields(rest), " ")
		}
		filter = strings.TrimSpace(line)
	}
	if limit != "0 0 bytes" || strings.Trim(filter, "0") != "" {
		t.Errorf("the limit is %q, the filter %q", limit, filter)
	}
}
