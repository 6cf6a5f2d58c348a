package gvisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// DefaultDiskBytes bounds what a guest writes below its own root where the Spec says
// nothing.
const DefaultDiskBytes = 2 << 30

// makeDisks makes the directory for what guests write below their roots, and
// removes what a machine that lost its power in the wrong moment left there.
func makeDisks(dir string) (string, error) {
	disks := filepath.Join(dir, "disks")
	if err := os.MkdirAll(disks, 0o700); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(disks)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		info, err := e.Info()
		// A young one may be another supervisor's, about to lose its name.
		ours := strings.HasPrefix(e.Name(), wire.RootFile) || strings.HasPrefix(e.Name(), wire.TmpFile)
		if err == nil && ours && time.Since(info.ModTime()) > startTimeout {
			if err := os.Remove(filepath.Join(disks, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
		}
	}
	return disks, nil
}

// useRoot puts the spec's root, if it has one, into the request.
func useRoot(m *wire.Start, spec sandbox.Spec) error {
	if spec.Root == "" {
		return nil
	}
	root, err := directory(spec.Root, unix.R_OK|unix.X_OK)
	if err != nil {
		return fmt.Errorf("%w: root %s: %w", sandbox.ErrInvalid, spec.Root, err)
	}
	m.Root, m.UID, m.GID = root, spec.User, spec.Group
	if spec.Overlay != "" {
		if m.Overlay, err = filepath.EvalSymlinks(spec.Overlay); err != nil {
			return fmt.Errorf("%w: overlay %s: %w", sandbox.ErrInvalid, spec.Overlay, plain(err))
		}
	}
	if m.DiskBytes = spec.Limits.DiskBytes; m.DiskBytes == 0 {
		m.DiskBytes = DefaultDiskBytes
	}
	return nil
}

// directory returns the path of a directory that this process may access so. Links
// are resolved now: inside the supervisor, absolute ones would point elsewhere.
func directory(path string, access uint32) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", plain(err)
	}
	info, err := os.Stat(resolved)
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err == nil {
		err = unix.Access(resolved, access)
	}
	return resolved, plain(err)
}

// plain is err without the operation and the path.
func plain(err error) error {
	if pe := new(fs.PathError); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
