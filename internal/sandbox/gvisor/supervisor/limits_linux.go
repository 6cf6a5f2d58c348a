package supervisor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// maxHostFiles bounds what a sandbox's process and its file server may have open
// of the host, each. A guest's own pipes and sockets are not of the host.
const maxHostFiles = 64 << 10

// leastVisible is how many processors a guest counts at least. Some programs do
// without locks where there is one, and a quota is not one (as in runsc/sandbox).
const leastVisible = 2

// rlimits are the bounds that the guest's own kernel holds.
func rlimits(l wire.Limits) []specs.POSIXRlimit {
	var all []specs.POSIXRlimit
	if l.OpenFiles > 0 {
		all = append(all, specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: l.OpenFiles, Hard: l.OpenFiles})
	}
	if l.Processes > 0 {
		all = append(all, specs.POSIXRlimit{Type: "RLIMIT_NPROC", Soft: l.Processes, Hard: l.Processes})
	}
	return all
}

// visible are the annotations, of a repair, that say how much a guest sees of the
// machine: as much as it may use.
func visible(l wire.Limits) map[string]string {
	all := map[string]string{}
	if l.Memory > wire.OverheadBytes {
		all["outcrop.memory"] = strconv.FormatInt(l.Memory-wire.OverheadBytes, 10)
	}
	if l.Visible > 0 {
		all["outcrop.processors"] = strconv.Itoa(l.Visible)
	}
	return all
}

// confine makes the guest's control group, or chooses its processors where there
// are none.
func (s *supervisor) confine(g *guest, l *wire.Limits) error {
	if s.groups.Any() {
		group, err := s.groups.New(g.id, l.Memory, l.CPUs)
		if err != nil {
			return err
		}
		g.group = group
	}
	if l.CPUs <= 0 {
		return nil
	}
	n := int(math.Ceil(min(l.CPUs, math.MaxInt32)))
	if !s.groups.BoundsCPU {
		g.processors = s.processors.take(n)
	} else if n = max(n, leastVisible); n < len(allowed()) {
		l.Visible = n
	}
	return nil
}

// release gives back what confine took. It is called when the guest's processes
// have ended.
func (s *supervisor) release(g *guest) {
	if g.group != nil {
		_ = g.group.Close() // the engine removes what is left
	}
	s.processors.give(g.processors)
}

// spawn starts a program that is confined as g is from its first instruction.
func (s *supervisor) spawn(g *guest, path string, argv []string, attr *syscall.ProcAttr) (pid int, exited <-chan syscall.WaitStatus, err error) {
	born := g.group != nil && g.group.Directory() != nil
	if born {
		sys := *attr.Sys
		sys.UseCgroupFD, sys.CgroupFD = true, int(g.group.Directory().Fd())
		attr.Sys = &sys
	}
	if (born || g.group == nil) && g.processors == nil {
		return s.reaper.start(path, argv, attr)
	}
	cgroup.Aside(func() {
		if g.group != nil && !born {
			err = g.group.Enter()
		}
		if err == nil && g.processors != nil {
			err = setAffinity(g.processors)
		}
		if err == nil {
			pid, exited, err = s.reaper.start(path, argv, attr)
		}
	})
	return pid, exited, err
}

func setAffinity(processors []int) error {
	var set unix.CPUSet
	for _, p := range processors {
		set.Set(p)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bind sandbox to processors %v: %w", processors, err)
	}
	return nil
}

// processors hands out the machine's processors, the least used first.
type processors struct {
	mu   sync.Mutex
	used map[int]int // guests by processor; nil before the first
}

// take chooses n, or none when there are no more than n: nothing is bounded then.
func (p *processors) take(n int) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == nil {
		p.used = allowed()
	}
	if n >= len(p.used) {
		return nil
	}
	var all []int
	for processor := range p.used {
		all = append(all, processor)
	}
	slices.SortFunc(all, func(a, b int) int { return cmp.Or(cmp.Compare(p.used[a], p.used[b]), cmp.Compare(a, b)) })
	for _, processor := range all[:n] {
		p.used[processor]++
	}
	return all[:n]
}

func (p *processors) give(all []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, processor := range all {
		p.used[processor]--
	}
}

// allowed are the processors that this process may use.
func allowed() map[int]int {
	used := map[int]int{}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return used
	}
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			used[i] = 0
		}
	}
	return used
}

// excess tells which limit the guest was killed for, if any.
func (g *guest) excess() wire.Excess {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over == "" && g.group != nil && g.group.Kills() > 0 {
		return wire.OverMemory
	}
	return g.over
}
