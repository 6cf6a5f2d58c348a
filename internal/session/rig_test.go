package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outcrop/outcrop/internal/sandbox/sandboxfake"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/session/storage"
	"github.com/outcrop/outcrop/internal/snapshot"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/faulty"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a manager with all that it can have, on one data directory, inside a
// bubble of synctest.
type rig struct {
	*testing.T
	*session.Manager
	dir     string
	engine  *sandboxfake.Engine
	store   *sqlite.Store
	fault   error // what every write of the store meets
	files   *snapshot.Store
	saved   *snapshot.Store
	storage *storage.Store
	stop    context.CancelFunc
	ran     chan error
	process int
	// change adjusts the configuration of the next start.
	change func(*session.Config)
	room   int64 // of the directory of hibernated sessions

	mu     sync.Mutex // of the following
	health string     // what guests say to GET /ping
	ill    bool
	notes  []string
	wanted []error
	plan   session.Plan
	gone   bool // the plan cannot be made
	held   int  // plans of spares that have not ended
}

// with runs f on a rig and checks that nothing is left afterwards.
func with(t *testing.T, f func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, dir: t.TempDir()}
		r.engine = &sandboxfake.Engine{Handler: http.HandlerFunc(r.guest)}
		r.plan = session.Plan{
			Port: 8080, Probe: session.HTTPProbe(8080, "/ping"), Health: session.HTTPHealth(8080, "/ping"), StartLimit: 30 * time.Second,
			IdleLimit: 15 * time.Minute, MaxLife: 8 * time.Hour, Version: "1", Basis: "sha256:1", Hibernate: true, Template: true,
			Note: r.note, Wanted: func(cause error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.wanted = append(r.wanted, cause)
			},
			Ended: func(e session.End) {
				if e.Hibernated {
					r.note("hibernates")
					return
				}
				r.note("ended: " + e.Why)
			},
		}
		r.plan.Spec.Env = []string{"API_KEY=canary"}
		r.start()
		f(r)
		r.end()
	})
}

func (r *rig) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, text)
}

// says is what guests answer to GET /ping from now on, and sick that they fail.
func (r *rig) says(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health = text
}

func (r *rig) sick(ill bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ill = ill
}

// start is a process of the server.
func (r *rig) start() {
	r.Helper()
	ctx := context.Background()
	r.process++
	var err error
	if r.store, err = sqlite.Open(ctx, filepath.Join(r.dir, "outcrop.db"), sqlite.Options{}); err != nil {
		r.Fatal(err)
	}
	box := secrettest.At(r, filepath.Join(r.dir, "key"))
	log := slog.New(slog.DiscardHandler)
	open := func(kind string, memory, room int64) *snapshot.Store {
		s, err := snapshot.New(ctx, snapshot.Config{
			Dir: filepath.Join(r.dir, kind), Kind: kind, Box: box, Load: r.engine.Load, Memory: memory, MaxBytes: room, Now: time.Now, Log: log,
		})
		if err != nil {
			r.Fatal(err)
		}
		return s
	}
	r.files, r.saved = open("templates", 1<<20, 0), open("sessions", 0, r.room)
	if r.storage, err = storage.New(storage.Config{Dir: filepath.Join(r.dir, "storage"), Now: time.Now, Log: log}); err != nil {
		r.Fatal(err)
	}
	cfg := session.Config{
		Engine: r.engine, Limit: 10, Log: log, Owner: store.Owner{Node: "local", Process: fmt.Sprint(r.process)},
		Store:     faulty.New(r.store, func(c faulty.Call) faulty.Fault { return faulty.Fault{Before: r.fault} }),
		Templates: r.files, Hibernated: r.saved, Storage: r.storage, HibernateAfter: 5 * time.Minute,
		Note: func(k session.Key, text string) { r.note(k.ID + ": " + text) },
	}
	if r.change != nil {
		r.change(&cfg)
	}
	r.Manager = session.NewManager(cfg)
	if err := r.Recover(ctx); err != nil {
		r.Fatal(err)
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.ran = make(chan error, 1)
	go func() { r.ran <- r.Manager.Run(ctx) }()
}

// end is an orderly end of the process.
func (r *rig) end() {
	r.Helper()
	r.closeManager()
	r.stop()
	<-r.ran
	if n := r.engine.Alive(); n != 0 || r.held != 0 {
		r.Errorf("%d sandboxes and %d plans of spares outlive the manager", n, r.held)
	}
	for _, c := range []io.Closer{r.files, r.saved, r.store} {
		if err := c.Close(); err != nil {
			r.Error(err)
		}
	}
	r.storage.Wait()
}

func (r *rig) closeManager() {
	r.Helper()
	if err := r.Close(context.Background()); err != nil {
		r.Errorf("Close: %v", err)
	}
}

// kill ends the process so that it writes nothing more.
func (r *rig) kill() {
	r.Helper()
	notes := r.notes
	r.fault = faulty.ErrInjected
	r.engine.Crash(137)
	r.end()
	r.fault, r.notes = nil, notes
	r.start()
}

// guest remembers what it is told.
func (r *rig) guest(w http.ResponseWriter, req *http.Request) {
	memory := sandboxfake.MemoryOf(req)
	switch req.URL.Path {
	case "/ping":
		r.mu.Lock()
		ill, health := r.ill, r.health
		r.mu.Unlock()
		if ill {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, health) // the poll has its own limit
	case "/set":
		memory.Set("it", req.URL.RawQuery)
	case "/get":
		_, _ = io.WriteString(w, memory.Get("it"))
	}
}

func (r *rig) planner(_ context.Context, version string) (session.Plan, error) {
	if r.gone {
		return session.Plan{}, fs.ErrNotExist
	}
	p := r.plan
	if version != "" {
		p.Version = version
	}
	return p, nil
}

// ask sends one request to a session and returns its answer.
func (r *rig) ask(id, path string) string {
	r.Helper()
	use, err := r.Acquire(r.Context(), key(id), r.planner)
	if err != nil {
		r.Fatalf("Acquire: %v", err)
	}
	defer use.Release()
	return r.send(use, path)
}

func (r *rig) send(use *session.Use, path string) string {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	resp, err := use.Transport().RoundTrip(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return string(body)
}

// sleeps lets time go by, and what is due then happen.
func (r *rig) sleeps(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// only is the one session that there is.
func (r *rig) only() session.Info {
	r.Helper()
	got := r.List(all)
	if len(got) != 1 {
		r.Fatalf("sessions %+v, want one", got)
	}
	return got[0]
}

func (r *rig) status(want session.Status) session.Info {
	r.Helper()
	i := r.only()
	if i.Status != want {
		r.Fatalf("status %s, want %s; notes %q", i.Status, want, r.notes)
	}
	return i
}

func (r *rig) noted(want string) {
	r.Helper()
	if !strings.Contains(strings.Join(r.notes, "\n"), want) {
		r.Errorf("notes %q, want %q", r.notes, want)
	}
}

// template makes the version's template.
func (r *rig) template() {
	r.Helper()
	if err := r.MakeTemplate(r.Context(), key("snapshot"), r.plan); err != nil {
		r.Fatalf("MakeTemplate: %v", err)
	}
}

// sealed are the files of a kind of snapshots.
func (r *rig) sealed(kind string) (n int) {
	r.Helper()
	found, err := filepath.Glob(filepath.Join(r.dir, kind, "*.sealed"))
	if err != nil {
		r.Fatal(err)
	}
	return len(found)
}

// hides checks that no file holds a text.
func (r *rig) hides(text string) {
	r.Helper()
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the trash is emptied meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(body, []byte(text)) {
			r.Errorf("%s holds %q in the clear", path, text)
		}
		return err
	})
	if err != nil {
		r.Error(err)
	}
}

// damage changes a byte of every sealed file of a kind.
func (r *rig) damage(kind string) {
	r.Helper()
	found, err := filepath.Glob(filepath.Join(r.dir, kind, "*.sealed"))
	if err != nil || len(found) == 0 {
		r.Fatal("no file", err)
	}
	for _, path := range found {
		body, err := os.ReadFile(path)
		if err == nil {
			body[len(body)-20] ^= 1
			err = os.WriteFile(path, body, 0o600)
		}
		if err != nil {
			r.Fatal(err)
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
