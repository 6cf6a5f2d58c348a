package index

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/image/wheel"
	"github.com/outcrop/outcrop/internal/image/wheel/wheeltest"
)

// house is a folder of wheels that stands for an index: real installers take them
// from it with no network.
func house(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	platform := "linux_" + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	for _, tag := range []string{"py3-none-" + platform, "py3-none-manylinux_2_17_s390x"} {
		for _, name := range []string{"odd", "even_name"} {
			files := wheeltest.Installed(name, "1.0", tag, map[string]string{
				name + "/__init__.py": "", name + "/x.so": wheeltest.ELF("x86_64"), name + "-1.0.data/scripts/" + name: wheeltest.ELF("x86_64"),
			})
			if err := os.WriteFile(filepath.Join(dir, name+"-1.0-"+tag+".whl"), wheeltest.Zip(t, files), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// python is one of this machine, with pip or without.
func python(t *testing.T, pip bool) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/python3", "/usr/local/bin/python3"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := exec.Command(path, "-I", "-m", "pip", "--version").Run(); pip && err != nil {
			continue
		}
		if pip {
			return path
		}
		dir := filepath.Join(t.TempDir(), "venv")
		if err := exec.Command(path, "-I", "-m", "venv", "--without-pip", dir).Run(); err == nil {
			return filepath.Join(dir, "bin", "python3")
		}
	}
	t.Skip("this machine has no Python with pip")
	return ""
}

func request(t *testing.T, python string, wanted ...wheel.Pin) (r wheel.Request, notes *[]string) {
	notes = &[]string{}
	return wheel.Request{
		Python: python, Wanted: wanted, Dir: t.TempDir(), Limits: wheel.Limits{Bytes: 10 << 20, Files: 100}, Note: func(s string) { *notes = append(*notes, s) },
	}, notes
}

func pins() []wheel.Pin {
	return []wheel.Pin{{Name: "odd", Version: "1.0"}, {Name: "even.Name", Version: "1.0"}}
}

func checkTrees(t *testing.T, fetched []wheel.Fetched, by, hash string) {
	t.Helper()
	if len(fetched) != 2 {
		t.Fatalf("fetched %+v", fetched)
	}
	for i, name := range []string{"odd", "even_name"} {
		f := fetched[i]
		if !strings.HasPrefix(f.By, by) || !strings.HasPrefix(f.Hash, hash) || len(f.Hash) != len(hash)+64 {
			t.Errorf("%+v", f.Pin)
		}
		if _, err := os.Stat(filepath.Join(f.Tree, ".lock")); err == nil {
			t.Error("the installer's lock is part of it")
		}
		for _, file := range []string{name + "/x.so", "bin/" + name, name + "-1.0.dist-info/METADATA"} {
			if _, err := os.Stat(filepath.Join(f.Tree, file)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestFetchByPip(t *testing.T) {
	links := house(t)
	x := New(Config{Env: []string{"PIP_NO_INDEX=1", "PIP_FIND_LINKS=" + links, "PIP_TARGET=/nowhere", "PATH=/usr/bin:/bin"}})
	r, notes := request(t, python(t, true), pins()...)
	fetched, err := x.Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	checkTrees(t, fetched, "pip ", "sha256:")
	if !strings.HasSuffix(fetched[0].File, ".whl") || len(*notes) != 3 || !strings.HasPrefix((*notes)[0], "fetching odd 1.0, even.Name 1.0 by pip ") {
		t.Errorf("%+v, %q", fetched[0].Pin, *notes)
	}
	// The very same again, and one whose hash is another's.
	r, _ = request(t, r.Python, fetched[0].Pin, fetched[1].Pin)
	if again, err := x.Fetch(t.Context(), r); err != nil || again[0].Hash != fetched[0].Hash {
		t.Errorf("%+v, %v", again, err)
	}
	wrong := fetched[0].Pin
	wrong.Hash = fetched[1].Hash
	r, _ = request(t, r.Python, wrong)
	var u *wheel.Unavailable
	if _, err := x.Fetch(t.Context(), r); !errors.As(err, &u) {
		t.Errorf("a wheel of another hash: %v", err)
	}
}

// TestFetchNamesAllMissing, where installers stop at the first.
func TestFetchNamesAllMissing(t *testing.T) {
	x := New(Config{Env: []string{"PIP_NO_INDEX=1", "PIP_FIND_LINKS=" + house(t)}})
	wanted := []wheel.Pin{pins()[0], {Name: "odd-one", Version: "2"}, {Name: "last", Version: "3"}}
	r, _ := request(t, python(t, true), wanted...)
	_, err := x.Fetch(t.Context(), r)
	var u *wheel.Unavailable
	if !errors.As(err, &u) || !slices.Equal(u.Missing, wanted[1:]) {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestFetchByUV(t *testing.T) {
	if _, err := exec.LookPath("uv"); err != nil {
		t.Skip("uv is not installed")
	}
	settings := filepath.Join(t.TempDir(), "uv.toml")
	if err := os.WriteFile(settings, []byte("[pip]\nno-index = true\nfind-links = ['"+house(t)+"']\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	x := New(Config{Env: []string{"UV_CONFIG_FILE=" + settings, "UV_CACHE_DIR=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}})
	r, _ := request(t, python(t, false), pins()...)
	fetched, err := x.Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	checkTrees(t, fetched, "uv ", "tree-sha256:")
	r, _ = request(t, r.Python, pins()...)
	if again, err := x.Fetch(t.Context(), r); err != nil || again[0].Hash != fetched[0].Hash {
		t.Errorf("another hash of the same: %+v, %v", again, err)
	}
	r, _ = request(t, r.Python, pins()[0], wheel.Pin{Name: "last", Version: "3"})
	var u *wheel.Unavailable
	if _, err := x.Fetch(t.Context(), r); !errors.As(err, &u) || len(u.Missing) != 1 || u.Missing[0].Name != "last" {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestFetchByAnotherPip, for an interpreter that has none.
func TestFetchByAnotherPip(t *testing.T) {
	x := New(Config{Env: []string{"PIP_NO_INDEX=1", "PIP_FIND_LINKS=" + house(t)}})
	r, _ := request(t, python(t, false), pins()...)
	r.Pythons = []string{python(t, true)}
	fetched, err := x.Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	checkTrees(t, fetched, "pip ", "sha256:")
}

func TestFetchWithoutInstaller(t *testing.T) {
	r, _ := request(t, python(t, false), pins()...)
	_, err := New(Config{Env: []string{"PATH=/nonexistent"}}).Fetch(t.Context(), r)
	var u *wheel.Unavailable
	if !errors.As(err, &u) || !strings.Contains(u.Reason, "neither a pip nor uv") || !strings.Contains(u.Reason, "python3-pip") {
		t.Errorf("%v", err)
	}
}

// fake is a program that stands for a Python with pip.
func fake(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python3")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncase \"$*\" in *--version*) echo pip 99.0 from nowhere; exit;; esac\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFetchIsBounded in time, output and the size of a file; what a killed
// installer has started dies with it.
func TestFetchIsBounded(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "child")
	r, _ := request(t, fake(t, "sleep 600 & echo $! > "+marker+"; wait\n"), pins()...)
	begun := time.Now()
	_, err := New(Config{Timeout: 2 * time.Second}).Fetch(t.Context(), r)
	var u *wheel.Unavailable
	if !errors.As(err, &u) || !strings.Contains(u.Reason, "in time") || time.Since(begun) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	if pid, err := os.ReadFile(marker); err == nil {
		for deadline := time.Now().Add(10 * time.Second); alive(string(pid)); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("its child lives")
			}
		}
	}
	r, _ = request(t, fake(t, "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; echo the end; exit 1\n"), pins()...)
	if _, err := New(Config{}).Fetch(t.Context(), r); !errors.As(err, &u) || !strings.HasSuffix(u.Reason, "the end") || len(u.Reason) > 500 {
		t.Errorf("%v", err)
	}
	r, _ = request(t, fake(t, "while [ \"$(ulimit -f)\" = unlimited ]; do :; done; head -c 20000000 /dev/zero > big; echo wrote $(wc -c < big); exit 1\n"), pins()...)
	if _, err := New(Config{}).Fetch(t.Context(), r); !errors.As(err, &u) || !strings.Contains(u.Reason, "wrote 10485760") {
		t.Errorf("%v", err)
	}
}

// alive reports whether a process still does anything.
func alive(pid string) bool {
	state, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/stat")
	return err == nil && !strings.Contains(string(state), ") Z ")
}

// TestFetchTrustsNoAnswer: wheels are held to what was asked for.
func TestFetchTrustsNoAnswer(t *testing.T) {
	evil := filepath.Join(t.TempDir(), "odd-1.0-py3-none-any.whl")
	if err := os.WriteFile(evil, wheeltest.Zip(t, map[string]string{"../../../evil": "x"}), 0o644); err != nil {
		t.Fatal(err)
	}
	r, _ := request(t, fake(t, `while [ "$1" != --dest ]; do shift; done; cp `+evil+` "$2"`+"\n"), pins()[0])
	if _, err := New(Config{}).Fetch(t.Context(), r); !errors.Is(err, wheel.ErrBad) {
		t.Errorf("%v", err)
	}
}

func TestFetchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _ := request(t, fake(t, "exit 0\n"), pins()...)
	if _, err := New(Config{}).Fetch(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestSettings: what says where packages come from, and nothing else.
func TestSettings(t *testing.T) {
	x := New(Config{Home: "/home/x", Env: []string{
		"PIP_INDEX_URL=https://example.invalid/", "https_proxy=http://p", "UV_INDEX_OWN_PASSWORD=p", "SECRET=x", "AWS_SECRET_ACCESS_KEY=x", "PIP_TARGET=/", "PYTHONPATH=/x", "LD_PRELOAD=/x", "UV_PYTHON=/x",
	}})
	got := strings.Join(x.settings("/tmp/dir"), " ")
	for _, want := range []string{"PIP_INDEX_URL=https://example.invalid/", "https_proxy=http://p", "UV_INDEX_OWN_PASSWORD=p", "HOME=/home/x", "TMPDIR=/tmp/dir"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	for _, none := range []string{"SECRET=", "PIP_TARGET", "PYTHONPATH", "LD_PRELOAD", "UV_PYTHON="} {
		if strings.Contains(got, none) {
			t.Errorf("%s in %s", none, got)
		}
	}
}
