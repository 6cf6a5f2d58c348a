package wheel

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRunsOn(t *testing.T) {
	for tag, want := range map[string]bool{
		"py3-none-any": true, "cp311-abi3-manylinux_2_28_x86_64": true, "cp311-cp311-manylinux1_x86_64": true, "cp311-cp311-linux_x86_64": true,
		"cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64": false, "cp311-cp311-musllinux_1_2_x86_64": false, "cp311-cp311-win_amd64": false,
		"cp311-cp311-macosx_11_0_x86_64": false, "cp311-cp311-manylinux_2_17_notx86_64": false, "nothing": false, "": false,
	} {
		if got := runsOn(platformsOf([]byte("Tag: "+tag+"\n")), "x86_64"); got != want {
			t.Errorf("%s: %v", tag, got)
		}
	}
}

func TestIdentityOf(t *testing.T) {
	for text, want := range map[string]string{
		"Metadata-Version: 2.1\nName: A.b_c\nVersion: 1.0+cpu\n\nName: no\n": "A.b_c 1.0+cpu",
		"Name: a\r\nVersion: 1!2.0rc1\r\n":                                   "a 1!2.0rc1",
		"Name: --index-url=x\nVersion: 1\n":                                  " 1",
		"Name: a\nVersion: 1 --hash\n":                                       "a ",
		"Name: a\n Version: 1\nVersion: 1,!=2\n":                             "a ",
		"Name: a;b\nName: c\nVersion: v1\nVersion: 1\n":                      "c 1",
	} {
		name, version := identityOf([]byte(text))
		if got := name + " " + version; got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestPathsOf(t *testing.T) {
	got, err := pathsOf([]byte("a/b.py,sha256=x,1\n\"a,b.so\",,\n../../bin/tool,,\n../x,,\n../../../x,,\n/abs,,\na/../../b,,\na/b.py,,\ngone.py,,\n"), "lib", func(p string) bool { return p != "lib/gone.py" })
	if want := "lib/a/b.py lib/a,b.so lib/bin/tool"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// FuzzFormats reads what describes a distribution and a library.
func FuzzFormats(f *testing.F) {
	f.Add([]byte("Name: a\nVersion: 1\nTag: py3-none-any\n"))
	f.Add([]byte("\"a,b\",,\n../../bin/x\n../../../x"))
	f.Add([]byte("\x7fELF\x02\x01\x01                     "))
	f.Fuzz(func(t *testing.T, text []byte) {
		platformsOf(text)
		PlatformOf(text)
		if name, version := identityOf(text); strings.HasPrefix(name, "-") || strings.ContainsAny(name+version, " =;@/\\\n\x00") {
			t.Errorf("name %q, version %q", name, version)
		}
		paths, err := pathsOf(text, ".", func(string) bool { return true })
		for _, p := range paths {
			if err == nil && !filepath.IsLocal(p) {
				t.Errorf("RECORD leads to %q", p)
			}
		}
	})
}
