package oci

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkUnpack and BenchmarkCompose are the two halves of a pull that cost the
// machine: 2,000 files of 8 KiB in 200 directories.
func BenchmarkUnpack(b *testing.B) {
	data := benchArchive(b)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		root, err := os.OpenRoot(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		x := newExtraction(root, false, &budget{limits: DefaultLimits()})
		if err := x.read(b.Context(), bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
		root.Close()
	}
}

func BenchmarkCompose(b *testing.B) {
	files := b.TempDir()
	root, err := os.OpenRoot(files)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	x := newExtraction(root, false, &budget{limits: DefaultLimits()})
	if err := x.read(b.Context(), bytes.NewReader(benchArchive(b))); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	n := 0
	for b.Loop() {
		t := newTree()
		if err := t.apply(0, x.entries); err != nil {
			b.Fatal(err)
		}
		n++
		if err := build(t, filepath.Join(dir, fmt.Sprint(n)), []string{files}, false); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(x.entries))*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func benchArchive(b *testing.B) []byte {
	b.Helper()
	body := string(make([]byte, 4<<10)) + strings.Repeat("x", 4<<10)
	var members []member
	for i := range 200 {
		members = append(members, member{name: fmt.Sprintf("usr/lib/d%d/", i)})
		for j := range 10 {
			members = append(members, member{name: fmt.Sprintf("usr/lib/d%d/f%d", i, j), body: body})
		}
	}
	return archive(b, members...)
}
