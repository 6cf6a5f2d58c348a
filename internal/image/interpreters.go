package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Interpreter is one of the host's that can run direct code.
type Interpreter struct {
	Runtime    string // PYTHON_3_11
	Version    string // 3.11.2
	Executable string // absolute, no symbolic link
	Prefix     string // where its standard library lives
	Source     string // why it was looked at: declared, host, local, uv, pyenv, opt, path ...

	// Mounts are host directories that the guest needs read-only at the same
	// path, beside the host layer (/usr, /bin, /sbin, /lib, /lib64).
	Mounts []string
	// Libraries are directories for LD_LIBRARY_PATH: the guest has no ld.so.cache.
	Libraries []string
	// Sites are the host's package directories that a guest can see by the host
	// layer or Mounts, to be covered.
	Sites []string

	// Machine and Libc tell which native wheels fit: "x86_64" and "glibc 2.36".
	// Libc is empty where it is not glibc, and for Node.
	Machine, Libc string
}

// Problem is an interpreter that was found and cannot be used, for doctor.
type Problem struct {
	Path   string
	Reason string // one sentence without a final full stop
}

// Search says where to look for interpreters. The caller passes what comes from
// the environment.
type Search struct {
	// Home is the server's own user's home directory; empty to leave it out.
	Home string
	// Path is a list of directories as in $PATH.
	Path string
	// Declared are prefixes or executables that the operator names; they come
	// first.
	Declared []string
	// Hidden are directories that no mount may contain, such as the data
	// directory. Home is always one.
	Hidden []string
	// Timeout bounds the question to one interpreter; zero means 10 s.
	Timeout time.Duration
}

// ErrIncomplete says that an interpreter was not heard of in time, so that a later
// search may find more.
var ErrIncomplete = errors.New("an interpreter did not answer in time")

// Interpreters finds, for each runtime that has one, the interpreter that runs it:
// the first that works of those declared, the host's own under /usr, /usr/local,
// those of version managers and /opt, and what PATH names. A shim or another
// script is never executed, and a virtual environment only leads to the
// interpreter it was made from. The result is in the order of Runtimes.
//
// It runs every candidate once, up to that point: expect half a second. With
// ErrIncomplete, what it found counts all the same.
func Interpreters(ctx context.Context, s Search) ([]Interpreter, []Problem, error) {
	return newFinder(s).find(ctx)
}

// Declared is Interpreters of what the operator names alone, whatever else this host
// has.
func Declared(ctx context.Context, s Search) ([]Interpreter, []Problem, error) {
	f := newFinder(s)
	f.declared = true
	return f.find(ctx)
}

// Nodes finds Node.js of any version: for each major one, the first that works, in the
// order in which Interpreters looks. With ErrIncomplete, what it found counts all the same.
func Nodes(ctx context.Context, s Search) ([]Interpreter, error) {
	f := newFinder(s)
	f.any = true
	var found []Interpreter
	for _, c := range f.candidates(Node, "") {
		in, ok := f.check(ctx, c, Node, "")
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("find interpreters: %w", err)
		}
		major, _, _ := strings.Cut(in.Version, ".")
		in.Runtime = "NODE_" + major
		if ok && !slices.ContainsFunc(found, func(have Interpreter) bool { return have.Runtime == in.Runtime }) {
			found = append(found, in)
		}
	}
	if f.late {
		return found, fmt.Errorf("find interpreters: %w", ErrIncomplete)
	}
	return found, nil
}

func newFinder(s Search) *finder {
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	if s.Home != "" {
		s.Hidden = append(slices.Clone(s.Hidden), s.Home)
	}
	return &finder{search: s, ask: ask, root: "/", asked: map[string]answer{}}
}

// finder looks for interpreters once.
type finder struct {
	search   Search
	ask      func(ctx context.Context, l Language, executable string) (answer, error)
	root     string // "/" but in tests
	declared bool   // look at nothing else
	any      bool   // any version will do
	asked    map[string]answer
	problems []Problem
	// others are Node.js of other versions: there is one runtime of Node.js alone,
	// so that they are of interest where it has none.
	others []Problem
	late   bool // somebody did not answer in time
}

func (f *finder) find(ctx context.Context) ([]Interpreter, []Problem, error) {
	var found []Interpreter
	for _, runtime := range Runtimes() {
		language, version, err := ParseRuntime(runtime)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range f.candidates(language, version) {
			in, ok := f.check(ctx, c, language, version)
			if err := ctx.Err(); err != nil {
				return nil, nil, fmt.Errorf("find interpreters: %w", err)
			}
			if ok {
				in.Runtime = runtime
				found = append(found, in)
				f.others = nil
				break
			}
		}
	}
	for _, o := range f.others {
		f.note(o.Path, o.Reason)
	}
	if f.late {
		return found, f.problems, fmt.Errorf("find interpreters: %w", ErrIncomplete)
	}
	return found, f.problems, nil
}

// check asks one candidate. An interpreter of another version is no problem; one
// that cannot be used is noted.
func (f *finder) check(ctx context.Context, c candidate, l Language, version string) (Interpreter, bool) {
	executable, err := f.resolve(c)
	if err != nil {
		if !errors.Is(err, errNotOurs) && !errors.Is(err, fs.ErrNotExist) {
			f.note(c.path, err.Error())
		}
		return Interpreter{}, false
	}
	a, err := f.answer(ctx, l, executable)
	if err == nil && a.BaseExecutable != "" && f.isVirtual(executable, a) {
		// A copied virtual environment: what it was made from is what counts.
		if executable, err = filepath.EvalSymlinks(a.BaseExecutable); err == nil {
			a, err = f.answer(ctx, l, executable)
		}
	}
	if err != nil {
		f.note(executable, err.Error())
		return Interpreter{}, false
	}
	if !f.any && a.Version != version && !strings.HasPrefix(a.Version, version+".") {
		if l == Node {
			f.others = append(f.others, Problem{executable, "it is Node.js " + a.Version + ", and the runtime is Node.js " + version})
		}
		return Interpreter{}, false
	}
	in, err := f.describe(c, l, executable, a)
	if err != nil {
		f.note(executable, err.Error())
		return Interpreter{}, false
	}
	return in, true
}

// isVirtual reports whether executable belongs to a virtual environment.
func (f *finder) isVirtual(executable string, a answer) bool {
	return !within(executable, a.Prefix) && a.BaseExecutable != executable
}

func (f *finder) note(path, reason string) {
	p := Problem{Path: path, Reason: reason}
	if !slices.Contains(f.problems, p) {
		f.problems = append(f.problems, p)
	}
}

// answer asks each executable once.
func (f *finder) answer(ctx context.Context, l Language, executable string) (answer, error) {
	if a, ok := f.asked[executable]; ok {
		return a, a.err
	}
	ctx, cancel := context.WithTimeout(ctx, f.search.Timeout)
	defer cancel()
	a, err := f.ask(ctx, l, executable)
	a.err = err
	f.late = f.late || errors.Is(err, errLate)
	f.asked[executable] = a
	return a, err
}

// describe turns an answer into an Interpreter or says why it cannot be one.
func (f *finder) describe(c candidate, l Language, executable string, a answer) (Interpreter, error) {
	in := Interpreter{
		Version: a.Version, Executable: executable, Prefix: a.Prefix, Source: c.source,
		Machine: a.Machine, Libc: a.Libc,
	}
	if l == Python {
		switch {
		case a.Implementation != "cpython":
			return in, fmt.Errorf("it is %s; packages are built for cpython", a.Implementation)
		case !a.Final:
			return in, fmt.Errorf("%s is a pre-release", a.Version)
		case a.FreeThreaded:
			return in, errors.New("it is a free-threaded build, which needs packages of its own")
		case len(a.Missing) > 0:
			return in, fmt.Errorf("it was built without %s", strings.Join(a.Missing, ", "))
		case !within(a.Stdlib, a.Prefix) && !within(a.Stdlib, a.ExecPrefix):
			return in, fmt.Errorf("its standard library %s lies outside its prefix %s", a.Stdlib, a.Prefix)
		}
		in.Sites = hostSites(f.root, a.Sites)
	}
	needed := []string{a.Prefix, a.ExecPrefix, filepath.Dir(executable)}
	for _, lib := range a.Libraries {
		needed = append(needed, filepath.Dir(lib))
	}
	for _, dir := range needed {
		if dir == "" || inHostLayer(dir) || slices.ContainsFunc(in.Mounts, func(m string) bool { return within(dir, m) }) {
			continue
		}
		if hidden := f.hiddenBy(dir); hidden != "" {
			return in, fmt.Errorf("a sandbox would need all of %s, which contains %s", dir, hidden)
		}
		in.Mounts = append(in.Mounts, dir)
	}
	libraries, err := libraryDirs(executable, a.Libraries)
	in.Libraries = libraries
	return in, err
}

// hiddenBy returns what must not be seen and lies in dir, or "".
func (f *finder) hiddenBy(dir string) string {
	for _, h := range append([]string{"/etc", "/var", "/proc", "/sys", "/dev", "/run"}, f.search.Hidden...) {
		if real, err := filepath.EvalSymlinks(h); err == nil {
			h = real
		}
		if within(h, dir) {
			return h
		}
	}
	return ""
}

// inHostLayer reports whether every guest sees path (spec/sandbox.md 2).
func inHostLayer(path string) bool {
	return slices.ContainsFunc([]string{"/usr", "/bin", "/sbin", "/lib", "/lib64"}, func(l string) bool { return within(path, l) })
}

// within reports whether path is dir or lies in it. Both are clean.
func within(path, dir string) bool {
	return dir != "" && (path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/"))
}
