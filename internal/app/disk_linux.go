package app

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// What snapshots and guests leave of a disk to others: so many bytes, and of a small disk one
// part in so many.
const (
	diskReserve     = 1 << 30
	diskReservePart = 20
)

// freeDisk asks how many bytes of the file system that holds dir snapshots
// and guests may still take.
func freeDisk(dir string) func() (int64, error) {
	return func() (int64, error) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
		}
		if st.Blocks == 0 { // memory without a bound of its own
			return math.MaxInt64, nil
		}
		return int64(st.Bavail)*st.Bsize - min(diskReserve, int64(st.Blocks)*st.Bsize/diskReservePart), nil
	}
}
