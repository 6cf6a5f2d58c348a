package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	py := project{entry: "main.py", language: python}
	with := func(edit func(*project)) project { p := py; edit(&p); return p }
	cases := []struct {
		name, asked, local string
		p                  project
		want               string
	}{
		{"the same as here", "", "3.11", py, "PYTHON_3_11: the Python on your PATH is 3.11"},
		{"newer here", "", "3.13", py, "PYTHON_3_12: the Python on your PATH is 3.13, which the server cannot run here; this is the closest of PYTHON_3_10, PYTHON_3_11, PYTHON_3_12"},
		{"older here", "", "3.9", py, "PYTHON_3_10: the Python on your PATH is 3.9, which"},
		{"none here", "", "", py, "PYTHON_3_12: it is the newest that the server can run"},
		{"asked", "PYTHON_3_10", "3.12", py, "PYTHON_3_10: asked for"},
		{"pinned", "", "3.12", with(func(p *project) { p.prefer = "3.10" }), "PYTHON_3_10: .python-version says 3.10"},
		{"required", "", "3.12", with(func(p *project) { p.requires = ">=3.10,<3.12" }), "PYTHON_3_11: the Python on your PATH is 3.12, which"},
		{"node", "", "", project{entry: "index.js", language: node}, "NODE_22: it is what the server runs JavaScript with"},
	}
	for _, c := range cases {
		target, why, err := choose(targets(), c.asked, c.p, c.local)
		if got := fmt.Sprintf("%s: %s", target.Runtime, why); err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, %v", c.name, got, err)
		}
	}
}

// People write runtimes as they are called elsewhere; what is meant is clear.
func TestRuntimeIsNamedInSeveralWays(t *testing.T) {
	for asked, want := range map[string]string{
		"3.11": "PYTHON_3_11", "311": "PYTHON_3_11", "python3.11": "PYTHON_3_11", "Python_3_11": "PYTHON_3_11", "python-3.11": "PYTHON_3_11", "py311": "PYTHON_3_11",
		"python 3.10": "PYTHON_3_10", " PYTHON_3_12 ": "PYTHON_3_12", "node22": "NODE_22", "nodejs22.x": "NODE_22", "NODE_22": "NODE_22", "node_22": "NODE_22",
		"python3": "", "python": "", "3": "", "22": "", "2.7": "", "node": "", "node18": "", "nodejs": "", "": "", "3.11.2": "", "PYTHON_3_99": "", "java21": "",
	} {
		if got := runtimeNamed(asked); got != cmp.Or(want, asked) {
			t.Errorf("%q is taken for %q", asked, got)
		}
	}
	for asked, want := range map[string]string{
		"python3":     `"python3" is no runtime; the server can run PYTHON_3_10, PYTHON_3_11, PYTHON_3_12, NODE_22: Write one of them with --runtime, or leave it out to have one chosen.`,
		"python 3.14": "the server cannot run PYTHON_3_14; it can run PYTHON_3_10, PYTHON_3_11, PYTHON_3_12, NODE_22: Choose one of them with --runtime, or install it on the server's machine: outcrop doctor says how.",
		"node22":      "NODE_22 does not run main.py: Choose another runtime or entry point.",
	} {
		_, _, err := choose(targets(), asked, project{entry: "main.py", language: python}, "")
		var p *Error
		if !errors.As(err, &p) || p.Reason+": "+p.Fix != want {
			t.Errorf("%q: %+v", asked, err)
		}
	}
}

func TestSatisfies(t *testing.T) {
	for _, c := range []struct {
		spec string
		want bool
	}{
		{"", true}, {">=3.11", true}, {">=3.12", false}, {">3.11", false}, {">3.10", true}, {"<3.12", true}, {"<3.11", false}, {"<=3.11", false}, {"<=3.11.2", true},
		{"==3.11.*", true}, {"==3.10.*", false}, {"==3.11.2", true}, {"==3.11", false}, {"!=3.11.*", false}, {"!=3.11.0", true}, {"~=3.10", true}, {"~=3.11.1", true},
		{"~=3.11.3", false}, {"~=3.12", false}, {">=3.10, <4", true}, {"^3.10", true}, {"^4.0", false}, {"whatever", true}, {">=", true},
	} {
		if got := satisfies("3.11.2", c.spec); got != c.want {
			t.Errorf("%q: %v", c.spec, got)
		}
	}
}

func TestPlatformTagsNewestFirst(t *testing.T) {
	for _, c := range []struct {
		target     Target
		tags, uv   string
		first, end string
	}{
		{target: Target{Machine: "x86_64", Libc: "glibc 2.36"}, first: "manylinux_2_36_x86_64", end: "manylinux_2_5_x86_64 manylinux1_x86_64 linux_x86_64", uv: "x86_64-manylinux_2_36"},
		{target: Target{Machine: "aarch64", Libc: "glibc 2.29"}, first: "manylinux_2_29_aarch64", end: "manylinux_2_18_aarch64 manylinux_2_17_aarch64 manylinux2014_aarch64 linux_aarch64", uv: "aarch64-manylinux_2_28"},
		{target: Target{Machine: "x86_64"}, first: "manylinux_2_28_x86_64", end: "linux_x86_64", uv: "x86_64-manylinux_2_28"},
		{target: Target{Machine: "x86_64", Libc: "glibc 2.99"}, first: "manylinux_2_99_x86_64", end: "linux_x86_64", uv: "x86_64-manylinux_2_40"},
		{target: Target{Machine: "x86_64", Libc: "musl 1.2.5"}, first: "musllinux_1_2_x86_64", end: "musllinux_1_1_x86_64", uv: "x86_64-unknown-linux-musl"},
	} {
		got := strings.Join(platformTags(c.target), " ")
		if !strings.HasPrefix(got, c.first) || !strings.HasSuffix(got, c.end) {
			t.Errorf("%+v: %s", c.target, got)
		}
		if got := uvPlatform(c.target); got != c.uv {
			t.Errorf("%+v: uv %s", c.target, got)
		}
	}
}
