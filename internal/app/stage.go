package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stagingDir is where backups keep what they copy, beneath the data directory:
// links take no room and keep what is removed meanwhile.
const stagingDir = "backup"

// A stage is the directory of one backup. It goes with its close, or with the
// next backup or start of a server when its process was killed.
type stage struct {
	from, dir string
	lock      *os.File
}

func openStage(dataDir string) (*stage, error) {
	if err := cleanStages(dataDir); err != nil {
		return nil, err
	}
	// A backup that ends, or a server that starts, may remove what is not locked yet.
	var errs error
	for range 5 {
		s, err := newStage(dataDir)
		if err == nil {
			return s, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, fmt.Errorf("prepare backup: %w", errs)
}

func newStage(dataDir string) (*stage, error) {
	all := filepath.Join(dataDir, stagingDir)
	if err := os.MkdirAll(all, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(all, "")
	if err != nil {
		return nil, err
	}
	lock, _, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	return &stage{from: dataDir, dir: dir, lock: lock}, nil
}

// lockDir takes the lock of a directory, which ends with its process; held says
// that somebody has it.
func lockDir(dir string) (lock *os.File, held bool, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, false, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errors.Is(err, unix.EWOULDBLOCK), err
	}
	return f, false, nil
}

// cleanStages removes what killed backups have left.
func cleanStages(dataDir string) error {
	all := filepath.Join(dataDir, stagingDir)
	entries, err := os.ReadDir(all)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean up after backups: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(all, e.Name())
		lock, held, err := lockDir(dir)
		if held || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("clean up after backups: %w", err)
		}
		if err := errors.Join(os.RemoveAll(dir), lock.Close()); err != nil {
			return fmt.Errorf("clean up after backups: %w", err)
		}
	}
	return nil
}

func (s *stage) close() error {
	err := errors.Join(os.RemoveAll(s.dir), s.lock.Close())
	_ = os.Remove(filepath.Dir(s.dir)) // unless another backup is at work
	return err
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// linkAll links all files of a tree of the data directory, as far as they stay.
func (s *stage) linkAll(ctx context.Context, tree string) error {
	return filepath.WalkDir(filepath.Join(s.from, tree), func(at string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("prepare backup: %w", err)
		case e.IsDir():
			return nil
		}
		name, err := filepath.Rel(s.from, at)
		if err != nil {
			return err
		}
		if err := s.link(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// link keeps a file of the data directory, if it is not kept yet. Where it lies on
// another file system it is copied.
func (s *stage) link(name string) error {
	to := s.path(name)
	err := os.Link(filepath.Join(s.from, name), to)
	if errors.Is(err, fs.ErrNotExist) {
		if _, gone := os.Lstat(to); gone == nil {
			return nil // it was kept before it went
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return fmt.Errorf("prepare backup: %w", err)
		}
		err = os.Link(filepath.Join(s.from, name), to)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EPERM), errors.Is(err, unix.EMLINK):
		return copyFile(filepath.Join(s.from, name), to)
	case err != nil:
		return fmt.Errorf("prepare backup: %w", err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("prepare backup: %w", err)
	}
	defer func() { _ = in.Close() }() // it was read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("prepare backup: %w", err)
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// openPlain opens a file that a guest may have put another thing in place of.
func openPlain(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
