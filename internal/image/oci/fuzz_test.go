package oci

import (
	"archive/tar"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLayer reads any bytes as a layer, lays it over one with links in every
// direction and makes the image. Whatever comes of it, nothing outside the
// image's directory changes and nothing in it is but files, directories and links
// without set-id bits.
func FuzzLayer(f *testing.F) {
	below := []member{
		{name: "usr/lib/"}, link("lib", "usr/lib"), link("up", "../../../../../.."), link("root", "/"), link("out", "/../outside"),
		link("loop", "loop"), link("etc/passwd", "../../outside/canary"), file("usr/lib/a"), hard("hard", "usr/lib/a"),
	}
	f.Add(archive(f, below...))
	f.Add(archive(f, file("up/outside/canary"), file("root/x"), file("out/canary"), member{name: "lib/", mode: 0o7777}, file("lib/b")))
	f.Add(archive(f, file(".wh.lib"), file("usr/.wh..wh..opq"), file("usr/lib/c"), hard("d", "up/usr/lib/c")))
	f.Add(archive(f, member{name: "up", kind: tar.TypeSymlink, link: "../../outside"}, file("up/canary"), member{name: "dev", kind: tar.TypeChar}, member{name: "s", mode: 0o6755}))
	f.Add(archive(f, member{name: "./", mode: 0o4000, uid: 5}, member{name: strings.Repeat("x/", 90), mode: 0o1000}, member{name: "caf\xe9"}, file("hard"), file("usr/lib/a/b")))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		outside := filepath.Join(dir, "outside")
		if err := os.MkdirAll(outside, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(outside, "canary"), []byte("canary"), 0o600); err != nil {
			t.Fatal(err)
		}
		tr := newTree()
		var contents []string
		b := &budget{limits: Limits{Unpacked: 1 << 20, Entries: 1000}}
		for i, l := range [][]byte{archive(t, below...), data} {
			files := filepath.Join(dir, string(rune('a'+i)))
			if err := os.Mkdir(files, 0o700); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(files)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			x := newExtraction(root, false, b)
			if err := x.read(t.Context(), strings.NewReader(string(l))); err != nil {
				t.Skip() // refused
			}
			if err := tr.apply(i, x.entries); err != nil {
				t.Skip()
			}
			contents = append(contents, files)
		}
		image := filepath.Join(dir, "image")
		if err := build(tr, image, contents, false); err != nil {
			t.Fatalf("what was taken cannot be made: %v", err)
		}
		if _, err := writeOverlay(tr, filepath.Join(dir, "overlay.tar"), contents); err != nil {
			t.Fatalf("its overlay cannot be written: %v", err)
		}
		_, _ = lookup(tr, contents, "user:group")
		entries, err := os.ReadDir(dir)
		if canary, _ := os.ReadFile(filepath.Join(outside, "canary")); err != nil || len(entries) != 5 || string(canary) != "canary" {
			t.Fatalf("beside the image lie %v, %v, and the canary is %q", entries, err, canary)
		}
		if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
			t.Fatalf("outside lie %v, %v", entries, err)
		}
		err = filepath.WalkDir(image, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			mode := info.Mode()
			if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 || mode&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket|fs.ModeIrregular) != 0 || mode.IsRegular() && mode&fs.ModeSticky != 0 {
				t.Errorf("%q has the mode %v", path, mode)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzConfig reads any bytes as an image's configuration.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"architecture":"amd64","os":"linux","config":{"Cmd":["a"],"User":"1:2","ExposedPorts":{"8080/tcp":{}}},"rootfs":{"type":"layers","diff_ids":[]}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, c, err := parseConfig(data)
		if err != nil {
			return
		}
		if file == nil || len(c.Platform) > 60 {
			t.Errorf("parseConfig() = %v, %+v", file, c)
		}
		l, err := (&Image{Config: c}).Launch(nil)
		if err == nil && (l.Args[0] == "" || l.Dir != "" && l.Dir[0] != '/') {
			t.Errorf("Launch() = %+v", l)
		}
		_, _ = lookup(newTree(), nil, c.User)
	})
}
