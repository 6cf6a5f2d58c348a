package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestTablesOfDescendants(t *testing.T) {
	proc := t.TempDir()
	for pid, p := range map[int]struct{ parent, kib int }{
		1: {0, 1000}, 10: {1, 200}, 11: {10, 3}, 12: {11, 40}, 13: {12, 500}, 20: {1, 7}, 21: {20, 9},
	} {
		dir := filepath.Join(proc, fmt.Sprint(pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("Name:\tx\nPPid:\t%d\nVmPTE:\t     %d kB\nVmSwap:\t 1 kB\n", p.parent, p.kib)
		if err := os.WriteFile(filepath.Join(dir, "status"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for pid, want := range map[int]int64{10: 543 << 10, 20: 9 << 10, 13: 0, 99: 0} {
		if got := tablesBelow(readProcesses(proc), pid); got != want {
			t.Errorf("below %d are %d bytes of page tables, want %d", pid, got, want)
		}
	}
	// What cannot be, ends nevertheless.
	loop := map[int][]hostProcess{1: {{pid: 2, parent: 1, tables: 1}}, 2: {{pid: 1, parent: 2, tables: 1}}}
	if got := tablesBelow(loop, 1); got != 2 {
		t.Errorf("a loop has %d", got)
	}
	if got := tablesBelow(readProcesses("/proc"), os.Getppid()); got == 0 {
		t.Error("this process has no page tables")
	}
}

func BenchmarkTables(b *testing.B) {
	n := 0
	for b.Loop() {
		n = 0
		for _, children := range readProcesses("/proc") {
			n += len(children)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/process")
}
