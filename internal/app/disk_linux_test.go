package app

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFreeDisk(t *testing.T) {
	dir := t.TempDir()
	free, err := freeDisk(dir)()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if all := int64(st.Blocks) * st.Bsize; err != nil || all > 0 && free >= all {
		t.Errorf("%d of %d bytes, %v: some are left to others", free, all, err)
	}
	if free, err := freeDisk(filepath.Join(dir, "missing"))(); err == nil {
		t.Errorf("%d bytes are free in no directory", free)
	}
}
