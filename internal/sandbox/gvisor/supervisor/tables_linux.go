package supervisor

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Each of a guest's processes has a process of the host, whose page tables are the
// kernel's memory: two thousandths of what it maps. Many processes that share much
// memory have more of them than of it, and where no control group counts them,
// this does.

const (
	tablesInterval = time.Second
	// tablesShare bounds the part of time that counting takes: one in so many.
	tablesShare = 100
)

// countTables tells the watches of guests about page tables until stop is closed.
func (s *supervisor) countTables(stop <-chan struct{}) {
	timer := time.NewTimer(tablesInterval)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		begin := time.Now()
		if watches := s.watches(); len(watches) > 0 {
			all := readProcesses("/proc")
			for _, w := range watches {
				w.tables.Store(tablesBelow(all, w.pid))
			}
		}
		timer.Reset(max(tablesInterval, time.Since(begin)*tablesShare))
	}
}

func (s *supervisor) watches() []*watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*watch
	for _, g := range s.guests {
		g.mu.Lock()
		if g.watch != nil {
			all = append(all, g.watch)
		}
		g.mu.Unlock()
	}
	return all
}

// A hostProcess is one of the host.
type hostProcess struct {
	pid, parent int
	tables      int64 // bytes
}

// readProcesses reads those of this pid namespace by their parents.
func readProcesses(proc string) map[int][]hostProcess {
	all := map[int][]hostProcess{}
	dirs, _ := filepath.Glob(proc + "/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		text, err := os.ReadFile(dir + "/status")
		if err != nil {
			continue // it has ended
		}
		p := hostProcess{pid: pid, parent: int(field(text, "PPid:")), tables: field(text, "VmPTE:") << 10}
		all[p.parent] = append(all[p.parent], p)
	}
	return all
}

// field is a number of /proc/PID/status, or 0.
func field(status []byte, name string) int64 {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			value, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// tablesBelow adds up the page tables of a process's descendants.
func tablesBelow(all map[int][]hostProcess, pid int) int64 {
	var sum int64
	for rest := []int{pid}; len(rest) > 0; {
		last := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		for _, p := range all[last] {
			sum += p.tables
			rest = append(rest, p.pid)
		}
		delete(all, last) // once, whatever the parents say
	}
	return sum
}
