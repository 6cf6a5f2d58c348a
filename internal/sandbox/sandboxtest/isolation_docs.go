package sandboxtest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// CheckDocs holds the page at path to the names of probes: what stands between the
// comments "probes: mark" and "end of probes" is exactly them. With update it is
// written.
func CheckDocs(t *testing.T, path, mark string, update bool, probes []Probe) {
	t.Helper()
	page, err := os.ReadFile(path)
	must(t, err)
	begin, end := fmt.Sprintf("<!-- probes: %s -->\n", mark), "<!-- end of probes -->"
	before, rest, found := strings.Cut(string(page), begin)
	old, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no %q with %q after it", path, begin, end)
	}
	want := summary(t, probes)
	if update {
		must(t, os.WriteFile(path, []byte(before+begin+want+end+after), 0o644))
		return
	}
	if old != want {
		t.Errorf("%s does not say what is probed; run the test with -update. It says\n%swant\n%s", path, old, want)
	}
}

// summary is a table of the probes' names, a line for each group.
func summary(t *testing.T, probes []Probe) string {
	t.Helper()
	var groups []string
	names := map[string][]string{}
	for _, p := range probes {
		if !slices.Contains(groups, p.Group) {
			groups = append(groups, p.Group)
		}
		if slices.Contains(names[p.Group], p.Name) {
			t.Errorf("%s: two probes are called %q", p.Group, p.Name)
		}
		names[p.Group] = append(names[p.Group], p.Name)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "| %d probes of | |\n|---|---|\n", len(probes))
	for _, g := range groups {
		fmt.Fprintf(&out, "| %s (%d) | %s |\n", g, len(names[g]), strings.Join(names[g], "; "))
	}
	return out.String()
}
