package bundle

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// ignoreCases are patterns and paths; a path that ends in / is a directory.
func ignoreCases() (patterns, paths []string) {
	return []string{
			"*.log", "/top", "dir/", "a/b", "**/deep", "x/**", "y/**/z", "!keep.log", "[ab].txt", "[!ab].md", "f?o", `\#hash`, `\!bang`, "sp ace", "trail ", "[", "[]]x", "*.{a}", "a.b+c", "ü*", `q\*`, "/m/*.c", "foo/*/bar", "**", "a**b",
		}, []string{
			"x.log", "d/x.log", "top", "d/top", "dir/", "dir", "e/dir/", "a/b", "c/a/b", "deep", "1/2/deep", "x/1", "x/1/2", "y/z", "y/1/2/z", "keep.log", "a.txt", "c.txt", "c.md", "a.md",
			"foo", "f/o", "#hash", "!bang", "sp ace", "trail", "[", "]x", "x.{a}", "a.b+c", "axbbc", "übung", "q*", "qx", "m/1.c", "m/n/1.c", "foo/1/bar", "foo/bar", "foo/1/2/bar", "a1b", "a/1/b",
		}
}

func TestRulesGolden(t *testing.T) {
	patterns, paths := ignoreCases()
	var out strings.Builder
	for _, p := range patterns {
		rs, err := parseRules(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(rs) == 1 && rs[0].negated {
			continue
		}
		fmt.Fprintf(&out, "%-12q", p)
		for _, path := range paths {
			name, dir := strings.CutSuffix(path, "/")
			if rs.leaveOut(name, dir) {
				fmt.Fprintf(&out, " %s", path)
			}
		}
		fmt.Fprintln(&out)
	}
	checkGolden(t, "rules.txt", out.String())
}

// git is the judge of its own format, where it is installed.
func TestRulesAgreeWithGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	patterns, paths := ignoreCases()
	for _, p := range patterns {
		dir := t.TempDir()
		write(t, dir, map[string]string{".gitignore": p + "\n"})
		if out, err := exec.Command(git, "-C", dir, "init", "-q").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		rs, err := parseRules(p)
		if err != nil {
			t.Fatal(err)
		}
		judge := exec.Command(git, "-C", dir, "check-ignore", "--no-index", "--stdin", "-z")
		judge.Stdin = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
		said, err := judge.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() != 1 || err != nil && exit == nil {
			t.Fatal(err)
		}
		theirs := strings.Split(string(said), "\x00")
		for _, path := range paths {
			name, isDir := strings.CutSuffix(path, "/")
			// Our walk never asks about what lies in a directory that is left out.
			ours, at := false, ""
			for part := range strings.SplitSeq(name, "/") {
				at = strings.TrimPrefix(at+"/"+part, "/")
				ours = ours || rs.leaveOut(at, at != name || isDir)
			}
			if ours != slices.Contains(theirs, path) {
				t.Errorf("pattern %q, path %q: ours %v, git the other", p, path, ours)
			}
		}
	}
}

func FuzzRules(f *testing.F) {
	patterns, _ := ignoreCases()
	for _, p := range patterns {
		f.Add(p, "a/b.txt")
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		rs, err := parseRules(pattern)
		if err == nil {
			rs.leaveOut(path, false)
		}
	})
}
