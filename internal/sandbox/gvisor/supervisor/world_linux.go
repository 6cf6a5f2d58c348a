package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// Where things are once the supervisor has its own root. Paths are short since
// a Unix socket's must fit in 108 bytes.
const (
	hostDir    = "/host"    // the machine's root, read-only
	layerDir   = "/layer"   // what guests see as their root
	emptyDir   = "/empty"   // hides what guests must not see
	stateDir   = "/state"   // runsc's own state and control sockets
	bundlesDir = "/bundles" // one directory a sandbox
	hooksDir   = "/hooks"   // what savable guests see of package hooks
)

// worldBytes bounds the memory file system that holds all of the above but the
// host: some ten KiB a sandbox.
const worldBytes = "256m"

// enter makes root, an existing directory, the root of the supervisor's mount
// namespace. Nothing of it is seen outside, and all of it ends with the
// namespace, so a killed server leaves no mount behind. disks is the one directory
// of the host that stays writable.
func enter(root, disks string) error {
	steps := []struct {
		name string
		do   func() error
	}{
		{"make mounts private", func() error {
			// Slave rather than private: what the host unmounts goes away here too.
			return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
		}},
		{"mount tmpfs", func() error {
			return unix.Mount("outcrop", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size="+worldBytes)
		}},
		{"make directories", func() error { return makeDirs(root) }},
		{"change root", func() error { return changeRoot(root) }},
		{"mount /proc", func() error {
			return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}},
		{"bind /dev", func() error { return bind(hostDir+"/dev", "/dev") }},
		{"bind /sys", func() error { return bind(hostDir+"/sys", "/sys") }},
		{"show the disks", func() error { return showDisks(disks) }},
		{"make the host read-only", func() error {
			// Every later bind mount of something below inherits these.
			return unix.MountSetattr(unix.AT_FDCWD, hostDir, unix.AT_RECURSIVE, &unix.MountAttr{
				Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
			})
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return classify(s.name, err)
		}
	}
	return nil
}

func makeDirs(root string) error {
	for _, d := range []string{hostDir, layerDir, emptyDir, stateDir, bundlesDir, hooksDir, disksDir, volumesDir, "/proc", "/dev", "/sys", "/tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func changeRoot(root string) error {
	if err := unix.PivotRoot(root, filepath.Join(root, hostDir)); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// bind shows source at target with everything mounted below it: in a user
// namespace a mount cannot be taken apart from those on top of it.
func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	return nil
}

// classify tells what the host forbids from what merely went wrong.
func classify(step string, err error) error {
	kind := wire.Internal
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
		kind = wire.Denied
	}
	return &wire.Failure{Kind: kind, Text: fmt.Sprintf("%s: %v", step, err)}
}
