package crash

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// census is what the machine carries for a server: equal ones mean that nothing
// was left.
type census struct {
	// Processes are those below this test, by name; it inherits orphans.
	Processes map[string]int
	// Namespaces are those of these processes that are not the test's own, by
	// kind.
	Namespaces map[string]int
	// Mounts of the machine that have to do with the data directory, or hold a
	// namespace alive.
	Mounts []string
	// Links are the machine's network interfaces.
	Links []string
}

// take counts now. Zombies that the server left to us are buried first.
func take(t *testing.T, dataDir string, server int) census {
	t.Helper()
	c := census{Processes: map[string]int{}, Namespaces: map[string]int{}}
	own := namespaces("self")
	seen := map[string]bool{}
	for _, p := range below(os.Getpid()) {
		if p.state == "Z" && p.pid != server && p.parent == os.Getpid() {
			_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil) // an orphan of the server
			continue
		}
		c.Processes[p.name]++
		for kind, id := range namespaces(strconv.Itoa(p.pid)) {
			if id != own[kind] && !seen[id] {
				seen[id] = true
				c.Namespaces[kind]++
			}
		}
	}
	c.Mounts = mounts(t, func(line string) bool {
		return strings.Contains(line, dataDir) || strings.Contains(line, " nsfs ")
	})
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		c.Links = append(c.Links, l.Name)
	}
	slices.Sort(c.Links)
	return c
}

// same tells how two differ.
func (c census) same(want census) error {
	if maps.Equal(c.Processes, want.Processes) && maps.Equal(c.Namespaces, want.Namespaces) &&
		slices.Equal(c.Mounts, want.Mounts) && slices.Equal(c.Links, want.Links) {
		return nil
	}
	return fmt.Errorf("there is %+v, want %+v", c, want)
}

// rests tells how a server differs from one that is idle, or that has made
// snapshots since: those start the supervisor of sandboxes, which stays.
func (c census) rests(idle census) error {
	want := idle
	if c.Processes["outcrop-sandbox"] == 1 {
		want.Processes, want.Namespaces = maps.Clone(idle.Processes), maps.Clone(idle.Namespaces)
		want.Processes["outcrop-sandbox"] = 1
		for kind := range c.Namespaces {
			want.Namespaces[kind] = 1
		}
	}
	return c.same(want)
}

// quiet waits until the last sandbox is gone to its last process, which may be a
// moment after its session: nothing runs but the server and the supervisor.
func (r *rig) quiet(t *testing.T) {
	t.Helper()
	eventually(t, recovery, func() error {
		if c := take(t, r.DataDir, r.Cmd.Process.Pid); c.processes() != 2 {
			return fmt.Errorf("there is still %+v", c)
		}
		return nil
	})
}

func (c census) processes() int {
	n := 0
	for _, some := range c.Processes {
		n += some
	}
	return n
}

// process is a line of the process table.
type process struct {
	pid, parent int
	name, state string
}

// below lists the descendants of a process.
func below(root int) []process {
	children := map[int][]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, file := range dirs {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		text := string(b)
		begin, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
		fields := strings.Fields(text[end+1:])
		pid, _ := strconv.Atoi(strings.TrimSpace(text[:begin]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], process{pid, parent, text[begin+1 : end], fields[0]})
	}
	var out []process
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		for _, p := range children[todo[0]] {
			out, todo = append(out, p), append(todo, p.pid)
		}
	}
	return out
}

// namespaces are the ids of a process's namespaces by kind.
func namespaces(pid string) map[string]string {
	out := map[string]string{}
	for _, kind := range []string{"net", "pid", "mnt", "user", "ipc", "uts"} {
		if id, err := os.Readlink("/proc/" + pid + "/ns/" + kind); err == nil {
			out[kind] = id
		}
	}
	return out
}

// mounts are the lines of this process's mount table that match, without their
// numbers.
func mounts(t *testing.T, match func(line string) bool) []string {
	t.Helper()
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if match(lines.Text()) {
			out = append(out, strings.Join(strings.Fields(lines.Text())[3:], " "))
		}
	}
	slices.Sort(out)
	return out
}
