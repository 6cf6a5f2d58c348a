package image

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// trusted reports whether nobody but root and us can change the file at path,
// which is resolved. The server may be root, and runs what it finds to ask its
// version.
//
// In a user namespace that does not map the host's root, as in a rootless
// container, root's files show the overflow uid (user_namespaces(7)). So do those
// of every other user who is not mapped; hence it counts as root's in the host
// layer alone, which no ordinary user owns.
func trusted(path string, info fs.FileInfo) (uid uint32, ok bool) {
	st, isStat := info.Sys().(*syscall.Stat_t)
	if !isStat {
		return 0, false
	}
	owned := st.Uid == 0 || int64(st.Uid) == int64(os.Geteuid()) ||
		inHostLayer(path) && standsForRoot(st.Uid, procText("/proc/sys/kernel/overflowuid"), procText("/proc/self/uid_map"))
	return st.Uid, owned && info.Mode().Perm()&0o002 == 0
}

// standsForRoot reports whether uid is the overflow uid in a namespace with this
// map, which leaves the host's root out and has no user of that uid.
func standsForRoot(uid uint32, overflow, uidMap string) bool {
	if strings.TrimSpace(overflow) != strconv.FormatUint(uint64(uid), 10) || uidMap == "" {
		return false
	}
	for line := range strings.Lines(uidMap) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return false
		}
		if outside == 0 || uint64(uid) >= inside && uint64(uid)-inside < count {
			return false // root has a number of its own; or a user here has this one
		}
	}
	return true
}

// procText reads a file of the kernel's; one that cannot be read is empty.
func procText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}
