package index

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxMemory bounds the data of an installer, in bytes: pip has a hundred megabytes,
// uv maps more than it uses.
const maxMemory = 2 << 30

// Bounded runs a command that dies with us, in a process group of its own that is
// killed as a whole, and with bounds on memory and the size of files. They are set on
// the running process, long before an interpreter has read its first module.
func Bounded(cmd *exec.Cmd, size int64) error {
	// The death signal comes when the thread ends that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		return err
	}
	for resource, limit := range map[int]int64{unix.RLIMIT_DATA: maxMemory, unix.RLIMIT_FSIZE: size, unix.RLIMIT_CORE: 0} {
		if limit == 0 && resource != unix.RLIMIT_CORE {
			continue
		}
		// One that has ended already needs no bound; Wait tells why.
		_ = unix.Prlimit(cmd.Process.Pid, resource, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}, nil)
	}
	return cmd.Wait()
}
