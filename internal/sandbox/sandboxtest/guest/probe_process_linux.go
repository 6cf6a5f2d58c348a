package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processProbes are about processes that are not the guest's. The argument is the id
// of one of the machine's.
var processProbes = map[string]probe{
	"processes":        processes,
	"proc-of":          func(pid string) (string, error) { return look("/proc/" + pid) },
	"signal":           func(pid string) (string, error) { return "a signal", unix.Kill(number(pid), 0) },
	"signal-all":       signalAll,
	"ptrace":           func(pid string) (string, error) { return "attached", unix.PtraceAttach(number(pid)) },
	"process_vm_readv": readMemory,
	"process_madvise":  func(pid string) (string, error) { return call(unix.SYS_PIDFD_OPEN, number(pid), 0) },
	"pidfd_getfd":      stealFD,
	"kcmp":             func(pid string) (string, error) { return call(unix.SYS_KCMP, number(pid), os.Getpid(), 0, 0, 0) },
	"prlimit": func(pid string) (string, error) {
		return "its limits", unix.Prlimit(number(pid), unix.RLIMIT_NOFILE, nil, &unix.Rlimit{})
	},
	"priority": func(pid string) (string, error) {
		_, err := unix.Getpriority(unix.PRIO_PROCESS, number(pid))
		return "its priority", err
	},
	"affinity": func(pid string) (string, error) {
		var set unix.CPUSet
		return "its processors", unix.SchedGetaffinity(number(pid), &set)
	},
	"migrate_pages": func(pid string) (string, error) {
		return call(unix.SYS_MIGRATE_PAGES, number(pid), 64, zeros(), zeros())
	},
	"move_pages":         func(pid string) (string, error) { return call(unix.SYS_MOVE_PAGES, number(pid), 0, 0, 0, 0, 0) },
	"get_robust_list":    func(pid string) (string, error) { return call(unix.SYS_GET_ROBUST_LIST, number(pid), zeros(), zeros()) },
	"memory-of-others":   memoryOfOthers,
	"signal-by-terminal": injectTerminal,
}

// foreign tells whether a process is none of this program, and what it is.
func foreign(pid string) (string, bool) {
	line, err := os.ReadFile("/proc/" + pid + "/cmdline")
	for try := 0; err == nil && len(line) == 0 && try < 10; try++ { // it is just being made, or it has ended
		time.Sleep(20 * time.Millisecond)
		line, err = os.ReadFile("/proc/" + pid + "/cmdline")
	}
	if err != nil {
		return "", false // it has ended
	}
	for _, own := range []string{"guest\x00", "agent\x00", "/proc/self/exe\x00", "/tmp/setuid-"} {
		if strings.Contains(string(line), own) {
			return "", false
		}
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil || strings.Contains(string(status), "State:\tZ") {
		return "", false // a child of ours that nobody has asked for yet
	}
	return pid + "=" + strings.ReplaceAll(string(line), "\x00", "_"), true
}

func processes(string) (string, error) {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		if what, ok := foreign(filepath.Base(p)); ok {
			found = append(found, what)
		}
	}
	return some(found)
}

// signalAll sends nothing to everybody whom it may reach.
func signalAll(string) (string, error) {
	var found []string
	for pid := 1; pid < 70_000; pid++ {
		if unix.Kill(pid, 0) != nil {
			continue
		}
		if what, ok := foreign(fmt.Sprint(pid)); ok {
			found = append(found, what)
		}
	}
	return some(found)
}

func readMemory(pid string) (string, error) {
	buf := make([]byte, 16)
	local := []unix.Iovec{{Base: &buf[0], Len: 16}}
	n, err := unix.ProcessVMReadv(number(pid), local, []unix.RemoteIovec{{Base: 0x400000, Len: 16}}, 0)
	return fmt.Sprint(n, " bytes"), err
}

func stealFD(pid string) (string, error) {
	fd, err := unix.PidfdOpen(number(pid), 0)
	if err != nil {
		return "", err
	}
	got, err := unix.PidfdGetfd(fd, 1, 0)
	return fmt.Sprint(got), err
}

// memoryOfOthers opens the memory of every process that is not this program's.
func memoryOfOthers(string) (string, error) {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*/mem")
	for _, p := range all {
		if f, err := os.OpenFile(p, os.O_RDWR, 0); err == nil {
			f.Close()
			if _, ok := foreign(filepath.Base(filepath.Dir(p))); ok {
				found = append(found, p)
			}
		}
	}
	return some(found)
}

// injectTerminal types into the terminal that the sandbox's maker may have left.
func injectTerminal(string) (string, error) {
	for fd := range 3 {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSTI, 'x'); err == nil {
			return fmt.Sprint("descriptor ", fd), nil
		}
	}
	if f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		f.Close()
		return "/dev/tty", nil
	}
	return "", errors.New("there is no terminal")
}

// difficult is a first process that makes it hard to be rid of it.
func difficult(how string) int {
	switch how {
	case "stopped": // stops itself
		fmt.Println("ready")
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "silent": // closes its output
		fmt.Println("ready")
		_ = os.Stdin.Close()
		_ = os.Stdout.Close()
		_ = os.Stderr.Close()
	case "orphans": // leaves children behind that hold its output
		for range 5 {
			if _, e := fork(); e != 0 {
				return 1
			}
		}
		fmt.Println("ready")
		return 0
	case "zombies": // never asks how its children ended
		for range 500 {
			pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
			if e == 0 && pid == 0 {
				_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
			}
		}
		fmt.Println("ready")
	case "groups": // children in sessions of their own, deaf to SIGTERM
		for range 20 {
			pid, e := fork()
			if e == 0 {
				_ = syscall.Setpgid(pid, pid)
			}
		}
		fmt.Println("ready")
	}
	forever()
	return 0
}
