package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// reserve is a file that holds a part of the disk for the Updates that make room
// (store.Freeing). SQLite writes a delete to its log first, so that with nothing
// free it could not delete either. The file is emptied when such an Update meets
// a full disk and filled again as soon as there is room. Until then no other
// Update is let in, which would use up what was given back. The nil reserve is
// none: everybody writes as long as there is room.
type reserve struct {
	path string
	size int64
	now  func() time.Time
	held atomic.Bool

	mu    sync.Mutex
	tried time.Time // when it was last found that there is no room
}

// retryReserve is how long those who do not make room leave the disk alone after
// they found no room for the reserve.
const retryReserve = time.Second

// openReserve makes the reserve beside the store. That there is no room for it is
// no error: then the disk is full.
func openReserve(path string, size int64, now func() time.Time) (*reserve, error) {
	if size <= 0 {
		return nil, nil
	}
	r := &reserve{path: path, size: size, now: now}
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		r.held.Store(true)
		return r, nil
	}
	if err := r.fill(); err != nil && !isFull(err) {
		return nil, fmt.Errorf("make reserve: %w", err)
	}
	return r, nil
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fill writes the file. What it holds is noise, which no file system compresses,
// written in full, because not every one can allocate without writing.
func (r *reserve) fill() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held.Load() {
		return nil
	}
	defer func() {
		r.held.Store(err == nil)
		if err != nil {
			r.tried = r.now()
		}
	}()
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close()) // which tells of a quota on some file systems
		if err != nil {
			err = errors.Join(err, os.Truncate(r.path, 0))
		}
	}()
	noise := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	for left := r.size; left > 0; left -= int64(len(noise)) {
		if _, err := f.Write(noise[:min(left, int64(len(noise)))]); err != nil {
			return err
		}
	}
	return nil
}

// give gives the space back to the disk.
func (r *reserve) give() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held.Store(false)
	r.tried = r.now()
	return os.Truncate(r.path, 0)
}

// ready reports whether an Update that makes no room may be let in.
func (r *reserve) ready() bool {
	if r == nil || r.held.Load() {
		return true
	}
	r.mu.Lock()
	soon := r.now().Sub(r.tried) < retryReserve
	r.mu.Unlock()
	if soon {
		return false
	}
	return !isFull(r.fill()) // a reserve that fails in another way is none
}

// updateFreeing is Update for those that make room.
func (s *Store) updateFreeing(ctx context.Context, fn func(store.Tx) error) error {
	err := s.update(ctx, fn)
	if errors.Is(err, store.ErrFull) {
		if gerr := s.reserve.give(); gerr != nil {
			return errors.Join(err, fmt.Errorf("give reserve back: %w", gerr))
		}
		s.fold(ctx)
		err = s.update(ctx, fn)
	}
	if err == nil && !s.reserve.held.Load() {
		s.fold(ctx)
		_ = s.reserve.fill() // if there is room; who needs it tries again
	}
	return err
}

// fold moves the log into the file as far as readers and the disk let it: a log
// that begins anew takes no more of the disk. No writer waits for it, and nothing
// is wrong where it fails.
func (s *Store) fold(ctx context.Context) {
	conn, err := s.file.Reader(ctx)
	if err != nil {
		return
	}
	defer s.file.Release(conn)
	_ = conn.Script("PRAGMA wal_checkpoint(PASSIVE)")
}
