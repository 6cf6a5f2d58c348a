//go:build !linux

package main

import "github.com/outcrop/outcrop/internal/cli"

// wire leaves the server out: sandboxes need Linux.
func wire(*cli.Program) {}
