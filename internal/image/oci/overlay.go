package oci

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What an image's overlay may hold of files: it is read at each start.
const (
	overlayFile  = 256 << 10 // bytes of one
	overlayBytes = 40 << 20  // of the archive, about; engines take more
)

// writeOverlay writes the archive for sandbox.Spec.Overlay: what the files on
// disk, which all belong to us, do not say. Directories of other owners are in it
// whole, so that their owners can write to them; files as far as they are small
// and few, since an archive must hold their contents. It returns how many files
// it had to leave out: those are root's to the guest, and readable to all.
func writeOverlay(t *tree, path string, layers []string) (left int, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	o := overlay{layers: layers, written: map[string]bool{}}
	o.w = tar.NewWriter(io.MultiWriter(file, &o.size))
	if err := o.dirs(t, ""); err != nil {
		return 0, err
	}
	err = t.walk(func(p string, n *node) error {
		if !foreign(n) {
			return nil
		}
		if n.Kind != kindSymlink && o.size > overlayBytes {
			o.left++
			return nil
		}
		switch n.Kind {
		case kindDir:
			return o.dirs(t, p)
		case kindFile:
			return o.file(t, p, n)
		}
		return nil // nobody asks whose a link is
	})
	if err != nil {
		return 0, err
	}
	return o.left, o.w.Close()
}

// foreign tells whether the file on disk says something else than the image.
func foreign(n *node) bool {
	return n.UID != 0 || n.GID != 0 || n.Kind != kindSymlink && diskMode(&n.entry, false) != n.Mode
}

type overlay struct {
	w       *tar.Writer
	layers  []string
	written map[string]bool // directories
	size    counter
	left    int
}

// A counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// dirs writes a directory and those above it.
func (o *overlay) dirs(t *tree, p string) error {
	at, done := t.root, ""
	for _, name := range append([]string{""}, strings.Split(p, "/")...) {
		if name != "" {
			at, done = at.children[name], done+name+"/"
		}
		if o.written[done] {
			continue
		}
		o.written[done] = true
		h := &tar.Header{Typeflag: tar.TypeDir, Name: "./" + done, Mode: int64(at.Mode), Uid: at.UID, Gid: at.GID, ModTime: time.Unix(0, at.Time)}
		if err := o.w.WriteHeader(h); err != nil {
			return err
		}
	}
	return nil
}

func (o *overlay) file(t *tree, p string, n *node) error {
	// Of a file with several names an archive would make several files.
	if n.Size > overlayFile || n.names > 1 {
		o.left++
		return nil
	}
	if err := o.dirs(t, parent(p)); err != nil {
		return err
	}
	content, err := os.Open(filepath.Join(o.layers[n.layer], contentName(n.File)))
	if err != nil {
		return err
	}
	defer content.Close()
	h := &tar.Header{Typeflag: tar.TypeReg, Name: "./" + p, Mode: int64(n.Mode), Uid: n.UID, Gid: n.GID, Size: n.Size, ModTime: time.Unix(0, n.Time)}
	if err := o.w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(o.w, content)
	return err
}
