package wheel

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
)

// headerSize is as much of a file as tells what runs it: an ELF header up to
// e_machine.
const headerSize = 20

// PlatformOf names what native code is for by the first bytes of its file: "linux
// x86_64", "macOS", "Windows"; "" where it is none. Names of machines are those of
// uname(2).
func PlatformOf(header []byte) string {
	if len(header) < headerSize {
		return ""
	}
	switch {
	case string(header[:4]) == elf.ELFMAG:
		return "linux " + machineOf(header)
	case string(header[:2]) == "MZ":
		return "Windows"
	}
	switch binary.BigEndian.Uint32(header) {
	case 0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xcafebabe:
		return "macOS"
	}
	return ""
}

// ThisMachine is the name of the machine that this program was built for, as PlatformOf has it.
func ThisMachine() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

func machineOf(header []byte) string {
	var order binary.ByteOrder = binary.LittleEndian
	little := header[elf.EI_DATA] == byte(elf.ELFDATA2LSB)
	if !little {
		order = binary.BigEndian
	}
	wide := header[elf.EI_CLASS] == byte(elf.ELFCLASS64)
	switch m := elf.Machine(order.Uint16(header[18:])); {
	case m == elf.EM_X86_64 && wide:
		return "x86_64"
	case m == elf.EM_X86_64:
		return "x32"
	case m == elf.EM_386:
		return "i686"
	case m == elf.EM_AARCH64 && little:
		return "aarch64"
	case m == elf.EM_ARM:
		return "arm"
	case m == elf.EM_PPC64 && little:
		return "ppc64le"
	case m == elf.EM_PPC64:
		return "ppc64"
	case m == elf.EM_S390 && wide:
		return "s390x"
	case m == elf.EM_RISCV && wide:
		return "riscv64"
	case m == elf.EM_LOONGARCH && wide:
		return "loongarch64"
	default:
		return fmt.Sprintf("machine %d", uint16(m))
	}
}

// loadable reports by its name whether a file may be native code that is loaded
// into an interpreter.
func loadable(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(base, ".so") || strings.HasSuffix(base, ".node") || strings.Contains(base, ".so.")
}

// plain reports by its name whether a file is text or data whatever its mode says;
// it saves a look at most files of a tree.
func plain(name string) bool {
	switch path.Ext(name) {
	case ".py", ".pyi", ".pyc", ".pyx", ".pxd", ".h", ".hpp", ".c", ".txt", ".md", ".rst", ".json", ".toml", ".yaml", ".yml",
		".html", ".css", ".js", ".mjs", ".cjs", ".ts", ".map", ".xml", ".csv", ".typed", ".sh", ".png", ".svg":
		return true
	}
	return false
}

// platformOfFile reads the header of one file into buf, which has headerSize bytes.
func platformOfFile(name string, buf []byte) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	n, err := io.ReadFull(f, buf)
	if err != nil && n < headerSize {
		if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // ReadFull returns these themselves
			return "", nil
		}
		return "", err
	}
	return PlatformOf(buf), nil
}
