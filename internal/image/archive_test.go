package image

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
)

// member is one entry of an archive that a test makes.
type member struct {
	name string
	mode fs.FileMode
	body string
	edit func(*zip.FileHeader)
}

func makeZip(t testing.TB, members ...member) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		if m.mode == 0 {
			m.mode = 0o644
		}
		h.SetMode(m.mode)
		if strings.HasSuffix(m.name, "/") {
			h.SetMode(fs.ModeDir | m.mode)
		}
		if m.edit != nil {
			m.edit(h)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(m.name, "/") {
			continue
		}
		if _, err := io.WriteString(f, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func link(name, target string) member {
	return member{name: name, mode: fs.ModeSymlink | 0o777, body: target}
}

func newTestCache(t testing.TB) *Cache {
	t.Helper()
	c, err := NewCache(filepath.Join(t.TempDir(), "code"), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func unpackBytes(c *Cache, b []byte) (*Code, error) {
	return c.Unpack(context.Background(), bytes.NewReader(b), int64(len(b)), "")
}

func TestUnpackKeepsContentAndTamesModes(t *testing.T) {
	b := makeZip(t,
		member{name: "main.py", body: "print('hi')\n"},
		member{name: "bin/tool", mode: 0o4710, body: "#!/bin/sh\n"},
		member{name: "secret.txt", mode: 0o200, body: "unreadable"},
		member{name: "narrow/", mode: 0o500},
		member{name: "narrow/deep/x", body: strings.Repeat("x", 1<<20)},
		member{name: "empty", body: ""},
		member{name: "stored", body: "stored", edit: store},
		member{name: "windows.txt", body: "w", edit: func(h *zip.FileHeader) { h.CreatorVersion = 0; h.ExternalAttrs = 0x20 }},
		link("bin/alias", "../main.py"),
		link("dangling", "nowhere/at/../all"),
		member{name: "größe.txt", body: "utf-8"},
	)
	code, err := unpackBytes(newTestCache(t), b)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".": "drwxr-xr-x", "main.py": "-r--r--r--", "bin": "drwxr-xr-x", "bin/tool": "-r-xr-xr-x", "secret.txt": "-r--r--r--",
		"narrow": "drwxr-xr-x", "narrow/deep": "drwxr-xr-x", "narrow/deep/x": "-r--r--r--", "empty": "-r--r--r--", "stored": "-r--r--r--",
		"windows.txt": "-r--r--r--", "bin/alias": "Lrwxrwxrwx", "dangling": "Lrwxrwxrwx", "größe.txt": "-r--r--r--",
	}
	got := map[string]string{}
	err = filepath.WalkDir(code.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(code.Dir, path)
		got[rel] = info.Mode().String()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("modes\n got %v\nwant %v", got, want)
	}
	if text, err := os.ReadFile(filepath.Join(code.Dir, "bin/alias")); err != nil || string(text) != "print('hi')\n" {
		t.Errorf("through the link: %q, %v", text, err)
	}
	if code.Files != 10 || code.Size != int64(len("print('hi')\n")+len("#!/bin/sh\n")+len("unreadable")+1<<20+len("storedw")+len("../main.py")+len("nowhere/at/../all")+len("utf-8")) {
		t.Errorf("files %d, size %d", code.Files, code.Size)
	}
}

// TestUnpackCleansNames: what archivers put in front of names says nothing, and names
// that differ by case alone are two files.
func TestUnpackCleansNames(t *testing.T) {
	b := makeZip(t,
		member{name: "./"}, member{name: "./main.py", body: "main"}, member{name: "./pkg/"}, member{name: "pkg/.//x.py", body: "x"},
		member{name: "Main.py", body: "Main"}, member{name: "PKG/x.py", body: "X"}, link("./pkg/alias", "../Main.py"),
	)
	code, err := unpackBytes(newTestCache(t), b)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"main.py": "main", "Main.py": "Main", "pkg/x.py": "x", "PKG/x.py": "X", "pkg/alias": "Main"} {
		if got, err := os.ReadFile(filepath.Join(code.Dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	if code.Files != 5 {
		t.Errorf("%d files", code.Files)
	}
}

// patch returns b with the n-th occurrence of the signature's header edited.
func patch(b []byte, sig uint32, n int, edit func([]byte)) []byte {
	b = bytes.Clone(b)
	var mark [4]byte
	binary.LittleEndian.PutUint32(mark[:], sig)
	at := -1
	for range n + 1 {
		at += 1 + bytes.Index(b[at+1:], mark[:])
	}
	edit(b[at:])
	return b
}

func TestUnpackRefusesHostileArchives(t *testing.T) {
	file := func(name string) []byte { return makeZip(t, member{name: name, body: "x"}) }
	two := makeZip(t, member{name: "a", body: "aaaa"}, member{name: "b", body: "bbbb"})
	extra := func(id uint16, body ...byte) func(*zip.FileHeader) {
		return func(h *zip.FileHeader) {
			h.Extra = binary.LittleEndian.AppendUint16(nil, id)
			h.Extra = binary.LittleEndian.AppendUint16(h.Extra, uint16(len(body)))
			h.Extra = append(h.Extra, body...)
		}
	}
	special := func(mode fs.FileMode) []byte { return makeZip(t, member{name: "x", mode: mode | 0o644}) }
	chain := []member{{name: "f", body: "x"}}
	for i := range 60 {
		chain = append(chain, link(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1)))
	}
	cases := []struct {
		name string
		zip  []byte
		want string
	}{
		{"parent", file("../x"), `entry "../x" leaves the archive's root by ..`},
		{"parent inside", file("a/../../x"), "leaves the archive's root"},
		{"parent that stays", file("a/../x"), "leaves the archive's root by .."},
		{"absolute", file("/etc/passwd"), "has an absolute path"},
		{"drive", file(`C:\x`), "has a backslash"},
		{"backslash", file(`a\b`), "has a backslash"},
		{"parent behind dots", file("./a/./../x"), "leaves the archive's root by .."},
		{"absolute by dots", file("/./x"), "has an absolute path"},
		{"dot", file("."), "has no name"},
		{"nul", file("a\x00b"), "has a control character"},
		{"newline", file("a\nb"), "has a control character"},
		{"latin1", file("gr\xf6\xdfe"), "is not UTF-8"},
		{"long name", file(strings.Repeat("n", 256)), "has a name of 256 bytes; the limit is 255"},
		{"long path", file(strings.Repeat("abcdefg/", 600) + "x"), "has a path of 4801 bytes; the limit is 4095"},
		{"deep path", file(strings.Repeat("d/", 100) + "x"), "lies 101 directories deep; the limit is 100"},
		{"no name", file("/"), "has no name"},
		{"twice", makeZip(t, member{name: "a"}, member{name: "a"}), `entry "a" is in the archive twice`},
		{"twice by dots", makeZip(t, member{name: "d/a"}, member{name: "./d//a"}), `entry "d/a" is in the archive twice`},
		{"root alone", makeZip(t, member{name: "./"}), "holds no files"},
		{"link at the root", makeZip(t, link("a", "b"), link("./a/.", "/etc")), `entry "a" is in the archive twice`},
		{"file as parent", makeZip(t, member{name: "a"}, member{name: "a/b"}), `needs "a" to be a file and a directory`},
		{"parent as file", makeZip(t, member{name: "a/b"}, member{name: "a"}), `needs "a" to be a file and a directory`},
		{"through a link", makeZip(t, link("a", "b"), member{name: "b/x"}, member{name: "a/y"}), `entry "a/y" needs "a" to be a directory and a symbolic link`},
		{"link after its child", makeZip(t, member{name: "a/y"}, link("a", "/etc")), `needs "a" to be a directory and a symbolic link`},
		{"link absolute", makeZip(t, link("a", "/etc/passwd")), `entry "a" is a symbolic link to an absolute path`},
		{"link out", makeZip(t, link("d/a", "../../x")), `entry "d/a" is a symbolic link that leaves the archive's root`},
		{"link out by missing", makeZip(t, link("a", "b/../../x")), "leaves the archive's root"},
		{"link out by a chain", makeZip(t, member{name: "d/e/f"}, link("d/e/up", ".."), link("a", "d/e/up/../../x")), `entry "a" is a symbolic link that leaves`},
		{"link loop", makeZip(t, link("a", "b"), link("b", "a")), "is a symbolic link through more than 40 others"},
		{"link chain", makeZip(t, chain...), "is a symbolic link through more than 40 others"},
		{"link empty", makeZip(t, link("a", "")), "is a symbolic link without a usable target"},
		{"link with nul", makeZip(t, link("a", "b\x00c")), "whose target is not UTF-8 text"},
		{"fifo", special(fs.ModeNamedPipe), "is a device, pipe or socket"},
		{"socket", special(fs.ModeSocket), "is a device, pipe or socket"},
		{"device", special(fs.ModeDevice), "is a device, pipe or socket"},
		{"char device", special(fs.ModeDevice | fs.ModeCharDevice), "is a device, pipe or socket"},
		{"hard link", makeZip(t, member{name: "x", edit: extra(0x000d, []byte("0123456789abother")...)}), "is a hard link or a device"},
		{"asi link", makeZip(t, member{name: "x", edit: extra(0x756e, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0)}), "is a hard link or a device"},
		{"bad extra", makeZip(t, member{name: "x", edit: func(h *zip.FileHeader) { h.Extra = []byte{9, 9, 200, 0} }}), "damaged extra fields"},
		{"directory with content", patch(makeZip(t, member{name: "a", body: "x"}), sigCentral, 0, func(b []byte) { b[41] = 0x40 }), "is a file and a directory at once"},
		{"encrypted", patch(two, sigCentral, 1, func(b []byte) { b[8] |= 1 }), `entry "b" is encrypted`},
		{"encrypted locally", patch(two, sigLocal, 1, func(b []byte) { b[6] |= 1 }), "two headers that contradict"},
		{"method", patch(two, sigCentral, 0, func(b []byte) { b[10] = 93 }), "is compressed by method 93"},
		{"local name", patch(two, sigLocal, 1, func(b []byte) { b[30] = 'c' }), "two headers that contradict"},
		{"crc", patch(two, sigCentral, 0, func(b []byte) { b[16] ^= 1 }), `entry "a" is damaged`},
		{"claims less", patch(two, sigCentral, 0, func(b []byte) { b[24]-- }), "unzips to more than the 3 bytes it announces"},
		{"claims more", patch(two, sigCentral, 0, func(b []byte) { b[24]++ }), `entry "a" is damaged`},
		{"claims a terabyte", patch(two, sigCentral, 0, func(b []byte) { b[27] = 0xf0 }), "is larger than 750.0 MB"},
		{"broken stream", patch(two, sigLocal, 0, func(b []byte) { b[31] = 0xff }), "cannot be inflated"},
		{"overlap", patch(two, sigCentral, 1, func(b []byte) { b[42], b[43], b[44], b[45] = 0, 0, 0, 0 }), "shares bytes with the one before it"},
		{"quine", quine(t), "shares bytes with the one before it"},
		{"outside", patch(two, sigCentral, 1, func(b []byte) { b[44] = 9 }), "lies outside the archive"},
		{"count low", patch(two, sigEnd, 0, func(b []byte) { b[8], b[10] = 1, 1 }), "does not hold the entries it announces"},
		{"count high", patch(two, sigEnd, 0, func(b []byte) { b[8], b[10] = 3, 3 }), "does not hold the entries it announces"},
		{"split", patch(two, sigEnd, 0, func(b []byte) { b[4] = 1 }), "one part of a split archive"},
		{"prefix", append([]byte("#!/usr/bin/python3\n"), two...), "data before or between its parts"},
		{"suffix", append(bytes.Clone(two), 'x'), "not a zip archive, or it is truncated or has data after its end"},
		{"truncated", two[:len(two)-1], "not a zip archive"},
		{"no bytes", nil, "not a zip archive"},
		{"text", []byte(strings.Repeat("hello ", 1000)), "not a zip archive"},
		{"no files", makeZip(t, member{name: "a/"}), "holds no files"},
		{"no entries", makeZip(t), "holds no files"},
		{"bomb", patch(two, sigCentral, 0, claim(120<<20)), "refused as a zip bomb"},
		{"too large", patch(patch(two, sigCentral, 0, claim(400<<20)), sigCentral, 1, claim(400<<20)), `holds more than 750.0 MB unzipped (entry "b" reaches it)`},
	}
	cache := newTestCache(t)
	var golden strings.Builder
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := unpackBytes(cache, c.zip)
			var f *fault.Error
			if !errors.As(err, &f) || f.Code != "ValidationException" {
				t.Fatalf("got %v, want a ValidationException", err)
			}
			if !strings.Contains(f.Message, c.want) {
				t.Errorf("got  %s\nwant %s", f.Message, c.want)
			}
			if left, _ := os.ReadDir(filepath.Join(cache.dir, "sha256")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			fmt.Fprintf(&golden, "%s: %s\n", c.name, f.Message)
		})
	}
	checkGolden(t, "refusals.txt", golden.String())
}

func claim(size uint32) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[24:], size) }
}

// quine is a zip whose first entry's data contains the second entry whole, the
// trick by which kilobytes become petabytes.
func quine(t *testing.T) []byte {
	inner := makeZip(t, member{name: "b", body: "bbbb", edit: store})
	at := bytes.Index(inner, []byte("PK\x01\x02"))
	b := makeZip(t, member{name: "a", body: string(inner[:at]), edit: store}, member{name: "b", body: "bbbb"})
	return patch(b, sigCentral, 1, func(h []byte) { binary.LittleEndian.PutUint32(h[42:], lenLocal+1) })
}

func TestUnpackReadsZip64(t *testing.T) {
	// 70,000 entries need zip64's count.
	var members []member
	for i := range 70_000 {
		members = append(members, member{name: fmt.Sprintf("d%d/f%d", i%100, i), edit: store})
	}
	b := makeZip(t, members...)
	if !bytes.Contains(b, []byte("PK\x06\x06")) {
		t.Fatal("the archive has no zip64 record")
	}
	p, err := readArchive(bytes.NewReader(b), int64(len(b)), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if p.files != 70_000 {
		t.Errorf("%d files", p.files)
	}
	_, err = readArchive(bytes.NewReader(b), int64(len(b)), Limits{Zip: MaxZip, Unzipped: MaxUnzipped, Entries: 50_000})
	if err == nil || !strings.Contains(err.Error(), "lists 70000 entries") {
		t.Errorf("with a limit of 50,000: %v", err)
	}
	_, err = readArchive(bytes.NewReader(b), int64(len(b)), Limits{Zip: MaxZip, Unzipped: MaxUnzipped, Entries: 70_050})
	if err == nil || !strings.Contains(err.Error(), "more than 70050 files and directories") {
		t.Errorf("with no room for the parents: %v", err)
	}
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (UPDATE_GOLDEN=1 rewrites it):\n got %s\nwant %s", name, got, want)
	}
}

func store(h *zip.FileHeader) { h.Method = zip.Store }
