//go:build !linux

package image

import "io/fs"

// trusted is asked where servers run only.
func trusted(string, fs.FileInfo) (uid uint32, ok bool) { return 0, true }
