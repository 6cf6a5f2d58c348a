package server

import (
	"os/exec"
	"runtime"
	"syscall"
)

// spawn starts cmd so that it dies with the test program, however that ends: one
// that exceeds its time runs no cleanup. The death signal comes when the thread
// that started the process ends, so that thread stays until over is closed.
func spawn(cmd *exec.Cmd, over <-chan struct{}) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			<-over
		}
	}()
	return <-started
}
