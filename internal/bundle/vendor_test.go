package bundle

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/image/wheel/index"
)

// wheelhouse is an index of our own: real pip and uv install from it, with no
// network.
type wheelhouse struct {
	t   *testing.T
	dir string
}

// wheel writes NAME-VERSION-TAG.whl, which needs the given requirements.
func (w wheelhouse) wheel(name, version, tag string, requires ...string) {
	w.t.Helper()
	f, err := os.Create(filepath.Join(w.dir, name+"-"+version+"-"+tag+".whl"))
	if err != nil {
		w.t.Fatal(err)
	}
	z := zip.NewWriter(f)
	info := name + "-" + version + ".dist-info/"
	metadata := "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"
	for _, r := range requires {
		metadata += "Requires-Dist: " + r + "\n"
	}
	files := [][2]string{
		{name + "/__init__.py", "VERSION = '" + version + "'\nTAG = '" + tag + "'\n"},
		{info + "METADATA", metadata},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: " + tag + "\n"},
		{info + "entry_points.txt", "[console_scripts]\n" + name + "-tool = " + name + ":main\n"},
	}
	var record strings.Builder
	for _, file := range append(files, [2]string{info + "RECORD", ""}) {
		fmt.Fprintf(&record, "%s,,\n", file[0])
	}
	for _, file := range append(files, [2]string{info + "RECORD", record.String()}) {
		out, err := z.Create(file[0])
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := out.Write([]byte(file[1])); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// source writes NAME-VERSION.tar.gz, a package that would have to be built.
func (w wheelhouse) source(name, version string) {
	w.t.Helper()
	f, err := os.Create(filepath.Join(w.dir, name+"-"+version+".tar.gz"))
	if err != nil {
		w.t.Fatal(err)
	}
	gz := gzip.NewWriter(f)
	tw := tar.NewWriter(gz)
	text := "import os\nraise SystemExit('a package was built')\n"
	if err := tw.WriteHeader(&tar.Header{Name: name + "-" + version + "/setup.py", Mode: 0o644, Size: int64(len(text))}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := tw.Write([]byte(text)); err != nil {
		w.t.Fatal(err)
	}
	if err := errors.Join(tw.Close(), gz.Close(), f.Close()); err != nil {
		w.t.Fatal(err)
	}
}

func newWheelhouse(t *testing.T) wheelhouse {
	w := wheelhouse{t, t.TempDir()}
	w.wheel("pure", "1.0", "py3-none-any", `backport; python_version < "3.11"`, `onlywindows; sys_platform == "win32"`)
	w.wheel("backport", "2.0", "py3-none-any")
	w.wheel("native", "3.0", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
	w.wheel("native", "3.0", "cp310-cp310-manylinux_2_28_x86_64")
	w.wheel("native", "3.0", "cp311-cp311-macosx_11_0_arm64")
	w.wheel("native", "3.1", "cp311-cp311-manylinux_2_39_x86_64") // newer than the server's glibc
	w.source("sourceonly", "0.6")
	w.source("alsosource", "0.1")
	return w
}

// env is this process's, but for the index.
func (w wheelhouse) env(path string) []string {
	uv := write(w.t, w.t.TempDir(), map[string]string{"uv.toml": fmt.Sprintf("no-index = true\nfind-links = [%q]\n", w.dir)})
	return []string{
		"PATH=" + path, "HOME=" + w.t.TempDir(), "TMPDIR=" + w.t.TempDir(), "LC_ALL=C.UTF-8",
		"PIP_NO_INDEX=1", "PIP_FIND_LINKS=" + w.dir, "PIP_CONFIG_FILE=" + os.DevNull,
		"UV_CONFIG_FILE=" + filepath.Join(uv, "uv.toml"), "UV_CACHE_DIR=" + w.t.TempDir(), "UV_PYTHON_DOWNLOADS=never",
	}
}

// installers are the environments in which uv and pip are found on this machine.
func installers(t *testing.T, w wheelhouse) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	path := os.Getenv("PATH")
	if uv := LookPath([]string{"PATH=" + path}, "uv"); uv != "" {
		found["uv"] = w.env(path)
	}
	// pip alone: the PATH without the directories that hold uv.
	var dirs []string
	for _, d := range filepath.SplitList(path) {
		if LookPath([]string{"PATH=" + d}, "uv") == "" {
			dirs = append(dirs, d)
		}
	}
	env := w.env(strings.Join(dirs, string(os.PathListSeparator)))
	if in, err := findInstaller(context.Background(), env, targets()[1]); err == nil {
		t.Logf("%s by %s", in.name, in.python)
		found["pip"] = env
	}
	if len(found) == 0 && os.Getenv("OUTCROP_PYTHON") != "" {
		t.Fatal("make test brings a pip, and it is not on the PATH")
	}
	if len(found) == 0 {
		t.Skip("neither uv nor pip is installed")
	}
	return found
}

func TestVendorForTheServersInterpreter(t *testing.T) {
	w := newWheelhouse(t)
	for name, env := range installers(t, w) {
		for _, c := range []struct{ runtime, native, backport string }{
			{"PYTHON_3_11", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", ""},
			{"PYTHON_3_10", "cp310-cp310-manylinux_2_28_x86_64", "-rw-r--r-- backport/__init__.py\n"},
		} {
			t.Run(name+" "+c.runtime, func(t *testing.T) {
				folder := write(t, t.TempDir(), map[string]string{
					"main.py": "", "types.py": "raise SystemExit('the folder was imported')\n", "requirements.txt": "# comment\n-r base.txt\n", "base.txt": "pure==1.0\nnative>=3  # any\n",
				})
				b, list, err := build(t, Options{Folder: folder, Runtime: c.runtime, Env: env})
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(list, "pure/__init__.py") || strings.Contains(list, "onlywindows") || strings.Contains(list, "backport/") != (c.backport != "") || strings.Contains(list, ".lock") || strings.Contains(list, ".pyc") {
					t.Errorf("in the zip:\n%s", list)
				}
				if tag := content(t, b.Path, "native/__init__.py"); !strings.Contains(tag, c.native) {
					t.Errorf("native is %s", tag)
				}
				if script := content(t, b.Path, "bin/pure-tool"); !strings.HasPrefix(script, "#!/usr/bin/env python3\n") || !strings.Contains(list, "-rwxr-xr-x bin/pure-tool\n") {
					t.Errorf("script:\n%s", script)
				}
			})
		}
	}
}

func content(t *testing.T, file, name string) string {
	t.Helper()
	r, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := r.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return readAll(t, f)
}

func TestVendorNamesPackagesWithoutWheels(t *testing.T) {
	w := newWheelhouse(t)
	for name, env := range installers(t, w) {
		t.Run(name, func(t *testing.T) {
			folder := write(t, t.TempDir(), map[string]string{"main.py": "", "requirements.txt": "pure\nsourceonly==0.6\nalsosource\nnative==3.1\n"})
			_, _, err := build(t, Options{Folder: folder, Runtime: "PYTHON_3_11", Env: env})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			t.Log(e.Error())
			wants := []string{"no binary wheel for Python 3.11 on linux x86_64:", "sourceonly"}
			if name == "pip" { // uv stops at the first
				wants = append(wants, "alsosource", "native==3.1   (there are wheels of 3.0)")
			}
			for _, want := range wants {
				if !strings.Contains(e.Reason, want) {
					t.Errorf("got\n%s\nwant %s", e.Reason, want)
				}
			}
			if strings.Contains(e.Reason, "pure") {
				t.Errorf("a package with a wheel is named:\n%s", e.Reason)
			}
		})
	}
}

func TestVendorReusesUnchangedRequirements(t *testing.T) {
	w := newWheelhouse(t)
	var env []string
	for _, e := range installers(t, w) {
		env = e
	}
	folder := write(t, t.TempDir(), map[string]string{"main.py": "", "pyproject.toml": "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \">=3.10\"\ndependencies = [\"pure>=1\"]\n"})
	cache := t.TempDir()
	var said string
	again := func(o Options) string {
		t.Helper()
		said = ""
		o.Folder, o.CacheDir, o.Env = folder, cache, env
		o.Progress = func(e Event) {
			if !e.Transient {
				said += e.Text + "\n"
			}
		}
		b, _, err := build(t, o)
		if err != nil {
			t.Fatal(err)
		}
		return b.Digest
	}
	first := again(Options{Runtime: "PYTHON_3_11"})
	if !strings.Contains(said, "installing pyproject.toml by ") || !strings.Contains(said, "for Python 3.11 on linux x86_64") {
		t.Errorf("said %s", said)
	}
	if second := again(Options{Runtime: "PYTHON_3_11"}); second != first || !strings.Contains(said, "pyproject.toml is unchanged: packages from the last deployment") {
		t.Errorf("digests %s, %s; said %s", first, second, said)
	}
	if third := again(Options{Runtime: "PYTHON_3_11", Fresh: true}); third != first || !strings.Contains(said, "installing") {
		t.Errorf("fresh: digests %s, %s; said %s", first, third, said)
	}
	if again(Options{Runtime: "PYTHON_3_10"}); !strings.Contains(said, "installing") {
		t.Errorf("another runtime: said %s", said)
	}
	write(t, folder, map[string]string{"requirements.txt": "backport\n"})
	if again(Options{Runtime: "PYTHON_3_11"}); !strings.Contains(said, "installing requirements.txt") {
		t.Errorf("other requirements: said %s", said)
	}
	trees, err := os.ReadDir(filepath.Join(cache, "packages"))
	if err != nil || len(trees) != 3 {
		t.Errorf("cached: %v, %v", trees, err)
	}
}

func TestVendorWithoutACache(t *testing.T) {
	w := newWheelhouse(t)
	for _, env := range installers(t, w) {
		o := Options{
			Folder: write(t, t.TempDir(), map[string]string{"main.py": "", "requirements.txt": "pure\n"}), Targets: targets(), Runtime: "PYTHON_3_11",
			TempDir: t.TempDir(), Env: env,
		}
		b, err := Build(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if list := listing(t, b.Path); !strings.Contains(list, "pure/__init__.py") {
			t.Errorf("in the zip:\n%s", list)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(o.TempDir); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

func TestPruneKeepsTheTreesUsedLast(t *testing.T) {
	base := t.TempDir()
	now := time.Now()
	for i := range keepTrees + 3 {
		dir := filepath.Join(base, fmt.Sprintf("tree%02d", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		at := now.Add(-time.Duration(i) * time.Hour)
		if err := os.Chtimes(dir, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, age := range map[string]time.Duration{tmpPrefix + "old": 48 * time.Hour, tmpPrefix + "new": time.Minute} {
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(base); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(base)
	if err != nil || len(left) != keepTrees+1 || left[0].Name() != tmpPrefix+"new" || left[len(left)-1].Name() != "tree09" {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestTidyScriptForgetsTheInstaller(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no scripts on Windows")
	}
	for text, want := range map[string]string{
		"#!/home/me/venv/bin/python3.11\nimport x\n":                                 shebang + "import x\n",
		"#!/bin/sh\n'''exec' \"/long path/python\" \"$0\" \"$@\"\n' '''\nimport x\n": shebang + "import x\n",
		"#!/bin/sh\necho hi\n": "#!/bin/sh\necho hi\n",
		"\x7fELF":              "\x7fELF",
	} {
		file := filepath.Join(t.TempDir(), "tool")
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := tidyScript(file); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}

func TestMissingWheelsReadsComplaints(t *testing.T) {
	for output, want := range map[string]string{
		"ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)\nERROR: No matching distribution found for a==1\n":      "[{a==1 }]",
		"ERROR: Could not find a version that satisfies the requirement b>=9 (from app) (from versions: 1.0, 2.0)\n":                                       "[{b>=9 1.0, 2.0}]",
		"  × No solution found when resolving dependencies:\n  ╰─▶ Because c==0.6.2 has no usable\n      wheels and you require c==0.6.2, we can conclude": "[{c==0.6.2 }]",
		"cause: Because d was not found in the provided package locations and you require d, we can":                                                       "[{d }]",
		"Because there is no version of e==9 and you require":                                                                                              "[{e==9 }]",
		"ERROR: connection refused": "[]",
	} {
		if got := fmt.Sprint(index.MissingWheels(output)); got != want {
			t.Errorf("%q: got %s, want %s", output, got, want)
		}
	}
}

// The texts are those of pip 23.0 and uv 0.9 without a network.
func TestNetworkTroubleIsToldFromMissingWheels(t *testing.T) {
	const none = "\nERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)\nERROR: No matching distribution found for a==1\n"
	retry := func(total int, cause string) string {
		return fmt.Sprintf("WARNING: Retrying (Retry(total=%d, connect=None, read=None, redirect=None, status=None)) after connection broken by '%s': /simple/a/\n", total, cause)
	}
	const object = "NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: "
	for output, want := range map[string]string{
		retry(1, object+"[Errno 111] Connection refused')") + retry(0, object+"[Errno 111] Connection refused')") + none:    "Connection refused",
		retry(0, object+"[Errno -2] Name or service not known')") + none:                                                    "Name or service not known",
		retry(0, "ReadTimeoutError(\"HTTPSConnectionPool(host='x', port=443): Read timed out. (read timeout=15)\")") + none: "timed out",
		retry(0, "ProxyError('Cannot connect to proxy.', "+object+"[Errno 111] Connection refused'))") + none:               "Connection refused",
		"Could not fetch URL https://x/simple/a/: There was a problem confirming the ssl certificate: HTTPSConnectionPool(host='x', port=443): Max retries exceeded (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:992)'))) - skipping" + none: "certificate verify failed: self-signed certificate",
		"error: Failed to fetch: http://x/simple/a/\n  cause: error sending request for url (http://x/simple/a/)\n  cause: tcp connect error\n  cause: Connection refused (os error 111)\n":                                                                                                                                                  "Connection refused (os error 111)",
		"error: Failed to fetch: `http://x/simple/a/`\n  Caused by: client error (Connect)\n  Caused by: dns error":                                                                                                                                                                                                                          "dns error",
		"cause: Because a was not found in the cache and you require a, we\n\nhint: Packages were unavailable because the network was disabled.":                                                                                                                                                                                             "UV_OFFLINE switches its network off",
		none: "",
		retry(3, object+"[Errno 111] Connection refused')") + none: "", // it came to an answer after that
		retry(0, object+"[Errno 111] Connection refused')"):        "",
	} {
		if got := index.NetworkTrouble(output); got != want {
			t.Errorf("%q: got %q, want %q", output, got, want)
		}
	}
	err := installer{name: "pip 23.0"}.explain(t.Context(), Options{}, project{needs: &requirements{}}, Target{}, retry(0, object+"[Errno 111] Connection refused')")+none, nil)
	if e := (*Error)(nil); !errors.As(err, &e) || e.Reason != "pip 23.0 could not ask the package index: Connection refused" || !strings.Contains(e.Fix, "PIP_FIND_LINKS") {
		t.Errorf("%v", err)
	}
}

func TestReadRequirements(t *testing.T) {
	dir := write(t, t.TempDir(), map[string]string{
		"requirements.txt": "\ufeffa==1 \\\n    --hash=sha256:00\nb[x]>=2 ; python_version<'4' # why\n# no\n-r sub/more.txt\n-c limits.txt\n--index-url https://example.invalid/\n\r\nc\r\n",
		"sub/more.txt":     "d\n--requirement=last.txt\n", "sub/last.txt": "e", "limits.txt": "z<9\n",
	})
	r, err := readRequirements(dir, "requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.lines, "|"); got != "a==1|b[x]>=2 ; python_version<'4'|d|e|c" || len(r.text) != 4 || r.local {
		t.Errorf("lines %s, %d files, local %v", got, len(r.text), r.local)
	}
	for _, line := range []string{"./pkg", "../x.whl", "x @ https://example.invalid/x.whl", "git+https://example.invalid/x", "/abs", "pkg.whl"} {
		r, err := readRequirements(write(t, t.TempDir(), map[string]string{"requirements.txt": line}), "requirements.txt")
		if err != nil || !r.local {
			t.Errorf("%q: %+v, %v", line, r, err)
		}
	}
}

func FuzzRequirements(f *testing.F) {
	f.Add("a==1 \\\n --hash=x\n-r b.txt # c\n")
	f.Add("--constraint=x\n-e .\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readRequirements(dir, "requirements.txt"); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
