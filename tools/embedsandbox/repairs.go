package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

const gvisorModule = "gvisor.dev/gvisor"

// A repair replaces text in one file of gVisor. The old text must be there
// exactly once, so that moving the pin says when a repair is out of date.
type repair struct {
	file     string
	old, new string
}

const (
	forwarder     = "runsc/boot/portforward/portforward.go"
	forwarderHost = "runsc/boot/portforward/portforward_fd_rw.go"
	forwarderTCP  = "runsc/boot/portforward/portforward_netstack.go"
	hostFiles     = "pkg/sentry/fsimpl/host/host.go"
	checkpoints   = "pkg/sentry/fsimpl/proc/checkpoint.go"
	counters      = "pkg/sentry/kernel/kernel.go"
	mountOptions  = "pkg/sentry/fsimpl/gofer/gofer.go"
	sharedFiles   = "pkg/sentry/fsimpl/gofer/lisafs_inode.go"
	fileServer    = "runsc/fsgofer/lisafs.go"
	sandboxes     = "runsc/sandbox/sandbox.go"
	restores      = "runsc/boot/restore.go"
	containers    = "runsc/container/container.go"
)

// repairs are all changes to the pinned gVisor.
var repairs = slices.Concat(mends, named, speedups)

// mends are the changes that Outcrop cannot do without.
//
// Its port forwarder drops what a short write did not take. The guest's TCP
// takes less than it is given once its send buffer is nearly full, so a request
// of some MiB to an agent that reads slowly loses bytes. And when one side says
// that it will send no more, the forwarder closes both directions, so that what
// the other side still had to say is lost. And it looks for data, finds none and
// only then asks to be told of more: what comes in between is not noticed until
// something else comes, so that one request in some thousands hangs.
//
// A write to a host pipe that has room for a part of it ends with that part, as
// it never does on Linux where the pipe blocks. Programs that trust this (Python
// unbuffered) lose the rest of what they print.
//
// A guest can wait for its next checkpoint by poll and not by epoll, which no file
// of Linux does. Event loops have only the latter.
//
// Four are no repairs; nothing but gVisor itself can do what they do. Its bound of
// processes is held for each user by itself, as Linux does it, so that an image's
// root could have as many as it has users: here all count together. And whoever is
// an ordinary user of the host has one uid there, so that files which a guest makes
// in a writable mount can be nobody else's: the options dfltuid and dfltgid, which
// gVisor takes from nobody, say whose they all are to the guest, and on the host
// they are one uid's that is nobody's (or, where that is not to be had, the user's).
// For the same reason no file there gets the set-uid or set-gid bit, which would make
// a program of the guest's run as that user for whoever else finds it.
// And guests see as much memory and as many processors as the machine has unless
// gVisor itself makes the control group, though programs choose the sizes of their
// heaps and pools by them: annotations say how much they see.
//
// With the machine's network stack a sandbox's process would stay in the user
// namespace that owns its network namespace, as its root: it could reconfigure that,
// and would be the machine's root where there is one. It uses none of that, so it
// gets a user namespace of its own as with the other stack.
//
// A checkpoint fails while a connection is forwarded, whose waiters cannot be
// saved. They are meant to be closed by it.
//
// The file that a mount lies in which is the sandbox's alone keeps its name, so that
// Kubernetes can count it, and is left by a sandbox that is killed. It loses it at
// once, as the file of a root does.
var mends = []repair{
	{
		file: containers,
		old:  "	log.Debugf(\"Created filestore file %q for mount source %q\", fileName, mountSrc)\n",
		new: `	if err := unix.Unlinkat(dirFD, fileName, 0); err != nil {
		_ = unix.Close(filestoreFD)
		return nil, fmt.Errorf("failed to unlink filestore file %q inside %q: %v", fileName, mountSrc, err)
	}
`,
	},
	{
		file: hostFiles,
		old: `		n, err := f.writeToHostFD(ctx, src, -1, opts.Flags)
		if isBlockError(err) {
			err = linuxerr.ErrWouldBlock
		}
`,
		new: `		n, err := f.writeToHostFD(ctx, src, -1, opts.Flags)
		short := err == nil && n < src.NumBytes() && i.epollable && f.vfsfd.StatusFlags()&linux.O_NONBLOCK == 0
		if short || isBlockError(err) {
			err = linuxerr.ErrWouldBlock
		}
`,
	},
	{
		file: checkpoints,
		old:  "// EventRegister implements vfs.FileDescriptionImpl.EventRegister.\nfunc (fd *checkpointFD)",
		new: `// Epollable implements vfs.FileDescriptionImpl.Epollable.
func (fd *checkpointFD) Epollable() bool { return true }

// EventRegister implements vfs.FileDescriptionImpl.EventRegister.
func (fd *checkpointFD)`,
	},
	{
		file: restores,
		old: `	state := control.State{
		Kernel:   l.k,
		Watchdog: l.watchdog,
	}
	return state.SaveWithOpts(saveOpts, execOpts)
}
`,
		new: `	l.mu.Lock()
	forwards := append(l.portForwardProxies[:0:0], l.portForwardProxies...)
	l.mu.Unlock()
	for _, forward := range forwards {
		forward.Close()
	}

	state := control.State{
		Kernel:   l.k,
		Watchdog: l.watchdog,
	}
	return state.SaveWithOpts(saveOpts, execOpts)
}
`,
	},
	{
		file: sandboxes,
		old:  "	cmd.Args = append(cmd.Args, \"--total-memory\", strconv.FormatUint(mem, 10))\n",
		new: `	if v, err := strconv.ParseUint(args.Spec.Annotations["outcrop.memory"], 10, 64); err == nil && v < mem {
		mem = v
	}
	if v, err := strconv.Atoi(args.Spec.Annotations["outcrop.processors"]); err == nil && v > 0 {
		cmd.Args = append(cmd.Args, "--cpu-num", strconv.Itoa(v))
	}
	cmd.Args = append(cmd.Args, "--total-memory", strconv.FormatUint(mem, 10))
`,
	},
	{
		file: sandboxes,
		old:  "	if conf.Network == config.NetworkHost || conf.DirectFS {\n",
		new:  "	if conf.DirectFS {\n",
	},
	{
		file: containers,
		old: `	if conf.Network == config.NetworkHost {
		// Hostnet feature requires the sandbox to run in the current user
		// namespace, in which the network namespace is configured.
		return nil
	}
`,
	},
	{
		file: counters,
		old:  "	if uc, ok := k.userCountersMap[uid]; ok {\n",
		new:  "	uid = 0 // all users of a sandbox count together\n	if uc, ok := k.userCountersMap[uid]; ok {\n",
	},
	{
		file: mountOptions,
		old:  "{moptOverlayfsStaleRead, moptDisableFileHandleSharing, moptDcache}",
		new:  "{moptOverlayfsStaleRead, moptDisableFileHandleSharing, moptDcache, moptDfltUID, moptDfltGID}",
	},
	{
		file: sharedFiles,
		old:  "			if ino.Stat.Mask&linux.STATX_UID != 0 {\n",
		new:  "			if ino.Stat.Mask&linux.STATX_UID != 0 && fs.opts.dfltuid == _V9FS_DEFUID {\n",
	},
	{
		file: sharedFiles,
		old:  "			if ino.Stat.Mask&linux.STATX_GID != 0 {\n",
		new:  "			if ino.Stat.Mask&linux.STATX_GID != 0 && fs.opts.dfltgid == _V9FS_DEFGID {\n",
	},
	{
		file: sharedFiles,
		old:  "	if stat.Mask&linux.STATX_UID != 0 {\n",
		new:  "	if stat.Mask&linux.STATX_UID != 0 && i.inode.fs.opts.dfltuid == _V9FS_DEFUID {\n",
	},
	{
		file: sharedFiles,
		old:  "	if stat.Mask&linux.STATX_GID != 0 {\n",
		new:  "	if stat.Mask&linux.STATX_GID != 0 && i.inode.fs.opts.dfltgid == _V9FS_DEFGID {\n",
	},
	{
		file: fileServer,
		old:  "			if err := unix.Fchmod(fd.hostFD, stat.Mode&^unix.S_IFMT); err != nil {\n",
		new:  "			if err := unix.Fchmod(fd.hostFD, stat.Mode&^(unix.S_IFMT|unix.S_ISUID|unix.S_ISGID)); err != nil {\n",
	},
	{
		file: fileServer,
		old:  "createFlags, uint32(mode&^linux.FileTypeMask))\n",
		new:  "createFlags, uint32(mode&^(linux.FileTypeMask|unix.S_ISUID|unix.S_ISGID)))\n",
	},
	{
		file: fileServer,
		old:  "	if err := unix.Mknodat(fd.hostFD, name, uint32(mode), 0); err != nil {\n",
		new:  "	if err := unix.Mknodat(fd.hostFD, name, uint32(mode&^(unix.S_ISUID|unix.S_ISGID)), 0); err != nil {\n",
	},
	{
		file: fileServer,
		old:  "	return unix.Fchownat(hostFD, \"\", u, g, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)\n",
		new: `	if u != -1 {
		u = volumeOwner
	}
	if g != -1 {
		g = volumeOwner
	}
	err := unix.Fchownat(hostFD, "", u, g, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.EINVAL || err == unix.EPERM { // this user namespace has no such id
		return nil
	}
	return err
`,
	},
	{
		file: fileServer,
		old:  "func fchown(hostFD int,",
		new:  "// volumeOwner is whose files on writable mounts are, whoever makes them.\nconst volumeOwner = " + fmt.Sprint(wire.GuestID) + "\n\nfunc fchown(hostFD int,",
	},
	{
		file: forwarder,
		old:  "import (\n\t\"fmt\"\n\t\"sync\"\n",
		new:  "import (\n\t\"errors\"\n\t\"fmt\"\n\t\"io\"\n\t\"sync\"\n\t\"sync/atomic\"\n",
	},
	{
		file: forwarder,
		old: `		return fmt.Errorf("failed to read from %q: err %v", src.Name(), err)
	}

	_, err = dst.Write(ctx, buf[0:n], cancel)
	if err != nil {
		return fmt.Errorf("failed to write to %q: err %v", src.Name(), err)
	}
	return nil
`,
		new: `		return fmt.Errorf("failed to read from %q: err %w", src.Name(), err)
	}

	for rest := buf[:n]; len(rest) > 0; {
		written, err := dst.Write(ctx, rest, cancel)
		if err != nil {
			return fmt.Errorf("failed to write to %q: err %v", dst.Name(), err)
		}
		rest = rest[written:]
	}
	return nil
`,
	},
	{
		file: forwarder,
		old:  `return fmt.Errorf("readFrom failed on container %q: %v", pf.cid, err)`,
		new:  `return fmt.Errorf("readFrom failed on container %q: %w", pf.cid, err)`,
	},
	{
		file: forwarder,
		old:  `return fmt.Errorf("readTo failed on container %q: %v", pf.cid, err)`,
		new:  `return fmt.Errorf("readTo failed on container %q: %w", pf.cid, err)`,
	},
	{
		file: forwarder,
		old: `	pf.wg.Add(1)
	go func() {
		if err := pf.readFrom(ctx); err != nil {
			ctx.Warningf("Shutting down copy from %q to %q on container %s: %v", pf.from.Name(), pf.to.Name(), pf.cid, err)
		}
		pf.wg.Done()
		pf.Close()
	}()
	pf.wg.Add(1)
	go func() {
		if err := pf.readTo(ctx); err != nil {
			ctx.Warningf("Shutting down copy from %q to %q on container %s: %v", pf.to.Name(), pf.from.Name(), pf.cid, err)
		}
		pf.wg.Done()
		pf.Close()
	}()
}
`,
		new: `	pf.wg.Add(2)
	var ended atomic.Int32
	go pf.copyAll(ctx, pf.readFrom, pf.from, pf.to, pf.cancelFrom, &ended)
	go pf.copyAll(ctx, pf.readTo, pf.to, pf.from, pf.cancelTo, &ended)
}

// copyAll copies one direction until it ends. If its source only said that it
// will send no more, the other direction goes on, until it ends as well or the
// source goes away altogether. Anything else closes the connection.
func (pf *Proxy) copyAll(ctx context.Context, read func(context.Context) error, src, dst proxyConn, cancel <-chan struct{}, ended *atomic.Int32) {
	over := true
	if err := read(ctx); errors.Is(err, io.EOF) && ended.Add(1) == 1 {
		if d, ok := dst.(interface{ closeWrite() bool }); ok && d.closeWrite() {
			over = false
			if s, ok := src.(interface{ awaitGone(<-chan struct{}) bool }); ok {
				over = s.awaitGone(cancel)
			}
		}
	}
	pf.wg.Done()
	if over {
		pf.Close()
	}
}
`,
	},
	{
		file: forwarderHost,
		old:  "\t\"gvisor.dev/gvisor/pkg/sentry/vfs\"\n",
		new:  "\t\"gvisor.dev/gvisor/pkg/abi/linux\"\n\t\"gvisor.dev/gvisor/pkg/sentry/kernel\"\n\t\"gvisor.dev/gvisor/pkg/sentry/vfs\"\n\t\"gvisor.dev/gvisor/pkg/syserr\"\n",
	},
	{
		file: forwarderHost,
		old:  "// Close implements proxyConn.Close.\n",
		new: `// closeWrite tells the peer that no more comes, and whether that was possible.
func (r *fileDescriptionConn) closeWrite() bool {
	s, ok := r.file.Impl().(interface {
		Shutdown(*kernel.Task, int) *syserr.Error
	})
	return ok && s.Shutdown(nil, linux.SHUT_WR) == nil
}

// awaitGone returns true once the peer has closed its end, or false if it is
// cancelled before.
func (r *fileDescriptionConn) awaitGone(cancel <-chan struct{}) bool {
	entry, changed := waiter.NewChannelEntry(waiter.EventHUp | waiter.EventErr)
	if err := r.file.EventRegister(&entry); err != nil {
		return true
	}
	defer r.file.EventUnregister(&entry)
	for r.file.Readiness(waiter.EventHUp|waiter.EventErr) == 0 {
		select {
		case <-changed:
		case <-cancel:
			return false
		}
	}
	return true
}

// Close implements proxyConn.Close.
`,
	},
	{
		file: forwarderTCP,
		old: `			e, ch = waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventIn | waiter.EventHUp | waiter.EventErr)
			n.wq.EventRegister(&e)
			defer n.wq.EventUnregister(&e)
		}
`,
		new: `			e, ch = waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventIn | waiter.EventHUp | waiter.EventErr)
			n.wq.EventRegister(&e)
			defer n.wq.EventUnregister(&e)
			res, tcpErr = n.ep.Read(b, tcpip.ReadOptions{})
			continue
		}
`,
	},
	{
		file: forwarderTCP,
		old: `			e, ch = waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventIn | waiter.EventHUp | waiter.EventErr)
			n.wq.EventRegister(&e)
			defer n.wq.EventUnregister(&e)
		}
`,
		new: `			e, ch = waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventIn | waiter.EventHUp | waiter.EventErr)
			n.wq.EventRegister(&e)
			defer n.wq.EventUnregister(&e)
			res, tcpErr = n.ep.Write(&b, tcpip.WriteOptions{Atomic: true})
			continue
		}
`,
	},
	{
		file: forwarderTCP,
		old:  "// Close implements proxyConn.Close.\n",
		new: `// closeWrite tells the guest that no more comes, and whether that was possible.
func (n *netstackConn) closeWrite() bool {
	return n.ep.Shutdown(tcpip.ShutdownWrite) == nil
}

// Close implements proxyConn.Close.
`,
	},
}

// repaired returns a directory with the pinned gVisor and the repairs in it. It
// is kept in the user's cache, by version and repairs; earlier ones are removed. Its
// system call filters are compiled.
func repaired() (string, error) {
	version, source, err := module()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		// Not the machine's temporary directory: what lies there under this name
		// may be another user's, and would be built.
		root, err := moduleRoot()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(root, ".cache")
	}
	text, err := json.Marshal(fmt.Sprint(notice, repairs, pageCopier, shownTerminal, precompile))
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, "outcrop", fmt.Sprintf("gvisor-%s-%.8x", version, sha256.Sum256(text)))
	now := time.Now()
	if err := os.Chtimes(target, now, now); err == nil { // it is there
		return target, prune(target, now)
	}
	progress("copying gVisor " + version)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(target), ".gvisor-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) // gone after the rename
	if err := copySource(dir, source); err != nil {
		return "", fmt.Errorf("copy gVisor: %w", err)
	}
	if err := repairAll(dir); err != nil {
		return "", fmt.Errorf("repair gVisor %s: %w", version, err)
	}
	if err := add(dir); err != nil {
		return "", fmt.Errorf("add to gVisor: %w", err)
	}
	if err := compileFilters(dir); err != nil {
		return "", err
	}
	if err := os.Rename(dir, target); err != nil {
		if _, gone := os.Stat(target); gone == nil { // another run was faster
			return target, nil
		}
		return "", err
	}
	return target, prune(target, now)
}

// inUse is how long a copy is left alone after its last use: another run, of
// another checkout, may be building from it.
const inUse = time.Hour

// prune removes the copies beside current, which are of earlier versions and
// repairs, and what interrupted runs left of one. A copy is 70 MB.
func prune(current string, now time.Time) error {
	for _, pattern := range []string{"gvisor-v*", ".gvisor-*"} {
		old, err := filepath.Glob(filepath.Join(globQuote(filepath.Dir(current)), pattern))
		if err != nil {
			return err
		}
		for _, dir := range old {
			info, err := os.Stat(dir)
			if err != nil || dir == current || now.Sub(info.ModTime()) < inUse {
				continue // gone already, or needed
			}
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove old copy of gVisor: %w", err)
			}
		}
	}
	return nil
}

// globQuote makes a path match itself in filepath.Glob.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `*`, `\*`, `?`, `\?`).Replace(path)
}

// notice stands at the head of each repaired file, as gVisor's licence asks of
// whoever changes one (Apache License 2.0, 4 b).
const notice = "// This file was changed by the Outcrop project; see tools/embedsandbox there.\n\n"

// repairAll applies all repairs to the gVisor in dir.
func repairAll(dir string) error {
	changed := map[string]bool{}
	for _, r := range repairs {
		if err := r.apply(dir); err != nil {
			return err
		}
		changed[r.file] = true
	}
	for file := range changed {
		path := filepath.Join(dir, filepath.FromSlash(file))
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, append([]byte(notice), data...), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r repair) apply(dir string) error {
	path := filepath.Join(dir, filepath.FromSlash(r.file))
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := bytes.Count(data, []byte(r.old)); n != 1 {
		return fmt.Errorf("%s: the text to repair is there %d times", r.file, n)
	}
	return os.WriteFile(path, bytes.Replace(data, []byte(r.old), []byte(r.new), 1), 0o644)
}

// module returns the version and the directory of the pinned gVisor, which is
// downloaded if need be.
func module() (version, dir string, err error) {
	cmd := exec.Command("go", "mod", "download", "-json", gvisorModule)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("find gVisor: %w", err)
	}
	var m struct{ Version, Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", "", fmt.Errorf("find gVisor: %w", err)
	}
	return m.Version, m.Dir, nil
}

// copySource copies a module without its tests.
func copySource(target, source string) error {
	return filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		to := filepath.Join(target, name)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o644)
	})
}

// moduleRoot is the directory of Outcrop's go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	path := strings.TrimSpace(string(out))
	if path == "" || path == os.DevNull {
		return "", errors.New("find the module: run this inside Outcrop's source tree")
	}
	return filepath.Dir(path), nil
}
