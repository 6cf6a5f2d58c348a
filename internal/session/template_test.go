package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxfake"
	"github.com/outcrop/outcrop/internal/session"
)

// TestRestored: sessions begin as copies of the template, with an environment of
// their own, and share nothing afterwards.
func TestRestored(t *testing.T) {
	with(t, func(r *rig) {
		r.plan.Storage = "/mnt/data"
		r.template()
		if r.engine.Alive() != 0 || r.sealed("templates") != 1 || !r.HasTemplate(key("a"), r.plan) {
			t.Fatalf("%d alive, %d files", r.engine.Alive(), r.sealed("templates"))
		}
		r.hides("canary")
		r.ask("a", "/set?mine")
		r.ask("b", "/set?yours")
		if got := r.ask("a", "/get"); got != "mine" {
			t.Errorf("it remembers %q", got)
		}
		for _, i := range r.List(all) {
			if i.Origin != session.Restored || i.Why != "" {
				t.Errorf("%+v", i)
			}
		}
		specs := r.engine.Specs()
		sources := map[string]bool{}
		for _, s := range specs {
			sources[s.Volumes[0].Source] = true
		}
		if len(specs) != 3 || specs[0].Snapshot != nil || specs[1].Snapshot == nil || specs[1].ID == specs[2].ID || len(sources) != 3 {
			t.Errorf("%d starts, storage %v", len(specs), sources)
		}
		if r.engine.Loads() != 0 || len(r.wanted) != 0 {
			t.Errorf("%d loads, wanted %v", r.engine.Loads(), r.wanted)
		}
	})
}

// TestTemplateOutlivesTheProcess: it is loaded once for all who want it.
func TestTemplateOutlivesTheProcess(t *testing.T) {
	with(t, func(r *rig) {
		r.template()
		r.end()
		r.start()
		r.ask("a", "/get")
		r.ask("b", "/get")
		if r.engine.Loads() != 1 || r.engine.Resumes() != 2 {
			t.Errorf("%d loads, %d resumes", r.engine.Loads(), r.engine.Resumes())
		}
	})
}

// TestStartsCold: without a template that fits, sessions give the same answers,
// say why, and have one made.
func TestStartsCold(t *testing.T) {
	tests := []struct {
		name, why string
		do        func(r *rig)
		wanted    string // what Wanted was told, or not at all
		dropped   bool
	}{
		{"none yet", "there is no snapshot yet", func(r *rig) { r.files.DropOwner(scope.String() + "/" + key("a").Owner) }, "<nil>", true},
		{"another environment", "there is no snapshot yet", func(r *rig) { r.plan.Spec.Env = []string{"API_KEY=other"} }, "<nil>", false},
		{"another build of the interpreter", "there is no snapshot yet", func(r *rig) { r.plan.Basis = "sha256:2" }, "<nil>", false},
		{"other surroundings", "there is no snapshot yet", func(r *rig) { r.plan.Surroundings = "VPC" }, "<nil>", false},
		{"another network stack", "there is no snapshot yet", func(r *rig) { r.plan.Spec.Passthrough = true }, "<nil>", false},
		{"another version", "there is no snapshot yet", func(r *rig) { r.plan.Version = "2" }, "<nil>", false},
		{"refused by the engine", "its snapshot could not be resumed: snapshot cannot be resumed: other processor", func(r *rig) {
			r.engine.FailResume = fmt.Errorf("%w: other processor", sandbox.ErrSnapshot)
		}, "snapshot cannot be resumed: other processor", true},
		{"opted out", "OUTCROP_SNAPSHOT=off", func(r *rig) { r.plan.Template, r.plan.Cold = false, "OUTCROP_SNAPSHOT=off" }, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			with(t, func(r *rig) {
				r.template()
				tt.do(r)
				r.ask("a", "/set?x")
				if got := r.ask("a", "/get"); got != "x" {
					t.Errorf("it remembers %q", got)
				}
				if i := r.only(); i.Origin != session.Cold || i.Why != tt.why {
					t.Errorf("%+v, want cold because %s", i, tt.why)
				}
				var want []string
				if tt.wanted != "" {
					want = []string{tt.wanted}
				}
				if fmt.Sprint(r.wanted) != fmt.Sprint(want) {
					t.Errorf("wanted %v, want %v", r.wanted, want)
				}
				if dropped := r.sealed("templates") == 0; dropped != tt.dropped {
					t.Errorf("%d templates", r.sealed("templates"))
				}
			})
		})
	}
}

// TestRestoredAndSick: a guest that is not ready after its resume is started
// cold within the time it has.
func TestRestoredAndSick(t *testing.T) {
	with(t, func(r *rig) {
		r.template()
		r.sick(true)
		time.AfterFunc(11*time.Second, func() { r.sick(false) })
		r.ask("a", "/get")
		if i := r.only(); i.Origin != session.Cold || !strings.HasPrefix(i.Why, "its snapshot could not be resumed: start session: it was not ready within 10s") || r.sealed("templates") != 0 {
			t.Errorf("%+v, %d templates", i, r.sealed("templates"))
		}
	})
}

// TestDamagedTemplate is like none.
func TestDamagedTemplate(t *testing.T) {
	with(t, func(r *rig) {
		r.template()
		r.end()
		r.damage("templates")
		r.start()
		r.ask("a", "/get")
		if i := r.only(); i.Origin != session.Cold || len(r.wanted) != 1 {
			t.Errorf("%+v, wanted %v", i, r.wanted)
		}
		r.template()
		r.ask("b", "/get")
		if r.engine.Resumes() != 1 {
			t.Errorf("%d resumes", r.engine.Resumes())
		}
	})
}

func TestMakeTemplateFails(t *testing.T) {
	with(t, func(r *rig) {
		r.engine.Unsavable = fmt.Errorf("%w: python draws its own numbers", sandbox.ErrUnsavable)
		if err := r.MakeTemplate(r.Context(), key("snapshot"), r.plan); !errors.Is(err, sandbox.ErrUnsavable) {
			t.Errorf("MakeTemplate = %v", err)
		}
		r.noted("ended: sandbox cannot be saved: python draws its own numbers")
		r.engine.Unsavable = nil
		r.sick(true)
		var failed *session.StartError
		if err := r.MakeTemplate(r.Context(), key("snapshot"), r.plan); !errors.As(err, &failed) {
			t.Errorf("MakeTemplate = %v", err)
		}
		r.sick(false)
		for i := range 10 {
			r.ask(fmt.Sprint(i), "/get")
		}
		if err := r.MakeTemplate(r.Context(), key("snapshot"), r.plan); !errors.Is(err, session.ErrLimit) {
			t.Errorf("MakeTemplate = %v", err)
		}
		if r.sealed("templates") != 0 || r.engine.Alive() != 10 {
			t.Errorf("%d templates, %d alive", r.sealed("templates"), r.engine.Alive())
		}
	})
}

// TestNoTemplates: a manager without a place for them boots nothing for nothing.
func TestNoTemplates(t *testing.T) {
	with(t, func(r *rig) {
		r.end()
		r.change = func(cfg *session.Config) { cfg.Templates = nil }
		r.start()
		if err := r.MakeTemplate(r.Context(), key("snapshot"), r.plan); !errors.Is(err, sandbox.ErrUnsavable) {
			t.Errorf("MakeTemplate = %v", err)
		}
		r.noted("ended: ")
		if n := len(r.engine.Specs()); n != 0 {
			t.Errorf("%d guests were booted", n)
		}
	})
}

// TestTemplateGivenUp with its owner and with the server, neither of which waits
// for a guest that is not ready.
func TestTemplateGivenUp(t *testing.T) {
	for name, end := range map[string]func(r *rig) error{
		"owner":    func(r *rig) error { return r.StopOwner(r.Context(), scope, key("a").Owner) },
		"endpoint": func(r *rig) error { return r.StopEndpoint(r.Context(), scope, key("a").Owner, key("a").Endpoint) },
		"server":   func(r *rig) error { return r.Close(r.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(r *rig) {
				r.sick(true)
				made := make(chan error)
				go func() { made <- r.MakeTemplate(context.Background(), key("snapshot"), r.plan) }()
				r.sleeps(time.Second)
				begun := time.Now()
				if err := end(r); err != nil {
					t.Error(err)
				}
				if err := <-made; !errors.Is(err, context.Canceled) && !errors.Is(err, session.ErrClosed) {
					t.Errorf("MakeTemplate = %v", err)
				}
				if took := time.Since(begun); took > time.Second || r.engine.Alive() != 0 {
					t.Errorf("it took %v, %d alive", took, r.engine.Alive())
				}
			})
		})
	}
}

// TestNewTemplateReplaces the older ones of its endpoint, and goes with its owner.
func TestNewTemplateReplaces(t *testing.T) {
	with(t, func(r *rig) {
		r.template()
		r.plan.Basis = "sha256:2"
		r.template()
		if n := r.sealed("templates"); n != 1 {
			t.Errorf("%d templates", n)
		}
		r.plan.Version = "2"
		r.template()
		if n := r.sealed("templates"); n != 1 {
			t.Errorf("%d templates", n)
		}
		if err := r.StopOwner(r.Context(), scope, key("a").Owner); err != nil {
			t.Error(err)
		}
		if n := r.sealed("templates"); n != 0 {
			t.Errorf("%d templates", n)
		}
	})
}

// TestEndpointTakesItsTemplate, and no other's.
func TestEndpointTakesItsTemplate(t *testing.T) {
	with(t, func(r *rig) {
		r.template()
		if err := r.StopEndpoint(r.Context(), scope, key("a").Owner, "other"); err != nil || r.sealed("templates") != 1 {
			t.Errorf("another endpoint: %d templates, %v", r.sealed("templates"), err)
		}
		if err := r.StopEndpoint(r.Context(), scope, key("a").Owner, key("a").Endpoint); err != nil || r.sealed("templates") != 0 {
			t.Errorf("its own: %d templates, %v", r.sealed("templates"), err)
		}
	})
}

// TestRestoredHibernates: both kinds of snapshots, one after the other.
func TestRestoredHibernates(t *testing.T) {
	with(t, func(r *rig) {
		r.template()
		r.ask("a", "/set?x")
		r.sleeps(6 * time.Minute)
		r.status(session.Hibernated)
		if got := r.ask("a", "/get"); got != "x" || r.only().Origin != session.Woken {
			t.Errorf("%q, %+v", got, r.only())
		}
	})
}

// BenchmarkStart is what the manager adds to the engine's own time, with ever more sessions alive.
func BenchmarkStart(b *testing.B) {
	e := &sandboxfake.Engine{}
	m := session.NewManager(session.Config{Engine: e, Limit: 1 << 30, Log: discard()})
	p := plan(nil)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		use, err := m.Acquire(b.Context(), key(fmt.Sprint(i)), p)
		if err != nil {
			b.Fatal(err)
		}
		use.Release()
	}
	b.StopTimer()
	_ = m.Close(b.Context()) // nothing in it can fail
}

// BenchmarkAcquire is what a request of a live session costs.
func BenchmarkAcquire(b *testing.B) {
	e := &sandboxfake.Engine{}
	m := session.NewManager(session.Config{Engine: e, Limit: 10, Log: discard()})
	p := plan(nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			use, err := m.Acquire(b.Context(), key("a"), p)
			if err != nil {
				b.Error(err)
				return
			}
			use.Release()
		}
	})
	b.StopTimer()
	_ = m.Close(b.Context())
}
