package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/outcrop/outcrop/internal/backup"
	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// partialSuffix names the directory in which a restore works, beside the one that
// it makes. One that was killed leaves it; the next removes it.
const partialSuffix = ".restoring"

// ErrNotEmpty says that a directory to restore to holds something.
var ErrNotEmpty = errors.New("the directory is not empty")

// Restore makes a data directory of the archive in r. dir is missing or empty;
// until all was read and checked it stays so, however the process ends.
func Restore(ctx context.Context, dir string, r io.Reader, key backup.Key) (head backup.Head, end backup.End, err error) {
	if err := checkEmpty(dir); err != nil {
		return head, end, err
	}
	archive, err := backup.NewReader(r, key)
	if err != nil {
		return head, end, err
	}
	defer archive.Close()
	partial := dir + partialSuffix
	lock, err := openPartial(partial)
	if err != nil {
		return archive.Head, end, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTree(partial))
		}
		err = errors.Join(err, lock.Close())
	}()
	root, err := os.OpenRoot(partial)
	if err != nil {
		return archive.Head, end, fmt.Errorf("restore %s: %w", dir, err)
	}
	end, err = archive.Extract(ctx, root, accepts)
	if err = errors.Join(err, root.Close()); err != nil {
		return archive.Head, end, err
	}
	if err := checkRestored(ctx, partial); err != nil {
		return archive.Head, end, fmt.Errorf("check what was restored: %w", err)
	}
	if err := durable.Tree(partial); err != nil {
		return archive.Head, end, fmt.Errorf("restore %s: %w", dir, err)
	}
	if err := os.Rename(partial, dir); err != nil { // an empty one may be there
		return archive.Head, end, fmt.Errorf("restore %s: %w", dir, err)
	}
	return archive.Head, end, durable.Dir(filepath.Dir(dir))
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("restore %s: %w", dir, err)
	case len(entries) > 0:
		return fmt.Errorf("restore %s: %w", dir, ErrNotEmpty)
	}
	return nil
}

// openPartial makes the directory of a restore, without what a killed one left.
func openPartial(partial string) (*os.File, error) {
	if lock, held, err := lockDir(partial); err == nil {
		err = errors.Join(removeTree(partial), lock.Close())
		if err != nil {
			return nil, fmt.Errorf("remove what a restore left: %w", err)
		}
	} else if held {
		return nil, fmt.Errorf("another restore works in %s", partial)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove what a restore left: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(partial), 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Mkdir(partial, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, _, err := lockDir(partial)
	if err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	return lock, nil
}

// removeTree removes a tree with directories that forbid it.
func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil // removing tells
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}

// checkRestored opens the store, which refuses what this version cannot read, and
// looks for every segment that it names.
func checkRestored(ctx context.Context, dir string) (err error) {
	for _, name := range slices.Concat(backedUpDatabases(), backedUpFiles()) {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%w: it lacks %s", backup.ErrDamaged, name)
		}
	}
	st, err := sqlite.Open(ctx, filepath.Join(dir, storeName), sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, tree := range backedUpSegments() {
		err := tree.named(ctx, st, func(id segment.ID) error {
			if _, err := os.Lstat(filepath.Join(dir, tree.name, segment.Path(id))); err != nil {
				return fmt.Errorf("%w: it lacks segment %s of %s", backup.ErrDamaged, id, tree.name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
