package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// machine says in general what this runs on. Sandboxes use no KVM, where there is
// one.
func machine() string {
	total, _ := procField("/proc/meminfo", "MemTotal") // 0 tells that it is unknown
	user := "an ordinary user"
	if os.Geteuid() == 0 {
		user = "root"
	}
	return fmt.Sprintf("%d cores, %d GiB, no KVM, %s/%s, as %s", runtime.NumCPU(), (total+1<<29)>>30, runtime.GOOS, runtime.GOARCH, user)
}

// loadAverage is that of the last minute, or 0 where nobody tells.
func loadAverage() float64 {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	load, err := strconv.ParseFloat(strings.Fields(string(raw))[0], 64)
	if err != nil {
		return 0
	}
	return load
}

// procField is a line of a file such as /proc/PID/status, in bytes.
func procField(path, name string) (int64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("read %s: it has no %s", path, name)
}

func residentBytes(pid int) (int64, error) {
	return procField("/proc/"+strconv.Itoa(pid)+"/status", "VmRSS")
}

// family are the processes below one, itself not included.
func family(root int) ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		// The name in parentheses may hold anything.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		children[parent] = append(children[parent], pid)
	}
	var all []int
	for next := children[root]; len(next) > 0; {
		pid := next[0]
		next = append(next[1:], children[pid]...)
		all = append(all, pid)
	}
	return all, nil
}

// shareBytes is what processes take of memory, each page divided among those who
// have it. What cannot be asked is an error: an ordinary user may be refused.
func shareBytes(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		n, err := procField("/proc/"+strconv.Itoa(pid)+"/smaps_rollup", "Pss")
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
