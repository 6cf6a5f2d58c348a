package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountProbes change what the guest sees of files, and look whether that shows more
// than it was given. All that they leave is in a mount namespace of their own, where
// they may do anything.
var mountProbes = map[string]probe{
	"mount":       mountType,  // TYPE OPTIONS
	"mountable":   mountable,  // which types of file systems can be mounted
	"mounted":     mountedHas, // TYPE PATH, what is below a fresh mount of a type
	"bind":        bindRoot,   // PATH, through a bind mount of the root
	"remount":     remountAll, // writable, whatever is read-only
	"umount":      umountAll,  // PATH, under everything that is mounted
	"pivot":       pivot,      // PATH, from below a new root
	"overlay":     overlay,    // writes to a read-only directory through one
	"mount-api":   mountAPI,   // the system calls of Linux 5.2
	"propagation": propagate,
	"whiteout":    whiteout, // DIR
}

// aside makes a directory to mount at.
func aside() (string, error) { return os.MkdirTemp("/tmp", "mount") }

func mountType(arg string) (string, error) {
	kind, options, _ := strings.Cut(arg, " ")
	dir, err := aside()
	if err != nil {
		return "", err
	}
	return kind, unix.Mount("none", dir, kind, 0, options)
}

func mountable(string) (string, error) {
	var found []string
	for _, kind := range []string{
		"tmpfs", "proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "overlay", "mqueue", "ramfs", "9p", "gofer", "erofs", "dev",
		"ext4", "xfs", "btrfs", "nfs", "cifs", "debugfs", "tracefs", "securityfs", "configfs", "bpf", "hugetlbfs", "pstore", "efivarfs",
		"binder", "fusectl", "autofs", "squashfs", "virtiofs", "nsfs", "host", "pipefs", "sockfs",
	} {
		if _, err := mountType(kind); err == nil {
			found = append(found, kind)
		}
	}
	return some(found)
}

func mountedHas(arg string) (string, error) {
	kind, path, _ := strings.Cut(arg, " ")
	dir, err := aside()
	if err == nil {
		err = unix.Mount("none", dir, kind, 0, "")
	}
	if err != nil {
		return "", err
	}
	found, _ := filepath.Glob(dir + path)
	for i, f := range found {
		found[i] = strings.TrimPrefix(f, dir)
	}
	return some(found)
}

func bindRoot(path string) (string, error) {
	dir, err := aside()
	if err == nil {
		err = unix.Mount("/", dir, "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err != nil {
		return "", err
	}
	return look(dir + path)
}

// remountAll makes every mount writable and writes there.
func remountAll(string) (string, error) {
	var last error
	remounted := false
	for _, at := range mountPoints() {
		for _, flags := range []uintptr{unix.MS_REMOUNT | unix.MS_BIND, unix.MS_REMOUNT} {
			err := unix.Mount("none", at, "", flags, "")
			if err != nil {
				last = err
			}
			remounted = remounted || err == nil
		}
	}
	if !remounted {
		return "", last
	}
	return writeMounts("")
}

// umountAll takes all mounts away, the topmost first, and looks for a path and for
// what else is there then.
func umountAll(path string) (string, error) {
	before := map[string]bool{}
	for _, d := range []string{"/", "/var", "/usr", "/usr/local", "/usr/lib", "/etc", "/mnt"} {
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			before[filepath.Join(d, e.Name())] = true
		}
	}
	var last error
	points := mountPoints()
	slices.Reverse(points)
	gone := 0
	for _, at := range points {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			last = err
			continue
		}
		gone++
	}
	if gone == 0 {
		return "", last
	}
	var found []string
	if _, err := look(path); err == nil {
		found = append(found, path)
	}
	for _, d := range []string{"/", "/var", "/usr", "/usr/local", "/usr/lib", "/etc", "/mnt"} {
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			if p := filepath.Join(d, e.Name()); !before[p] {
				found = append(found, p)
			}
		}
	}
	return some(found)
}

// pivot makes a memory file system the root and looks at what was above the old one.
func pivot(path string) (string, error) {
	dir, err := aside()
	if err == nil {
		err = unix.Mount("none", dir, "tmpfs", 0, "")
	}
	if err == nil {
		err = os.Mkdir(dir+"/old", 0o700)
	}
	if err == nil {
		err = unix.PivotRoot(dir, dir+"/old")
	}
	if err != nil {
		return "", err
	}
	for _, p := range []string{"/old" + path, "/old/.." + path, "/old/../../.." + path} {
		if was, err := look(p); err == nil {
			return p + " " + was, nil
		}
	}
	return "", errors.New("nothing was found")
}

// overlay lays a file system over what is read-only. What it writes is its own, so
// what counts is that the directory itself has not changed.
func overlay(dir string) (string, error) {
	at, err := aside()
	if err == nil {
		err = unix.Mount("none", at, "tmpfs", 0, "")
	}
	for _, d := range []string{"upper", "work", "merged"} {
		if err == nil {
			err = os.Mkdir(filepath.Join(at, d), 0o700)
		}
	}
	if err == nil {
		err = unix.Mount("none", at+"/merged", "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", dir, at, at))
	}
	if err == nil {
		err = os.WriteFile(at+"/merged/probe", []byte("x"), 0o600)
	}
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "probe")); err == nil {
		return "the directory below has changed", nil
	}
	return "", errors.New("it wrote to its own memory")
}

func mountAPI(string) (string, error) {
	var found []string
	for name, try := range map[string]func() (string, error){
		"fsopen":    func() (string, error) { return call(unix.SYS_FSOPEN, text("9p"), 0) },
		"fspick":    func() (string, error) { return call(unix.SYS_FSPICK, -100, text("/"), 0) },
		"open_tree": func() (string, error) { return call(unix.SYS_OPEN_TREE, -100, text("/"), unix.OPEN_TREE_CLONE) },
		"mount_setattr": func() (string, error) {
			return call(unix.SYS_MOUNT_SETATTR, -100, text("/"), unix.AT_RECURSIVE, zeros(), 32)
		},
	} {
		if _, err := try(); err == nil {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return some(found)
}

func propagate(string) (string, error) {
	dir, err := aside()
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, "")
	}
	if err == nil {
		err = unix.Mount("none", dir, "tmpfs", 0, "")
	}
	return "a shared mount", err
}

func whiteout(dir string) (string, error) {
	from := filepath.Join(dir, "from")
	if err := os.WriteFile(from, nil, 0o600); err != nil {
		return "", err
	}
	defer os.Remove(from)
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, filepath.Join(dir, "to"), unix.RENAME_WHITEOUT); err != nil {
		return "", err
	}
	return "a device of the machine's", nil
}
