package snapshot

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/secret"
)

// The names of files: hashes of owner, part and all, so that what belongs to an
// owner is found without opening anything.
const (
	keyName   = "names.key"
	tmpPrefix = "new-"
	suffix    = ".sealed"
	hashBytes = 16
)

// New opens a Store. What a killed process left half-written is removed, and
// so is every file that is none of the Store's. Only the engine knows whether it
// can use a snapshot, and is asked when one is wanted.
func New(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, files: map[string]*file{}, writing: map[string]int{}}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	if err := s.openNames(ctx); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	form := regexp.MustCompile(fmt.Sprintf(`^([0-9a-f]{%d}-){2}[0-9a-f]{%[1]d}\%s$`, 2*hashBytes, suffix))
	for _, e := range entries {
		if e.Name() == keyName {
			continue
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && form.MatchString(e.Name()) {
			// Which was used last is not known any more; the youngest may stay.
			s.files[e.Name()] = &file{name: e.Name(), size: info.Size(), created: info.ModTime(), used: info.ModTime()}
			s.bytes += info.Size()
			continue
		}
		if err := os.RemoveAll(filepath.Join(cfg.Dir, e.Name())); err != nil {
			return nil, fmt.Errorf("open snapshots: %w", err)
		}
	}
	return s, nil
}

// openNames reads the key of the hashes, or makes a new one, under which older
// files are unknown.
func (s *Store) openNames(ctx context.Context) error {
	path, owner := filepath.Join(s.cfg.Dir, keyName), s.owner(keyName)
	sealed, err := os.ReadFile(path)
	if err == nil {
		key, err := s.cfg.Box.Open(ctx, owner, sealed)
		if err == nil {
			s.names = key.Reveal()
			return nil
		}
		if !errors.Is(err, secret.ErrUnreadable) {
			return err
		}
		s.cfg.Log.Warn("snapshots were made under another key and are dropped", "kind", s.cfg.Kind)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(s.cfg.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	s.names = make([]byte, 32)
	_, _ = rand.Read(s.names) // never fails (crypto/rand)
	if sealed, err = s.cfg.Box.Seal(ctx, owner, secret.NewBytes(s.names)); err != nil {
		return err
	}
	_, err = s.write(keyName, func(w io.Writer) error {
		_, err := w.Write(sealed)
		return err
	})
	return err
}

// owner is whom a file is sealed for: a file that was renamed does not open.
func (s *Store) owner(name string) secret.Owner {
	return secret.Owner{Scope: "snapshot", Kind: s.cfg.Kind, ID: name}
}

func (s *Store) name(k Key) string {
	return s.prefix(k) + s.hash(k.Owner, k.Part, k.ID) + suffix
}

// hash is keyed, and writes no two lists alike.
func (s *Store) hash(parts ...string) string {
	mac := hmac.New(sha256.New, s.names)
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b[:0], uint64(len(p)))
		_, _ = mac.Write(b) // never fails (hash.Hash)
		_, _ = io.WriteString(mac, p)
	}
	return hex.EncodeToString(mac.Sum(nil)[:hashBytes])
}

// Put stores a snapshot in place of an older one of the same key; when it
// returns nil the file is durable and the snapshot is the Store's, to keep loaded
// or to close. After an error it is still the caller's.
//
// Errors: ErrFull, ErrClosed, and those of the disk and the engine.
func (s *Store) Put(ctx context.Context, key Key, snapshot sandbox.Snapshot) error {
	name, about := s.name(key), snapshot.Size()
	if err := s.reserve(name, about); err != nil {
		return err
	}
	defer s.free(name, about)
	size, err := s.write(name, func(w io.Writer) error {
		sealed, err := s.cfg.Box.SealStream(ctx, s.owner(name), w)
		if err != nil {
			return err
		}
		packed, err := pack(sealed)
		if err != nil {
			return err
		}
		if _, err := snapshot.WriteTo(bounded{ctx, packed}); err != nil {
			return err
		}
		if err := packed.Close(); err != nil {
			return err
		}
		return sealed.Close()
	})
	if err != nil {
		return fmt.Errorf("store snapshot: %w", err)
	}
	now := s.cfg.Now()
	// The file's times say what New must know.
	_ = os.Chtimes(filepath.Join(s.cfg.Dir, name), now, now)
	f := &file{name: name, size: size, created: now, used: now, loaded: &loaded{snapshot: snapshot, size: snapshot.Size()}}
	s.mu.Lock()
	idle := s.forget(name)
	s.files[name] = f
	s.bytes += size
	s.memory += f.loaded.size
	if s.closed {
		idle = append(idle, s.unload(f)...)
	}
	idle = append(idle, s.trim()...)
	s.mu.Unlock()
	s.close(idle)
	return nil
}

// bounded ends a long write with its context.
type bounded struct {
	ctx context.Context
	w   io.Writer
}

func (b bounded) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}

// reserve keeps room for a file of at most about size bytes, which will be smaller
// once it is packed, and drops others for it.
func (s *Store) reserve(name string, size int64) error {
	for {
		free := int64(math.MaxInt64)
		if s.cfg.Free != nil {
			var err error
			if free, err = s.cfg.Free(); err != nil {
				return fmt.Errorf("store snapshot: %w", err)
			}
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return ErrClosed
		}
		oldest, err := s.room(name, size, free)
		if err == nil && oldest == nil {
			s.coming++
			s.comingBytes += size
			s.writing[name]++
		}
		s.mu.Unlock()
		if err != nil || oldest == nil {
			return err
		}
		s.drop(oldest.name)
	}
}

// Fits returns ErrFull unless there is room for a file of a size now.
func (s *Store) Fits(size int64) error {
	free := int64(math.MaxInt64)
	if s.cfg.Free != nil {
		var err error
		if free, err = s.cfg.Free(); err != nil {
			return fmt.Errorf("look for room for a snapshot: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.room("", size, free)
	return err
}

// room returns what is to be dropped next to have room for a file, or nil when
// there is, or ErrFull. The caller holds the mutex.
func (s *Store) room(name string, size, free int64) (oldest *file, err error) {
	files, bytes := len(s.files)+s.coming, s.bytes+s.comingBytes
	if old := s.files[name]; old != nil {
		files, bytes = files-1, bytes-old.size
	}
	disk := s.comingBytes+size <= free
	if disk && (s.cfg.MaxFiles == 0 || files < s.cfg.MaxFiles) && (s.cfg.MaxBytes == 0 || bytes+size <= s.cfg.MaxBytes) {
		return nil, nil
	}
	for _, f := range s.files {
		if f.name != name && (oldest == nil || f.used.Before(oldest.used)) {
			oldest = f
		}
	}
	switch {
	case !disk && (!s.cfg.Evict || s.comingBytes+size > free+s.bytes): // not for nothing
		return nil, fmt.Errorf("%w of %d bytes: the disk has %d bytes left for snapshots", ErrFull, size, max(free, 0))
	case !s.cfg.Evict, oldest == nil, s.cfg.MaxBytes > 0 && size > s.cfg.MaxBytes:
		return nil, fmt.Errorf("%w of %d bytes: %d snapshots have %d bytes, at most %d and %d are allowed", ErrFull, size, files, bytes, s.cfg.MaxFiles, s.cfg.MaxBytes)
	}
	return oldest, nil
}

// free gives up what reserve kept.
func (s *Store) free(name string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming--
	s.comingBytes -= size
	if s.writing[name]--; s.writing[name] == 0 {
		delete(s.writing, name)
	}
}

// write makes a file whole or not at all, durable when it returns, mode 0600.
func (s *Store) write(name string, fill func(io.Writer) error) (size int64, err error) {
	f, err := os.CreateTemp(s.cfg.Dir, tmpPrefix+"*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := fill(f); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if err := os.Rename(f.Name(), filepath.Join(s.cfg.Dir, name)); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		s.cfg.Log.Warn("close snapshot file", "error", err) // it is durable
	}
	return info.Size(), durable.Dir(s.cfg.Dir)
}

// read opens a file and lets the engine load it. A file is only good when its
// end is.
func (s *Store) read(ctx context.Context, name string) (sandbox.Snapshot, error) {
	f, err := os.Open(filepath.Join(s.cfg.Dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	packed, err := s.cfg.Box.OpenStream(ctx, s.owner(name), f)
	if err != nil {
		return nil, err
	}
	plain, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	snapshot, err := s.cfg.Load(ctx, plain)
	if err != nil {
		return nil, err
	}
	// Not all of what is left: little may unpack to much.
	if n, err := io.ReadFull(plain, make([]byte, 1)); !errors.Is(err, io.EOF) {
		if n > 0 {
			err = fmt.Errorf("there is more after its end: %w", sandbox.ErrSnapshot)
		}
		return nil, errors.Join(err, snapshot.Close())
	}
	return snapshot, nil
}

// Take returns a snapshot for the one time that it may be used, and is the
// caller's to close: its file is gone for good before Take returns. Errors are
// those of Get.
func (s *Store) Take(ctx context.Context, key Key) (sandbox.Snapshot, error) {
	name := s.name(key)
	s.mu.Lock()
	f := s.files[name]
	var idle []*loaded
	if f != nil {
		idle = s.forget(name) // nobody else gets it from here on
	}
	closed := s.closed
	s.mu.Unlock()
	s.close(idle)
	switch {
	case closed && f == nil:
		return nil, ErrClosed
	case f == nil:
		return nil, ErrMissing
	}
	var snapshot sandbox.Snapshot
	var err error
	if s.expired(f) {
		err = fmt.Errorf("%w: it is older than %s", ErrMissing, s.cfg.MaxAge)
	} else if snapshot, err = s.read(ctx, name); unusable(err) {
		err = fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if removeErr := s.remove(name); removeErr != nil {
		// It could be used again: then it is not used at all.
		if snapshot != nil {
			removeErr = errors.Join(removeErr, snapshot.Close())
		}
		return nil, errors.Join(err, removeErr)
	}
	return snapshot, err
}

// remove unlinks a file, durably.
func (s *Store) remove(name string) error {
	if err := os.Remove(filepath.Join(s.cfg.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.Dir(s.cfg.Dir)
}

// forget takes a file out of the table. The caller holds the mutex, closes what
// is returned and removes the file or has replaced it.
func (s *Store) forget(name string) []*loaded {
	f := s.files[name]
	if f == nil {
		return nil
	}
	delete(s.files, name)
	s.bytes -= f.size
	if f.loaded == nil {
		return nil
	}
	return s.unload(f)
}

// drop removes one file.
func (s *Store) drop(name string) {
	s.mu.Lock()
	known := s.files[name] != nil
	idle := s.forget(name)
	s.mu.Unlock()
	s.close(idle)
	if !known {
		return
	}
	if err := s.remove(name); err != nil {
		s.cfg.Log.Error("remove snapshot", "kind", s.cfg.Kind, "error", err)
	}
}

// Drop removes a snapshot, if it is there. Guests that were resumed from it, and
// handles in use, live on.
func (s *Store) Drop(key Key) { s.drop(s.name(key)) }

// DropOwner removes all that belongs to an owner.
func (s *Store) DropOwner(owner string) { s.dropAll(s.hash(owner)+"-", nil) }

// DropOthers removes all of key's owner and part but key itself.
func (s *Store) DropOthers(key Key) {
	s.dropAll(s.prefix(key), map[string]bool{s.name(key): true})
}

// Retain removes all but the given ones, at a start: what nobody refers to any
// more was left by a killed process.
func (s *Store) Retain(keys []Key) {
	keep := make(map[string]bool, len(keys))
	for _, k := range keys {
		keep[s.name(k)] = true
	}
	s.dropAll("", keep)
}

func (s *Store) dropAll(prefix string, keep map[string]bool) {
	var names []string
	s.mu.Lock()
	for name := range s.files {
		if strings.HasPrefix(name, prefix) && !keep[name] {
			names = append(names, name)
		}
	}
	s.mu.Unlock()
	for _, name := range names {
		s.drop(name)
	}
}

// touch notes a use, for this process. The caller holds the mutex.
func (s *Store) touch(f *file) {
	if now := s.cfg.Now(); now.After(f.used) {
		f.used = now
	}
}
