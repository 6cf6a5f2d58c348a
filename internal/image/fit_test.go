package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/wheel"
	"github.com/outcrop/outcrop/internal/image/wheel/wheeltest"
)

const (
	armTag = "cp311-cp311-manylinux_2_17_aarch64"
	x86Tag = "cp311-cp311-manylinux_2_17_x86_64"
)

func python311() Interpreter {
	return Interpreter{Runtime: "PYTHON_3_11", Version: "3.11.2", Executable: "/usr/bin/python3.11", Machine: "x86_64", Libc: "glibc 2.36"}
}

// index is a package index with one build of everything.
type index struct {
	t     testing.TB
	mu    sync.Mutex
	asked [][]wheel.Pin
	build string // of what it answers with
	err   error
	tag   string
}

func (x *index) Fetch(_ context.Context, r wheel.Request) (fetched []wheel.Fetched, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked = append(x.asked, r.Wanted)
	if x.err != nil {
		return nil, x.err
	}
	tag, machine := x86Tag, "x86_64"
	if x.tag != "" {
		tag, machine = x.tag, "aarch64"
	}
	for i, want := range r.Wanted {
		dir := filepath.Join(r.Dir, fmt.Sprint(i))
		wheeltest.Write(x.t, dir, wheeltest.Installed(want.Name, want.Version, tag, map[string]string{
			want.Name + "/__init__.py": x.build, want.Name + "/_x." + machine + ".so": wheeltest.ELF(machine),
		}))
		want.Hash = "sha256:" + x.build + want.Name
		fetched = append(fetched, wheel.Fetched{Pin: want, Tree: dir})
	}
	return fetched, nil
}

// armZip has two native packages for another machine and a pure one.
func armZip(t testing.TB) []byte {
	return wheeltest.Zip(t, wheeltest.Merge(
		map[string]string{"main.py": "mine"},
		native("odd", "1.0"), native("even", "2.0"),
		wheeltest.Installed("pure", "3", "py3-none-any", map[string]string{"pure.py": ""}),
	))
}

func native(name, version string) map[string]string {
	return wheeltest.Installed(name, version, armTag, map[string]string{name + "/__init__.py": "old", name + "/_x.aarch64.so": wheeltest.ELF("aarch64")})
}

func fitBytes(t testing.TB, c *Cache, body []byte, in Interpreter, o FitOptions) (*Code, error) {
	t.Helper()
	code, err := c.Unpack(t.Context(), bytes.NewReader(body), int64(len(body)), "")
	if err != nil {
		t.Fatal(err)
	}
	fitted, err := c.Fit(t.Context(), code, in, o)
	if err != nil {
		code.Release()
	}
	return fitted, err
}

func TestFitReplacesOnce(t *testing.T) {
	c, x := newTestCache(t), &index{t: t, build: "one"}
	var notes []string
	body := armZip(t)
	first, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x, Note: func(s string) { notes = append(notes, s) }})
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest != digestOf(body) || first.Fit.Target != "PYTHON_3_11-x86_64" || first.Fit.ID == "" || len(first.Fit.Wheels) != 2 || first.Fit.Wheels[0].Hash != "sha256:oneeven" {
		t.Errorf("%+v", first.Fit)
	}
	if r, err := wheel.Scan(t.Context(), first.Dir, "x86_64"); err != nil || !r.Clean() {
		t.Errorf("%+v, %v", r, err)
	}
	if b, err := os.ReadFile(filepath.Join(first.Dir, "odd", "__init__.py")); err != nil || string(b) != "one" {
		t.Errorf("%q, %v", b, err)
	}
	if len(notes) != 2 || !strings.HasPrefix(notes[0], "the zip has Python packages for linux aarch64, and this server is linux x86_64") {
		t.Errorf("notes %q", notes)
	}
	// The same zip, another version of the runtime; and another process.
	reopened, err := NewCache(c.dir, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for _, cache := range []*Cache{c, reopened} {
		again, err := fitBytes(t, cache, body, python311(), FitOptions{Fetch: x})
		if err != nil || again.Dir != first.Dir || again.Fit.ID != first.Fit.ID {
			t.Errorf("%+v, %v", again, err)
		}
	}
	if got := c.Fitted(first.Digest, python311(), nil); got.ID != first.Fit.ID {
		t.Errorf("fitted %+v", got)
	}
	if len(x.asked) != 1 {
		t.Errorf("the index was asked %d times", len(x.asked))
	}
	// Another interpreter has other wheels.
	other := python311()
	other.Runtime = "PYTHON_3_12"
	if second, err := fitBytes(t, c, body, other, FitOptions{Fetch: x}); err != nil || second.Dir == first.Dir || len(x.asked) != 2 {
		t.Errorf("%+v, %v, asked %d times", second, err, len(x.asked))
	}
}

func TestFitOnceForAll(t *testing.T) {
	c, x, body := newTestCache(t), &index{t: t, build: "one"}, armZip(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(x.asked) != 1 {
		t.Errorf("the index was asked %d times", len(x.asked))
	}
}

// TestFitLeavesAlone what runs as it is: nothing is fetched or copied.
func TestFitLeavesAlone(t *testing.T) {
	c := newTestCache(t)
	body := wheeltest.Zip(t, wheeltest.Merge(map[string]string{"main.py": ""},
		wheeltest.Installed("fine", "1", x86Tag, map[string]string{"fine/x.so": wheeltest.ELF("x86_64")})))
	code, err := fitBytes(t, c, body, python311(), FitOptions{})
	if err != nil || code.Fit.ID != "" || filepath.Dir(filepath.Dir(code.Dir)) != filepath.Join(c.dir, "sha256") {
		t.Errorf("%+v, %v", code, err)
	}
}

// TestFitKeepsToItsPin: the same version of a runtime is the same files for ever.
func TestFitKeepsToItsPin(t *testing.T) {
	c, x, body := newTestCache(t), &index{t: t, build: "one"}, armZip(t)
	first, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x})
	if err != nil {
		t.Fatal(err)
	}
	first.Release()
	lose := func() {
		if err := os.RemoveAll(filepath.Join(c.dir, fittedName, strings.TrimPrefix(first.Digest, digestPrefix))); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	again, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x, Pinned: first.Fit})
	if err != nil || again.Fit.ID != first.Fit.ID {
		t.Errorf("%+v, %v", again, err)
	}
	if last := x.asked[len(x.asked)-1]; last[0].Hash != "sha256:oneeven" {
		t.Errorf("asked for %+v", last)
	}
	lose()
	x.build = "two"
	if _, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x, Pinned: first.Fit}); err == nil || !strings.Contains(fault.From(err).Message, "other files of even 2.0, odd 1.0 now. Create a new version.") {
		t.Errorf("%v", err)
	}
	fresh, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x})
	if err != nil || fresh.Fit.ID == first.Fit.ID {
		t.Errorf("%+v, %v", fresh, err)
	}
	// Data that was moved to a machine of another kind is fitted for that one.
	moved := *first.Fit
	moved.Target = "PYTHON_3_11-aarch64"
	if got, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x, Pinned: &moved}); err != nil || got.Fit.ID != fresh.Fit.ID {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestFitIsPruned with the code that it is made of.
func TestFitIsPruned(t *testing.T) {
	c, x := newTestCache(t), &index{t: t, build: "one"}
	code, err := fitBytes(t, c, armZip(t), python311(), FitOptions{Fetch: x})
	if err != nil {
		t.Fatal(err)
	}
	none := func() (map[string]bool, error) { return nil, nil }
	if done, err := c.Prune(t.Context(), []string{code.Digest}, none); err != nil || len(done.Digests) != 0 {
		t.Fatalf("%+v, %v while it is held", done, err)
	}
	if _, err := os.Stat(code.Dir); err != nil {
		t.Fatal(err)
	}
	code.Release()
	all, err := c.List()
	if err != nil || len(all) != 1 || all[0].Held || all[0].Size <= code.Size-1 {
		t.Fatalf("%+v, %v", all, err)
	}
	done, err := c.Prune(t.Context(), []string{code.Digest}, none)
	if err != nil || done.Bytes != all[0].Size {
		t.Errorf("%+v, %v, want %d bytes", done, err, all[0].Size)
	}
	if left, err := os.ReadDir(filepath.Join(c.dir, fittedName)); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestFitWithoutItsCode: where the code is lost, what was fitted of it is known all the same.
func TestFitWithoutItsCode(t *testing.T) {
	c, x := newTestCache(t), &index{t: t, build: "one"}
	code, err := fitBytes(t, c, armZip(t), python311(), FitOptions{Fetch: x})
	if err != nil {
		t.Fatal(err)
	}
	code.Release()
	if err := os.RemoveAll(filepath.Join(c.dir, "sha256", strings.TrimPrefix(code.Digest, digestPrefix))); err != nil {
		t.Fatal(err)
	}
	all, err := c.List()
	if err != nil || len(all) != 1 || all[0].Digest != code.Digest || all[0].Size == 0 || all[0].Used.IsZero() {
		t.Fatalf("%+v, %v", all, err)
	}
	done, err := c.Prune(t.Context(), []string{code.Digest}, func() (map[string]bool, error) { return nil, nil })
	if err != nil || len(done.Digests) != 1 || done.Bytes != all[0].Size {
		t.Errorf("%+v, %v", done, err)
	}
	if all, err := c.List(); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestFitAfterAKill: what was half made is removed at the next start, and made anew.
func TestFitAfterAKill(t *testing.T) {
	c, x, body := newTestCache(t), &index{t: t, build: "one"}, armZip(t)
	half := filepath.Join(c.dir, fittedName, tmpPrefix+"1", "made", taskName)
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := NewCache(c.dir, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
	code, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x})
	if err != nil {
		t.Fatal(err)
	}
	// Killed between the tree and the verdict.
	if err := os.Remove(filepath.Join(filepath.Dir(filepath.Dir(code.Dir)), code.Fit.Target+".json")); err != nil {
		t.Fatal(err)
	}
	if again, err := fitBytes(t, c, body, python311(), FitOptions{Fetch: x}); err != nil || again.Dir != code.Dir {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestFitRefusals are what people read.
func TestFitRefusals(t *testing.T) {
	many := map[string]string{"main.py": ""}
	for i := range 9 {
		many[fmt.Sprintf("lib/n%d.so", i)] = wheeltest.ELF("aarch64")
	}
	var packages map[string]string
	for i := range 8 {
		packages = wheeltest.Merge(packages, native(fmt.Sprintf("p%d", i), "1.0"))
	}
	node := Interpreter{Runtime: "NODE_22", Version: "22.1.0", Executable: "/usr/bin/node", Machine: "x86_64"}
	var golden strings.Builder
	for _, tt := range []struct {
		name  string
		files map[string]string
		in    Interpreter
		index *index
	}{
		{"no index", wheeltest.Merge(native("odd", "1.0"), native("even", "2.0")), python311(), nil},
		{"many packages", packages, python311(), nil},
		{"strays", map[string]string{"bin/ffmpeg": wheeltest.ELF("aarch64")}, python311(), &index{}},
		{"many strays", many, python311(), &index{}},
		{"node", map[string]string{"index.js": "", "node_modules/x/build/Release/x.node": wheeltest.ELF("aarch64")}, node, &index{}},
		{"no metadata", map[string]string{"odd-1.dist-info/WHEEL": "Tag: " + armTag + "\n", "odd-1.dist-info/RECORD": "odd/x.so,,\n", "odd/x.so": wheeltest.ELF("aarch64")}, python311(), &index{}},
		{"twice", wheeltest.Merge(native("odd", "1.0"), native("odd", "1.1")), python311(), &index{}},
		{"missing", wheeltest.Merge(native("odd", "1.0"), native("even", "2.0")), python311(), &index{err: &wheel.Unavailable{Missing: []wheel.Pin{{Name: "odd", Version: "1.0"}}, Reason: "x"}}},
		{"unreachable", native("odd", "1.0"), python311(), &index{err: fmt.Errorf("fetch: %w", &wheel.Unavailable{Reason: "the package index could not be asked: Connection refused"})}},
		{"foreign answer", native("odd", "1.0"), python311(), &index{t: t, tag: armTag}},
	} {
		o := FitOptions{}
		if tt.index != nil {
			o.Fetch = tt.index
		}
		_, err := fitBytes(t, newTestCache(t), wheeltest.Zip(t, tt.files), tt.in, o)
		f := fault.From(err)
		if err == nil || f.Status != 400 {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		fmt.Fprintf(&golden, "%s: %s\n", tt.name, f.Message)
	}
	checkGolden(t, "fit.txt", golden.String())
	// What is nobody's fault is not told to callers.
	if _, err := fitBytes(t, newTestCache(t), armZip(t), python311(), FitOptions{Fetch: &index{err: errors.New("disk")}}); err == nil || fault.From(err).Status < 500 {
		t.Errorf("%v", err)
	}
}
