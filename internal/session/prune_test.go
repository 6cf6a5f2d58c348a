package session_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/session"
)

// asleep has a session hibernate.
func (r *rig) asleep() {
	r.Helper()
	r.ask("a", "/set?blue")
	r.sleeps(6 * time.Minute)
	r.status(session.Hibernated)
}

// prune wants a number of sessions to end, and nothing to be left of them.
func (r *rig) prune(o session.PruneOptions, want int) {
	r.Helper()
	before := len(r.List(all))
	done, err := r.Manager.Prune(r.Context(), o)
	if err != nil || done.Ended != want || done.Ended+done.Left != before || (done.Bytes > 0) != (done.Ended > 0) || (done.LeftBytes > 0) != (done.Left > 0) {
		r.Errorf("Prune(%+v) = %+v, %v; want %d ended", o, done, err, want)
	}
	if o.DryRun {
		return
	}
	if left := len(r.List(all)); left != before-want || r.sealed("sessions") != left {
		r.Errorf("%d sessions and %d files are left", left, r.sealed("sessions"))
	}
}

func TestPruneEndsWhatCannotBeResumed(t *testing.T) {
	basis := func(text string, err error) func(context.Context, session.Key, string) (string, error) {
		return func(_ context.Context, k session.Key, version string) (string, error) {
			if k != key("a") || version != "1" {
				return "", errors.New("asked for another")
			}
			return text, err
		}
	}
	tests := map[string]struct {
		do   func(r *rig)
		o    session.PruneOptions
		want int
		note string
	}{
		"resumable":    {o: session.PruneOptions{Basis: basis("sha256:1", nil)}},
		"other engine": {do: func(r *rig) { r.engine.Key = "another" }, want: 1},
		"other code":   {o: session.PruneOptions{Basis: basis("sha256:2", nil)}, want: 1, note: "what it was made from has changed"},
		"no version":   {o: session.PruneOptions{Basis: basis("", session.ErrNotFound)}, want: 1, note: "its version is gone"},
		"young":        {o: session.PruneOptions{All: true, Unused: time.Hour}},
		"old":          {o: session.PruneOptions{All: true, Unused: time.Minute}, want: 1, note: "it was pruned"},
	}
	for name, tt := range tests {
		for _, restarted := range []bool{false, true} {
			if !restarted || tt.note != "" {
				t.Run(name, func(t *testing.T) {
					with(t, func(r *rig) {
						r.asleep()
						if restarted {
							r.end()
							r.start()
						}
						if tt.do != nil {
							tt.do(r)
						}
						dry := tt.o
						dry.DryRun = true
						r.prune(dry, tt.want)
						r.status(session.Hibernated)
						r.prune(tt.o, tt.want)
						if tt.want > 0 {
							r.noted(tt.note)
						}
						want := "blue"
						if tt.want > 0 {
							want = ""
						}
						if got := r.ask("a", "/get"); tt.do == nil && got != want {
							t.Errorf("it remembers %q, want %q", got, want)
						}
					})
				})
			}
		}
	}
}

// TestPruneAsksInVain: a version that cannot be looked at keeps its sessions.
func TestPruneAsksInVain(t *testing.T) {
	with(t, func(r *rig) {
		r.asleep()
		failure := errors.New("the store is away")
		_, err := r.Manager.Prune(r.Context(), session.PruneOptions{Basis: func(context.Context, session.Key, string) (string, error) { return "", failure }})
		if !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		r.status(session.Hibernated)
	})
}

// TestPruneEndsWhoseFileIsGone while the server runs; the next start does so by itself.
func TestPruneEndsWhoseFileIsGone(t *testing.T) {
	with(t, func(r *rig) {
		r.asleep()
		r.saved.Retain(nil)
		r.prune(session.PruneOptions{}, 1)
	})
}

// TestPruneKeepsWhatHasNoFile, since it waits in memory for want of room.
func TestPruneKeepsWhatHasNoFile(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		r.room = 1
		r.start()
		r.asleep()
		if done, err := r.Manager.Prune(r.Context(), session.PruneOptions{}); err != nil || done.Ended != 0 {
			t.Errorf("%+v, %v", done, err)
		}
		if got := r.ask("a", "/get"); got != "blue" {
			t.Errorf("it remembers %q", got)
		}
	})
}

// TestPruneBesideWake: sessions that are asked for while others prune wake, or
// had ended and start afresh; none is refused, and nothing is left in the way.
func TestPruneBesideWake(t *testing.T) {
	with(t, func(r *rig) {
		for range 20 {
			r.asleep()
			var both sync.WaitGroup
			both.Go(func() {
				if _, err := r.Manager.Prune(r.Context(), session.PruneOptions{All: true}); err != nil {
					t.Error(err)
				}
			})
			both.Go(func() {
				if got := r.ask("a", "/get"); got != "blue" && got != "" {
					t.Errorf("it remembers %q", got)
				}
			})
			both.Wait()
			if i := r.only(); i.Running != 0 || r.sealed("sessions") != 0 {
				t.Errorf("%+v, %d files", i, r.sealed("sessions"))
			}
		}
	})
}

// TestStorageInUse: of those that live and of those that hibernate.
func TestStorageInUse(t *testing.T) {
	with(t, func(r *rig) {
		if got := r.StorageInUse(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		r.asleep()
		r.ask("b", "/get")
		got := r.StorageInUse()
		if len(got) != 2 || got[0].Owner != session.Resource(key("a")) || got[0].Session == got[1].Session || got[0].Endpoint != key("a").Endpoint {
			t.Errorf("%+v", got)
		}
	})
}
