package devpts

// Outcrop adds this file to gVisor; see tools/embedsandbox there.

import (
	gocontext "context"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/errors/linuxerr"
	"gvisor.dev/gvisor/pkg/fspath"
	"gvisor.dev/gvisor/pkg/sentry/fsimpl/kernfs"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	"gvisor.dev/gvisor/pkg/sentry/vfs"
	"gvisor.dev/gvisor/pkg/state"
)

// hostTerminal is a terminal of the host that was given to a process.
type hostTerminal interface {
	kernel.TTYOperations
	TryIncRef() bool
	Stat(ctx context.Context, fs *vfs.Filesystem, opts vfs.StatOptions) (linux.Statx, error)
	SetStat(ctx context.Context, fs *vfs.Filesystem, creds *auth.Credentials, opts vfs.SetStatOptions) error
	// ShowAs has it say that it is /dev/pts/n, and calls gone when it is no more. It
	// returns its inode number.
	ShowAs(n uint32, gone func()) (ino uint64)
}

// Show gives a terminal of the host a name in the /dev/pts of a mount namespace, by
// which its processes find it: without one they take themselves to have none.
func Show(ctx context.Context, creds *auth.Credentials, ns *vfs.MountNamespace, tty *kernel.TTY) {
	terminal, ok := tty.TTYOperations.(hostTerminal)
	if !ok {
		return
	}
	root := ns.Root(ctx)
	defer root.DecRef(ctx)
	at, err := root.Mount().Filesystem().VirtualFilesystem().GetDentryAt(ctx, creds, &vfs.PathOperation{
		Root: root, Start: root, Path: fspath.Parse("/dev/pts"), FollowFinalSymlink: true,
	}, &vfs.GetDentryOptions{})
	if err != nil {
		return
	}
	defer at.DecRef(ctx)
	d, ok := at.Dentry().Impl().(*kernfs.Dentry)
	if !ok {
		return
	}
	if dir, ok := d.Inode().(*rootInode); ok {
		dir.show(ctx, creds, terminal)
	}
}

func (i *rootInode) show(ctx context.Context, creds *auth.Credentials, terminal hostTerminal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := &shownInode{root: i, n: i.nextIdx, terminal: terminal}
	i.nextIdx++
	s.ino = terminal.ShowAs(s.n, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.shown, s.n)
	})
	s.InodeAttrs.Init(ctx, creds, i.InodeAttrs.DevMajor(), i.InodeAttrs.DevMinor(), s.ino, linux.ModeCharacterDevice|0600)
	if i.shown == nil {
		i.shown = map[uint32]*shownInode{}
	}
	i.shown[s.n] = s
}

// shownInode is a terminal of the host in /dev/pts. What can be asked of it is the
// host's to answer. It is not there after a restore: neither is the terminal.
type shownInode struct {
	implStatFS
	kernfs.InodeAttrs
	kernfs.InodeNoopRefCount
	kernfs.InodeNotAnonymous
	kernfs.InodeNotDirectory
	kernfs.InodeNotSymlink
	kernfs.InodeWatches
	kernfs.InodeFSOwned

	root     *rootInode
	n        uint32
	ino      uint64
	terminal hostTerminal
}

var _ kernfs.Inode = (*shownInode)(nil)

// hold keeps the terminal from being released under whoever uses it.
func (s *shownInode) hold() bool { return s.terminal != nil && s.terminal.TryIncRef() }

// Open implements kernfs.Inode.Open.
func (s *shownInode) Open(ctx context.Context, rp *vfs.ResolvingPath, d *kernfs.Dentry, opts vfs.OpenOptions) (*vfs.FileDescription, error) {
	if !s.hold() {
		return nil, linuxerr.EIO
	}
	defer s.terminal.DecRef(ctx)
	return s.terminal.OpenTTY(ctx, rp.Mount(), d.VFSDentry(), opts)
}

// Valid implements kernfs.Inode.Valid.
func (s *shownInode) Valid(context.Context, *kernfs.Dentry, string) bool {
	if s.root == nil {
		return false
	}
	s.root.mu.Lock()
	defer s.root.mu.Unlock()
	return s.root.shown[s.n] == s
}

// Stat implements kernfs.Inode.Stat. What it says is what it says of the open file,
// by which programs know the one for the other.
func (s *shownInode) Stat(ctx context.Context, fs *vfs.Filesystem, opts vfs.StatOptions) (linux.Statx, error) {
	if !s.hold() {
		return linux.Statx{}, linuxerr.EIO
	}
	defer s.terminal.DecRef(ctx)
	return s.terminal.Stat(ctx, fs, opts)
}

// SetStat implements kernfs.Inode.SetStat.
func (s *shownInode) SetStat(ctx context.Context, fs *vfs.Filesystem, creds *auth.Credentials, opts vfs.SetStatOptions) error {
	if !s.hold() {
		return linuxerr.EIO
	}
	defer s.terminal.DecRef(ctx)
	return s.terminal.SetStat(ctx, fs, creds, opts)
}

// StateTypeName implements state.Type.StateTypeName.
func (*shownInode) StateTypeName() string { return "pkg/sentry/fsimpl/devpts.shownInode" }

// StateFields implements state.Type.StateFields.
func (*shownInode) StateFields() []string { return []string{} }

// StateSave implements state.SaverLoader.StateSave.
func (*shownInode) StateSave(state.Sink) {}

// StateLoad implements state.SaverLoader.StateLoad.
func (*shownInode) StateLoad(gocontext.Context, state.Source) {}

func init() { state.Register((*shownInode)(nil)) }
