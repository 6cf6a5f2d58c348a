package identity

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestNoCoreDumps looks at the server and at every process below it, those of a
// sandbox in which an agent has run included: none may write its memory down.
func TestNoCoreDumps(t *testing.T) {
	d := open(t)
	in := d.Agents().Input(bucket, "cores", d.python)
	made, err := d.Agents().Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	d.invokeSigned(t, *made.AgentRuntimeArn)
	names := map[string]int{}
	for _, pid := range below(t, d.Cmd.Process.Pid) {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		limits, err := os.ReadFile(filepath.Join(dir, "limits"))
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			continue
		}
		names[strings.TrimSpace(string(name))]++
		for line := range strings.Lines(string(limits)) {
			if rest, ok := strings.CutPrefix(line, "Max core file size"); ok && strings.Join(strings.Fields(rest), " ") != "0 0 bytes" {
				t.Errorf("process %d (%s) may write a core: %s", pid, strings.TrimSpace(string(name)), line)
			}
		}
		if filter, err := os.ReadFile(filepath.Join(dir, "coredump_filter")); err == nil && strings.Trim(strings.TrimSpace(string(filter)), "0") != "" {
			t.Errorf("process %d (%s) would show memory in a core: %s", pid, strings.TrimSpace(string(name)), filter)
		}
	}
	if len(names) == 0 || names["outcrop"] == 0 || len(names) < 2 {
		t.Errorf("looked at %v, which are not the server and its sandboxes", names)
	}
	t.Logf("processes: %v", names)
}

// below are a process and all that descend from it.
func below(t *testing.T, root int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name, in parentheses, may hold anything.
		_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')'):]), " ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		children[parent] = append(children[parent], pid)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}
