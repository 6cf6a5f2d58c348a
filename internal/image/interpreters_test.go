package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeHost is a machine whose interpreters are empty ELF files that answer what the
// test says.
type fakeHost struct {
	declared bool // looks at what is declared alone
	t        *testing.T
	root     string
	home     string
	answers  map[string]answer
}

func newFakeHost(t *testing.T) *fakeHost {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &fakeHost{t: t, root: root, home: filepath.Join(root, "home/me"), answers: map[string]answer{}}
}

func (h *fakeHost) file(name, content string, mode os.FileMode) string {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *fakeHost) python(name, version string, edit ...func(*answer)) string {
	h.t.Helper()
	path := h.file(name, "\x7fELF", 0o755)
	prefix := filepath.Dir(filepath.Dir(path))
	a := answer{Implementation: "cpython", Version: version, Final: true, Prefix: prefix, ExecPrefix: prefix, BaseExecutable: path, Stdlib: prefix + "/lib/python", Machine: "x86_64", Libc: "glibc 2.36"}
	for _, e := range edit {
		e(&a)
	}
	h.answers[path] = a
	return path
}

func (h *fakeHost) link(name, target string) {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		h.t.Fatal(err)
	}
}

func (h *fakeHost) find(s Search) string {
	h.t.Helper()
	s.Home, s.Timeout = h.home, time.Minute
	s.Hidden = append(s.Hidden, h.home, filepath.Join(h.root, "data"))
	f := finder{search: s, root: h.root, declared: h.declared, asked: map[string]answer{}, ask: func(_ context.Context, _ Language, exe string) (answer, error) {
		a, ok := h.answers[exe]
		if !ok {
			return a, errors.New("it does not run")
		}
		return a, nil
	}}
	found, problems, err := f.find(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	var out strings.Builder
	for _, in := range found {
		fmt.Fprintf(&out, "%s %s %s %s %v\n", in.Runtime, in.Version, in.Source, in.Executable, in.Mounts)
	}
	for _, p := range problems {
		fmt.Fprintf(&out, "problem %s: %s\n", p.Path, p.Reason)
	}
	return strings.ReplaceAll(out.String(), h.root, "R")
}

func TestInterpretersInOrderOfPreference(t *testing.T) {
	h := newFakeHost(t)
	h.python("usr/bin/python3.11", "3.11.2")
	h.python("home/me/.pyenv/versions/3.11.7/bin/python3.11", "3.11.7")
	h.python("home/me/.pyenv/versions/3.12.9/bin/python3.12", "3.12.9")
	h.python("home/me/.pyenv/versions/3.12.10/bin/python3.12", "3.12.10")
	h.python("home/me/.local/share/uv/python/cpython-3.13.1-linux/bin/python3.13", "3.13.1")
	h.python("opt/py/bin/python3.10", "3.10.4")
	h.python("usr/bin/node", "20.20.2")
	h.python("home/me/.nvm/versions/node/v22.9.0/bin/node", "22.9.0")
	got := h.find(Search{})
	want := `PYTHON_3_10 3.10.4 opt R/opt/py/bin/python3.10 [R/opt/py]
PYTHON_3_11 3.11.2 host R/usr/bin/python3.11 [R/usr]
PYTHON_3_12 3.12.10 pyenv R/home/me/.pyenv/versions/3.12.10/bin/python3.12 [R/home/me/.pyenv/versions/3.12.10]
PYTHON_3_13 3.13.1 uv R/home/me/.local/share/uv/python/cpython-3.13.1-linux/bin/python3.13 [R/home/me/.local/share/uv/python/cpython-3.13.1-linux]
NODE_22 22.9.0 nvm R/home/me/.nvm/versions/node/v22.9.0/bin/node [R/home/me/.nvm/versions/node/v22.9.0]
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	h.python("srv/python/bin/python3.11", "3.11.5")
	if got := h.find(Search{Declared: []string{h.root + "/srv/python"}}); !strings.Contains(got, "PYTHON_3_11 3.11.5 declared R/srv/python/bin/python3.11") {
		t.Errorf("a declared prefix does not come first:\n%s", got)
	}
	h.declared = true
	if got := h.find(Search{Path: h.root + "/usr/bin", Declared: []string{h.root + "/srv/python"}}); got != "PYTHON_3_11 3.11.5 declared R/srv/python/bin/python3.11 [R/srv/python]\n" {
		t.Errorf("of what is declared alone:\n%s", got)
	}
}

// A Node.js of another version is told of where it explains why there is none.
func TestInterpretersTellOfAnotherNode(t *testing.T) {
	h := newFakeHost(t)
	h.python("usr/bin/node", "20.20.2")
	if got, want := h.find(Search{}), "problem R/usr/bin/node: it is Node.js 20.20.2, and the runtime is Node.js 22\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestAbsence(t *testing.T) {
	for runtime, want := range map[string]string{
		"NODE_22":     "no Node.js 22 was found: nvm install 22, or the package nodejs of NodeSource's node_22.x, or outcrop serve --interpreter DIRECTORY for one that lies elsewhere; a server looks when it starts",
		"PYTHON_3_14": "no python3.14 was found: uv python install 3.14, or a package such as python3.14, or outcrop serve --interpreter DIRECTORY for one that lies elsewhere; a server looks when it starts",
		"RUBY_3":      `runtime "RUBY_3" is none of PYTHON_3_10, PYTHON_3_11, PYTHON_3_12, PYTHON_3_13, PYTHON_3_14, NODE_22: `,
	} {
		reason, fix := Absence(runtime)
		if got := reason + ": " + fix; got != want {
			t.Errorf("%s: %s", runtime, got)
		}
	}
	got := Places(Search{Home: "/home/me", Declared: []string{"/srv/py"}})
	if want := "/srv/py, /usr/bin, /usr/local/bin, /opt/*/bin, /opt/python/*/bin, what uv, pyenv, mise, asdf, nvm, fnm, volta have installed in /home/me, and PATH"; got != want {
		t.Errorf("places: %s", got)
	}
}

func TestInterpretersInADirectoryWithBrackets(t *testing.T) {
	h := newFakeHost(t)
	h.root = filepath.Join(h.root, "a[b*")
	h.home = filepath.Join(h.root, "home/me")
	h.python("home/me/.pyenv/versions/3.12.9/bin/python3.12", "3.12.9")
	h.python("opt/py/bin/python3.10", "3.10.4")
	want := `PYTHON_3_10 3.10.4 opt R/opt/py/bin/python3.10 [R/opt/py]
PYTHON_3_12 3.12.9 pyenv R/home/me/.pyenv/versions/3.12.9/bin/python3.12 [R/home/me/.pyenv/versions/3.12.9]
`
	if got := h.find(Search{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestInterpretersNeverTrustShimsAndEnvironments(t *testing.T) {
	h := newFakeHost(t)
	h.file("home/me/.pyenv/shims/python3", "#!/usr/bin/env bash\nexec pyenv exec\n", 0o755)
	real := h.python("opt/py/bin/python3.12", "3.12.1")
	// A virtual environment by links leads to the real one by its links, one by
	// copies says where it comes from.
	h.link("srv/venv/bin/python3", real)
	copied := h.python("srv/copied/bin/python3", "3.12.1", func(a *answer) { a.Prefix = h.root + "/opt/py"; a.BaseExecutable = real })
	path := strings.Join([]string{h.root + "/home/me/.pyenv/shims", h.root + "/srv/venv/bin", "relative"}, ":")
	want := "PYTHON_3_12 3.12.1 %s R/opt/py/bin/python3.12 [R/opt/py]\n"
	if got := h.find(Search{Path: path}); got != fmt.Sprintf(want, "opt") {
		t.Errorf("got %s", got)
	}
	if err := os.Rename(h.root+"/opt", h.root+"/elsewhere"); err != nil {
		t.Fatal(err)
	}
	real = h.root + "/elsewhere/py/bin/python3.12"
	h.python("elsewhere/py/bin/python3.12", "3.12.1")
	h.answers[copied] = func() answer { a := h.answers[real]; return a }()
	if got := h.find(Search{Path: h.root + "/srv/copied/bin"}); got != strings.ReplaceAll(fmt.Sprintf(want, "path"), "/opt/", "/elsewhere/") {
		t.Errorf("by a copied environment: got %s", got)
	}
	if got := h.find(Search{Declared: []string{h.root + "/home/me/.pyenv/shims"}, Path: path}); strings.Contains(got, "PYTHON") {
		t.Errorf("a shim ran: %s", got)
	}
	if got := h.find(Search{Declared: []string{h.root + "/home/me/.pyenv/shims/python3"}}); !strings.Contains(got, "problem R/home/me/.pyenv/shims/python3: it is a script, not an interpreter") {
		t.Errorf("got %s", got)
	}
}

func TestInterpretersSayWhyNot(t *testing.T) {
	cases := []struct {
		name string
		edit func(*answer)
		want string
	}{
		{"pypy", func(a *answer) { a.Implementation = "pypy" }, "it is pypy; packages are built for cpython"},
		{"pre-release", func(a *answer) { a.Final = false }, "3.12.1 is a pre-release"},
		{"free-threaded", func(a *answer) { a.FreeThreaded = true }, "it is a free-threaded build"},
		{"no ssl", func(a *answer) { a.Missing = []string{"ssl (No module named '_ssl')"} }, "it was built without ssl (No module named '_ssl')"},
		{"stdlib elsewhere", func(a *answer) { a.Stdlib = "/nowhere" }, "its standard library /nowhere lies outside its prefix"},
		{"library in the data directory's parent", func(a *answer) { a.Libraries = []string{filepath.Dir(filepath.Dir(a.Prefix)) + "/libx.so"} }, "a sandbox would need all of R, which contains"},
		{"another version", func(a *answer) { a.Version = "3.9.1" }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFakeHost(t)
			if err := os.MkdirAll(h.root+"/data", 0o755); err != nil {
				t.Fatal(err)
			}
			h.python("opt/py/bin/python3.12", "3.12.1", c.edit)
			got := h.find(Search{})
			if strings.Contains(got, "PYTHON") || !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("writable by others", func(t *testing.T) {
		h := newFakeHost(t)
		h.python("opt/py/bin/python3.12", "3.12.1")
		if err := os.Chmod(h.root+"/opt/py/bin/python3.12", 0o757); err != nil {
			t.Fatal(err)
		}
		if got := h.find(Search{}); !strings.Contains(got, "others can change it; declare it to use it") {
			t.Errorf("got %q", got)
		}
		if got := h.find(Search{Declared: []string{h.root + "/opt/py"}}); !strings.Contains(got, "PYTHON_3_12 3.12.1 declared") {
			t.Errorf("declared: got %q", got)
		}
	})
}

// What was not heard of in time is not the same as what is not there.
func TestIncompleteSearch(t *testing.T) {
	h := newFakeHost(t)
	h.python("opt/a/bin/python3.11", "3.11.4")
	f := finder{root: h.root, search: Search{Timeout: time.Minute}, asked: map[string]answer{}, ask: func(context.Context, Language, string) (answer, error) {
		return answer{}, errLate
	}}
	found, problems, err := f.find(t.Context())
	if !errors.Is(err, ErrIncomplete) || len(found) != 0 || len(problems) != 1 {
		t.Errorf("found %v, problems %v, error %v", found, problems, err)
	}
}

func TestAskStopsWaiting(t *testing.T) {
	// "sleep" runs longer than it is given, whatever its arguments: "-e" is not one.
	script := filepath.Join(t.TempDir(), "slow")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, Node, script); !errors.Is(err, errLate) {
		t.Errorf("got %v", err)
	}
	if _, err := ask(context.Background(), Node, "/bin/true"); err == nil || !strings.Contains(err.Error(), "does not answer as an interpreter") {
		t.Errorf("true: %v", err)
	}
	if _, err := ask(context.Background(), Python, "/bin/false"); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("false: %v", err)
	}
}

// An interpreter under /usr/local finds its library by ld.so.cache, which no guest
// has.
func TestLibrariesOutsideTheSearchPathAreNamed(t *testing.T) {
	h := newFakeHost(t)
	usual, local := filepath.Dir(h.file("usr/lib/libc.so.6", "", 0o644)), filepath.Dir(h.file("usr/local/lib/libpython3.12.so.1.0", "", 0o644))
	got := unfound([]string{"libpython3.12.so.1.0", "libc.so.6", "libunseen.so.1"}, []string{usual},
		[]string{usual + "/libc.so.6", local + "/libpython3.12.so.1.0"})
	if len(got) != 1 || got[0] != local {
		t.Errorf("got %v, want %s", got, local)
	}
	in := Interpreter{Runtime: "NODE_22", Executable: "/usr/local/bin/node", Libraries: got}
	cache := newTestCache(t)
	code, err := unpackBytes(cache, makeZip(t, member{name: "main.js"}))
	if err != nil {
		t.Fatal(err)
	}
	if l, err := cache.Launch(code, in, []string{"main.js"}); err != nil || !slices.Contains(l.Env, "LD_LIBRARY_PATH="+local) {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestNewestFirstReadsNumbers(t *testing.T) {
	got := []string{"v3.9.18", "v3.11.9", "v3.11.10", "v3.11.10-rc", "v3.2"}
	slices.SortFunc(got, newestFirst)
	if want := "[v3.11.10-rc v3.11.10 v3.11.9 v3.9.18 v3.2]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestParseRuntimeKnowsTheModelledOnes(t *testing.T) {
	for _, r := range Runtimes() {
		if _, _, err := ParseRuntime(r); err != nil {
			t.Error(err)
		}
	}
	for _, r := range []string{"", "PYTHON", "PYTHON_3", "PYTHON_3_x", "NODE_22_1", "RUBY_3_2", "PYTHON_3_11_2"} {
		if _, _, err := ParseRuntime(r); err == nil {
			t.Errorf("%q was taken", r)
		}
	}
}
