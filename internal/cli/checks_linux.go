package cli

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// modesCount says that a file's mode says who can read it.
const modesCount = true

// minFree is how much room a server should have: a code zip unpacked, its
// upload, and the store's journal, in bytes.
const minFree = 1 << 30

// checkMount looks at the file system that holds dir, or will.
func checkMount(dir string) []Finding {
	var st unix.Statfs_t
	at := dir
	for unix.Statfs(at, &st) == unix.ENOENT && at != filepath.Dir(at) {
		at = filepath.Dir(at)
	}
	if st.Bsize == 0 {
		return nil // not ours to look at; the check of the directory itself says so
	}
	switch st.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return []Finding{{Name: "disk", Detail: at + " is the kernel's and holds no files of ours", Fix: "Choose another place with --data."}}
	}
	free := int64(st.Bavail) * st.Bsize
	room := Finding{Name: "disk", OK: free >= minFree, Detail: size(free) + " free for " + dir}
	if st.Blocks == 0 { // memory without a bound of its own
		room.OK, room.Detail = true, dir+" is on a file system without a bound"
	}
	if !room.OK {
		room.Detail = "the disk is nearly full: " + room.Detail
		room.Fix = "Free some space, or choose another place with --data."
	}
	if st.Files > 0 && st.Ffree < 1000 {
		room.OK = false
		room.Detail, room.Fix = fmt.Sprintf("the file system of %s has room for %d more files only", dir, st.Ffree), "Delete some files, or choose another place with --data."
	}
	mount := Finding{Name: "mount", OK: true, Detail: "programs may run from the data directory"}
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		mount.OK = false
		mount.Detail, mount.Fix = dir+" is mounted read-only", "Choose another place with --data."
	case st.Flags&unix.ST_NOEXEC != 0:
		mount.Detail = dir + " is mounted noexec: the sandbox executable runs from memory instead"
	}
	return []Finding{room, mount}
}
