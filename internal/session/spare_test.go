package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/snapshot"
)

// reach is the network of one session: it lets nobody out, and counts who tries.
type reach struct {
	mu    sync.Mutex
	tries int
}

var errReached = errors.New("reached")

func (r *reach) Connect(context.Context, string, netip.AddrPort) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	return nil, errReached
}

// keeps starts a process that keeps so many spares of each endpoint, and makes the
// template.
func (r *rig) keeps(spares int, change func(*session.Config)) {
	r.Helper()
	r.end()
	r.change = func(c *session.Config) {
		c.Spares, c.SpareMemory = spares, 1<<30
		if change != nil {
			change(c)
		}
	}
	r.plan.Spare = func(context.Context) (session.Plan, error) {
		p := r.plan
		p.Note, p.Spec.Network, p.Surroundings = nil, nil, ""
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.gone {
			return p, fs.ErrNotExist
		}
		r.held++
		p.Ended = func(e session.End) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.held--
			if e != (session.End{}) {
				r.Errorf("a spare ended with %+v", e)
			}
		}
		return p, nil
	}
	r.start()
	r.template()
	r.sleeps(2 * time.Second)
}

// spares checks how many are ready.
func (r *rig) spares(want int) {
	r.Helper()
	if got := r.Spares(all); len(got) != want {
		r.Fatalf("%d spares %+v, want %d", len(got), got, want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held != want {
		r.Errorf("%d plans of spares are held, want %d", r.held, want)
	}
}

// loses says whether plans of spares cannot be made.
func (r *rig) loses(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = gone
}

func (r *rig) began(id string) session.Origin {
	r.Helper()
	for _, i := range r.List(all) {
		if i.Key.ID == id {
			return i.Origin
		}
	}
	return ""
}

// TestSpare: a session takes the spare, and the next is made after its first request
// had a second.
func TestSpare(t *testing.T) {
	with(t, func(r *rig) {
		r.engine.Startup = 100 * time.Millisecond
		r.keeps(1, nil)
		r.spares(1)
		if i := r.Spares(all)[0]; i.Version != "1" || i.Key.Owner != key("a").Owner || i.Key.ID != "" {
			t.Errorf("%+v", i)
		}
		starts, begun := r.engine.Starts(), time.Now()
		r.ask("a", "/set?mine")
		if took := time.Since(begun); took > 0 || r.engine.Starts() != starts || r.began("a") != session.FromSpare {
			t.Errorf("it took %v, %d more starts, %s", took, r.engine.Starts()-starts, r.began("a"))
		}
		r.spares(0)
		r.ask("b", "/set?yours")
		if r.began("b") != session.Restored {
			t.Errorf("b began %s", r.began("b"))
		}
		r.sleeps(900 * time.Millisecond)
		r.spares(0)
		r.sleeps(time.Second)
		r.spares(1)
		if got := r.ask("c", "/get"); got != "" || r.began("c") != session.FromSpare || r.ask("a", "/get") != "mine" {
			t.Errorf("c remembers %q and began %s", got, r.began("c"))
		}
		r.sleeps(6 * time.Minute) // all hibernate, and come back
		if got := r.ask("a", "/get"); got != "mine" || r.began("a") != session.Woken {
			t.Errorf("a remembers %q and began %s", got, r.began("a"))
		}
	})
}

// TestSpareBelongsToNobody: until a session has it, it reaches nothing, and what it
// says waits for that session's log.
func TestSpareBelongsToNobody(t *testing.T) {
	with(t, func(r *rig) {
		mine := &reach{}
		var said, complained bytes.Buffer
		r.plan.Spec.Network, r.plan.Surroundings = mine, "PUBLIC"
		r.keeps(1, nil)
		r.spares(1)
		specs := r.engine.Specs()
		spare := specs[len(specs)-1]
		try := func() error {
			_, err := spare.Network.Connect(r.Context(), "tcp", netip.MustParseAddrPort("169.254.169.254:80"))
			return err
		}
		if err := try(); err == nil || errors.Is(err, errReached) || mine.tries != 0 {
			t.Errorf("Connect = %v, %d tries", err, mine.tries)
		}
		r.engine.Print(false, "before\n")
		r.engine.Print(true, strings.Repeat("x", 100_000))
		r.plan.Spec.Stdout, r.plan.Spec.Stderr = &said, &complained
		r.ask("a", "/get")
		if r.began("a") != session.FromSpare {
			t.Fatalf("%+v", r.only())
		}
		r.engine.Print(false, "after\n")
		if err := try(); !errors.Is(err, errReached) || mine.tries != 1 {
			t.Errorf("Connect = %v, %d tries", err, mine.tries)
		}
		if said.String() != "before\nafter\n" {
			t.Errorf("it said %q", said.String())
		}
		if text := complained.String(); !strings.HasPrefix(text, strings.Repeat("x", 64<<10)+"\noutcrop: 34464 bytes that") {
			t.Errorf("%d bytes end with %q", len(text), text[max(0, len(text)-100):])
		}
	})
}

// TestOneSpareOneSession: of many who start at once, each spare has one.
func TestOneSpareOneSession(t *testing.T) {
	with(t, func(r *rig) {
		r.engine.Startup = 100 * time.Millisecond
		r.keeps(3, func(c *session.Config) { c.Limit = 100 })
		r.sleeps(2 * time.Second)
		r.spares(3)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				id := fmt.Sprint(i)
				r.ask(id, "/set?"+id)
			})
		}
		wg.Wait()
		from := 0
		for i := range 20 {
			id := fmt.Sprint(i)
			if got := r.ask(id, "/get"); got != id {
				t.Errorf("%s remembers %q", id, got)
			}
			if r.began(id) == session.FromSpare {
				from++
			}
		}
		if from != 3 {
			t.Errorf("%d sessions had a spare", from)
		}
	})
}

// TestSpareEnds when it is of no use to the next session, which gives the right
// answers without.
func TestSpareEnds(t *testing.T) {
	tests := []struct {
		name  string
		do    func(r *rig)
		after time.Duration // when it is gone
		next  session.Origin
		again bool // another is kept later
	}{
		{"old age", func(*rig) {}, time.Hour + 2*time.Minute, session.FromSpare, true},
		{"it died", func(r *rig) { r.engine.Crash(1) }, 0, session.Restored, true},
		{"it is ill", func(r *rig) { r.sick(true); time.AfterFunc(2*time.Minute, func() { r.sick(false) }) }, 2 * time.Minute, session.Restored, true},
		{"its owner was deleted", func(r *rig) {
			if err := r.StopOwner(r.Context(), scope, key("a").Owner); err != nil {
				r.Error(err)
			}
		}, 0, session.Cold, false},
		{"its template was pruned", func(r *rig) {
			if _, err := r.files.Prune(snapshot.PruneOptions{All: true}); err != nil {
				r.Error(err)
			}
		}, 2 * time.Minute, session.Cold, false},
		{"its template is another, for the same sessions", func(r *rig) { time.Sleep(time.Second); r.template() }, 2 * time.Second, session.FromSpare, true},
		{"its version was replaced", func(r *rig) { r.plan.Version = "2"; r.template() }, 2 * time.Second, session.FromSpare, true},
		{"its version is gone", func(r *rig) {
			r.loses(true)
			r.engine.Crash(1)
			time.AfterFunc(6*time.Minute, func() { r.loses(false) })
		}, 7 * time.Minute, session.Restored, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			with(t, func(r *rig) {
				r.keeps(1, nil)
				r.spares(1)
				old := r.Spares(all)[0]
				tt.do(r)
				r.sleeps(tt.after)
				for _, i := range r.Spares(all) {
					if i == old {
						t.Errorf("%+v is still there", i)
					}
				}
				r.ask("a", "/set?a")
				if r.began("a") != tt.next || r.ask("a", "/get") != "a" {
					t.Errorf("%+v, want %s", r.only(), tt.next)
				}
				r.sleeps(6 * time.Minute)
				if tt.again {
					r.spares(1)
				} else {
					r.spares(0)
				}
			})
		})
	}
}

// TestSpareIsNotReady: one that fails when a session wants it is not the session's
// trouble.
func TestSpareIsNotReady(t *testing.T) {
	with(t, func(r *rig) {
		r.keeps(1, nil)
		var said bytes.Buffer
		r.engine.Print(false, "not yours\n")
		r.plan.Spec.Stdout = &said
		r.sick(true)
		time.AfterFunc(3*time.Second, func() { r.sick(false) })
		r.ask("a", "/get")
		if r.began("a") != session.Restored || said.Len() > 0 || r.engine.Alive() != 1 {
			t.Errorf("%+v, said %q, %d alive", r.only(), said.String(), r.engine.Alive())
		}
	})
}

// TestSpareOfOthers: a session that would not be restored from its template does not
// get it.
func TestSpareOfOthers(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"version":     func(r *rig) { r.plan.Version = "2" },
		"environment": func(r *rig) { r.plan.Spec.Env = []string{"API_KEY=other"} },
		"reach":       func(r *rig) { r.plan.Surroundings = "VPC" },
		"build":       func(r *rig) { r.plan.Basis = "sha256:2" },
		"limits":      func(r *rig) { r.plan.Spec.Limits.CPUs = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(r *rig) {
				r.keeps(1, nil)
				change(r)
				r.ask("a", "/get")
				if r.began("a") != session.Cold || r.engine.Alive() != 1 {
					t.Errorf("%+v, %d alive", r.only(), r.engine.Alive())
				}
				r.spares(0)
			})
		})
	}
	t.Run("endpoint", func(t *testing.T) {
		with(t, func(r *rig) {
			r.keeps(1, nil)
			other := key("a")
			other.Endpoint = "prod"
			use, err := r.Acquire(r.Context(), other, r.planner)
			if err != nil {
				t.Fatal(err)
			}
			use.Release()
			if r.began("a") != session.Cold {
				t.Errorf("%+v", r.only())
			}
			r.spares(1)
		})
	})
	t.Run("storage", func(t *testing.T) {
		with(t, func(r *rig) {
			r.plan.Storage = "/mnt/data"
			r.keeps(1, nil)
			r.spares(0)
			r.ask("a", "/get")
			if i := r.only(); i.Origin != session.Restored || i.Why != "it has session storage, and no spare can be given any" {
				t.Errorf("%+v", i)
			}
			r.sleeps(time.Minute)
			r.spares(0)
		})
	})
}

// TestSparesMakeRoom before anybody hibernates, and take none from others.
func TestSparesMakeRoom(t *testing.T) {
	t.Run("places", func(t *testing.T) {
		with(t, func(r *rig) {
			r.keeps(2, func(c *session.Config) { c.Limit = 3 })
			r.sleeps(2 * time.Second)
			r.spares(2)
			r.ask("a", "/get")
			r.sleeps(10 * time.Second)
			r.spares(2)
			other := key("x")
			other.Owner = "other-0123456789"
			use, err := r.Acquire(r.Context(), other, r.planner)
			if err != nil {
				t.Fatal(err)
			}
			defer use.Release()
			if n := r.engine.Alive(); n != 3 || r.statuses() != "a IDLE, x ACTIVE" && r.statuses() != "x ACTIVE, a IDLE" {
				t.Errorf("%d alive, %s", n, r.statuses())
			}
			r.spares(1)
			r.ask("b", "/get") // takes the last
			r.sleeps(time.Minute)
			r.spares(0)
			r.ask("c", "/get") // and now somebody hibernates
			if got := r.statuses(); !strings.Contains(got, "a HIBERNATED") || r.engine.Alive() != 3 {
				t.Error(got)
			}
		})
	})
	t.Run("memory", func(t *testing.T) {
		with(t, func(r *rig) {
			r.engine.Use = sandbox.Usage{MemoryBytes: 300 << 20}
			r.keeps(2, func(c *session.Config) { c.MemoryBudget = 800 << 20 })
			r.sleeps(2 * time.Second)
			r.spares(2)
			other := key("x")
			other.Owner = "other-0123456789"
			r.plan.Template = false
			use, err := r.Acquire(r.Context(), other, r.planner)
			if err != nil {
				t.Fatal(err)
			}
			use.Release()
			r.sleeps(6 * time.Second)
			r.spares(2) // 728 MiB were used before it was measured
			other.ID = "y"
			if use, err = r.Acquire(r.Context(), other, r.planner); err != nil {
				t.Fatal(err)
			}
			use.Release()
			if n := r.engine.Alive(); n != 3 || len(r.Spares(all)) != 1 {
				t.Errorf("%d alive, %d spares", n, len(r.Spares(all)))
			}
		})
	})
	t.Run("a template", func(t *testing.T) {
		with(t, func(r *rig) {
			r.keeps(2, func(c *session.Config) { c.Limit = 2 })
			r.sleeps(2 * time.Second)
			r.spares(2)
			r.plan.Version = "2"
			r.template()
			r.sleeps(4 * time.Second)
			r.spares(2)
			if v := r.Spares(all)[0].Version; v != "2" {
				t.Errorf("version %s", v)
			}
		})
	})
	t.Run("one that is being made", func(t *testing.T) {
		with(t, func(r *rig) {
			r.engine.Startup = 3 * time.Second
			r.keeps(1, func(c *session.Config) { c.Limit = 2 })
			r.sleeps(5 * time.Second)
			r.ask("a", "/get") // has it
			r.sleeps(2 * time.Second)
			r.ask("b", "/get") // does not wait for it
			if n := r.engine.Alive(); n != 2 || r.statuses() != "a IDLE, b IDLE" {
				t.Errorf("%d alive, %s", n, r.statuses())
			}
			r.sleeps(time.Minute)
			r.spares(0)
		})
	})
}

// TestSpareMemory: the endpoints that were used last have spares, as far as it goes.
func TestSpareMemory(t *testing.T) {
	with(t, func(r *rig) {
		r.engine.Use = sandbox.Usage{MemoryBytes: 200 << 20}
		r.keeps(1, func(c *session.Config) { c.SpareMemory = 450 << 20 })
		begin := func(owner string) {
			t.Helper()
			k := key("s")
			k.Owner = owner
			if err := r.MakeTemplate(r.Context(), k, r.plan); err != nil {
				t.Fatal(err)
			}
			use, err := r.Acquire(r.Context(), k, r.planner)
			if err != nil {
				t.Fatal(err)
			}
			use.Release()
			r.sleeps(5 * time.Second)
		}
		owners := func() (out []string) {
			for _, i := range r.Spares(all) {
				out = append(out, i.Key.Owner)
			}
			return out
		}
		begin("b")
		begin("c")
		if got := owners(); fmt.Sprint(got) != "[b c]" {
			t.Errorf("spares of %v", got)
		}
		use, err := r.Acquire(r.Context(), session.Key{Scope: scope, Owner: "b", Endpoint: "DEFAULT", ID: "t"}, r.planner)
		if err != nil {
			t.Fatal(err)
		}
		use.Release()
		r.sleeps(5 * time.Second)
		begin("d")
		if got := owners(); fmt.Sprint(got) != "[b d]" {
			t.Errorf("spares of %v", got)
		}
		// One that grows beyond all that there is goes, and is not made again.
		r.engine.Uses(500 << 20)
		r.sleeps(10 * time.Minute)
		r.spares(0)
	})
}

// TestSparesYield to sessions that start.
func TestSparesYield(t *testing.T) {
	with(t, func(r *rig) {
		r.engine.Startup = 400 * time.Millisecond
		r.keeps(1, func(c *session.Config) { c.Limit = 100 })
		r.spares(1)
		r.ask("a", "/get") // has it
		for i := range 9 {
			r.ask(fmt.Sprint(i), "/get")
			r.spares(0)
			r.sleeps(500 * time.Millisecond)
		}
		r.sleeps(2 * time.Second)
		r.spares(1)
	})
}
