// Package wheeltest makes installed Python packages and wheels with native code for
// any machine, for tests.
package wheeltest

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ELF is the header of a shared object for a machine of uname(2), and some content.
func ELF(machine string) string {
	m := map[string]elf.Machine{"x86_64": elf.EM_X86_64, "aarch64": elf.EM_AARCH64, "i686": elf.EM_386}[machine]
	class := elf.ELFCLASS64
	if m == elf.EM_386 {
		class = elf.ELFCLASS32
	}
	b := make([]byte, 64)
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA], b[elf.EI_VERSION] = byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	binary.LittleEndian.PutUint16(b[16:], uint16(elf.ET_DYN))
	binary.LittleEndian.PutUint16(b[18:], uint16(m))
	return string(b) + machine
}

// Installed are the files of a distribution as pip or uv installs it by --target:
// those given, METADATA, WHEEL with a tag and RECORD.
func Installed(name, version, tag string, files map[string]string) map[string]string {
	all := maps.Clone(files)
	if all == nil {
		all = map[string]string{}
	}
	info := strings.ReplaceAll(name, "-", "_") + "-" + version + ".dist-info/"
	all[info+"METADATA"] = "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n\nText.\n"
	all[info+"WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: " + tag + "\n"
	var record strings.Builder
	for _, f := range slices.Sorted(maps.Keys(all)) {
		path := f
		if strings.HasPrefix(f, "bin/") {
			path = "../../" + f
		}
		fmt.Fprintf(&record, "%s,sha256=x,%d\n", path, len(all[f]))
	}
	all[info+"RECORD"] = record.String() + info + "RECORD,,\n"
	return all
}

// Merge is all files together.
func Merge(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, p := range parts {
		maps.Copy(all, p)
	}
	return all
}

// Write writes files below dir, those of bin executable, and returns dir.
func Write(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		mode := os.FileMode(0o444)
		if strings.Contains("/"+name, "/bin/") {
			mode = 0o555
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Zip packs files.
func Zip(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		mode := os.FileMode(0o644)
		if strings.Contains("/"+name, "/bin/") {
			mode = 0o755
		}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
