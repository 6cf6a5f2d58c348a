package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
	"github.com/outcrop/outcrop/internal/sandbox/socketpair"
)

// setupTimeout bounds the supervisor's own start, which takes some 20 ms.
const setupTimeout = 30 * time.Second

// errLost says that the supervisor ended.
var errLost = errors.New("the supervisor of sandboxes has ended")

// A link is one running supervisor and the conversation with it.
type link struct {
	conn *wire.Conn
	// ended is called for every sandbox that ended, in order.
	ended func(*wire.Ended)
	// connects is called for every connection that a guest wants; it does not wait.
	connects func(*link, *wire.Connect)

	mu      sync.Mutex
	seq     uint64
	waiting map[uint64]chan answer
	broken  bool // no answer will come any more

	// lost is closed when the supervisor and everything in its namespaces is
	// gone, after the last call of ended.
	lost chan struct{}
	// words is what the supervisor said on standard error, to be read after lost.
	words *tail
}

// connect starts a supervisor and has it set up.
func connect(ctx context.Context, exe *executable, h host, dir string, groups cgroup.Groups, ended func(*wire.Ended), connects func(*link, *wire.Connect)) (*link, error) {
	p := h.privileges()
	if blocker := h.blocker(p); blocker != nil {
		return nil, blocker // root's supervisor would start, and no sandbox in it
	}
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	disks, err := makeDisks(dir)
	if err != nil {
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	ours, theirs, err := socketpair.Files(socketpair.Stream)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	conn, err := wire.NewConn(ours)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, ended: ended, connects: connects, waiting: map[uint64]chan answer{}, lost: make(chan struct{}), words: new(tail)}
	exited := make(chan struct{})
	if err := spawn(command(exe, p, theirs, l.words), exited); err != nil {
		conn.Close()
		return nil, h.explain(p, "make namespaces", err)
	}
	go l.listen(exited)
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if err := l.call(ctx, &wire.Message{Setup: &wire.Setup{Root: root, Separate: p.separate, Disks: disks, Groups: groups}}); err != nil {
		conn.Close()
		<-l.lost
		if words := l.words.String(); words != "" {
			err = fmt.Errorf("%w: %s", err, words)
		}
		var f *wire.Failure
		if errors.As(err, &f) && f.Kind == wire.Denied {
			err = fmt.Errorf("%w: %w", errDenied, err)
		}
		return nil, h.explain(p, err.Error(), err)
	}
	return l, nil
}

// command is the supervisor in new namespaces.
func command(exe *executable, p privileges, socket *os.File, words *tail) *exec.Cmd {
	cmd := exec.Command(exe.path, "supervise")
	cmd.Args[0] = "outcrop-sandbox"
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"} // nothing of the server's
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = words
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true, // signals typed at the server's terminal are for the server
	}
	if p.userNamespace {
		// One UID needs no help of a setuid program. It is root inside so that it
		// can mount; guests are not (see the package).
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

// spawn starts cmd and closes exited once it was waited for. It does both on one
// thread that lives as long: the death signal is sent when the thread that
// started a process ends, not when the program does.
func spawn(cmd *exec.Cmd, exited chan<- struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // how it ended is told by what it wrote
		close(exited)
	}()
	return <-started
}

// listen hands out answers and events until the supervisor has ended.
func (l *link) listen(exited <-chan struct{}) {
	for {
		m, files, err := l.conn.Receive()
		if err != nil {
			break
		}
		a := answer{m: m}
		for i, f := range files {
			if i == 0 && m.Seq != 0 {
				a.file = f
				continue
			}
			f.Close() // none are expected
		}
		if m.Ended != nil {
			l.ended(m.Ended)
			continue
		}
		if m.Connect != nil {
			l.connects(l, m.Connect)
			continue
		}
		if m.Failed != nil {
			a.err = m.Failed
		}
		l.mu.Lock()
		if c, ok := l.waiting[m.Seq]; ok {
			delete(l.waiting, m.Seq)
			c <- a
		} else {
			a.drop()
		}
		l.mu.Unlock()
	}
	l.conn.Close() // makes a supervisor that still runs end
	<-exited
	l.mu.Lock()
	l.broken = true
	for seq, c := range l.waiting {
		delete(l.waiting, seq)
		c <- answer{err: errLost}
	}
	l.mu.Unlock()
	close(l.lost)
}

// An answer is what a request led to; m is nil when it got none.
type answer struct {
	m    *wire.Message
	file *os.File // may come with it
	err  error
}

// drop closes what nobody has asked for, or waits for any more.
func (a answer) drop() {
	if a.file != nil {
		a.file.Close()
	}
}

// call sends a request and waits until it succeeded.
func (l *link) call(ctx context.Context, m *wire.Message, files ...*os.File) error {
	_, err := l.ask(ctx, m, files...)
	return err
}

// ask sends a request and waits for its answer.
func (l *link) ask(ctx context.Context, m *wire.Message, files ...*os.File) (*wire.Message, error) {
	a := l.await(ctx, m, files...)
	a.drop()
	return a.m, a.err
}

// askFile sends a request whose answer is a file.
func (l *link) askFile(ctx context.Context, m *wire.Message) (*os.File, error) {
	a := l.await(ctx, m)
	if a.err == nil && a.file == nil {
		a.err = errors.New("the answer came without its file")
	}
	return a.file, a.err
}

func (l *link) await(ctx context.Context, m *wire.Message, files ...*os.File) answer {
	c := make(chan answer, 1)
	l.mu.Lock()
	if l.broken {
		l.mu.Unlock()
		return answer{err: errLost}
	}
	l.seq++
	m.Seq = l.seq
	l.waiting[m.Seq] = c
	l.mu.Unlock()
	if err := l.conn.Send(m, files...); err != nil {
		l.forget(m.Seq)
		return answer{err: fmt.Errorf("%w: %w", errLost, err)}
	}
	select {
	case a := <-c:
		return a
	case <-ctx.Done():
		l.forget(m.Seq)
		select {
		case a := <-c: // just before
			a.drop()
		default:
		}
		return answer{err: context.Cause(ctx)}
	}
}

func (l *link) forget(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, seq)
}

// A tail keeps the last bytes written to it. It may be used concurrently.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailBytes = 8 << 10

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if n := len(t.data) - tailBytes; n > 0 {
		t.data = append(t.data[:0], t.data[n:]...)
	}
	return len(p), nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}

// close makes the supervisor end, and with it everything in its namespaces.
func (l *link) close() { l.conn.Close() }

// gone tells whether it has ended.
func (l *link) gone() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}
