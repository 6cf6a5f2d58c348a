package server

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a process takes.
type Usage struct {
	// Files are its open descriptors, Memory its resident bytes.
	Files  int
	Memory int64
}

var resident = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// UsageOf looks at a process, without those that it started.
func UsageOf(pid int) (u Usage, err error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return u, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	m := resident.FindSubmatch(status)
	if m == nil {
		return u, fmt.Errorf("process %d has no VmRSS", pid)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	return Usage{Files: len(fds), Memory: kib << 10}, err
}

// Usage is what the server takes.
func (s *Server) Usage() Usage {
	s.t.Helper()
	u, err := UsageOf(s.Cmd.Process.Pid)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

var goroutine = regexp.MustCompile(`(?m)^goroutine \d+ `)

// Goroutines has the server print them, which ends it, and counts them by what began them.
func (s *Server) Goroutines() (all int, begun map[string]int) {
	s.t.Helper()
	if err := s.End(syscall.SIGQUIT, 30*time.Second); err == nil {
		s.t.Fatal("SIGQUIT ended the server with status 0")
	}
	begun = map[string]int{}
	for line := range strings.Lines(s.Log()) {
		if rest, ok := strings.CutPrefix(line, "created by "); ok {
			name, _, _ := strings.Cut(rest, " ")
			begun[strings.TrimSpace(name)]++
		}
	}
	if all = len(goroutine.FindAllString(s.Log(), -1)); all == 0 {
		s.t.Fatalf("the server did not print its goroutines:\n%s", s.Log())
	}
	return all, begun
}
