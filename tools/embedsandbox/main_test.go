package main

import (
	"strings"
	"testing"
)

// However the lines are cut, packages are counted and all else is passed on.
func TestPackagesAreCounted(t *testing.T) {
	in := "go: downloading example.invalid/x v1.0.0\n" + strings.Repeat("gvisor.dev/gvisor/pkg/a\n", 101) + "# example.invalid/x\nx.go:1:1: it is wrong\n"
	want := "go: downloading example.invalid/x v1.0.0\nembedsandbox: 50 packages compiled\nembedsandbox: 100 packages compiled\n# example.invalid/x\nx.go:1:1: it is wrong\n"
	for _, step := range []int{1, 7, len(in)} {
		var out strings.Builder
		p := &packages{w: &out}
		for rest := in; rest != ""; rest = rest[min(step, len(rest)):] {
			if n, err := p.Write([]byte(rest[:min(step, len(rest))])); err != nil || n != min(step, len(rest)) {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		if out.String() != want {
			t.Errorf("in pieces of %d:\n%s", step, out.String())
		}
	}
}
