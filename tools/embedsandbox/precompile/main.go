//go:build outcrop_sandbox

// Command precompile compiles gVisor's system call filters once, while the sandbox
// executable is built, in place of at each start of a sandbox: gVisor's own build
// does the same, with rules that go build does not know. It belongs to embedsandbox,
// which runs it with the gVisor that the executable is built from.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	sentry "gvisor.dev/gvisor/runsc/boot/filter/config"
	gofer "gvisor.dev/gvisor/runsc/fsgofer/filter/config"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: precompile DIRECTORY-OF-GVISOR")
		os.Exit(2)
	}
	for dir, programs := range map[string]func() ([]precompiledseccomp.Program, error){
		"runsc/boot/filter":    sentry.PrecompiledPrograms,
		"runsc/fsgofer/filter": gofer.PrecompiledPrograms,
	} {
		if err := write(filepath.Join(os.Args[1], filepath.FromSlash(dir)), programs); err != nil {
			fmt.Fprintln(os.Stderr, "precompile:", err)
			os.Exit(1)
		}
	}
}

// write puts the programs into a file of the package filter in dir. The file is
// for this machine's architecture, as its programs are.
func write(dir string, compile func() ([]precompiledseccomp.Program, error)) error {
	programs, err := compile()
	if err != nil {
		return fmt.Errorf("compile system call filters for %s: %w", dir, err)
	}
	slices.SortFunc(programs, func(a, b precompiledseccomp.Program) int { return strings.Compare(a.Name, b.Name) })
	var text bytes.Buffer
	text.WriteString("package filter\n\nimport \"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp\"\n\n" +
		"func register(programs map[string]precompiledseccomp.Program) {\n")
	for _, p := range programs {
		text.WriteString(p.Registration("\t", "precompiledseccomp", "programs"))
	}
	text.WriteString("}\n")
	source, err := format.Source(text.Bytes())
	if err != nil {
		return fmt.Errorf("format system call filters for %s: %w", dir, err)
	}
	return os.WriteFile(filepath.Join(dir, "programs_"+runtime.GOARCH+".go"), source, 0o644)
}
