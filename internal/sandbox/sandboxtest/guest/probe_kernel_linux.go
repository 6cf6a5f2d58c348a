package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelProbes are system calls that change a machine or look into its kernel. Their
// arguments do no harm where they are not refused: what is loaded, mounted or
// swapped does not exist, times are the present ones.
var kernelProbes = map[string]probe{
	"bpf": func(string) (string, error) { return call(unix.SYS_BPF, 0, zeros(), 128) }, // BPF_MAP_CREATE
	"perf": func(string) (string, error) {
		return call(unix.SYS_PERF_EVENT_OPEN, perfEvent(), 0, -1, -1, 0)
	},
	"userfaultfd":   func(string) (string, error) { return call(unix.SYS_USERFAULTFD, 0) },
	"io_uring":      func(string) (string, error) { return call(unix.SYS_IO_URING_SETUP, 1, zeros()) },
	"add_key":       addKey,
	"keyctl":        func(string) (string, error) { return call(unix.SYS_KEYCTL, 0, -4, 1) }, // the user's keyring
	"kexec":         func(string) (string, error) { return call(unix.SYS_KEXEC_LOAD, 0, 0, 0, -1) },
	"init_module":   func(string) (string, error) { return call(unix.SYS_INIT_MODULE, zeros(), 64, zeros()) },
	"finit_module":  func(string) (string, error) { return call(unix.SYS_FINIT_MODULE, -1, zeros(), 0) },
	"delete_module": func(string) (string, error) { return call(unix.SYS_DELETE_MODULE, text("outcrop-probe"), 0) },
	"reboot":        func(string) (string, error) { return call(unix.SYS_REBOOT, 1, 2, 3) }, // no magic
	"settimeofday":  setTime,
	"clock_settime": setClock,
	"adjtimex": func(string) (string, error) {
		_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &unix.Timex{Modes: 1, Offset: 0})
		return "the clock", err
	},
	"sethostname":   func(string) (string, error) { return "its own", unix.Sethostname([]byte("probed")) },
	"setdomainname": func(string) (string, error) { return "its own", unix.Setdomainname([]byte("probed")) },
	"quotactl": func(string) (string, error) {
		return call(unix.SYS_QUOTACTL, 0x800002<<8, text("/dev/none"), 0, zeros())
	},
	"swapon":       func(string) (string, error) { return call(unix.SYS_SWAPON, text("/tmp/none"), 0) },
	"swapoff":      func(string) (string, error) { return call(unix.SYS_SWAPOFF, text("/tmp/none")) },
	"acct":         func(string) (string, error) { return "accounting", unix.Acct("/tmp/none") },
	"iopl":         ports,
	"syslog":       kernelLog,
	"clear-syslog": func(string) (string, error) { return call(unix.SYS_SYSLOG, 5, 0, 0) },
	"vhangup":      func(string) (string, error) { return call(unix.SYS_VHANGUP) },
	"fanotify": func(string) (string, error) {
		fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT, 0)
		return fmt.Sprint(fd), err
	},
	"lookup_dcookie": func(string) (string, error) { return call(unix.SYS_LOOKUP_DCOOKIE, 1, zeros(), 64) },
	"memfd_secret":   func(string) (string, error) { return call(unix.SYS_MEMFD_SECRET, 0) },
	"unshare":        unshare, // FLAGS, in hexadecimal
	"setns":          setNS,   // a namespace of process 1
	"unmapped-user":  unmappedUser,
	"int80":          otherABI(int80),
	"x32":            otherABI(x32),
	"nice":           func(string) (string, error) { return "a higher priority", unix.Setpriority(unix.PRIO_PROCESS, 0, -20) },
	"realtime":       func(string) (string, error) { return call(unix.SYS_SCHED_SETSCHEDULER, 0, 1, prio()) },
	"rlimit": func(string) (string, error) {
		return "a higher limit", unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: 1 << 30, Max: 1 << 30})
	},
	"mlock": func(string) (string, error) {
		return "locked", unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 1 << 40, Max: 1 << 40})
	},
	"exec-setuid":       execSetuid,
	"file-capabilities": fileCapabilities,
	"uname": func(string) (string, error) {
		var u unix.Utsname
		err := unix.Uname(&u)
		return unix.ByteSliceToString(u.Nodename[:]) + " " + unix.ByteSliceToString(u.Release[:]), err
	},
	"uptime":      uptime,
	"environment": environment,
}

// call makes a system call and tells what it returned. Its arguments are numbers, and
// bytes that the kernel is told the address of.
func call(nr uintptr, args ...any) (string, error) {
	var a [6]uintptr
	for i, arg := range args {
		switch v := arg.(type) {
		case int:
			a[i] = uintptr(v)
		case []byte:
			a[i] = uintptr(unsafe.Pointer(&v[0]))
		}
	}
	r, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	runtime.KeepAlive(args)
	if e != 0 {
		return "", e
	}
	return fmt.Sprint("it returned ", int(r)), nil
}

func zeros() []byte { return make([]byte, 4096) }

func text(s string) []byte { return append([]byte(s), 0) }

func prio() []byte { return []byte{1, 0, 0, 0} }

// perfEvent asks for the machine's context switches.
func perfEvent() []byte {
	b := make([]byte, 128)
	b[0], b[4], b[8] = 1, 112, 3
	return b
}

func addKey(string) (string, error) {
	return call(unix.SYS_ADD_KEY, text("user"), text("outcrop-probe"), text("x"), 1, -4)
}

func setTime(string) (string, error) {
	now := unix.NsecToTimeval(time.Now().UnixNano())
	return "the clock", unix.Settimeofday(&now)
}

func setClock(string) (string, error) {
	now := unix.NsecToTimespec(time.Now().UnixNano())
	b := make([]byte, 16)
	binary.NativeEndian.PutUint64(b, uint64(now.Sec))
	binary.NativeEndian.PutUint64(b[8:], uint64(now.Nsec))
	return call(unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, b)
}

func kernelLog(string) (string, error) {
	buf := make([]byte, 1<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(buf[:n]), "gVisor") {
		return fmt.Sprintf("%d bytes of another kernel's", n), nil
	}
	return "the sandbox's own", nil
}

func unshare(arg string) (string, error) {
	var flags int
	if _, err := fmt.Sscanf(arg, "%x", &flags); err != nil {
		return "", err
	}
	runtime.LockOSThread()
	return "its own", unix.Unshare(flags)
}

func setNS(kind string) (string, error) {
	runtime.LockOSThread()
	fd, err := unix.Open("/proc/1/ns/"+kind, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	return "that of process 1", unix.Setns(fd, 0)
}

// unmappedUser becomes somebody else by a user namespace that maps whom this process
// is not. The argument is the id wanted outside.
func unmappedUser(id string) (string, error) {
	outside := number(id)
	cmd := exec.Command("/proc/self/exe", "env")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: outside, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: outside, Size: 1}},
	}
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first, nil
}

// otherABI asks for this process's id the way of another architecture.
func otherABI(getpid func() (int, bool)) probe {
	return func(string) (string, error) {
		pid, ok := getpid()
		switch {
		case !ok:
			return "", errors.New("there is no such way")
		case pid == os.Getpid():
			return "the sandbox's own answer", nil
		case pid < 0 && pid > -4096:
			return "", syscall.Errno(-pid)
		}
		return fmt.Sprint("an answer of somebody else: ", pid), nil
	}
}

func execSetuid(string) (string, error) {
	path := fmt.Sprintf("/tmp/setuid-%d", os.Getpid())
	data, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(path, data, 0o755)
	}
	if err == nil {
		err = os.Chmod(path, 0o755|os.ModeSetuid)
	}
	if err != nil {
		return "", err
	}
	defer os.Remove(path)
	cmd := exec.Command(path, "env")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4321, Gid: 4321}}
	}
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	if strings.Contains(string(out), "effective uid=0 ") {
		return "root by its file", nil
	}
	return "", errors.New("it stays who it was")
}

func fileCapabilities(string) (string, error) {
	path := fmt.Sprintf("/tmp/capable-%d", os.Getpid())
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		return "", err
	}
	defer os.Remove(path)
	all := make([]byte, 20) // VFS_CAP_REVISION_2, effective, everything permitted
	all[0], all[3] = 1, 2
	for i := 4; i < 20; i++ {
		all[i] = 0xff
	}
	return "all capabilities", unix.Setxattr(path, "security.capability", all, 0)
}

// uptime tells whether the machine has been up for longer than this sandbox.
func uptime(string) (string, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return "", err
	}
	if time.Duration(ts.Nano()) > 10*time.Minute {
		return "the machine's", nil
	}
	return "the sandbox's own", nil
}

// environment looks for a text in the environment of every process that it sees.
func environment(marker string) (string, error) {
	var found []string
	processes, _ := os.ReadDir("/proc")
	for _, p := range processes {
		for _, name := range []string{"environ", "spec_environ"} { // the latter is in /proc/gvisor
			if data, err := os.ReadFile("/proc/" + p.Name() + "/" + name); err == nil && strings.Contains(string(data), marker) {
				found = append(found, p.Name()+"/"+name)
			}
		}
	}
	return some(found)
}
