package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileProbes are about files that are not the guest's. The argument is a path of
// the machine unless it says otherwise.
var fileProbes = map[string]probe{
	"read":           func(path string) (string, error) { return look(path) },
	"readall":        readAll,     // PATH,PATH...
	"through-proc":   throughProc, // by the magic links of all processes
	"through-fd":     throughFD,   // up from descriptors of all mounts
	"through-chroot": throughChroot,
	"through-link":   throughLink,
	"through-handle": throughHandle,
	"inherited":      inherited,   // descriptors that the sandbox's maker left open
	"reopen-rw":      reopenRW,    // of a file that is read-only
	"write-mounts":   writeMounts, // to everything that is not its own
	"hardlink":       hardLink,    // of a file that is read-only, to change it there
	"private":        privateFile, // of another user, shown by a mount
	"leave":          leave,
	"litter":         func(dir string) (string, error) { return strings.Join(litter(dir), ", "), nil },
	"connect-all":    connectAll,
	"connect":        connectUnix, // to a socket's file, or to @NAME
	"fifo":           openFIFO,
	"say":            say,        // what a file of the guest's says, which is no secret
	"contains":       contains,   // PATH=TEXT, whether a file of the guest's holds it
	"shm":            sysvShared, // KEY of a segment of the machine's shared memory
	"devices":        devices,    // what /dev holds
	"open":           openDevice, // a device
	"mknod":          makeDevice, // TYPE MAJOR MINOR, made and opened
	"sys":            listSys,
	"writable":       writableBelow, // which files below a directory take what they say already
}

// look tells that something can be read, and not what.
func look(path string) (string, error) {
	if entries, err := os.ReadDir(path); err == nil {
		return fmt.Sprintf("a directory of %d", len(entries)), nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, 1<<16)
	n, err := f.Read(buf)
	if n == 0 && err != nil && !strings.Contains(err.Error(), "EOF") {
		return "", err
	}
	return fmt.Sprintf("%d bytes", n), nil
}

func readAll(paths string) (string, error) {
	var found []string
	for p := range strings.SplitSeq(paths, ",") {
		if was, err := look(p); err == nil && was != "0 bytes" && was != "a directory of 0" {
			found = append(found, p)
		}
	}
	return some(found)
}

// some is what was found, or that nothing was.
func some(found []string) (string, error) {
	if len(found) == 0 {
		return "", errors.New("nothing was found")
	}
	return strings.Join(found[:min(len(found), 20)], " "), nil
}

func throughProc(path string) (string, error) {
	var found []string
	up := strings.Repeat("../", 16)
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range append(processes, "/proc/self", "/proc/thread-self", "/proc/self/task/1") {
		ways := []string{p + "/root" + path, p + "/cwd/" + up + path, p + "/exe/../" + up + path, p + "/root/" + up + path}
		for _, dir := range []string{"/fd", "/map_files", "/task"} {
			entries, _ := os.ReadDir(p + dir)
			for _, e := range entries {
				ways = append(ways, p+dir+"/"+e.Name()+path, p+dir+"/"+e.Name()+"/"+up+path, p+dir+"/"+e.Name()+"/root"+path)
			}
		}
		for _, w := range ways {
			if _, err := look(w); err == nil {
				found = append(found, w)
			}
		}
	}
	return some(found)
}

func throughFD(path string) (string, error) {
	var found []string
	for _, m := range append(mountPoints(), ".") {
		fd, err := unix.Open(m, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		for _, up := range []string{strings.Repeat("../", 40), "../../../../proc/1/root/../.."} {
			if f, err := unix.Openat(fd, up+path, unix.O_RDONLY, 0); err == nil {
				unix.Close(f)
				found = append(found, m)
			}
		}
		unix.Close(fd)
	}
	return some(found)
}

// mountPoints are where something is mounted in this process's eyes.
func mountPoints() []string {
	text, _ := os.ReadFile("/proc/self/mounts")
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 2 {
			points = append(points, fields[1])
		}
	}
	return points
}

// throughChroot leaves a root by one below it, while the working directory stays
// outside.
func throughChroot(path string) (string, error) {
	dir, err := os.MkdirTemp("/tmp", "chroot")
	if err != nil {
		return "", err
	}
	if err := unix.Chroot(dir); err != nil {
		return "", err
	}
	for range 64 {
		if err := unix.Chdir(".."); err != nil {
			return "", err
		}
	}
	if err := unix.Chroot("."); err != nil {
		return "", err
	}
	return look(path)
}

func throughLink(path string) (string, error) {
	link := fmt.Sprintf("/tmp/link-%d", os.Getpid())
	if err := os.Symlink(path, link); err != nil {
		return "", err
	}
	defer os.Remove(link)
	return look(link)
}

// throughHandle opens files by handle that path lookups would not reach.
func throughHandle(path string) (string, error) {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0)
	if err != nil {
		h = unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0}) // inode 2 is a disk's root
	}
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	fd, err := unix.OpenByHandleAt(root, h, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	_, err = unix.Openat(fd, "."+path, unix.O_RDONLY, 0)
	return "a file by its handle", err
}

func inherited(string) (string, error) {
	var found []string
	for fd := 3; fd < 1024; fd++ {
		var st unix.Stat_t
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue // what this program's own runtime opens closes on exec
		}
		if unix.Fstat(fd, &st) == nil {
			link, _ := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
			if strings.Contains(link, "_map") || strings.Contains(link, "/setgroups") {
				continue // of another probe, which is just making its user namespace
			}
			found = append(found, fmt.Sprint(fd, "=", link))
		}
	}
	return some(found)
}

func reopenRW(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	w, err := os.OpenFile(fmt.Sprint("/proc/self/fd/", f.Fd()), os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	_, err = w.Write([]byte{'x'})
	return "it was written", err
}

// writeMounts tries every change to every mount that is not a memory file system.
func writeMounts(string) (string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !slices.Contains([]string{"9p", "gofer", "overlay", "ext4", "erofs"}, fields[2]) {
			continue
		}
		at := fields[1]
		for what, err := range map[string]error{
			"create": os.WriteFile(filepath.Join(at, "probe"), nil, 0o600), "mkdir": os.Mkdir(filepath.Join(at, "probedir"), 0o700),
			"symlink": os.Symlink("/", filepath.Join(at, "probelink")), "chmod": os.Chmod(at, 0o777), "chown": os.Chown(at, os.Getuid(), os.Getgid()),
			"xattr": unix.Setxattr(at, "user.probe", []byte("x"), 0), "rename": os.Rename(at, at+"x"), "tmpfile": tmpFile(at),
			"truncate": os.Truncate(first(at), 0), "remove": os.Remove(first(at)),
		} {
			if err == nil {
				found = append(found, what+" "+at)
			}
		}
	}
	slices.Sort(found)
	return some(found)
}

func tmpFile(dir string) error {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// first is a file in a directory, or what is no directory itself.
func first(dir string) string {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() {
			return filepath.Join(dir, e.Name())
		}
	}
	return dir
}

func hardLink(path string) (string, error) {
	to := fmt.Sprintf("/tmp/hard-%d", os.Getpid())
	if err := os.Link(path, to); err != nil {
		return "", err
	}
	return "a link", os.WriteFile(to, []byte("x"), 0)
}

// privateFile reads a file that only its owner may, as everybody whom the guest can
// become.
func privateFile(path string) (string, error) {
	was, err := look(path)
	if err == nil {
		return was, nil
	}
	for _, id := range []int{0, 1, 1000, 65534} {
		if unix.Setresuid(id, id, id) != nil {
			continue
		}
		if was, err := look(path); err == nil {
			return fmt.Sprintf("%s as %d", was, id), nil
		}
	}
	return "", err
}

func connectUnix(name string) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return "", err
	}
	return "a connection", unix.Connect(fd, &unix.SockaddrUnix{Name: name})
}

func openFIFO(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	n, err := unix.Write(fd, []byte("x"))
	return fmt.Sprint(n, " byte written"), err
}

func say(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text[:min(len(text), 2000)])), err
}

func contains(arg string) (string, error) {
	path, text, _ := strings.Cut(arg, "=")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(data), text) {
		return "", errors.New("nothing was found")
	}
	return "it holds it", nil
}

func sysvShared(key string) (string, error) {
	id, _, e := unix.Syscall(unix.SYS_SHMGET, uintptr(number(key)), 0, 0)
	if e != 0 {
		return "", e
	}
	return fmt.Sprint("segment ", id), nil
}

func devices(string) (string, error) {
	var found []string
	err := filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeDevice != 0 {
			found = append(found, strings.TrimPrefix(path, "/dev/"))
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return some(found)
}

func openDevice(names string) (string, error) {
	var found []string
	for n := range strings.SplitSeq(names, ",") {
		if fd, err := unix.Open("/dev/"+n, unix.O_RDWR|unix.O_NONBLOCK, 0); err == nil {
			unix.Close(fd)
			found = append(found, n)
		}
	}
	return some(found)
}

func makeDevice(arg string) (string, error) {
	var kind string
	var major, minor uint32
	if _, err := fmt.Sscan(arg, &kind, &major, &minor); err != nil {
		return "", err
	}
	mode := uint32(unix.S_IFCHR | 0o666)
	if kind == "b" {
		mode = unix.S_IFBLK | 0o666
	}
	path := fmt.Sprintf("/tmp/device-%d", os.Getpid())
	if err := unix.Mknod(path, mode, int(unix.Mkdev(major, minor))); err != nil {
		return "", err
	}
	defer os.Remove(path)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	unix.Close(fd)
	return "it was opened", nil
}

func listSys(string) (string, error) {
	var found []string
	for _, p := range []string{"block", "bus/pci/devices", "class/dmi", "class/block", "class/scsi_host", "firmware", "kernel", "module", "hypervisor", "power", "fs", "devices/virtual"} {
		if entries, err := os.ReadDir("/sys/" + p); err == nil && len(entries) > 0 {
			found = append(found, fmt.Sprintf("%s(%d)", p, len(entries)))
		}
	}
	return some(found)
}

func writableBelow(dir string) (string, error) {
	var found []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what cannot be entered cannot be written
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil
		}
		defer f.Close()
		was := make([]byte, 4096)
		n, err := f.Read(was) // it is written as it was
		if err == nil {
			_, err = f.WriteAt(was[:n], 0)
		}
		if err == nil {
			found = append(found, strings.TrimPrefix(path, dir+"/"))
		}
		return nil
	})
	return some(found)
}

// litter leaves in a directory what is a nuisance to whoever owns it, and tells how
// each went.
func litter(dir string) []string {
	var lines []string
	try := func(what string, err error) { lines = append(lines, what+": "+reason(err)) }
	at := func(name string) string { return filepath.Join(dir, name) }
	data, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(at("setuid"), data[:min(len(data), 4096)], 0o755)
	}
	try("given away", os.Chown(at("setuid"), 1000, 1000))
	try("given to root", os.Chown(at("setuid"), 0, 0))
	try("setuid", errors.Join(err, os.Chmod(at("setuid"), fs.ModeSetuid|fs.ModeSetgid|0o755)))
	fd, err := unix.Open(at("born setuid"), unix.O_CREAT|unix.O_WRONLY, unix.S_ISUID|unix.S_ISGID|0o755)
	try("born setuid", errors.Join(err, unix.Close(fd)))
	try("made setuid", unix.Mknod(at("made setuid"), unix.S_IFREG|unix.S_ISUID|0o755, 0))
	try("setgid directory", errors.Join(os.Mkdir(at("setgid"), 0o755), os.Chmod(at("setgid"), fs.ModeSetgid|0o777)))
	for _, mode := range []uint32{unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK} {
		try(fmt.Sprintf("mknod %o", mode), unix.Mknod(at(fmt.Sprintf("node%o", mode)), mode|0o666, int(unix.Mkdev(1, 1))))
	}
	all := []byte{1, 0, 0, 2, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0}
	try("capabilities", unix.Setxattr(at("setuid"), "security.capability", all, 0))
	try("trusted", unix.Setxattr(at("setuid"), "trusted.overlay.opaque", []byte("y"), 0))
	try("newline", os.WriteFile(at("a\nb\x1b[31m"), nil, 0o600))
	try("not text", os.WriteFile(at("\xff\xfe"), nil, 0o600))
	try("shut below what is not text", errors.Join(os.MkdirAll(at("\xfe/shut/inside"), 0o755), os.Chmod(at("\xfe/shut"), 0)))
	try("a file of a terabyte", errors.Join(os.WriteFile(at("sparse"), nil, 0o600), os.Truncate(at("sparse"), 1<<40)))
	try("a loop", errors.Join(os.Symlink("loop2", at("loop1")), os.Symlink("loop1", at("loop2"))))
	try("a link out", os.Symlink("/", at("link")))
	try("long path", longPath(dir))
	try("shut", errors.Join(os.MkdirAll(at("shut/inside"), 0o755), os.WriteFile(at("shut/inside/file"), nil, 0o600), os.Chmod(at("shut/inside"), 0), os.Chmod(at("shut"), 0)))
	return lines
}

// longPath makes directories whose path is longer than any call takes at once, and a
// shut one below.
func longPath(dir string) error {
	defer func() { _ = os.Chdir("/") }()
	if err := os.Chdir(dir); err != nil {
		return err
	}
	name := strings.Repeat("long", 50)
	for range 30 {
		if err := errors.Join(os.Mkdir(name, 0o755), os.Chdir(name)); err != nil {
			return err
		}
	}
	return errors.Join(os.Mkdir("shut", 0o755), os.WriteFile("shut/file", nil, 0o600), os.Chmod("shut", 0))
}

// leave writes a text into a file: PATH=TEXT.
func leave(arg string) (string, error) {
	path, text, _ := strings.Cut(arg, "=")
	return "written", os.WriteFile(path, []byte(text), 0o666)
}

// connectAll connects to sockets' files, or to @NAMEs.
func connectAll(names string) (string, error) {
	var found []string
	for n := range strings.SplitSeq(names, ",") {
		if _, err := connectUnix(n); err == nil {
			found = append(found, n)
		}
	}
	return some(found)
}
