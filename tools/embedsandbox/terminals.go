package main

import _ "embed"

const (
	terminals  = "pkg/sentry/fsimpl/devpts/devpts.go"
	executions = "pkg/sentry/control/proc.go"
)

// named are the changes that give the terminal of a process that is executed in a
// guest a name there. It is the host's, and without a name tty, ttyname(3), tmux and
// screen take it for none. It gets one in /dev/pts, where nothing is new but that: see
// shownTerminal.
var named = []repair{
	{
		file: hostFiles,
		old:  "	termiosMu sync.Mutex `state:\"nosave\"`\n	termios   linux.KernelTermios\n}\n",
		new: `	termiosMu sync.Mutex ` + "`state:\"nosave\"`" + `
	termios   linux.KernelTermios

	// shown is 1 more than the number in /dev/pts of a TTY that is shown there, and
	// gone is called when it is no more. They are not saved.
	shown atomicbitops.Uint32
	gone  func()
}

// ShowAs has a TTY say that it is /dev/pts/n, and calls gone when it is no more. It
// returns its inode number. It must be called once, before the TTY is used.
func (i *inode) ShowAs(n uint32, gone func()) (ino uint64) {
	i.gone = gone
	i.shown.Store(n + 1)
	return i.ino
}
`,
	},
	{
		file: hostFiles,
		old:  "		i.queue.Notify(waiter.EventHUp | waiter.ReadableEvents | waiter.WritableEvents)\n		i.mmapFile.MappableRelease()\n",
		new: `		i.queue.Notify(waiter.EventHUp | waiter.ReadableEvents | waiter.WritableEvents)
		if i.gone != nil {
			i.gone()
		}
		i.mmapFile.MappableRelease()
`,
	},
	{
		file: hostFiles,
		old:  "		ls.Blocks = s.Blocks\n	}\n\n	return ls, nil\n",
		new: `		ls.Blocks = s.Blocks
	}
	if n := i.shown.Load(); n != 0 {
		ls.RdevMajor, ls.RdevMinor = linux.UNIX98_PTY_REPLICA_MAJOR, n-1
	}

	return ls, nil
`,
	},
	{
		file: hostFiles,
		old:  "	b.PrependComponent(fmt.Sprintf(\"host:[%d]\", inode.ino))\n",
		new: `	if n := inode.shown.Load(); n != 0 {
		b.PrependComponent(fmt.Sprintf("/dev/pts/%d", n-1))
		return vfs.PrependPathSyntheticError{}
	}
	b.PrependComponent(fmt.Sprintf("host:[%d]", inode.ino))
`,
	},
	{
		file: terminals,
		old:  "	// nextIdx is the next pty index to use. Must be accessed atomically.\n	nextIdx uint32\n",
		new: `	// nextIdx is the next pty index to use. Must be accessed atomically.
	nextIdx uint32

	// shown maps pty ids to terminals of the host. They are not saved.
	shown map[uint32]*shownInode
`,
	},
	{
		file: terminals,
		old:  "		return ri, nil\n\n	}\n",
		new: `		return ri, nil

	}
	if s, ok := i.shown[uint32(idx)]; ok {
		return s, nil
	}
`,
	},
	{
		file: terminals,
		old:  "	if relOffset >= int64(len(i.replicas)) {\n		return offset, nil\n	}\n	ids := make([]int, 0, len(i.replicas))\n",
		new: `	if relOffset >= int64(len(i.replicas)+len(i.shown)) {
		return offset, nil
	}
	ids := make([]int, 0, len(i.replicas)+len(i.shown))
	for id := range i.shown {
		ids = append(ids, int(id))
	}
`,
	},
	{
		file: terminals,
		old:  "	for _, id := range ids[relOffset:] {\n		dirent := vfs.Dirent{\n",
		new: `	for _, id := range ids[relOffset:] {
		var ino uint64
		if s, ok := i.shown[uint32(id)]; ok {
			ino = s.ino
		} else {
			ino = i.replicas[uint32(id)].InodeAttrs.Ino()
		}
		dirent := vfs.Dirent{
`,
	},
	{
		file: terminals,
		old:  "			Ino:     i.replicas[uint32(id)].InodeAttrs.Ino(),\n",
		new:  "			Ino:     ino,\n",
	},
	{
		file: executions,
		old:  "		initArgs.TTY = ttyFile.TTY()\n",
		new:  "		initArgs.TTY = ttyFile.TTY()\n		devpts.Show(ctx, creds, initArgs.MountNamespace, ttyFile.TTY())\n",
	},
	{
		file: executions,
		old:  "	\"gvisor.dev/gvisor/pkg/sentry/fsimpl/host\"\n",
		new:  "	\"gvisor.dev/gvisor/pkg/sentry/fsimpl/devpts\"\n	\"gvisor.dev/gvisor/pkg/sentry/fsimpl/host\"\n",
	},
}

// shownTerminal is what stands in /dev/pts for a terminal of the host.
//
//go:embed _added/shown.go
var shownTerminal string
