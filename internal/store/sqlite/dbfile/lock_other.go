//go:build !unix

package dbfile

import (
	"errors"
	"fmt"
	"os"
)

// lockFile refuses: the server runs on Linux, and only the client half is built
// for systems without flock.
func lockFile(path string) (*os.File, error) {
	return nil, fmt.Errorf("lock %s: %w", path, errors.ErrUnsupported)
}
