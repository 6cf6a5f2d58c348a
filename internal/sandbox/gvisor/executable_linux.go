package gvisor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
)

const (
	maxUnpacked      = 512 << 20 // bytes; the executable has about 85 MB
	lowestDescriptor = 64        // beyond every one a child is given
)

// An executable is a sandbox executable that can be started.
type executable struct {
	// path starts it. For one in memory it names file's descriptor.
	path     string
	inMemory bool
	// file is open as long as the executable may be started. An external one has none.
	file   *os.File
	digest string // empty for an external one
}

// Close gives it back.
func (e *executable) Close() error {
	if e.file == nil {
		return nil
	}
	return e.file.Close()
}

// prepare returns the executable to use: the configured one, or the embedded
// one, unpacked into dir unless it is there already.
func prepare(files fs.FS, external, dir string) (*executable, error) {
	if external != "" {
		if err := executableByAll(external); err != nil {
			return nil, &sandbox.UnavailableError{
				Reason: fmt.Sprintf("the configured sandbox executable %s cannot be executed (%v)", external, err),
				Fix:    "chmod 755 it, configure another one, or none to use the one inside outcrop",
			}
		}
		return &executable{path: external}, nil
	}
	digest, err := packedDigest(files, runtime.GOARCH)
	var data fs.File
	if err == nil {
		data, err = packed(files, runtime.GOARCH)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &sandbox.UnavailableError{
			Reason: "this build of outcrop carries no sandbox executable for " + runtime.GOARCH,
			Fix:    "build it with `make build` instead of `go build`",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read embedded sandbox executable: %w", err)
	}
	defer data.Close()
	noexec, err := mountedNoexec(dir)
	if err != nil {
		return nil, err
	}
	if noexec {
		return unpackToMemory(data, digest)
	}
	return unpackToDir(data, digest, dir)
}

// executableMode is that of the executable. As root, a sandbox's process is
// nobody and executes the file itself, so that others need the right to; nobody
// else can reach it in a directory that is the owner's alone.
const executableMode = 0o555

// executableByAll tells why a file cannot be executed by everybody.
func executableByAll(path string) error {
	if err := unix.Access(path, unix.X_OK); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o005 != 0o005 {
		return fmt.Errorf("mode %v, and sandboxes run it as a user of their own", info.Mode())
	}
	return nil
}

// mountedNoexec tells whether nothing in dir can be executed.
func mountedNoexec(dir string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false, fmt.Errorf("look at file system of %s: %w", dir, err)
	}
	return st.Flags&unix.ST_NOEXEC != 0, nil
}

// unpackToDir makes dir/outcrop-sandbox-DIGEST. A file of that name is used only
// if its content has that digest: a crash or a full disk may have cut it short.
func unpackToDir(data io.Reader, digest, dir string) (*executable, error) {
	path := filepath.Join(dir, unpackedName(digest))
	if kept, err := unpacked(path, digest); err != nil {
		return nil, fmt.Errorf("verify sandbox executable: %w", err)
	} else if kept != nil {
		return &executable{path: path, file: kept, digest: digest}, nil
	}
	tmp, err := os.CreateTemp(dir, unpackPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("unpack sandbox executable: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone after the rename
	keep(tmp)
	err = errors.Join(unpack(tmp, data, digest), tmp.Chmod(executableMode))
	var kept *os.File
	if err == nil { // what is open for writing cannot be executed
		kept, err = os.Open(tmp.Name())
	}
	if err == nil {
		keep(kept)
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil && kept != nil {
		kept.Close()
	}
	if errors.Is(err, unix.ENOSPC) {
		return nil, &sandbox.UnavailableError{
			Reason: "the disk with " + dir + " is full", Fix: "free 100 MB there, or use another data directory", Err: err,
		}
	}
	if err != nil {
		return nil, fmt.Errorf("unpack sandbox executable: %w", err)
	}
	_ = discardOthers(dir, executablePrefix, unpackPrefix) // disk space is all that it costs
	return &executable{path: path, file: kept, digest: digest}, nil
}

// unpacked opens and keeps the executable at path, or returns nil if it is not
// there or has another digest.
func unpacked(path, digest string) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keep(file)
	h := sha256.New()
	_, err = io.Copy(h, file)
	if err != nil || sameDigest(h, digest) != nil {
		file.Close()
		return nil, err
	}
	if err := file.Chmod(executableMode); err != nil { // one of ours with another mode
		file.Close()
		return nil, err
	}
	// It may have been discarded just before it was kept.
	held, err := file.Stat()
	there, gone := os.Stat(path)
	if err != nil || gone != nil || !os.SameFile(held, there) {
		file.Close()
		return nil, err
	}
	return file, nil
}

// keep saves a file from discardOthers, of this process's engines and of others',
// until it is closed: another version's self-test may use the same directory. A
// file system without locks has no such protection.
func keep(file *os.File) { _ = unix.Flock(int(file.Fd()), unix.LOCK_SH) }

// discardOthers deletes the files whose names begin so and that nobody keeps: what
// earlier versions, crashes and killed servers left.
func discardOthers(dir string, prefixes ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(e.Name(), p) }) {
			continue
		}
		file, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.Remove(file.Name())
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// unpackToMemory makes an anonymous file: for a data directory mounted noexec.
func unpackToMemory(data io.Reader, digest string) (*executable, error) {
	fd, err := unix.MemfdCreate("outcrop-sandbox", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3, where every memfd is executable
		fd, err = unix.MemfdCreate("outcrop-sandbox", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, &sandbox.UnavailableError{
			Reason: "the data directory is mounted noexec, and executing from memory is forbidden here",
			Fix:    "use a data directory on another file system, or allow it: sysctl vm.memfd_noexec=0",
			Err:    err,
		}
	}
	file := os.NewFile(uintptr(fd), "outcrop-sandbox")
	if err := unpack(file, data, digest); err != nil {
		file.Close()
		return nil, fmt.Errorf("unpack sandbox executable to memory: %w", err)
	}
	if err := file.Chmod(executableMode); err != nil {
		file.Close()
		return nil, fmt.Errorf("unpack sandbox executable to memory: %w", err)
	}
	// A descriptor open for writing would keep the file from being executed, and
	// a low one would be replaced by those that the child is given.
	defer file.Close()
	readable, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, fmt.Errorf("unpack sandbox executable to memory: %w", err)
	}
	defer readable.Close()
	high, err := unix.FcntlInt(readable.Fd(), unix.F_DUPFD_CLOEXEC, lowestDescriptor)
	if err != nil {
		return nil, fmt.Errorf("unpack sandbox executable to memory: %w", err)
	}
	return &executable{path: fmt.Sprintf("/proc/self/fd/%d", high), inMemory: true, file: os.NewFile(uintptr(high), "outcrop-sandbox"), digest: digest}, nil
}

// unpack writes what data unpacks to, and fails unless it has the digest.
func unpack(w io.Writer, data io.Reader, digest string) error {
	r, err := zstd.NewReader(data, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, maxUnpacked)); err != nil {
		return err
	}
	return sameDigest(h, digest)
}

func sameDigest(h hash.Hash, digest string) error {
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("its digest is %s, not %s", got, digest)
	}
	return nil
}
