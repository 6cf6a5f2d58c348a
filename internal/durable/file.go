package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// File writes a file, mode 0600, in a directory that exists. Whoever reads it, or
// finds it after a power failure, sees all of the old content or of the new.
func File(path string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return Dir(filepath.Dir(path))
}
