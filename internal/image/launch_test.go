package image

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
)

// hostInterpreters finds what this machine has; every machine that builds Outcrop
// has a Python 3.
func hostInterpreters(t *testing.T) []Interpreter {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	found, problems, err := Interpreters(context.Background(), Search{Home: home, Path: os.Getenv("PATH")})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Logf("problem: %s: %s", p.Path, p.Reason)
	}
	if len(found) == 0 {
		t.Skip("this machine has no interpreter for any runtime")
	}
	return found
}

// runOnHost runs a launch outside any sandbox: what the guest would see at
// /var/lang and /var/task is used where it lies.
func runOnHost(t *testing.T, l Launch, code *Code, env ...string) string {
	t.Helper()
	here := func(s string) string {
		for _, m := range l.Mounts {
			if m.Target == LangPath {
				s = strings.ReplaceAll(s, LangPath, m.Source)
			}
		}
		return strings.ReplaceAll(s, sandbox.CodePath, code.Dir)
	}
	var args []string
	for _, a := range l.Args {
		args = append(args, here(a))
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = here(l.Dir)
	for _, e := range slices.Concat(l.Env, env) {
		cmd.Env = append(cmd.Env, here(e))
	}
	cmd.Env = append(cmd.Env, "HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

const reportSource = `
import json, os, subprocess, sys, site
def importable(name):
    try:
        __import__(name)
        return True
    except ImportError:
        return False
child = "import importlib.util as u, json, sys; print(json.dumps([sys.path, [n for n in %r if u.find_spec(n)]]))"
names = ["pip", "setuptools", "yaml", "apt", "six"]
report = {
    "version": "%d.%d" % sys.version_info[:2],
    "path": sys.path,
    "prefix": sys.prefix,
    "user_site": site.ENABLE_USER_SITE,
    "host": [n for n in names if importable(n)],
    "vendored": importable("vendored_package"),
    "by_executable": json.loads(subprocess.check_output([sys.executable, "-c", child % names])),
    "by_name": json.loads(subprocess.check_output(["python3", "-c", child % names], cwd="/")),
    "hooked": getattr(sys, "hooked", False),
    "argv": sys.argv[1:],
    "wrapped": os.environ.get("WRAPPED", ""),
}
print(json.dumps(report))
`

type report struct {
	Version      string   `json:"version"`
	Path         []string `json:"path"`
	Prefix       string   `json:"prefix"`
	UserSite     bool     `json:"user_site"`
	Host         []string `json:"host"`
	Vendored     bool     `json:"vendored"`
	ByExecutable []any    `json:"by_executable"`
	ByName       []any    `json:"by_name"`
	Hooked       bool     `json:"hooked"`
	Wrapped      string   `json:"wrapped"`
}

func TestLaunchOnEveryInterpreterOfThisMachine(t *testing.T) {
	cache := newTestCache(t)
	wrapper := "import os, sys\nos.environ['WRAPPED'] = 'yes'\nos.execv(sys.argv[1], sys.argv[1:])\n"
	code, err := unpackBytes(cache, makeZip(t,
		member{name: "main.py", body: reportSource},
		member{name: "vendored_package/__init__.py"},
		member{name: "hook/sitecustomize.py", body: "import sys\nsys.hooked = True\n"},
		member{name: "wrap.py", body: "def main():\n    " + strings.ReplaceAll(strings.TrimSpace(wrapper), "\n", "\n    ") + "\n"},
		member{name: "wrap-1.0.dist-info/entry_points.txt", body: "[gui_scripts]\nwrap-module = no:no\n[console_scripts]\nother = x:y\nwrap-module = wrap:main\n"},
		member{name: "bin/wrap-script", body: "#!/home/somebody/venv/bin/python3.9\n" + wrapper},
	))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range hostInterpreters(t) {
		if language, _, _ := ParseRuntime(in.Runtime); language != Python {
			continue
		}
		t.Run(in.Runtime, func(t *testing.T) {
			t.Logf("%+v", in)
			for _, entry := range [][]string{{"main.py"}, {"wrap-script", "main.py"}, {"wrap-module", "main.py"}} {
				l, err := cache.Launch(code, in, entry)
				if err != nil {
					t.Fatal(err)
				}
				var r report
				out := runOnHost(t, l, code)
				if err := json.Unmarshal([]byte(out), &r); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if want := strings.TrimSuffix(r.Version, "\n"); !strings.HasSuffix(in.Runtime, strings.ReplaceAll(want, ".", "_")) {
					t.Errorf("runs %s", r.Version)
				}
				if r.Path[0] != code.Dir || len(r.Host) != 0 || !r.Vendored || r.UserSite {
					t.Errorf("%v: %+v", entry, r)
				}
				for _, child := range [][]any{r.ByExecutable, r.ByName} {
					if hosts := child[1].([]any); len(hosts) != 0 {
						t.Errorf("%v: a child can import %v from %v", entry, hosts, child[0])
					}
				}
				if (r.Wrapped == "yes") != (len(entry) == 2) {
					t.Errorf("%v: wrapped %q", entry, r.Wrapped)
				}
			}
			l, err := cache.Launch(code, in, []string{"main.py"})
			if err != nil {
				t.Fatal(err)
			}
			var r report
			if err := json.Unmarshal([]byte(runOnHost(t, l, code, "PYTHONPATH=/var/task/hook")), &r); err != nil || !r.Hooked || !r.Vendored {
				t.Errorf("with a user's PYTHONPATH and sitecustomize: %+v, %v", r, err)
			}
			for _, m := range l.Mounts {
				if info, err := os.Stat(m.Source); err != nil || !info.IsDir() || info.Mode().Perm()&0o005 != 0o005 {
					t.Errorf("mount %+v: %v, %v", m, info, err)
				}
			}
			for _, site := range in.Sites {
				if !slices.ContainsFunc(l.Mounts, func(m sandbox.Mount) bool { return m.Target == site && filepath.Base(m.Source) == "empty" }) {
					t.Errorf("%s is not covered by %v", site, l.Mounts)
				}
			}
		})
	}
}

func TestLaunchRefusesWhatIsNotThere(t *testing.T) {
	cache := newTestCache(t)
	code, err := unpackBytes(cache, makeZip(t,
		member{name: "main.py"}, member{name: "agent/app.py"}, member{name: "agent/sub.py/x"}, member{name: "bin/plain", body: "\x7fELF"}, member{name: "bin/sh", mode: 0o755, body: "#!/bin/sh\n"},
		member{name: "index.mjs"}, member{name: "node_modules/.bin/tsx", mode: 0o755, body: "#!/usr/bin/env node\n"},
	))
	if err != nil {
		t.Fatal(err)
	}
	python := Interpreter{Runtime: "PYTHON_3_11", Version: "3.11.2", Executable: "/usr/bin/python3.11", Prefix: "/usr"}
	node := Interpreter{Runtime: "NODE_22", Version: "22.1.0", Executable: "/opt/node/bin/node", Prefix: "/opt/node", Mounts: []string{"/opt/node"}}
	cases := []struct {
		in    Interpreter
		entry []string
		want  string // the command, or the refusal
	}{
		{python, []string{"main.py"}, "/var/lang/bin/python3.11 /var/task/main.py"},
		{python, []string{"agent/app.py"}, "/var/lang/bin/python3.11 /var/task/agent/app.py"},
		{python, []string{"sh", "main.py"}, "/var/task/bin/sh /var/lang/bin/python3.11 /var/task/main.py"},
		{node, []string{"index.mjs"}, "/opt/node/bin/node /var/task/index.mjs"},
		{node, []string{"tsx", "index.mjs"}, "/opt/node/bin/node /var/task/node_modules/.bin/tsx /opt/node/bin/node /var/task/index.mjs"},
		{python, nil, "entryPoint has 0 elements"},
		{python, []string{"a", "b", "c"}, "entryPoint has 3 elements"},
		{python, []string{"app.py"}, `entryPoint "app.py" is not in the code zip, which holds "agent, bin, index.mjs, main.py, node_modules" at its top.`},
		{python, []string{"agent/sub.py"}, `entryPoint "agent/sub.py" is not a file in the code zip but a directory.`},
		{python, []string{"../main.py"}, "is not the path of a file"},
		{python, []string{"/var/task/main.py"}, "is not the path of a file"},
		{python, []string{"index.mjs"}, "is not a python file (.py)"},
		{node, []string{"main.py"}, "is not a node file (.js, .mjs, .cjs)"},
		{python, []string{"bin/sh", "main.py"}, "is not the name of a program"},
		{python, []string{"plain", "main.py"}, "is not executable"},
		{python, []string{"opentelemetry-instrument", "main.py"}, "Add aws-opentelemetry-distro to the requirements"},
	}
	for _, c := range cases {
		l, err := cache.Launch(code, c.in, c.entry)
		got := strings.Join(l.Args, " ")
		if err != nil {
			if !fault.Is(err, "ValidationException") {
				t.Errorf("%v: %v is no refusal", c.entry, err)
			}
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%v:\n got %s\nwant %s", c.entry, got, c.want)
		}
	}
	l, err := cache.Launch(code, node, []string{"index.mjs"})
	if err != nil || len(l.Mounts) != 1 || l.Mounts[0].Target != "/opt/node" || !slices.Contains(l.Env, "PATH=/opt/node/bin:/var/task/node_modules/.bin:/usr/local/bin:/usr/bin:/bin") {
		t.Errorf("node: %+v, %v", l, err)
	}
}
