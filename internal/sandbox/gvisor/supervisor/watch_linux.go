package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/urpc"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// A guest's memory is that of one file in memory, which its kernel (the sandbox's
// process) allocates from, and what that kernel needs itself, such as buffers of
// pipes and sockets. What the guest mounts as tmpfs, in whichever namespace, lies
// in the same file. Text is the executable's and shared by all sandboxes: it does
// not count.

// What a sandbox's control server understands, as in gVisor's runsc/boot.
const (
	memoryFile = "Usage.UsageFD"
	guestEvent = "containerManager.Event"
)

// Between two looks a guest can take this much at most, in bytes a second: what
// was seen of a processor that does nothing else, doubled. The nearer to its limit
// it is, the sooner the next look; nearer than shortestLook costs more than it
// saves.
const (
	memoryRate   = 8 << 30
	diskRate     = 4 << 30
	shortestLook = 5 * time.Millisecond
)

// A watch looks at a guest until it is stopped, and kills it for what exceeds its
// limits.
type watch struct {
	g      *guest
	limits wire.Limits
	pid    int
	memory *os.File // the guest's; nil if it could not be had
	page   int64
	discs  []*volume
	files  []*os.File   // of the disk, in which the guest's own file systems lie
	tables atomic.Int64 // see countTables
	stop   chan struct{}
	ended  chan struct{}
}

// usageFileArgs are control.MemoryUsageFileOpts.
type usageFileArgs struct {
	Version uint64 `json:"Version"`
}

// usageFiles are control.MemoryUsageFile: what the kernel says of its memory, and
// the memory.
type usageFiles struct {
	urpc.FilePayload
}

// watchOver begins to look at the guest whose sandbox has the pid.
func (g *guest) watchOver(pid int, l wire.Limits) {
	w := &watch{
		g: g, limits: l, pid: pid, page: int64(os.Getpagesize()), discs: g.volumes,
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	var files usageFiles
	if err := controlFor(callTimeout, g.id, memoryFile, &usageFileArgs{Version: 1}, &files); err == nil {
		for i, f := range files.Files {
			if i == 1 {
				w.memory = f
			} else {
				f.Close()
			}
		}
	}
	w.files = filestores(pid)
	g.mu.Lock()
	g.watch = w
	g.mu.Unlock()
	go w.run()
}

// unwatch ends the looking. The guest's memory is given back with it.
func (g *guest) unwatch() {
	g.mu.Lock()
	w := g.watch
	g.watch = nil
	g.mu.Unlock()
	if w == nil {
		return
	}
	close(w.stop)
	<-w.ended
	if w.memory != nil {
		w.memory.Close()
	}
	for _, f := range w.files {
		f.Close()
	}
}

// filestores are the files of disksDir that a sandbox's process has open: they have
// lost their names, and are found by what these were.
func filestores(pid int) (all []*os.File) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	seen := map[uint64]bool{}
	for _, link := range links {
		path, err := os.Readlink(link)
		name := filepath.Base(path)
		if err != nil || !strings.HasPrefix(name, wire.RootFile) && !strings.HasPrefix(name, wire.TmpFile) {
			continue
		}
		fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		f := os.NewFile(uintptr(fd), name)
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || seen[st.Ino] {
			f.Close()
			continue
		}
		seen[st.Ino] = true
		all = append(all, f)
	}
	return all
}

func (w *watch) run() {
	defer close(w.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-timer.C:
		}
		next, over := w.look()
		if over != "" {
			w.g.exceed(over)
			return
		}
		timer.Reset(next)
	}
}

// look tells when to look again, or which limit is exceeded.
func (w *watch) look() (next time.Duration, over wire.Excess) {
	next = sandbox.WatchInterval
	if group := w.g.group; group != nil {
		if group.Kills() > 0 { // what is left of the sandbox is of no use
			return 0, wire.OverMemory
		}
	} else if w.limits.Memory > 0 {
		left := w.limits.Memory - w.used()
		if left <= 0 {
			return 0, wire.OverMemory
		}
		next = soon(left, memoryRate)
	}
	for _, v := range w.discs {
		left, bounded := v.left()
		if bounded && left <= 0 {
			return 0, wire.OverVolume
		}
		if bounded {
			next = min(next, soon(left, diskRate))
		}
	}
	return next, ""
}

// soon is when what is left may be taken at the earliest, within bounds.
func soon(left, rate int64) time.Duration {
	return min(max(time.Duration(float64(left)/float64(rate)*float64(time.Second)), shortestLook), sandbox.WatchInterval)
}

// used is the sandbox's memory in bytes.
func (w *watch) used() int64 {
	var st unix.Stat_t
	var file int64
	if w.memory != nil && unix.Fstat(int(w.memory.Fd()), &st) == nil {
		file = st.Blocks * 512
	}
	return file + anonymous(w.pid, w.page) + w.tables.Load()
}

// onDisk is what the guest's own file systems have on the disk, in bytes.
func (w *watch) onDisk() (sum int64) {
	for _, f := range w.files {
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) == nil {
			sum += st.Blocks * 512
		}
	}
	return sum
}

// anonymous is the memory of a process that no file has, in bytes.
func anonymous(pid int, page int64) int64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return 0
	}
	return statm(string(text)) * page
}

// statm is the difference of resident and shared pages (proc_pid_statm(5)).
func statm(text string) int64 {
	f := strings.Fields(text)
	if len(f) < 3 {
		return 0
	}
	resident, err1 := strconv.ParseInt(f[1], 10, 64)
	shared, err2 := strconv.ParseInt(f[2], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return max(0, resident-shared)
}

// exceed kills the guest for a limit.
func (g *guest) exceed(over wire.Excess) {
	g.mu.Lock()
	if g.over == "" {
		g.over = over
	}
	g.mu.Unlock()
	g.kill()
}

// event is boot.EventOut, as far as it is needed.
type event struct {
	Event struct {
		Data struct {
			Pids struct {
				Current int `json:"current"`
			} `json:"pids"`
		} `json:"data"`
	} `json:"event"`
	ContainerUsage map[string]uint64 `json:"containerUsage"`
}

// usage is what of Measured is not the network's. What cannot be had is as it was.
func (g *guest) usage(last wire.Measured) wire.Measured {
	g.mu.Lock()
	w := g.watch
	g.mu.Unlock()
	if w == nil {
		return last
	}
	if n := w.used(); n > 0 {
		last.Memory = n
	}
	last.Disk = w.onDisk()
	var e event
	if err := controlFor(callTimeout, g.id, guestEvent, &g.id, &e); err != nil {
		return last
	}
	last.Processes = e.Event.Data.Pids.Current
	var cpu time.Duration
	for _, n := range e.ContainerUsage {
		cpu += time.Duration(n)
	}
	last.CPU = max(last.CPU, cpu)
	return last
}
