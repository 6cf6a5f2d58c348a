package gvisor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// stdio is one side of a command's standard input, output and error. On a
// terminal all are one file.
type stdio struct {
	in, out, err *os.File // nil: none
	terminal     bool
}

// openStdio makes the standard input, output and error of a command: our side of
// them and the guest's.
func openStdio(c sandbox.Command) (ours, theirs stdio, err error) {
	defer func() {
		if err != nil {
			ours.close()
			theirs.close()
		}
	}()
	if c.Terminal != nil {
		ours.terminal, theirs.terminal = true, true
		if ours.in, theirs.in, err = openTerminal(); err != nil {
			return ours, theirs, err
		}
		ours.out, theirs.out, theirs.err = ours.in, theirs.in, theirs.in
		return ours, theirs, ours.resize(*c.Terminal)
	}
	if c.Stdin == nil {
		theirs.in, err = os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	} else {
		theirs.in, ours.in, err = pipeOf(1)
	}
	if err != nil {
		return ours, theirs, err
	}
	if ours.out, theirs.out, err = outputPipe(); err != nil {
		return ours, theirs, err
	}
	ours.err, theirs.err, err = outputPipe()
	return ours, theirs, err
}

func (s stdio) files() []*os.File { return []*os.File{s.in, s.out, s.err} }

// close closes what there is, more than once where it is one file.
func (s stdio) close() {
	for _, f := range s.files() {
		if f != nil {
			f.Close()
		}
	}
}

// outputPipe is a pipe whose writing end is for a guest.
func outputPipe() (r, w *os.File, err error) { return pipeOf(0) }

// pipeOf is a pipe of which one end, 0 to read or 1 to write, is ours and waits in
// Go's poller. The guest's blocks: os.Pipe makes both ends non-blocking, which a
// guest would inherit: a process that writes faster than we read would meet EAGAIN
// and short writes, and most lose what was not taken.
func pipeOf(ours int) (r, w *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(p[ours], true); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(p[0]), "pipe to read"), os.NewFile(uintptr(p[1]), "pipe to write"), nil
}

// openTerminal makes a terminal: our end, which waits in Go's poller, and the
// guest's, which blocks.
func openTerminal() (ours, theirs *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a terminal: open /dev/ptmx: %w", err)
	}
	ours = os.NewFile(uintptr(fd), "terminal")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("make a terminal: unlock it: %w", err)
	}
	peer, err := peerOf(uintptr(fd))
	if err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("make a terminal: open its other end: %w", err)
	}
	return ours, os.NewFile(uintptr(peer), "terminal of guest"), nil
}

// resize tells the terminal's size.
func (s stdio) resize(size sandbox.Window) error {
	raw, err := s.in.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	}); cerr != nil {
		return cerr
	}
	return os.NewSyscallError("ioctl TIOCSWINSZ", err)
}

// signalled looks in what is typed for the first character that makes a signal by
// the terminal's settings: how much is typed before it, and the signal, 0 for none.
// The host's kernel knows the guest's processes as little as they know
// it, so that its terminal cannot send them.
func (s stdio) signalled(typed []byte) (upTo int, number unix.Signal) {
	raw, err := s.in.SyscallConn()
	if err != nil {
		return len(typed), 0
	}
	var settings *unix.Termios
	if err := raw.Control(func(fd uintptr) { settings, _ = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); err != nil || settings == nil || settings.Lflag&unix.ISIG == 0 {
		return len(typed), 0
	}
	upTo = len(typed)
	for _, key := range []struct {
		at     int
		number unix.Signal
	}{{unix.VINTR, unix.SIGINT}, {unix.VQUIT, unix.SIGQUIT}, {unix.VSUSP, unix.SIGTSTP}} {
		char := settings.Cc[key.at]
		if i := bytes.IndexByte(typed[:upTo], char); char != 0 && i >= 0 {
			upTo, number = i, key.number
		}
	}
	return upTo, number
}

// press types a character that makes a signal and returns when the host's kernel has
// dealt with it, which it does later and by the way: it drops what is on its way in and
// out of the terminal, and must not drop what the guest writes because it has the
// signal. Asking whether there is something to read waits for it, if there is nothing.
func (s stdio) press(key []byte) error {
	peer, err := s.peer()
	if err != nil { // then it may drop more
		_, err = s.in.Write(key)
		return err
	}
	defer unix.Close(peer)
	if settings, err := unix.IoctlGetTermios(peer, unix.TCGETS); err == nil && settings.Lflag&unix.NOFLSH == 0 {
		_ = unix.IoctlSetInt(peer, unix.TCFLSH, unix.TCIFLUSH) // as the key does
	}
	if _, err := s.in.Write(key); err != nil {
		return err
	}
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(peer), Events: unix.POLLIN}}, 0)
	return nil
}

// peer opens the guest's end of the terminal.
func (s stdio) peer() (fd int, err error) {
	raw, err := s.in.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(ours uintptr) { fd, err = peerOf(ours) })
	return fd, errors.Join(cerr, err)
}

// peerOf opens the other end of a terminal without a path: what is at /dev/pts may be
// another's.
func peerOf(ours uintptr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, ours, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// wake makes copyReady take what there is and return.
func (s stdio) wake() {
	for _, f := range []*os.File{s.out, s.err} {
		if f != nil {
			_ = f.SetReadDeadline(time.Now()) // ours can wait
		}
	}
}

// heldBytes is more than a pipe or a terminal holds.
const heldBytes = 128 << 10

// copyReady copies from r until it ends; or, once its deadline has passed, what is
// there to be read. A writer that fails is not called again.
func copyReady(w io.Writer, r *os.File) {
	if w == nil {
		w = io.Discard
	}
	buf := make([]byte, 32<<10)
	write := func(n int) {
		if _, err := w.Write(buf[:n]); err != nil {
			w = io.Discard
		}
	}
	for {
		n, err := r.Read(buf)
		if n > 0 {
			write(n)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil { // its end; of a terminal, EIO
			return
		}
	}
	raw, err := r.SyscallConn()
	if err != nil || r.SetReadDeadline(time.Time{}) != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		for total := 0; total < heldBytes; {
			n, err := unix.Read(int(fd), buf)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 {
				break
			}
			write(n)
			total += n
		}
		return true
	})
}
