package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// leaf is the group that a server moves into, below the one it was started in: of
// version 2 only groups without processes of their own have bounded ones below.
const leaf = "outcrop-server"

// prefix begins the names of groups that servers make for their sandboxes, which
// go on with the server's pid, the time it started and something random.
const prefix = "outcrop-"

// A Finder looks for a place.
type Finder struct {
	// Root is "" but in tests, where a directory stands for the machine's root.
	Root string
	// Writable tells whether this process may write; nil asks the kernel.
	Writable func(path string) bool
	// PID is this process; 0 asks the kernel.
	PID int
}

// A Place is where groups of sandboxes can be made.
type Place struct {
	// Version is 1 or 2.
	Version int
	// Controllers are those to be had of memory and cpu.
	Controllers []string
	// Unified, Memory and CPU are the server's own groups, or the one above.
	Unified, Memory, CPU string

	finder Finder
	made   []string
}

// A Refusal says why there is no place, and what changes that.
type Refusal struct{ Reason, Fix string }

// Error returns both.
func (r *Refusal) Error() string { return r.Reason + "; " + r.Fix }

// delegate is how one gets a part of the tree of version 2 from systemd.
const delegate = "start it in a unit of its own with a part of the tree: " +
	"systemd-run --user --scope -p Delegate=yes outcrop serve (an ordinary user), or Delegate=yes in the [Service] section of its unit"

// Find looks for a place and changes nothing. Its error is a *Refusal.
func (f Finder) Find() (*Place, error) {
	own, err := f.own()
	if err != nil {
		return nil, &Refusal{Reason: fmt.Sprintf("this process's control groups cannot be read (%v)", err), Fix: "mount /proc and /sys/fs/cgroup"}
	}
	mounts := f.mounts()
	if m, ok := mounts["memory"]; ok {
		return f.old(m.below(own["memory"]), mounts["cpu"].below(own["cpu"]))
	}
	m, ok := mounts[""]
	if !ok {
		return nil, &Refusal{Reason: "no control groups are mounted", Fix: "mount -t cgroup2 none /sys/fs/cgroup (as root), or run the container with them"}
	}
	return f.unified(m.below(own[""]))
}

func (f Finder) old(memory, cpu string) (*Place, error) {
	if !f.mayMake(memory) {
		return nil, &Refusal{
			Reason: "control groups of version 1 are root's here (" + memory + ")",
			Fix:    "run outcrop as root, or boot with systemd.unified_cgroup_hierarchy=1 and " + delegate,
		}
	}
	p := &Place{Version: 1, Memory: memory, Controllers: []string{"memory"}, finder: f}
	if cpu != "" && f.mayMake(cpu) {
		p.CPU = cpu
		p.Controllers = append(p.Controllers, "cpu")
	}
	return p, nil
}

func (f Finder) unified(dir string) (*Place, error) {
	if filepath.Base(dir) == leaf { // an engine of this process has moved it
		dir = filepath.Dir(dir)
	}
	if !f.mayMake(dir) || !f.writable(filepath.Join(dir, "cgroup.procs")) || !f.writable(filepath.Join(dir, "cgroup.subtree_control")) {
		return nil, &Refusal{Reason: "no control group is delegated to this process (" + dir + " is another's)", Fix: delegate}
	}
	have := words(f.path(filepath.Join(dir, "cgroup.controllers")))
	if !slices.Contains(have, "memory") {
		return nil, &Refusal{
			Reason: fmt.Sprintf("the control group %s has no memory controller (only %q)", dir, have),
			Fix:    "delegate it: Delegate=memory cpu in the unit; on a machine that boots without it, add cgroup_enable=memory to the kernel's command line",
		}
	}
	_, err := os.Stat(f.path(filepath.Join(dir, "cgroup.type")))
	root := errors.Is(err, fs.ErrNotExist) // the machine's may hold processes and bound others below
	if others := f.others(dir); !root && others > 0 {
		return nil, &Refusal{Reason: fmt.Sprintf("the control group %s holds %d other processes, and only one without can be divided", dir, others), Fix: delegate}
	}
	p := &Place{Version: 2, Unified: dir, finder: f}
	for _, c := range []string{"memory", "cpu"} {
		if slices.Contains(have, c) {
			p.Controllers = append(p.Controllers, c)
		}
	}
	return p, nil
}

// Ready makes the directories for sandboxes' groups, and removes those that
// killed servers left. Of version 2 it moves this process into a group of its own.
func (p *Place) Ready() (Groups, error) {
	for _, dir := range []string{p.Unified, p.Memory, p.CPU} {
		if dir != "" {
			p.finder.clean(dir)
		}
	}
	var g Groups
	var err error
	if p.Version == 2 {
		g.Unified, err = p.divide()
		g.BoundsCPU = slices.Contains(p.Controllers, "cpu")
	} else {
		g.Memory, err = p.mkdir(p.Memory)
		if err == nil && p.CPU != "" {
			g.CPU, err = p.mkdir(p.CPU)
			g.BoundsCPU = true
		}
	}
	if err != nil {
		return Groups{}, fmt.Errorf("ready control groups: %w", errors.Join(err, p.Remove()))
	}
	return g, nil
}

// divide makes the group of version 2 that holds those of sandboxes.
func (p *Place) divide() (string, error) {
	f := p.finder
	dir := f.path(p.Unified)
	if slices.Contains(words(filepath.Join(dir, "cgroup.procs")), strconv.Itoa(f.pid())) {
		own := filepath.Join(dir, leaf)
		if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if err := set(own, "cgroup.procs", strconv.Itoa(f.pid())); err != nil {
			return "", err
		}
	}
	if err := p.enable(dir); err != nil {
		return "", err
	}
	made, err := p.mkdir(p.Unified)
	if err != nil {
		return "", err
	}
	if err := p.enable(made); err != nil {
		return "", err
	}
	// For processes of sandboxes that are taken out of their bounds (Lend).
	return made, os.Mkdir(filepath.Join(made, leaf), 0o755)
}

func (p *Place) enable(dir string) error {
	for _, c := range p.Controllers {
		if err := set(dir, "cgroup.subtree_control", "+"+c); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes a directory of a name that tells who made it.
func (p *Place) mkdir(in string) (string, error) {
	f := p.finder
	dir, err := os.MkdirTemp(f.path(in), fmt.Sprintf("%s%d-%s-*", prefix, f.pid(), f.born(f.pid())))
	if err != nil {
		return "", err
	}
	p.made = append(p.made, dir)
	return dir, nil
}

// Remove removes what Ready made, once all processes in it have ended.
func (p *Place) Remove() error {
	var errs []error
	for _, dir := range p.made {
		errs = append(errs, removeTree(dir))
	}
	p.made = nil
	return errors.Join(errs...)
}

// clean removes the groups of servers that are no more.
func (f Finder) clean(dir string) {
	entries, _ := os.ReadDir(f.path(dir))
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		pid, rest, _ := strings.Cut(rest, "-")
		born, _, named := strings.Cut(rest, "-")
		n, err := strconv.Atoi(pid)
		if !ok || !named || err != nil || !e.IsDir() || f.born(n) == born {
			continue
		}
		_ = removeTree(f.path(filepath.Join(dir, e.Name()))) // one with processes in it is left alone
	}
}

// removeTree removes a group and those in it. Files of groups are the kernel's and
// go with them.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() {
			errs = append(errs, remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(append(errs, remove(dir))...)
}

// own tells this process's group by controller; "" is version 2.
func (f Finder) own() (map[string]string, error) {
	text, err := os.ReadFile(f.path("/proc/self/cgroup"))
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			own[c] = parts[2]
		}
	}
	return own, nil
}

// A mount is a hierarchy's: the part of it that is to be seen, and where.
type mount struct{ part, at string }

// below is the directory of a group, or empty if it is not to be seen.
func (m mount) below(group string) string {
	if m.at == "" || group == "" {
		return ""
	}
	rest, ok := strings.CutPrefix(group, strings.TrimSuffix(m.part, "/"))
	if !ok || rest != "" && rest[0] != '/' {
		return m.at // a container's, told by its name outside
	}
	return filepath.Join(m.at, rest)
}

// mounts are the hierarchies by controller; "" is version 2.
func (f Finder) mounts() map[string]mount {
	text, err := os.ReadFile(f.path("/proc/self/mountinfo"))
	if err != nil {
		return nil
	}
	found := map[string]mount{}
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(line, " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(place) < 5 || len(kind) < 3 {
			continue
		}
		m := mount{part: place[3], at: place[4]}
		switch kind[0] {
		case "cgroup2":
			found[""] = m
		case "cgroup":
			for c := range strings.SplitSeq(kind[2], ",") {
				if c == "memory" || c == "cpu" {
					found[c] = m
				}
			}
		}
	}
	return found
}

// Memory is what this process and all that it starts may have together, in bytes:
// the least bound of its group and of those above, as far as they are to be seen.
// 0 is no bound.
func (f Finder) Memory() int64 {
	own, err := f.own()
	if err != nil {
		return 0
	}
	mounts := f.mounts()
	m, name, group := mounts["memory"], "memory.limit_in_bytes", own["memory"]
	if m.at == "" {
		m, name, group = mounts[""], "memory.max", own[""]
	}
	var least int64
	for dir := m.below(group); dir != ""; dir = filepath.Dir(dir) {
		// The machine's root has none; "max", and in version 1 a number of this size,
		// is no bound.
		if text := words(f.path(filepath.Join(dir, name))); len(text) == 1 {
			if n, err := strconv.ParseInt(text[0], 10, 64); err == nil && n > 0 && n < 1<<60 && (least == 0 || n < least) {
				least = n
			}
		}
		if len(dir) <= len(m.at) || dir == "/" {
			break
		}
	}
	return least
}

// others counts the processes in a group besides this one.
func (f Finder) others(dir string) int {
	all := words(f.path(filepath.Join(dir, "cgroup.procs")))
	if slices.Contains(all, strconv.Itoa(f.pid())) {
		return len(all) - 1
	}
	return len(all)
}

// born is when a process started, as the kernel tells it; empty for one that is no
// more.
func (f Finder) born(pid int) string {
	text, err := os.ReadFile(f.path(fmt.Sprintf("/proc/%d/stat", pid)))
	if err != nil {
		return ""
	}
	// The second word, a name in parentheses, can be anything; the start is the 22nd.
	rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(rest) < 20 {
		return ""
	}
	return rest[19]
}

func (f Finder) pid() int {
	if f.PID != 0 {
		return f.PID
	}
	return os.Getpid()
}

func (f Finder) path(p string) string { return filepath.Join("/", f.Root, p) }

func (f Finder) mayMake(dir string) bool { return dir != "" && f.writable(dir) }

func (f Finder) writable(path string) bool {
	if f.Writable != nil {
		return f.Writable(path)
	}
	return unix.Access(f.path(path), unix.W_OK) == nil
}
