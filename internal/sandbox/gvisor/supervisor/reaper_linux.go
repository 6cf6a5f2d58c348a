package supervisor

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// A reaper collects every child of the first process of a pid namespace: those
// it started and the orphans it inherits, which is what sandboxes are once the
// runsc that made them has exited.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
	// early keeps the ends of orphans while holds > 0: a sandbox may be over
	// before the one who started it knows its pid.
	early map[int]syscall.WaitStatus
	holds int
}

func newReaper() *reaper {
	return &reaper{waiting: map[int]chan syscall.WaitStatus{}, early: map[int]syscall.WaitStatus{}}
}

// run collects children until stop is closed.
func (r *reaper) run(stop <-chan struct{}) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		r.collect()
		select {
		case <-ended:
		case <-stop:
			return
		}
	}
}

// collect reaps what has ended so far.
func (r *reaper) collect() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		r.mu.Lock()
		if c, ok := r.waiting[pid]; ok {
			delete(r.waiting, pid)
			c <- status
		} else if r.holds > 0 {
			r.early[pid] = status
		}
		r.mu.Unlock()
	}
}

// start runs a program. The channel gets its status.
func (r *reaper) start(path string, argv []string, attr *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	// Under the lock, so that a child that ends at once finds its channel.
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, nil, err
	}
	return pid, r.await(pid), nil
}

// hold makes the reaper remember the ends of orphans until release is called.
func (r *reaper) hold() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.holds--; r.holds == 0 {
			clear(r.early)
		}
	}
}

// adopt returns the channel that gets the status of a child or future orphan.
// The caller holds.
func (r *reaper) adopt(pid int) <-chan syscall.WaitStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.await(pid)
}

// await is adopt under the lock.
func (r *reaper) await(pid int) <-chan syscall.WaitStatus {
	c := make(chan syscall.WaitStatus, 1)
	if status, ok := r.early[pid]; ok {
		delete(r.early, pid)
		c <- status
		return c
	}
	r.waiting[pid] = c
	return c
}
