// Package storage keeps the directories that outlive sessions: one for each
// (owner, endpoint, session), found again by the next sandbox of that session,
// and removed when nobody has come back for long, when the owner's version
// changes, and with the owner (spec/runtime.md 2.9).
package storage

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The defaults of AWS: 1 GB a session, 14 days without an invocation.
const (
	DefaultBytes  = 1 << 30
	DefaultMaxAge = 14 * 24 * time.Hour
)

// Key names a directory. A session that comes back with another Version finds
// it empty.
type Key struct {
	Owner, Endpoint, Session string
	Version                  string
}

// Config is what a Store is built from.
type Config struct {
	// Dir is made when it is missing, mode 0700.
	Dir string
	// Bytes bounds one directory; the engine holds it. 0 is DefaultBytes.
	Bytes int64
	// MaxAge is how long a directory stays without use; 0 is DefaultMaxAge.
	MaxAge time.Duration
	// Keep returns what sessions come back to, which stays however old it is: one
	// that hibernates has its files open. It is called for every directory that
	// is about to be removed, with the Store locked, and must not call it. Nil:
	// nothing is kept.
	Keep func() []Key
	Now  func() time.Time
	Log  *slog.Logger
}

// Store is safe for concurrent use; one process uses a directory at a time.
type Store struct {
	cfg      Config
	mu       sync.Mutex
	open     map[string]int // users of each place
	removing sync.WaitGroup
}

// The names in Dir: owners by hash, what is being removed, and what templates
// are booted with. In a place: the guest's data and what we know of it.
const (
	trashName   = "trash"
	scratchName = "scratch"
	dataName    = "data"
	infoName    = "info.json"
)

// info is what is known of a place. Its file's time is that of the last use.
type info struct {
	Version  string `json:"version"`
	Endpoint string `json:"endpoint,omitempty"`
}

// New opens a Store and removes what a killed process was removing.
func New(cfg Config) (*Store, error) {
	if cfg.Bytes == 0 {
		cfg.Bytes = DefaultBytes
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = DefaultMaxAge
	}
	s := &Store{cfg: cfg, open: map[string]int{}}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open session storage: %w", err)
	}
	for _, name := range []string{trashName, scratchName} {
		if err := errors.Join(removeAll(filepath.Join(cfg.Dir, name)), os.Mkdir(filepath.Join(cfg.Dir, name), 0o700)); err != nil {
			return nil, fmt.Errorf("open session storage: %w", err)
		}
	}
	return s, nil
}

// Volume is a directory in use.
type Volume struct {
	s       *Store
	place   string
	scratch bool
	once    sync.Once

	mu       sync.Mutex
	size     int64
	measured time.Time
}

// Open returns the directory of a session for use, and makes it where there is
// none of this version.
func (s *Store) Open(key Key) (*Volume, error) {
	place := s.place(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := readInfo(place)
	if err != nil || have.Version != key.Version {
		if err := s.discard(place); err != nil {
			return nil, fmt.Errorf("reset session storage: %w", err)
		}
		if err := create(place, info{key.Version, key.Endpoint}); err != nil {
			return nil, fmt.Errorf("make session storage: %w", err)
		}
	}
	v := &Volume{s: s, place: place}
	if err := v.touch(); err != nil {
		return nil, fmt.Errorf("open session storage: %w", err)
	}
	s.open[place]++
	return v, nil
}

func readInfo(place string) (i info, err error) {
	raw, err := os.ReadFile(filepath.Join(place, infoName))
	if err != nil {
		return i, err
	}
	return i, json.Unmarshal(raw, &i)
}

// create makes a place whose data any guest may write to; that nobody else
// reaches it is the affair of the directories above, whose mode is 0700.
func create(place string, i info) error {
	data := filepath.Join(place, dataName)
	if err := errors.Join(os.MkdirAll(place, 0o700), os.Mkdir(data, 0o700), os.Chmod(data, 0o777)); err != nil {
		return err
	}
	raw, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(place, infoName), raw, 0o600)
}

// Scratch returns an empty directory that goes with its Close.
func (s *Store) Scratch() (*Volume, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	place := filepath.Join(s.cfg.Dir, scratchName, hex.EncodeToString(b[:]))
	if err := create(place, info{}); err != nil {
		return nil, fmt.Errorf("make scratch storage: %w", err)
	}
	return &Volume{s: s, place: place, scratch: true}, nil
}

// Path is the directory.
func (v *Volume) Path() string { return filepath.Join(v.place, dataName) }

// Bytes bounds what it may hold.
func (v *Volume) Bytes() int64 { return v.s.cfg.Bytes }

// Size is what its files have, in bytes, as last measured.
func (v *Volume) Size() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.size
}

// measureEvery keeps large directories from being walked all the time.
const measureEvery = time.Minute

// Measure looks at its size again, once a minute at most.
func (v *Volume) Measure() {
	now := v.s.cfg.Now()
	v.mu.Lock()
	due := v.measured.IsZero() || now.Sub(v.measured) >= measureEvery
	if due {
		v.measured = now
	}
	v.mu.Unlock()
	if !due {
		return
	}
	sum := measure(v.Path())
	v.mu.Lock()
	defer v.mu.Unlock()
	v.size = sum
}

// measure is what the files of a tree have, in bytes, as far as we may look.
func measure(root string) int64 {
	var sum int64
	_ = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile, or shut by the guest
		}
		if i, err := d.Info(); err == nil && i.Mode().IsRegular() {
			sum += i.Size()
		}
		return nil
	})
	return sum
}

// touch notes a use.
func (v *Volume) touch() error {
	now := v.s.cfg.Now()
	return os.Chtimes(filepath.Join(v.place, infoName), now, now)
}

// Close ends the use, from which the directory's age counts.
func (v *Volume) Close() {
	v.once.Do(func() {
		s := v.s
		s.mu.Lock()
		defer s.mu.Unlock()
		if v.scratch {
			if err := s.discard(v.place); err != nil {
				s.cfg.Log.Warn("remove scratch storage", "error", err)
			}
			return
		}
		if s.open[v.place]--; s.open[v.place] == 0 {
			delete(s.open, v.place)
		}
		if err := v.touch(); err != nil && !errors.Is(err, fs.ErrNotExist) { // its owner was deleted
			s.cfg.Log.Warn("note use of session storage", "error", err)
		}
	})
}

// DropOwner removes the directories of an owner.
func (s *Store) DropOwner(owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.discard(s.ownerDir(owner)); err != nil {
		return fmt.Errorf("remove session storage: %w", err)
	}
	return nil
}

// DropEndpoint removes the directories of one endpoint of an owner.
func (s *Store) DropEndpoint(owner, endpoint string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := s.ownerDir(owner)
	places, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove session storage: %w", err)
	}
	for _, p := range places {
		place := filepath.Join(dir, p.Name())
		if i, err := readInfo(place); err != nil || i.Endpoint != endpoint {
			continue // what cannot be read is no session's; it goes with its age
		}
		if err := s.discard(place); err != nil {
			return fmt.Errorf("remove session storage: %w", err)
		}
	}
	return nil
}

// discard takes a place away at once, and removes it in the background: it may
// hold many files. The caller holds the mutex.
func (s *Store) discard(place string) error {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	trash := filepath.Join(s.cfg.Dir, trashName, hex.EncodeToString(b[:]))
	if err := os.Rename(place, trash); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	s.removing.Go(func() {
		if err := removeAll(trash); err != nil {
			s.cfg.Log.Warn("remove session storage", "error", err)
		}
	})
	return nil
}

// removeAll removes a tree in which a guest may have shut directories, and may
// still be putting links where directories were: nothing beyond it is touched.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	unlock(root)
	return os.RemoveAll(path)
}

// unlock opens the directories of a tree for their owner, and closes root. Names are
// the guest's: any bytes, and longer paths than calls take, so not by fs.WalkDir.
// What stays shut is what RemoveAll reports.
func unlock(root *os.Root) {
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return
	}
	entries, _ := dir.ReadDir(-1)
	dir.Close()
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		_ = root.Chmod(e.Name(), 0o700)
		if sub, err := root.OpenRoot(e.Name()); err == nil {
			unlock(sub)
		}
	}
}

// Wait returns when what is being removed is gone.
func (s *Store) Wait() { s.removing.Wait() }

// place is where a session's directory lies.
func (s *Store) place(k Key) string {
	return filepath.Join(s.ownerDir(k.Owner), hash(k.Endpoint, k.Session))
}

func (s *Store) ownerDir(owner string) string { return filepath.Join(s.cfg.Dir, hash(owner)) }

// hash makes a file name of what clients choose, and writes no two lists alike.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(p)))) // never fails (hash.Hash)
		_, _ = io.WriteString(h, p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
