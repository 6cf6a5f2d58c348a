package supervisor

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// Guests with a root of their own, such as an OCI image's (spec/sandbox.md 5).
//
// The host's directory is what it is for everybody: read-only. gVisor lays a
// memory file system over it whose bytes lie in an unlinked file of disksDir, so
// that they are bounded by its size and do not count as the guest's memory. What
// a guest finds changed from the start (its network's files, owners that the
// host's files cannot have) comes as a tar archive that gVisor unpacks into it.

// disksDir is where the files of writable roots lie: the host's disk, by a mount
// that is made before everything of the host becomes read-only.
const disksDir = "/disks"

// maxUpper bounds the archive laid over a root: gVisor reads all of it at a start.
const maxUpper = 48 << 20

const (
	// upperName is the archive's name in the bundle, where runsc is started. It is
	// the same for all sandboxes, since gVisor compares it at a restore. It is a
	// link to a file on the disk: the bundle's memory is for all sandboxes.
	upperName = "upper.tar"
	// upperFile begins that file's name as the engine's clean-up knows it.
	upperFile = wire.RootFile + "upper-"
)

// rootCapabilities are those of a guest that is root in its own image: what other
// engines grant containers, without the ones that concern devices and raw
// sockets. They are the sentry's invention and mean nothing on the host.
var rootCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
	"CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// showDisks makes the host's directory writable at disksDir, and nothing else of
// the host. Programs run from there: guests execute what they wrote.
func showDisks(dir string) error {
	if err := bind(hostDir+dir, disksDir); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, disksDir, unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
	})
}

// overlayArgs are runsc's arguments about the writable layer.
func (g *guest) overlayArgs() []string {
	if g.diskBytes == 0 {
		return []string{"--overlay2=none"} // nothing below a read-only root is written to
	}
	medium := "dir=" + disksDir
	if noexec(disksDir) {
		medium = "memory" // guests could not execute what they wrote
	}
	return []string{fmt.Sprintf("--overlay2=root:%s,size=%d", medium, g.diskBytes), "--allow-rootfs-tar-annotation"}
}

// noexec tells whether nothing below a directory may be executed.
func noexec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) != nil || st.Flags&unix.ST_NOEXEC != 0
}

// useRoot changes the host layer's spec to that of a guest with a root of its
// own, and makes what it needs in the bundle. The bundle's settle takes it down.
func useRoot(spec *specs.Spec, b bundle, m *wire.Start) error {
	source := hostDir + m.Root
	dir, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &wire.Failure{Kind: wire.Mounting, Text: fmt.Sprintf("root %s: %v", m.Root, err)}
	}
	defer unix.Close(dir)
	path, err := addPoints(dir, source, b, m.Mounts)
	if err != nil {
		return err
	}
	spec.Root = &specs.Root{Path: path}
	if filled(dir, "tmp") { // what the image put there must be seen; it is bounded by the disk
		spec.Mounts = slices.DeleteFunc(spec.Mounts, func(v specs.Mount) bool {
			return v.Destination == "/tmp" && (v.Type == "tmpfs" || v.Source == disksDir)
		})
	}
	if m.UID == 0 {
		spec.Process.Capabilities = &specs.LinuxCapabilities{
			Bounding: rootCapabilities, Effective: rootCapabilities, Permitted: rootCapabilities,
		}
	}
	spec.Annotations["dev.gvisor.tar.rootfs.upper"] = upperName
	file, err := os.CreateTemp(disksDir, upperFile)
	if err != nil {
		return fmt.Errorf("make archive of root: %w", err)
	}
	defer file.Close()
	if err := os.Symlink(file.Name(), filepath.Join(string(b), upperName)); err != nil {
		return errors.Join(fmt.Errorf("make archive of root: %w", err), os.Remove(file.Name()))
	}
	return writeUpper(file, dir, m.Overlay)
}

// settle takes down what only a boot needs: the sandbox's processes have their
// own mounts and open files by then.
func (b bundle) settle() {
	for _, name := range []string{"root", "image"} {
		_ = unix.Unmount(filepath.Join(string(b), name), unix.MNT_DETACH) // most guests have none
	}
	if file, err := os.Readlink(filepath.Join(string(b), upperName)); err == nil {
		_ = os.Remove(file) // or the engine's clean-up does
	}
}

// addPoints returns a directory that shows root with all mount points in it. The
// gofer mounts on the host's files and cannot make them, so where some are
// missing, directories and files that stand for them are laid over the root by
// the kernel. So is nothing at all where the host's disk is mounted noexec, since
// that must not hold for guests, and gVisor's gofer trips over it.
func addPoints(root int, source string, b bundle, mounts []wire.Mount) (string, error) {
	points := filepath.Join(string(b), "points")
	for i, v := range mounts {
		if slices.ContainsFunc(mounts[:i], func(e wire.Mount) bool { return strings.HasPrefix(v.Target, e.Target+"/") }) {
			continue // it lies in what is mounted there
		}
		if err := addPoint(root, points, v); err != nil {
			return "", &wire.Failure{Kind: wire.Mounting, Text: fmt.Sprintf("mount %s on %s: %v", v.Source, v.Target, err)}
		}
	}
	if noexec(source) {
		if _, err := copyDirs(root, root, points); err != nil {
			return "", fmt.Errorf("make root: %w", err)
		}
	}
	if _, err := os.Lstat(points); err != nil {
		return source, nil // nothing is missing
	}
	image, path := filepath.Join(string(b), "image"), filepath.Join(string(b), "root")
	for _, d := range []string{image, path} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", fmt.Errorf("make root: %w", err)
		}
	}
	if err := bind(source, image); err != nil {
		return "", classify("show the root", err)
	}
	// Both are lower layers: there is nothing to write to, and the topmost one's
	// directories have the attributes that count.
	if err := unix.Mount("outcrop", path, "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "lowerdir="+points+":"+image); err != nil {
		return "", classify("lay mount points over the root", err)
	}
	return path, nil
}

// addPoint makes the mount point for v below points, unless root has it.
func addPoint(root int, points string, v wire.Mount) error {
	source, err := os.Stat(hostDir + v.Source)
	if err != nil {
		return err
	}
	if found, err := openIn(root, v.Target); err == nil {
		defer unix.Close(found)
		if isDir(found) != source.IsDir() {
			return errors.New("the root has a file where a directory is mounted, or the other way round")
		}
		return nil
	} else if !errors.Is(err, unix.ENOENT) {
		return err
	}
	have, rest := filepath.Dir(v.Target), filepath.Base(v.Target)
	parent, err := openIn(root, have)
	for errors.Is(err, unix.ENOENT) {
		have, rest = filepath.Dir(have), filepath.Join(filepath.Base(have), rest)
		parent, err = openIn(root, have)
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if !isDir(parent) {
		return unix.ENOTDIR
	}
	base, err := copyDirs(root, parent, points)
	if err != nil {
		return err
	}
	point := filepath.Join(base, rest)
	if source.IsDir() {
		return os.MkdirAll(point, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(point), 0o755); err != nil {
		return err
	}
	return os.WriteFile(point, nil, 0o644)
}

// copyDirs makes the directories from root down to dir, which lies in it, below
// points, with the same attributes, and returns the last.
func copyDirs(root, dir int, points string) (string, error) {
	top, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", root))
	if err != nil {
		return "", err
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir))
	if err != nil {
		return "", err
	}
	below, ok := strings.CutPrefix(path, top)
	if !ok {
		return "", fmt.Errorf("%s is not in the root", path)
	}
	at := points
	for i, name := range append([]string{""}, strings.FieldsFunc(below, func(r rune) bool { return r == '/' })...) {
		if i > 0 {
			top, at = filepath.Join(top, name), filepath.Join(at, name)
		}
		var st unix.Stat_t
		if err := unix.Lstat(top, &st); err != nil {
			return "", err
		}
		if err := os.Mkdir(at, 0o755); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return "", err
		}
		if err := os.Lchown(at, int(st.Uid), int(st.Gid)); err != nil {
			return "", err
		}
		if err := unix.Chmod(at, st.Mode&0o1777); err != nil {
			return "", err
		}
	}
	return at, nil
}

// openIn finds an absolute path as a process sees it whose root is dir.
func openIn(dir int, path string) (int, error) {
	return unix.Openat2(dir, path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

func isDir(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// filled tells whether the root has a directory of that name that is not empty.
func filled(root int, name string) bool {
	fd, err := unix.Openat(root, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	names, _ := dir.Readdirnames(1)
	return len(names) > 0
}

// networkFiles are given to every guest, whatever its root holds.
var networkFiles = []string{"hostname", "hosts", "resolv.conf"}

// writeUpper writes the archive that gVisor lays over the root: the one asked for
// and the network's files. gVisor knows directories by their names with a slash
// at the end and wants one for every parent.
func writeUpper(file io.Writer, root int, overlay string) error {
	w := tar.NewWriter(file)
	seen := map[string]bool{}
	if overlay != "" {
		if err := copyOverlay(w, hostDir+overlay, seen); err != nil {
			return &wire.Failure{Kind: wire.Mounting, Text: fmt.Sprintf("overlay %s: %v", overlay, err)}
		}
	}
	if err := addNetworkFiles(w, root, seen); err != nil {
		return fmt.Errorf("write archive of root: %w", err)
	}
	return w.Close()
}

func copyOverlay(w *tar.Writer, path string, seen map[string]bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxUpper {
		return fmt.Errorf("it is no file or has more than %d bytes", maxUpper)
	}
	for r := tar.NewReader(io.LimitReader(file, maxUpper)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		isDir := h.Typeflag == tar.TypeDir && strings.HasSuffix(h.Name, "/")
		if !strings.HasPrefix(h.Name, "./") || !isDir && h.Typeflag != tar.TypeReg || h.Size > maxUpper {
			return fmt.Errorf("entry %q is not ./ followed by a directory's or file's path", h.Name)
		}
		h.Mode &= 0o1777
		seen[h.Name] = true
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}

func addNetworkFiles(w *tar.Writer, root int, seen map[string]bool) error {
	for _, name := range []string{"./", "./etc/"} {
		if seen[name] {
			continue
		}
		h := &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
		var st unix.Stat_t
		switch err := unix.Fstatat(root, filepath.Clean(name), &st, unix.AT_SYMLINK_NOFOLLOW); {
		case err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR:
			return nil // an /etc that is a link: such a root keeps what it has
		case err == nil:
			h.Mode, h.Uid, h.Gid = int64(st.Mode&0o1777), int(st.Uid), int(st.Gid)
		case !errors.Is(err, unix.ENOENT):
			return err
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
	}
	for _, name := range networkFiles {
		text, err := os.ReadFile(filepath.Join(layerDir, "etc", name))
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./etc/" + name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}
