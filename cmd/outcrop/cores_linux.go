package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// refuseCores has the kernel write no memory of this process down when it crashes,
// nor of any that it starts, sandboxes included: there is what secrets are opened to.
// Both settings outlast fork and exec (core(5)). The limit of 0 bytes is for files;
// a program that the kernel pipes cores to is told of it and need not follow, so the
// filter leaves out all of the memory besides. PR_SET_DUMPABLE would do neither
// beyond an exec, and keep an ordinary user from mapping users of a namespace.
func refuseCores() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("turn core dumps off: %w", err)
	}
	err := os.WriteFile("/proc/self/coredump_filter", []byte("0"), 0)
	if os.IsNotExist(err) { // a kernel that writes no cores at all
		return nil
	}
	if err != nil {
		return fmt.Errorf("turn core dumps off: %w", err)
	}
	return nil
}
