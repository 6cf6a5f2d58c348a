package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// TestLargeFiles: a guest with much on the disk is saved only if all of it fits what is
// free, in memory and among the snapshots.
func TestLargeFiles(t *testing.T) {
	for name, one := range map[string]struct {
		files, free, room, budget int64
		why                       string
	}{
		"few":             {60 << 20, 0, 70 << 20, 0, ""},
		"many":            {300 << 20, 400 << 20, 400 << 20, 0, ""},
		"no free memory":  {300 << 20, 399 << 20, 400 << 20, 0, "it has 300 MiB in files, and the memory to save them in is not free"},
		"free by budget":  {300 << 20, 399 << 20, 400 << 20, 1 << 40, "it has 300 MiB in files, and the memory to save them in is not free"},
		"no room on disk": {300 << 20, 400 << 20, 399 << 20, 0, "it has 300 MiB in files, for which there is no room among the snapshots"},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(r *rig) {
				r.end()
				free := int64(1 << 30)
				r.room = one.room
				r.change = func(c *session.Config) {
					c.MemoryBudget, c.FreeMemory = one.budget, func() (int64, error) { return free, nil }
				}
				r.start()
				r.engine.Use = sandbox.Usage{MemoryBytes: 100 << 20, DiskBytes: one.files}
				r.ask("a", "/set?it")
				free = one.free
				r.sleeps(6 * time.Minute)
				if one.why == "" {
					r.status(session.Hibernated)
				} else {
					r.status(session.Idle)
					r.noted("the session cannot hibernate: " + one.why)
				}
				free = 1 << 30
				if got := r.ask("a", "/get"); got != "it" {
					t.Errorf("it remembers %q", got)
				}
			})
		})
	}
}

// TestLargeFilesInTurn: what is in memory at once is one such guest.
func TestLargeFilesInTurn(t *testing.T) {
	with(t, func(r *rig) {
		r.engine.Use = sandbox.Usage{MemoryBytes: 100 << 20, DiskBytes: 300 << 20}
		r.engine.SaveTime = 10 * time.Second
		r.ask("a", "/get")
		r.ask("b", "/get")
		r.sleeps(5*time.Minute + 15*time.Second)
		if got := r.statuses(); got != "a HIBERNATED, b HIBERNATING" && got != "a HIBERNATING, b HIBERNATED" {
			t.Error(got)
		}
		r.sleeps(10 * time.Second)
		if got := r.statuses(); got != "a HIBERNATED, b HIBERNATED" {
			t.Error(got)
		}
	})
}

// TestFreeDisk: nobody starts, or wakes, who may write more than the disk has left.
func TestFreeDisk(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		free := int64(1<<30 + 3<<20)
		r.change = func(c *session.Config) { c.FreeDisk = func() (int64, error) { return free, nil } }
		r.start()
		r.plan.Spec.Root, r.plan.Spec.TmpBytes, r.plan.Spec.Limits.DiskBytes = "/image", 3<<20, 1<<30
		r.ask("a", "/set?it")
		r.sleeps(6 * time.Minute)
		r.status(session.Hibernated)
		free--
		for _, id := range []string{"a", "b"} {
			var full *session.DiskError
			if _, err := r.Acquire(r.Context(), key(id), r.planner); !errors.Is(err, session.ErrLimit) || !errors.As(err, &full) || full.Need != free+1 || full.Free != free {
				t.Errorf("Acquire(%s) = %v, want a DiskError", id, err)
			}
		}
		if err := r.MakeTemplate(r.Context(), key("snapshot"), r.plan); !errors.Is(err, session.ErrLimit) {
			t.Errorf("MakeTemplate = %v, want ErrLimit", err)
		}
		free++
		if got := r.ask("a", "/get"); got != "it" {
			t.Errorf("once there is room it remembers %q", got)
		}
		r.engine.FilesInMemory = true
		free = 0
		r.ask("b", "/get")
	})
}
