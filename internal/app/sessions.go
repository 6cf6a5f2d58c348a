package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/session/storage"
	"github.com/outcrop/outcrop/internal/snapshot"
	"github.com/outcrop/outcrop/internal/store"
)

// SessionConfig says how sessions are kept. The zero value is good.
type SessionConfig struct {
	// HibernateAfter is how long a session is idle before it hibernates; 0 is
	// DefaultHibernateAfter, less than 0 never, unless another needs its room.
	HibernateAfter time.Duration
	// KeepHibernated is how long a session may hibernate since its last use, if
	// that is longer than its runtime's idle timeout.
	KeepHibernated time.Duration
	// Memory bounds one session, in bytes, and CPUs; 0 is the engine's default.
	Memory int64
	CPUs   float64
	// Spares are kept ready for each endpoint, as far as SpareBytes of memory go;
	// 0: none. SpareBytes is DefaultSpareBytes when it is 0.
	Spares     int
	SpareBytes int64
	// MemoryBudget bounds what all sandboxes use together, in bytes; 0: what the
	// host has free.
	MemoryBudget int64
	// SnapshotLife is how long a version's snapshot is used before another is
	// made; 0 is runtime.SnapshotLife.
	SnapshotLife time.Duration
	// SnapshotBytes bounds the snapshots of versions on the disk, and those of
	// hibernating sessions, each; 0 is DefaultSnapshotBytes.
	SnapshotBytes int64
	// StorageBytes bounds the session storage of one session; 0 is
	// storage.DefaultBytes.
	StorageBytes int64
}

const (
	// DefaultHibernateAfter is longer than people pause in a conversation: a
	// hibernation breaks the agent's connections and writes its memory to disk.
	// Where memory is short, sessions hibernate earlier, to make room.
	DefaultHibernateAfter = 5 * time.Minute
	// DefaultSnapshotBytes is a thousand agents of the size of an SDK's, which are
	// packed to some 15 MB each.
	DefaultSnapshotBytes = 16 << 30
	// DefaultSpareBytes is some eight agents of the size of an SDK's.
	DefaultSpareBytes = 1 << 30
	// maxTemplates bounds the snapshots of versions on the disk, and
	// templateMemory what is kept of them in memory, in bytes: some 20 agents.
	maxTemplates   = 1000
	templateMemory = 1 << 30
)

func (c SessionConfig) withDefaults() SessionConfig {
	if c.HibernateAfter == 0 {
		c.HibernateAfter = DefaultHibernateAfter
	}
	if c.SnapshotLife == 0 {
		c.SnapshotLife = runtime.SnapshotLife
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = DefaultSnapshotBytes
	}
	if c.SpareBytes == 0 {
		c.SpareBytes = DefaultSpareBytes
	}
	return c
}

// openSessions builds the manager and what it keeps on disk, and takes up what
// the process before left.
func (s *Server) openSessions(ctx context.Context, cfg Config, f foundation, owner store.Owner) error {
	c := cfg.Sessions
	files := func(kind string, change func(*snapshot.Config)) (*snapshot.Store, error) {
		sc := snapshot.Config{
			Dir: filepath.Join(cfg.DataDir, "snapshots", kind), Kind: kind, Box: f.box, Load: s.engine.Load,
			MaxBytes: c.SnapshotBytes, Free: freeDisk(cfg.DataDir), Now: time.Now, Log: cfg.Log,
		}
		change(&sc)
		st, err := snapshot.New(ctx, sc)
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, st.Close)
		return st, nil
	}
	templates, err := files("versions", func(sc *snapshot.Config) {
		sc.MaxFiles, sc.Evict, sc.Memory, sc.MaxAge = maxTemplates, true, templateMemory, c.SnapshotLife
	})
	if err != nil {
		return err
	}
	hibernated, err := files("sessions", func(*snapshot.Config) {})
	if err != nil {
		return err
	}
	directories, err := storage.New(storage.Config{
		Dir: filepath.Join(cfg.DataDir, "session-storage"), Bytes: c.StorageBytes, Now: time.Now, Log: cfg.Log,
		Keep: func() []storage.Key { return s.sessions.StorageInUse() }, // which are opened below
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { directories.Wait(); return nil })
	mc := session.Config{
		Engine: s.engine, Limit: cfg.MaxSessions, Log: cfg.Log, Store: f.store, Owner: owner,
		Templates: templates, Hibernated: hibernated, Storage: directories, Note: sessionNote(f), Noted: f.telemetry.Flush,
		HibernateAfter: max(c.HibernateAfter, 0), KeepHibernated: c.KeepHibernated, MemoryBudget: c.MemoryBudget,
		Spares: c.Spares, SpareMemory: c.SpareBytes, FreeMemory: freeMemory(), FreeDisk: freeDisk(cfg.DataDir),
	}
	s.sessions = session.NewManager(mc)
	if err := s.sessions.Recover(ctx); err != nil {
		return fmt.Errorf("open sessions: %w", err)
	}
	s.background = append(s.background, s.sessions.Run)
	s.caches = caches{dataDir: cfg.DataDir, templates: templates, hibernated: hibernated, directories: directories, sessions: s.sessions}
	return nil
}
