//go:build linux

package firstminutes

import (
	"archive/zip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/bundle"
	"github.com/outcrop/outcrop/internal/image"
)

// python is a runtime that the server can run Python with.
func python(t *testing.T, s *server.Server) bundle.Target {
	t.Helper()
	for _, target := range s.Targets() {
		if strings.HasPrefix(target.Runtime, "PYTHON_") {
			return target
		}
	}
	t.Skip("this machine has no Python in /usr or /usr/local: nothing can be deployed")
	return bundle.Target{}
}

// absent are the modelled Pythons that the server lacks.
func absent(t *testing.T, s *server.Server) []string {
	t.Helper()
	lacks := slices.DeleteFunc(image.Runtimes(), func(r string) bool {
		return !strings.HasPrefix(r, "PYTHON_") || slices.ContainsFunc(s.Targets(), func(t bundle.Target) bool { return t.Runtime == r })
	})
	if len(lacks) == 0 {
		t.Skip("this machine has every Python that there is")
	}
	return lacks
}

func runtimes(s *server.Server) string {
	var names []string
	for _, target := range s.Targets() {
		names = append(names, target.Runtime)
	}
	return strings.Join(names, ", ")
}

// minor turns PYTHON_3_11 into 3.11.
func minor(runtime string) string {
	return strings.ReplaceAll(strings.TrimPrefix(runtime, "PYTHON_"), "_", ".")
}

// realPython is an installed Python of one of the versions, or "".
func realPython(runtimes []string) (path, version string) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", ""
	}
	for _, r := range runtimes {
		for _, pattern := range []string{home + "/.pyenv/versions/*/bin", home + "/.local/share/uv/python/*/bin", "/opt/*/bin"} {
			found, err := filepath.Glob(pattern + "/python" + minor(r))
			if err == nil && len(found) > 0 && exec.Command(found[0], "-c", "").Run() == nil {
				return found[0], minor(r)
			}
		}
	}
	return "", ""
}

// TestPythonDiffers deploys from a shell whose Python the server has not.
func TestPythonDiffers(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := p.serve()
	has, lacks := python(t, s), absent(t, s)
	cp := strings.ReplaceAll(minor(has.Runtime), ".", "")
	house := filepath.Join(p.home, "wheels")
	wheel(t, house, "native", "1.0", "cp"+cp+"-cp"+cp+"-linux_"+has.Machine)
	p.env = append(p.env, indexOf(t, house)...)
	folder := p.agent("mine", map[string]string{"requirements.txt": "native\n"})

	pythons := map[string]string{} // the version, by the directory of its python3
	pretended := filepath.Join(p.home, "pretended")
	version := minor(lacks[len(lacks)-1])
	write(t, pretended, map[string]string{"python3!": fmt.Sprintf(
		"#!/bin/sh\ncase \"$*\" in *version_info*) echo %s; exit ;; esac\nexec %s \"$@\"\n", version, clients(t))})
	pythons[pretended] = version
	if path, version := realPython(lacks); path != "" {
		dir := filepath.Join(p.home, "real")
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Symlink(path, filepath.Join(dir, "python3"))); err != nil {
			t.Fatal(err)
		}
		pythons[dir] = version
	} else {
		t.Log("no other Python is installed: only a pretended one is tried")
	}
	for dir, version := range pythons {
		p.path = dir + ":" + systemPath + ":" + pretended // pip is anywhere
		wheel(t, house, "native", "1.0", "cp"+strings.ReplaceAll(version, ".", "")+"-cp"+strings.ReplaceAll(version, ".", "")+"-linux_"+has.Machine)
		r := p.must(p.home, "deploy", folder, "--fresh")
		wants(t, r.stderr, "runtime PYTHON_", " on the server): the Python on your PATH is "+version+", which the server cannot run here; this is the closest of ",
			"for Python 3.", " READY, version 1, on ") // the same bytes, whichever pip installed them
		var got struct{ Version, Tag string }
		p.evaluate("mine", `{"version": "%d.%d" % sys.version_info[:2], "tag": importlib.import_module("native").TAG}`, &got)
		if got.Version == version || !strings.Contains(r.stderr, "runtime PYTHON_"+strings.ReplaceAll(got.Version, ".", "_")+" (") ||
			!strings.HasPrefix(got.Tag, "cp"+strings.ReplaceAll(got.Version, ".", "")+"-") {
			t.Errorf("%s: runs %s with a package for %s\n%s", dir, got.Version, got.Tag, r)
		}
	}
}

func TestRuntimeThatIsAbsent(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := p.serve()
	python(t, s)
	lacks := absent(t, s)
	r := p.run(p.home, "deploy", p.agent("mine", nil), "--runtime", lacks[0])
	if r.code != 1 || r.stdout != "" {
		t.Errorf("%s", r)
	}
	wants(t, r.stderr, "the server cannot run "+lacks[0]+"; it can run "+runtimes(s)+"\n", "--runtime")
}

// TestPackageWithoutWheel names what would have to be built.
func TestPackageWithoutWheel(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := p.serve()
	has := python(t, s)
	house := filepath.Join(p.home, "wheels")
	wheel(t, house, "pure", "1.0", "py3-none-any")
	wheel(t, house, "elsewhere", "2.0", "cp39-cp39-win_amd64")
	bin := filepath.Join(p.home, "bin")
	write(t, bin, map[string]string{"python3!": "#!/bin/sh\nexec " + clients(t) + " \"$@\"\n"})
	p.path = bin + ":" + systemPath
	p.env = append(p.env, indexOf(t, house)...)
	r := p.run(p.home, "deploy", p.agent("mine", map[string]string{"requirements.txt": "pure\nelsewhere==2.0\n"}))
	if r.code != 1 || r.stdout != "" {
		t.Errorf("%s", r)
	}
	wants(t, r.stderr, "no binary wheel for Python "+minor(has.Runtime)[:2], " on linux "+has.Machine+":\n", "elsewhere")
	avoids(t, r.stderr, "  pure")
	if r := p.must(p.home, "ls"); strings.Contains(r.stdout, "mine") {
		t.Errorf("it was made all the same: %s", r)
	}
}

// wheel writes a package of one module, which tells what it was built for.
func wheel(t *testing.T, dir, name, version, tag string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, name+"-"+version+"-"+tag+".whl"))
	if err != nil {
		t.Fatal(err)
	}
	z, info := zip.NewWriter(f), name+"-"+version+".dist-info/"
	for _, file := range [][2]string{
		{name + "/__init__.py", "TAG = '" + tag + "'\n"},
		{info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: " + tag + "\n"},
		{info + "RECORD", name + "/__init__.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"},
	} {
		out, err := z.Create(file[0])
		if err == nil {
			_, err = out.Write([]byte(file[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// indexOf configures pip and uv to install from a directory alone.
func indexOf(t *testing.T, dir string) []string {
	t.Helper()
	config := t.TempDir()
	write(t, config, map[string]string{"uv.toml": fmt.Sprintf("no-index = true\nfind-links = [%q]\n", dir)})
	return []string{
		"PIP_NO_INDEX=1", "PIP_FIND_LINKS=" + dir, "PIP_CONFIG_FILE=" + os.DevNull,
		"UV_CONFIG_FILE=" + filepath.Join(config, "uv.toml"), "UV_CACHE_DIR=" + t.TempDir(), "UV_PYTHON_DOWNLOADS=never",
	}
}

// place is where an agent's Python runs, as it says itself.
type place struct {
	Executable, Real, Prefix, Base, Child, Mounts string
	Path, Environ, Libraries                      []string
}

const whereami = `{
"executable": sys.executable, "real": os.path.realpath(sys.executable), "prefix": sys.prefix, "base": sys.base_prefix,
"path": sys.path, "environ": [k + "=" + v for k, v in os.environ.items()], "mounts": open("/proc/mounts").read(),
"libraries": sorted({l.split()[5] for l in open("/proc/self/maps") if len(l.split()) > 5}),
"child": subprocess.run(["python3", "-c", "import sys; print(sys.executable, sys.base_prefix, sys.path)"], capture_output=True, text=True).stdout}`

// TestShimAndEnvironmentStayOutside has a virtual environment and pyenv's shims
// first on the PATH of server and client alike.
func TestShimAndEnvironmentStayOutside(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	base, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		t.Skipf("there is no Python to make an environment of: %v", err)
	}
	environment, shims, ran := filepath.Join(p.home, "venv"), filepath.Join(p.home, ".pyenv", "shims"), filepath.Join(p.home, "shim-was-run")
	if out, err := exec.Command(base, "-m", "venv", "--without-pip", environment).CombinedOutput(); err != nil {
		t.Skipf("this Python makes no environments: %v: %s", err, out)
	}
	shim := "#!/bin/sh\ntouch " + ran + "\nexec " + base + " \"$@\"\n"
	for _, name := range []string{"python", "python3", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"} {
		write(t, shims, map[string]string{name + "!": shim})
	}
	p.path = environment + "/bin:" + shims + ":" + systemPath
	p.env = append(p.env, "VIRTUAL_ENV="+environment, "PYENV_ROOT="+filepath.Dir(shims))
	s := p.serve()
	python(t, s)
	p.must(p.home, "deploy", p.agent("mine", nil))
	var at place
	p.evaluate("mine", whereami, &at)
	if said := fmt.Sprintf("%+v", at); strings.Contains(said, p.home) || strings.Contains(said, "shims") {
		t.Errorf("the sandbox knows the user's Python: %s", said)
	}
	if !strings.HasPrefix(at.Executable, image.LangPath+"/bin/python3.") || at.Prefix != image.LangPath || !strings.HasPrefix(at.Real, "/usr/") ||
		!slices.Contains(at.Path, "/var/task") || !strings.HasPrefix(at.Child, image.LangPath+"/bin/python3 ") {
		t.Errorf("the sandbox runs %+v", at)
	}
	for _, dir := range at.Path {
		if strings.Contains(dir, "-packages") && !strings.HasPrefix(dir, image.LangPath) {
			t.Errorf("the host's packages are on sys.path: %s", dir)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a shim was run")
	}
}

// TestDeclaredPrefix runs an agent with an interpreter that lies anywhere, here a
// copy of the system's.
func TestDeclaredPrefix(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	where, err := exec.Command("/usr/bin/python3", "-I", "-S", "-c", "import os, sys; print(os.path.realpath(sys.executable), os.path.dirname(os.__file__))").Output()
	if err != nil {
		t.Skipf("there is no Python to copy: %v", err)
	}
	executable, library, _ := strings.Cut(strings.TrimSpace(string(where)), " ")
	prefix := filepath.Join(p.home, "pythons", "mine")
	copied := filepath.Join(prefix, "lib", filepath.Base(library))
	write(t, filepath.Join(p.home, "pythons"), map[string]string{"beside.txt": "not for guests"})
	for _, argv := range [][]string{
		{"mkdir", "-p", filepath.Join(prefix, "bin"), filepath.Dir(copied)},
		{"cp", executable, filepath.Join(prefix, "bin", "python3")},
		{"cp", "-rL", library, copied},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Skipf("this Python cannot be copied: %v: %s", err, out)
		}
	}
	s := p.serve("--interpreter", prefix)
	if found := p.doctor(python(t, s).Runtime, "--interpreter", prefix); !strings.Contains(found.Detail, prefix) {
		t.Skipf("this Python does not run when it is moved: %+v", found)
	}
	p.must(p.home, "deploy", p.agent("mine", nil))
	var at place
	p.evaluate("mine", whereami, &at)
	if at.Base != prefix || at.Real != filepath.Join(prefix, "bin", "python3") || !slices.Contains(at.Path, copied) {
		t.Errorf("runs %+v, declared was %s", at, prefix)
	}
	var wrote []string
	p.evaluate("mine", fmt.Sprintf("[written(%q), written(%q), ' '.join(os.listdir(%q))]", prefix+"/x", copied+"/os.py", filepath.Dir(prefix)), &wrote)
	if wrote[0] == "written" || wrote[1] == "written" || wrote[2] != "mine" {
		t.Errorf("the prefix is mounted otherwise than read-only by itself: %q", wrote)
	}
	if text, err := os.ReadFile(filepath.Join(copied, "os.py")); err != nil || len(text) == 0 {
		t.Errorf("the host's file was changed: %d bytes, %v", len(text), err)
	}
}
