//go:build linux && !amd64

package main

import "golang.org/x/sys/unix"

func int80() (int, bool) { return 0, false }

func x32() (int, bool) { return 0, false }

// ports: no other processor has such.
func ports(string) (string, error) { return "", unix.ENOSYS }
