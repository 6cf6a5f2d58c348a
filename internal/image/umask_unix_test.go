//go:build unix

package image

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
)

// TestUmask unpacks under the umasks of hardened and of careless hosts: a guest,
// another user, must be able to read all of it, and nobody may change it.
func TestUmask(t *testing.T) {
	for _, umask := range []int{0o077, 0} {
		cache := newTestCache(t)
		old := syscall.Umask(umask)
		code, err := unpackBytes(cache, makeZip(t, member{name: "main.py", body: "1"}, member{name: "a/b/tool", body: "2", mode: 0o700}))
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(code.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if mode := info.Mode().Perm(); d.IsDir() && mode != 0o755 || !d.IsDir() && mode&^0o111 != 0o444 {
				t.Errorf("umask %03o: %s has mode %v", umask, path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		code.Release()
	}
}
