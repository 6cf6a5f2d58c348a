package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Extract reads all of an archive into an empty directory, and returns what it
// held. accept says whether a name belongs there, and whether its owner is to be
// the one that it had, which takes root. Nothing is written outside of
// the directory, whatever the archive says. What was extracted when an error came
// is to be removed.
func (a *Reader) Extract(ctx context.Context, into *os.Root, accept func(name string) (belongs, owned bool)) (End, error) {
	// Directories get their modes and times last: what is in them is written first.
	var directories []Entry
	root := os.Geteuid() == 0
	for {
		if err := ctx.Err(); err != nil {
			return End{}, err
		}
		err := a.Next(func(e Entry, body io.Reader) error {
			belongs, owned := accept(e.Name)
			if !belongs {
				return fmt.Errorf("extract %s: %w: it does not belong into a data directory", e.Name, ErrDamaged)
			}
			if e.Mode.IsDir() {
				directories = append(directories, e)
			}
			return extract(into, e, body, owned && root)
		})
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return End{}, err
		}
	}
	for i := len(directories) - 1; i >= 0; i-- {
		d := directories[i]
		if err := errors.Join(into.Chmod(d.Name, d.Mode.Perm()), into.Chtimes(d.Name, time.Time{}, d.Modified)); err != nil {
			return End{}, fmt.Errorf("extract %s: %w", d.Name, err)
		}
	}
	return a.Read(), nil
}

// extract writes one entry.
func extract(into *os.Root, e Entry, body io.Reader, owned bool) (err error) {
	switch {
	case e.Mode.IsDir():
		if err = into.Mkdir(e.Name, 0o700); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case e.Mode&fs.ModeSymlink != 0:
		err = into.Symlink(e.Target, e.Name)
	default:
		err = writeFile(into, e, body)
	}
	if err == nil && owned {
		err = into.Lchown(e.Name, e.UID, e.GID)
	}
	if err == nil && e.Mode.IsRegular() { // after the owner, which takes bits away
		err = errors.Join(into.Chmod(e.Name, e.Mode.Perm()), into.Chtimes(e.Name, time.Time{}, e.Modified))
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("extract %s: %w", e.Name, err)
	}
	return err
}

func writeFile(into *os.Root, e Entry, body io.Reader) error {
	f, err := into.OpenFile(e.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	read := &reading{r: body}
	_, err = io.Copy(f, read)
	if read.err != nil {
		err = damaged("read archive", read.err)
	}
	return errors.Join(err, f.Close())
}

// reading remembers whether the reader failed: a writer may fail, too.
type reading struct {
	r   io.Reader
	err error
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
