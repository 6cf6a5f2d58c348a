package cgroup

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// Lend moves a process to where the server itself is, so that what it writes from
// now on does not count as the group's memory, and returns how to take it back.
// What it had stays counted where it was.
func (g *Group) Lend(pid int) (back func() error, err error) {
	own := g.memory
	outside := filepath.Dir(own)
	if g.unified != nil {
		outside = filepath.Join(outside, leaf) // only leaves have processes
	}
	move := func(dir string) error {
		if err := set(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("move process %d to control group %s: %w", pid, dir, err)
		}
		return nil
	}
	return func() error { return move(own) }, move(outside)
}
