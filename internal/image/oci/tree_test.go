package oci

import (
	"archive/tar"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// show is a tree as text: a directory ends in a slash, a link shows its target, a
// file its content's layer.
func show(t *testing.T, tr *tree) string {
	t.Helper()
	var out []string
	err := tr.walk(func(p string, n *node) error {
		switch n.Kind {
		case kindDir:
			out = append(out, p+"/")
		case kindSymlink:
			out = append(out, p+"->"+n.Link)
		default:
			out = append(out, fmt.Sprintf("%s=%d", p, n.layer))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func link(name, target string) member { return member{name: name, kind: tar.TypeSymlink, link: target} }
func hard(name, target string) member { return member{name: name, kind: tar.TypeLink, link: target} }
func file(name string) member         { return member{name: name, body: name} }

// entriesOf is the index of an archive.
func entriesOf(t testing.TB, data []byte) ([]entry, error) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	x := newExtraction(root, false, &budget{limits: DefaultLimits()})
	err = x.read(t.Context(), strings.NewReader(string(data)))
	return x.entries, err
}

func TestCompose(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers [][]member
		want   string // or a part of the refusal, after !
	}{
		{"files replace files", [][]member{{file("a"), file("d/b")}, {file("d/b")}}, "a=0 d/ d/b=1"},
		{"a directory keeps what is in it", [][]member{{file("d/a")}, {{name: "d/"}, file("d/b")}}, "d/ d/a=0 d/b=1"},
		{"a file replaces a directory", [][]member{{file("d/a")}, {file("d")}}, "d=1"},
		{"a directory replaces a file", [][]member{{file("d")}, {{name: "d/"}, file("d/a")}}, "d/ d/a=1"},
		{"a directory replaces a link", [][]member{{file("x/a"), link("d", "x")}, {{name: "d/"}, file("d/b")}}, "d/ d/b=1 x/ x/a=0"},
		{"the last of one layer counts", [][]member{{file("a"), link("a", "b"), file("a")}}, "a=0"},

		{"a whiteout hides a file", [][]member{{file("d/a"), file("d/b")}, {file("d/.wh.a")}}, "d/ d/b=0"},
		{"a whiteout hides a directory", [][]member{{file("d/e/a"), file("b")}, {file(".wh.d")}}, "b=0"},
		{"a whiteout hides a link, not its target", [][]member{{file("d/a"), link("l", "d")}, {file(".wh.l")}}, "d/ d/a=0"},
		{"a whiteout is not about its own layer, before", [][]member{{file("a")}, {file("a"), file(".wh.a")}}, "a=1"},
		{"a whiteout is not about its own layer, after", [][]member{{file("a")}, {file(".wh.a"), file("a")}}, "a=1"},
		{"a whiteout of nothing", [][]member{{file("a")}, {file(".wh.b"), file("x/y/.wh.z")}}, "a=0"},
		{"a whiteout through a link", [][]member{{file("usr/lib/a"), link("lib", "usr/lib")}, {file("lib/.wh.a")}}, "lib->usr/lib usr/ usr/lib/"},
		{"opaque hides what is below", [][]member{{file("d/a"), file("d/e/b")}, {file("d/c"), file("d/.wh..wh..opq")}}, "d/ d/c=1"},
		{"opaque at the root", [][]member{{file("a"), file("d/b")}, {file(".wh..wh..opq"), file("c")}}, "c=1"},
		{"opaque and listed again", [][]member{{file("d/a")}, {{name: "d/"}, file("d/.wh..wh..opq"), file("d/a")}}, "d/ d/a=1"},
		{"a replaced directory comes back empty", [][]member{{file("d/a")}, {file(".wh.d")}, {{name: "d/"}}}, "d/"},
		{"aufs keeps its own files to itself", [][]member{{file(".wh..wh.aufs"), file(".wh..wh.plnk/1.2"), file("a")}}, "a=0"},

		{"below a link of an earlier layer", [][]member{{{name: "usr/lib/"}, link("lib", "usr/lib")}, {file("lib/a")}}, "lib->usr/lib usr/ usr/lib/ usr/lib/a=1"},
		{"below an absolute link", [][]member{{link("lib", "/usr/lib")}, {file("lib/a")}}, "lib->/usr/lib usr/ usr/lib/ usr/lib/a=1"},
		{"below a link that leads out", [][]member{{link("d/up", "../../../../etc")}, {file("d/up/a")}}, "d/ d/up->../../../../etc etc/ etc/a=1"},
		{"below links of links", [][]member{{link("a", "b"), link("b", "/c/./d"), link("c", "x/../y")}, {file("a/f")}}, "a->b b->/c/./d c->x/../y x/ y/ y/d/ y/d/f=1"},
		{"links in a circle", [][]member{{link("a", "b"), link("b", "a"), file("a/f")}}, "!leads through more than 40 links"},
		{"a link to itself", [][]member{{link("a", "a/b"), file("a/f")}}, "!leads through more than 40 links"},
		{"below a file", [][]member{{file("a"), file("a/b")}}, "!below what is no directory"},
		{"links that deepen", [][]member{{link("a", strings.Repeat("x/", 200)), file("a/" + strings.Repeat("y/", 100) + "f")}}, "!more than 256 directories deep"},

		{"a hard link", [][]member{{file("d/a"), hard("b", "d/a")}}, "b=0 d/ d/a=0"},
		{"a hard link to an earlier layer", [][]member{{file("a")}, {hard("b", "./a")}}, "a=0 b=0"},
		{"a hard link whose other name goes", [][]member{{file("a")}, {hard("b", "a")}, {file(".wh.a")}}, "b=0"},
		{"a hard link whose other name changes", [][]member{{file("a"), hard("b", "a")}, {file("a")}}, "a=1 b=0"},
		{"a hard link to itself", [][]member{{file("a"), hard("a", "a")}}, "a=0"},
		{"a hard link to a symbolic one", [][]member{{link("a", "/etc/shadow"), hard("b", "a")}}, "a->/etc/shadow b->/etc/shadow"},
		{"a hard link through links", [][]member{{file("usr/a"), link("l", "/usr"), hard("b", "l/a")}}, "b=0 l->/usr usr/ usr/a=0"},
		{"a hard link out", [][]member{{hard("a", "../../etc/passwd")}}, "!has .. in its path"},
		{"an absolute hard link", [][]member{{hard("a", "/etc/passwd")}}, "!is a hard link to \"etc/passwd\", which is no file"},
		{"a hard link to what comes later", [][]member{{hard("a", "b"), file("b")}}, "!is a hard link to"},
		{"a hard link to a directory", [][]member{{{name: "d/"}, hard("a", "d")}}, "!is a hard link to"},
		{"a hard link to the root", [][]member{{hard("a", "/")}}, "!is a hard link to"},
		{"a hard link to what is hidden", [][]member{{file("a")}, {file(".wh.a"), hard("b", "a")}}, "!is a hard link to"},

		{"devices, pipes and sockets are left out", [][]member{{file("dev/null"), file("a")}, {{name: "dev/null", kind: tar.TypeChar}, {name: "b", kind: tar.TypeBlock}, {name: "c", kind: tar.TypeFifo}}}, "a=0 dev/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTree()
			var err error
			for i, l := range tt.layers {
				var entries []entry
				if entries, err = entriesOf(t, archive(t, l...)); err == nil {
					err = tr.apply(i, entries)
				}
				if err != nil {
					break
				}
			}
			refusal, refused := strings.CutPrefix(tt.want, "!")
			switch {
			case refused && (err == nil || !strings.Contains(err.Error(), refusal)):
				t.Errorf("got %v, want a refusal with %q", err, refusal)
			case !refused && err != nil:
				t.Errorf("refused: %v", err)
			case !refused && show(t, tr) != tt.want:
				t.Errorf("got  %s\nwant %s", show(t, tr), tt.want)
			}
		})
	}
}

// TestStepsAreBounded: links that lead through many names cost a bound, not more.
func TestStepsAreBounded(t *testing.T) {
	tr := newTree()
	long := strings.Repeat("./", 2000) + "d"
	entries := []entry{{Path: "d", Kind: kindDir}, {Path: "l", Kind: kindSymlink, Link: long}}
	for range 100_000 {
		entries = append(entries, entry{Path: "l/f", Kind: kindFile})
	}
	if err := tr.apply(0, entries); err == nil || !strings.Contains(err.Error(), "takes too long") {
		t.Errorf("apply() = %v", err)
	}
}

// TestImplicitIsBounded: so are directories that only appear in paths.
func TestImplicitIsBounded(t *testing.T) {
	tr := newTree()
	var entries []entry
	for i := range maxImplicit/200 + 1 {
		entries = append(entries, entry{Path: fmt.Sprint(i, strings.Repeat("/x", 200)), Kind: kindFile})
	}
	if err := tr.apply(0, entries); err == nil || !strings.Contains(err.Error(), "not listed themselves") {
		t.Errorf("apply() = %v", err)
	}
}

// TestNamesAreBounded: a million long names compress to nothing and are kept in
// memory.
func TestNamesAreBounded(t *testing.T) {
	b := &budget{limits: DefaultLimits()}
	e := &entry{Path: strings.Repeat("x/", 2000), Link: strings.Repeat("y", 4000)}
	for i := range maxNames/len(e.Path+e.Link) + 1 {
		if err := b.entry(e); err != nil {
			if i != maxNames/len(e.Path+e.Link) || !strings.Contains(err.Error(), "128.0 MB together") {
				t.Errorf("after %d names: %v", i, err)
			}
			return
		}
	}
	t.Error("there is no bound")
}

func TestLayerRefusals(t *testing.T) {
	var got strings.Builder
	for _, tt := range []struct {
		name   string
		header tar.Header
	}{
		{"dots", tar.Header{Name: "a/../../b", Typeflag: tar.TypeReg}},
		{"dots first", tar.Header{Name: "../b", Typeflag: tar.TypeReg}},
		{"long name", tar.Header{Name: "a/" + strings.Repeat("b", 256), Typeflag: tar.TypeReg}},
		{"long path", tar.Header{Name: strings.Repeat("b/", 2100), Typeflag: tar.TypeDir}},
		{"deep path", tar.Header{Name: strings.Repeat("b/", 300), Typeflag: tar.TypeDir}},
		{"NUL", tar.Header{Name: "a\x00b", Typeflag: tar.TypeReg}},
		{"uid", tar.Header{Name: "a", Typeflag: tar.TypeReg, Uid: 1<<32 - 1}},
		{"gid", tar.Header{Name: "a", Typeflag: tar.TypeReg, Gid: -1}},
		{"empty link", tar.Header{Name: "a", Typeflag: tar.TypeSymlink}},
		{"NUL in link", tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "b\x00"}},
		{"hard link out", tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "../b"}},
		{"type", tar.Header{Name: "a", Typeflag: 'V'}},
		{"root is a file", tar.Header{Name: "./", Typeflag: tar.TypeSymlink, Linkname: "/"}},
		{"whiteout of nothing", tar.Header{Name: "d/.wh.", Typeflag: tar.TypeReg}},
		{"whiteout of dot", tar.Header{Name: "d/.wh..", Typeflag: tar.TypeReg}},
		{"whiteout of dots", tar.Header{Name: "d/.wh...", Typeflag: tar.TypeReg}},
		{"below a whiteout", tar.Header{Name: "d/.wh.a/b", Typeflag: tar.TypeReg}},
	} {
		_, keep, err := parse(&tt.header)
		if err == nil || keep {
			t.Errorf("%s: parse() = %t, %v", tt.name, keep, err)
		}
		fmt.Fprintf(&got, "%s: %v\n", tt.name, err)
	}
	golden(t, "refusals.txt", got.String())
}

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%v; got\n%s", err, got)
	}
}
