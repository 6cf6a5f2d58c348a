// Package durable makes what was written outlast a power failure, beyond the
// content of a file, for which os.File.Sync is enough: an entry of a directory
// is only there for good when the directory was synced too.
package durable

import (
	"errors"
	"os"
	"runtime"
)

// Dir makes the names in dir durable. Windows, which cannot, keeps them by itself.
func Dir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
