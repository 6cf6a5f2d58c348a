package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// volumesDir is where a guest's volumes are mounted writable while it starts.
const volumesDir = "/volumes"

// A volume is a directory of the host that a guest writes to. Nothing here follows
// a link in it: what it holds is the guest's.
type volume struct {
	bytes int64 // its bound; 0 where there is none
	dir   *os.File

	// What the last walk found, what was free before it, when it ended and how long
	// it took.
	held   int64
	free   room
	walked time.Time
	took   time.Duration
}

// A room is what a file system has left.
type room struct{ bytes, files int64 }

const (
	// deepest bounds how deep directories lie in each other. A guest that makes
	// deeper ones has exceeded its bound.
	deepest = 200
	// entryBytes is what each name costs at least, so that a million empty files
	// are bounded too.
	entryBytes = 4096
	// rewalk is how old a walk may be at most where a bound is to be held. It finds
	// what was written while others freed as much.
	rewalk = 10 * time.Second
	// spare is what a guest may write to a volume that is full already, so that it
	// can live to delete something.
	spare = 1 << 20
	// walkShare bounds the part of time that walks take: one in so many.
	walkShare = 4
)

// mountVolumes mounts the guest's volumes where they can be shown from, as mounts
// of the request. unmount undoes it; the sandbox has its own mounts by then.
func (g *guest) mountVolumes(m *wire.Start) (unmount func(), err error) {
	top := filepath.Join(volumesDir, g.id)
	var points []string
	unmount = func() {
		for _, p := range points {
			_ = unix.Unmount(p, unix.MNT_DETACH)
			// Never more than an empty directory: a volume may still be there.
			_ = unix.Rmdir(p)
		}
		_ = unix.Rmdir(top)
	}
	for i, v := range m.Volumes {
		point := filepath.Join(top, strconv.Itoa(i))
		if err := os.MkdirAll(point, 0o700); err != nil {
			unmount()
			return nil, fmt.Errorf("make volume: %w", err)
		}
		points = append(points, point)
		dir, err := mountVolume(v.Source, point)
		if err != nil {
			unmount()
			return nil, &wire.Failure{Kind: wire.Mounting, Text: fmt.Sprintf("volume %s: %v", v.Source, err)}
		}
		g.volumes = append(g.volumes, newVolume(dir, v.Bytes))
		// Beside the host's files.
		m.Mounts = append(m.Mounts, wire.Mount{Source: "/.." + point, Target: v.Target, Writable: true})
	}
	return unmount, nil
}

// mountVolume shows the host's directory at point, writable, and opens it there.
func mountVolume(source, point string) (*os.File, error) {
	host, err := unix.Open(hostDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(host)
	// The engine resolved links; there are none any more, or somebody changed it.
	fd, err := unix.Openat2(host, "."+source, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), point, "", unix.MS_BIND, ""); err != nil {
		return nil, err
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, point, 0, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
		Attr_clr: unix.MOUNT_ATTR_RDONLY,
	}); err != nil {
		return nil, fmt.Errorf("make it writable: %w", err)
	}
	return os.OpenFile(point, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// writable are the options of a volume's mount. dfltuid and dfltgid, options of a
// repair, say whose its files are. They are the file server's to say, so that the
// sandbox's process does not open them by itself as it does others'. They are said
// to be shared with others, or gVisor lays a file of its own over them.
func writable(m *wire.Start, annotations map[string]string, source string) []string {
	hint := fmt.Sprintf("dev.gvisor.spec.mount.volume%d.", len(annotations)) // any name that is new
	for key, value := range map[string]string{"source": source, "type": "bind", "share": "shared", "directfs": "off"} {
		annotations[hint+key] = value
	}
	return []string{"rw", fmt.Sprintf("dfltuid=%d", m.UID), fmt.Sprintf("dfltgid=%d", m.GID)}
}

// closeVolumes forgets the guest's volumes.
func (g *guest) closeVolumes() {
	for _, v := range g.volumes {
		v.dir.Close()
	}
	g.volumes = nil
}

// newVolume measures a directory that no guest writes to yet. What it holds by now
// is not the guest's fault. Later that could not be told any more: what its file
// system loses while a guest starts is that guest's root and others' files too.
func newVolume(dir *os.File, bytes int64) *volume {
	v := &volume{bytes: bytes, dir: dir}
	if bytes == 0 {
		return v
	}
	free, _ := v.room()
	v.measure(free)
	v.bytes = max(v.bytes, v.held+spare)
	return v
}

// measure walks the volume. free is what its file system had left before.
func (v *volume) measure(free room) {
	begin := time.Now()
	v.free, v.held = free, held(v.dir)
	v.walked = time.Now()
	v.took = v.walked.Sub(begin)
}

// left is how many bytes the guest may still write, at least; bounded is false
// where there is no bound. Walking a big volume takes long: it is not walked while
// its file system has not lost as much as was left, so that a look is one system
// call.
func (v *volume) left() (left int64, bounded bool) {
	if v.bytes == 0 {
		return 0, false
	}
	free, ok := v.room()
	if !ok {
		return v.bytes, true
	}
	now := time.Now()
	taken := max(0, v.free.bytes-free.bytes) + max(0, v.free.files-free.files)*entryBytes
	left = v.bytes - v.held - taken
	stale := left <= 0 || now.Sub(v.walked) > rewalk
	if !stale || now.Sub(v.walked) < v.took*walkShare {
		return max(left, 1), true // a guess is no reason to kill
	}
	v.measure(free)
	return v.bytes - v.held, true
}

// room is what the volume's file system has left.
func (v *volume) room() (room, bool) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(v.dir.Fd()), &st); err != nil {
		return room{}, false
	}
	return room{int64(st.Bfree) * st.Bsize, int64(st.Ffree)}, true
}

// An inode is a file, whatever its names.
type inode struct{ dev, ino uint64 }

// held is how many bytes of the disk a directory holds. What changes meanwhile is
// counted or not.
func held(dir *os.File) int64 {
	again, err := unix.Openat(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	return walk(os.NewFile(uintptr(again), "volume"), map[inode]bool{}, 0)
}

// tooDeep exceeds every bound, and is not near to overflowing when added.
const tooDeep = 1 << 60

// walk adds up a directory, and closes it.
func walk(dir *os.File, seen map[inode]bool, depth int) int64 {
	defer dir.Close()
	if depth > deepest {
		return tooDeep
	}
	var sum int64
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			sum += weigh(dir, name, seen, depth)
			if sum >= tooDeep {
				return tooDeep
			}
		}
		if err != nil || len(names) == 0 {
			return sum
		}
	}
}

// weigh is what one name of a directory holds.
func weigh(dir *os.File, name string, seen map[inode]bool, depth int) int64 {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0 // it is gone
	}
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		it := inode{st.Dev, st.Ino}
		if seen[it] {
			return entryBytes
		}
		seen[it] = true
	}
	size := max(st.Blocks*512, entryBytes)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return size
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return size // it was replaced
	}
	if err != nil {
		return tooDeep // what cannot be looked into is not bounded
	}
	return size + walk(os.NewFile(uintptr(fd), name), seen, depth+1)
}
