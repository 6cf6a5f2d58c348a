//go:build outcrop_sandbox

// Command outcrop-sandbox is what runs sandboxes: gVisor's runsc and Outcrop's
// supervisor in one static executable. The outcrop program carries it inside
// and starts it; it is not meant to be run by hand.
//
// tools/embedsandbox builds it, with the tag outcrop_sandbox: it needs a gVisor
// with repairs, so that `go build ./...` must not make one without.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gvisor.dev/gvisor/runsc/cli/maincli"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/supervisor"
)

func main() {
	// gVisor starts its own parts by executing itself, under a name that
	// begins with runsc or as what it found itself to be.
	if name := os.Args[0]; strings.HasPrefix(filepath.Base(name), "runsc") || name == "/proc/self/exe" {
		maincli.Main()
		return
	}
	if len(os.Args) != 2 || os.Args[1] != "supervise" {
		fmt.Fprintln(os.Stderr, "outcrop-sandbox is a part of outcrop, which starts it by itself")
		os.Exit(2)
	}
	if err := supervisor.Run(os.NewFile(supervisor.ControlFD, "control")); err != nil {
		fmt.Fprintln(os.Stderr, "outcrop-sandbox: supervise:", err)
		os.Exit(1)
	}
}
