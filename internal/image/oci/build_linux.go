package oci

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A builder makes a tree on disk. It works by open directories and single names,
// never through a link, whatever the tree holds.
type builder struct {
	layers []int // open directories of contents
	owners bool
}

// build makes the tree at path, which must not be there, from the layers'
// directories of contents.
func build(t *tree, path string, layers []string, owners bool) (err error) {
	b := builder{owners: owners}
	defer func() {
		for _, fd := range b.layers {
			unix.Close(fd)
		}
	}()
	for _, l := range layers {
		fd, err := unix.Open(l, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: l, Err: err}
		}
		b.layers = append(b.layers, fd)
	}
	return b.dir(unix.AT_FDCWD, path, t.root)
}

func (b *builder) dir(at int, name string, n *node) error {
	if err := unix.Mkdirat(at, name, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	for _, child := range slices.Sorted(maps.Keys(n.children)) {
		if err := b.child(fd, child, n.children[child]); err != nil {
			return err
		}
	}
	if b.owners {
		if err := unix.Fchown(fd, n.UID, n.GID); err != nil {
			return &os.PathError{Op: "chown", Path: name, Err: err}
		}
	}
	if err := unix.Fchmod(fd, diskMode(&n.entry, b.owners)); err != nil {
		return &os.PathError{Op: "chmod", Path: name, Err: err}
	}
	times := []unix.Timespec{unix.NsecToTimespec(n.Time), unix.NsecToTimespec(n.Time)}
	if err := unix.UtimesNanoAt(at, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: name, Err: err}
	}
	return nil
}

func (b *builder) child(dir int, name string, n *node) error {
	switch n.Kind {
	case kindDir:
		return b.dir(dir, name, n)
	case kindSymlink:
		return b.symlink(dir, name, n)
	}
	content := contentName(n.File)
	err := unix.Linkat(b.layers[n.layer], content, dir, name, 0)
	// As many images have it as the file system can count, or it has no such links.
	if errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		err = b.copy(dir, name, n)
	}
	if err != nil {
		return fmt.Errorf("link %s: %w", quote(name), err)
	}
	return nil
}

func (b *builder) symlink(dir int, name string, n *node) error {
	if err := unix.Symlinkat(n.Link, dir, name); err != nil {
		return &os.PathError{Op: "symlink", Path: name, Err: err}
	}
	if b.owners {
		if err := unix.Fchownat(dir, name, n.UID, n.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "chown", Path: name, Err: err}
		}
	}
	times := []unix.Timespec{unix.NsecToTimespec(n.Time), unix.NsecToTimespec(n.Time)}
	return unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW)
}

func (b *builder) copy(dir int, name string, n *node) (err error) {
	from, err := unix.Openat(b.layers[n.layer], contentName(n.File), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	in := os.NewFile(uintptr(from), name)
	defer in.Close()
	to, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(to), name)
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if b.owners {
		if err := out.Chown(n.UID, n.GID); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(to, diskMode(&n.entry, b.owners)); err != nil {
		return err
	}
	times := []unix.Timespec{unix.NsecToTimespec(n.Time), unix.NsecToTimespec(n.Time)}
	return unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW)
}
