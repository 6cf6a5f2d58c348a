package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// Tree makes everything beneath dir durable. One syncfs costs less than an
// fsync for each of ten thousand files.
func Tree(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}
