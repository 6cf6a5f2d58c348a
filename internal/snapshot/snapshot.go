// Package snapshot keeps saved guests: sealed files in a directory, and those
// that are resumed often loaded in memory.
//
// A snapshot holds what a guest had in memory, secrets included. So it is packed
// and sealed (package secret) before it touches the disk, and even the name of its file is a
// keyed hash: nobody who reads the directory can guess what it was made from.
//
// A file is a cache entry or the only copy of somebody's session, as its Store is
// configured: Get is for the first, which is resumed any number of times, Take
// for the second, which is resumed once.
package snapshot

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/secret"
)

// The errors of a Store.
var (
	// ErrMissing says that there is no such snapshot, or none that can be used;
	// the text of what it is wrapped in says why.
	ErrMissing = errors.New("no such snapshot")
	// ErrFull says that the snapshot does not fit the Store's bounds.
	ErrFull = errors.New("no room for the snapshot")
	// ErrClosed says that the Store was closed.
	ErrClosed = errors.New("snapshots are closed")
)

// Key names a snapshot. Its members may be of any length and hold secrets: they
// are only ever hashed under a key of the Store's own.
type Key struct {
	// Owner and Part are what snapshots are dropped by: a resource, and
	// something of it.
	Owner, Part string
	// ID is everything else that the snapshot depends on.
	ID string
}

// Config is what a Store is built from.
type Config struct {
	// Dir is made when it is missing, mode 0700. The Store removes what it does
	// not know in it.
	Dir string
	// Kind tells the Stores of one Box apart: the files of one do not open in
	// another.
	Kind string
	// Box seals.
	Box *secret.Box
	// Load is the engine's.
	Load func(context.Context, io.Reader) (sandbox.Snapshot, error)
	// MaxBytes and MaxFiles bound the directory; 0 is no bound. With Evict the
	// least recently used makes room, else what does not fit is ErrFull.
	MaxBytes int64
	MaxFiles int
	Evict    bool
	// Free tells how many bytes more the disk has for snapshots, whatever the
	// bounds allow; nil: nobody asks.
	Free func() (int64, error)
	// MaxAge is how long a snapshot may be used; 0 is for ever.
	MaxAge time.Duration
	// Memory bounds what is kept loaded, in bytes. What is being used may exceed
	// it; what is not, never.
	Memory int64
	Now    func() time.Time
	Log    *slog.Logger
}

// Store is a directory of snapshots. It is safe for concurrent use; one process
// uses a directory at a time.
type Store struct {
	cfg   Config
	names []byte // the key of the hashes

	mu     sync.Mutex
	files  map[string]*file // by name
	bytes  int64            // of all files
	memory int64            // of all that is loaded
	// What is being written.
	coming      int
	comingBytes int64
	writing     map[string]int // by name
	closed      bool
	loading     sync.WaitGroup
}

// file is one snapshot. Its members are guarded by the Store's mutex.
type file struct {
	name          string
	size          int64
	created, used time.Time
	loaded        *loaded
	load          *load // under way
}

// loaded is a snapshot in memory.
type loaded struct {
	snapshot sandbox.Snapshot
	size     int64
	users    int
	// loose: its file is gone, so that the last user closes it.
	loose bool
}

// load is one attempt that all who want the snapshot wait for.
type load struct {
	done    chan struct{}
	waiting int // each becomes a user
	held    *loaded
	err     error
}

// Info describes a snapshot.
type Info struct {
	Size    int64 // of its file, in bytes
	Created time.Time
}

// Handle is a loaded snapshot in use.
type Handle struct {
	store *Store
	held  *loaded
	once  sync.Once
}

// Snapshot is what a guest is resumed from. It is the Store's to close.
func (h *Handle) Snapshot() sandbox.Snapshot { return h.held.snapshot }

// Release ends the use; later calls do nothing.
func (h *Handle) Release() {
	h.once.Do(func() {
		h.store.release(h.held)
	})
}

// Stats is what a Store holds.
type Stats struct {
	Files, Loaded int
	Bytes, Memory int64
}

// Stats tells what the Store holds now.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Files: len(s.files), Bytes: s.bytes, Memory: s.memory}
	for _, f := range s.files {
		if f.loaded != nil {
			out.Loaded++
		}
	}
	return out
}

// Stat describes a snapshot that is there and may be used.
func (s *Store) Stat(key Key) (Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[s.name(key)]
	if f == nil || s.expired(f) {
		return Info{}, false
	}
	return Info{Size: f.size, Created: f.created}, true
}

func (s *Store) expired(f *file) bool {
	return s.cfg.MaxAge > 0 && s.cfg.Now().Sub(f.created) >= s.cfg.MaxAge
}

// Close gives the memory back and refuses what comes later. Handles in use stay
// good until they are released.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	var idle []*loaded
	for _, f := range s.files {
		if f.loaded != nil {
			idle = append(idle, s.unload(f)...)
		}
	}
	s.mu.Unlock()
	s.close(idle)
	s.loading.Wait()
	return nil
}
