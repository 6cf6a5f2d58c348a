package main

import "golang.org/x/sys/unix"

// int80Call makes a system call as a 32-bit program does.
func int80Call(nr uint32) int32

// int80 is getpid of the 32-bit ABI.
func int80() (int, bool) { return int(int80Call(20)), true }

// x32 is getpid of the ABI of 32-bit pointers. A refusal is a negative number.
func x32() (int, bool) {
	pid, _, e := unix.RawSyscall(0x40000000|unix.SYS_GETPID, 0, 0, 0)
	if e != 0 {
		return -int(e), true
	}
	return int(pid), true
}

// ports asks for the machine's input and output ports.
func ports(string) (string, error) { return "its ports", unix.Iopl(3) }
