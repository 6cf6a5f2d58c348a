package wheel_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/image/wheel"
	"github.com/outcrop/outcrop/internal/image/wheel/wheeltest"
)

const (
	armTag = "cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64"
	x86Tag = "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"
	anyTag = "py3-none-any"
)

// text is a report in one line.
func text(r wheel.Report) string {
	var parts []string
	for _, d := range r.Foreign {
		parts = append(parts, fmt.Sprintf("%s %s in %s", d.Name, d.Version, d.Site))
	}
	for _, s := range r.Strays {
		parts = append(parts, s.Path+" for "+s.Platform)
	}
	return strings.Join(parts, "; ")
}

func TestScan(t *testing.T) {
	arm, x86 := wheeltest.ELF("aarch64"), wheeltest.ELF("x86_64")
	mac := "\xcf\xfa\xed\xfe" + strings.Repeat("\x00", 60)
	native := func(name, tag, so, content string) map[string]string {
		return wheeltest.Installed(name, "1.0", tag, map[string]string{name + "/__init__.py": "", name + "/" + so: content})
	}
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing", map[string]string{"main.py": "x"}, ""},
		{"for this machine", native("fine", x86Tag, "_x.so", x86), ""},
		{"for another", native("odd", armTag, "_x.so", arm), "odd 1.0 in ."},
		{"for musl", native("odd", "cp311-cp311-musllinux_1_2_aarch64", "_x.so", arm), "odd 1.0 in ."},
		{"for macOS", native("odd", "cp311-cp311-macosx_11_0_arm64", "_x.cpython-311-darwin.so", mac), "odd 1.0 in ."},
		{"beside pure ones", wheeltest.Merge(native("odd", armTag, "_x.so.1", arm), wheeltest.Installed("pure", "2", anyTag, map[string]string{"pure.py": ""})), "odd 1.0 in ."},
		{"a program", wheeltest.Installed("tool", "0.1", "py3-none-manylinux_2_17_aarch64", map[string]string{"bin/tool": arm}), "tool 0.1 in ."},
		{"in a folder of its own", prefixed("lib/", native("odd", armTag, "_x.so", arm)), "odd 1.0 in lib"},
		// A debugger is the same for all machines, and has what it is attached with.
		{"for any", wheeltest.Installed("debug", "1", anyTag, map[string]string{"debug/attach_arm.so": arm, "debug/attach.so": arm}), ""},
		{"for this machine with more", wheeltest.Installed("debug", "1", x86Tag, map[string]string{"d/a.so": wheeltest.ELF("i686"), "d/b.so": x86}), ""},
		{"mixed up", native("odd", x86Tag, "_x.so", arm), "odd 1.0 in ."},
		{"nobody's", map[string]string{"main.py": "", "bin/ffmpeg": arm, "lib/a.so": arm}, "bin/ffmpeg for linux aarch64; lib/a.so for linux aarch64"},
		{"data with the header", map[string]string{"model.bin": arm}, ""},
		{"a program for Windows", map[string]string{"bin/t64.exe": "MZ" + strings.Repeat("x", 60)}, ""},
		{"both beside each other", map[string]string{"libx-aarch64.so": arm, "libx-x86_64.so": x86}, ""},
		{"another beside it", map[string]string{"a.cpython-311-aarch64-linux-gnu.so": arm, "b.cpython-311-x86_64-linux-gnu.so": x86}, "a.cpython-311-aarch64-linux-gnu.so for linux aarch64"},
		{"prebuilds", map[string]string{"node_modules/x/prebuilds/linux-arm64/node.napi.armv8.node": arm, "node_modules/x/prebuilds/linux-x64/node.napi.node": x86}, ""},
		{"prebuilds for others alone", map[string]string{"node_modules/x/prebuilds/linux-arm64/x.node": arm, "node_modules/x/prebuilds/darwin-arm64/x.node": mac},
			"node_modules/x/prebuilds/darwin-arm64/x.node for macOS; node_modules/x/prebuilds/linux-arm64/x.node for linux aarch64"},
		{"packages for both", map[string]string{"node_modules/@img/sharp-linux-arm64/lib/s.node": arm, "node_modules/@img/sharp-linux-x64/lib/s.node": x86}, ""},
		{"a RECORD that leaves", map[string]string{"odd-1.dist-info/RECORD": "../../../a.so,,\n/a.so,,\n", "odd-1.dist-info/WHEEL": "Tag: " + armTag + "\n", "odd-1.dist-info/METADATA": "Name: odd\nVersion: 1\n", "a.so": arm}, "a.so for linux aarch64"},
		{"no RECORD", map[string]string{"odd-1.dist-info/METADATA": "Name: odd\nVersion: 1\n", "odd/a.so": arm}, "odd/a.so for linux aarch64"},
		{"cut off", map[string]string{"a.so": arm[:19]}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := wheel.Scan(t.Context(), wheeltest.Write(t, t.TempDir(), tt.files), "x86_64")
			if err != nil || text(r) != tt.want || r.Clean() != (tt.want == "") {
				t.Errorf("%q, %v, want %q", text(r), err, tt.want)
			}
		})
	}
}

func prefixed(prefix string, files map[string]string) map[string]string {
	out := map[string]string{}
	for name, text := range files {
		out[prefix+name] = text
	}
	return out
}

// TestScanFollowsNoLink: what a link leads to is looked at where it lies.
func TestScanFollowsNoLink(t *testing.T) {
	outside := wheeltest.Write(t, t.TempDir(), map[string]string{"x.so": wheeltest.ELF("aarch64")})
	dir := t.TempDir()
	for name, target := range map[string]string{"a.so": filepath.Join(outside, "x.so"), "b": outside, "c-1.dist-info": outside, "d.so": "/nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := wheel.Scan(t.Context(), dir, "x86_64"); err != nil || !r.Clean() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPlatformOf(t *testing.T) {
	for header, want := range map[string]string{
		wheeltest.ELF("x86_64"): "linux x86_64", wheeltest.ELF("aarch64"): "linux aarch64", wheeltest.ELF("i686"): "linux i686",
		"\x7fELF\x02\x01" + strings.Repeat("\xff", 14): "linux machine 65535", "\x7fELF\x02\x02" + strings.Repeat("\x00", 12) + "\x00\x16": "linux s390x",
		"": "", "\x7fELF": "", "MZ" + strings.Repeat("x", 20): "Windows", strings.Repeat("x", 40): "",
	} {
		if got := wheel.PlatformOf([]byte(header)); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

// BenchmarkScan is what every zip pays once: 1,000 files, of which a hundred are
// native and fit.
func BenchmarkScan(b *testing.B) {
	files := map[string]string{}
	for i := range 900 {
		files[fmt.Sprintf("pkg%d/m%d.py", i%30, i)] = "x = 1\n"
	}
	for i := range 100 {
		files[fmt.Sprintf("pkg%d/n%d.so", i%30, i)] = wheeltest.ELF("x86_64")
	}
	dir := wheeltest.Write(b, b.TempDir(), files)
	for b.Loop() {
		if r, err := wheel.Scan(b.Context(), dir, "x86_64"); err != nil || !r.Clean() {
			b.Fatal(r, err)
		}
	}
}

// FuzzDistribution reads whatever WHEEL, METADATA, RECORD and a library may hold: it
// names no file outside, and nothing that a command line could take for an option.
func FuzzDistribution(f *testing.F) {
	f.Add("Wheel-Version: 1.0\nTag: "+armTag+"\n", "Name: odd\nVersion: 1.0\n", "odd/a.so,sha256=x,1\n", wheeltest.ELF("aarch64"))
	f.Add("Tag: a-b\nTag:--\n", "Name: -r x\nVersion: 1; y\n", "\"../../../etc/passwd\",,\n/etc/shadow\n..\n\"", "\x7fELF")
	f.Add("", " Name: x\n\nName: y", "../../bin/x\n../../../x\n\\\\x", "MZ")
	f.Fuzz(func(t *testing.T, tags, metadata, record, library string) {
		dir := wheeltest.Write(t, t.TempDir(), map[string]string{
			"odd-1.dist-info/WHEEL": tags, "odd-1.dist-info/METADATA": metadata, "odd-1.dist-info/RECORD": record, "odd/a.so": library,
			"b.so": wheeltest.ELF("aarch64"), // so that the rest is read
		})
		r, err := wheel.Scan(t.Context(), dir, "x86_64")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range append(r.Foreign, r.Others...) {
			if strings.HasPrefix(d.Name, "-") || strings.ContainsAny(d.Name+d.Version, " ;@/\n\x00=") {
				t.Errorf("name %q, version %q", d.Name, d.Version)
			}
			for _, p := range d.Files {
				if !filepath.IsLocal(p) {
					t.Errorf("it names %q", p)
				}
			}
		}
	})
}
