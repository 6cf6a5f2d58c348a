//go:build !linux

package gvisor

import (
	"context"
	"runtime"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// New returns an *sandbox.UnavailableError: sandboxes need Linux.
func New(Config) (sandbox.Engine, error) { return nil, needsLinux() }

// Probe says that sandboxes need Linux.
func Probe(context.Context, Config) []Finding {
	err := needsLinux()
	return []Finding{{Name: "operating system", Detail: err.Reason, Fix: err.Fix}}
}

// Rehearse says that sandboxes need Linux.
func Rehearse(context.Context, Config) Finding {
	err := needsLinux()
	return Finding{Name: "save and resume", Detail: err.Reason, Fix: err.Fix}
}

func needsLinux() *sandbox.UnavailableError {
	return &sandbox.UnavailableError{
		Reason: "sandboxes need Linux, and this is " + runtime.GOOS,
		Fix:    "run the server in a Linux machine: Lima (limactl start) on macOS, WSL2 (wsl --install) on Windows",
	}
}
