// Package supervisor is the first process of the namespaces in which all
// sandboxes of one gVisor engine live. It belongs to the sandbox executable.
//
// The engine starts it in new mount, pid and network namespaces (and a user
// namespace with the one UID it has, unless it is the machine's root) and talks
// to it over a socket pair. As the pid namespace's first process it takes all
// others with it when it ends; and it ends when the engine does, because the
// kernel kills it with its parent and because the socket closes. Mounts live in
// its mount namespace only, files on a memory file system in it. So there is
// nothing to clean up after a killed server.
package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/hooks"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/supervisor/uplink"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// ControlFD is the descriptor at which the supervisor finds its socket.
const ControlFD = 3

// Run serves the engine at the other end of the socket until it closes it.
func Run(socket *os.File) error {
	// The engine decides when sandboxes end: not an interrupt typed at the
	// terminal that it was started from. Caught rather than ignored, since
	// ignoring would be inherited by the sandboxes.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	unix.CloseOnExec(ControlFD)
	// Guests must be able to read the layer that is made here, whatever the
	// engine's umask.
	unix.Umask(0o022)
	conn, err := wire.NewConn(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &supervisor{conn: conn, reaper: newReaper(), guests: map[string]*guest{}, connections: connectionSlots()}
	stop := make(chan struct{})
	defer close(stop)
	go s.reaper.run(stop)
	for {
		m, files, err := conn.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// Setup comes first and everything depends on it.
		if m.Setup != nil {
			s.answer(m.Seq, new(wire.Message), nil, s.setup(m.Setup))
			if !s.groups.Any() {
				go s.countTables(stop)
			}
			continue
		}
		if m.Connected != nil {
			s.asks.answer(m.Connected, files)
			continue
		}
		go func() {
			reply, file, err := s.handle(m, files)
			for _, f := range files {
				f.Close()
			}
			s.answer(m.Seq, reply, file, err)
		}()
	}
}

// supervisor owns the guests.
type supervisor struct {
	conn     *wire.Conn
	reaper   *reaper
	separate bool
	groups   cgroup.Groups
	// processors are handed out where there are no control groups.
	processors processors

	asks asks
	// connections are all guests'.
	connections uplink.Slots

	mu     sync.Mutex
	guests map[string]*guest
}

func (s *supervisor) setup(m *wire.Setup) error {
	s.separate, s.groups = m.Separate, m.Groups
	if err := enter(m.Root, m.Disks); err != nil {
		return err
	}
	if err := buildLayer(hostDir, layerDir); err != nil {
		return classify("make the host layer", err)
	}
	if err := hooks.Write(hooksDir); err != nil {
		return classify("make the hooks", err)
	}
	// A network namespace each start needs one; find out now whether it may.
	ns, far, err := newNetNS(true, false)
	if err != nil {
		return classify("make a network namespace", err)
	}
	return errors.Join(ns.Close(), far.Close())
}

// handle carries out a request. The reply says what it asked for, or comes with the
// file.
func (s *supervisor) handle(m *wire.Message, files []*os.File) (reply *wire.Message, file *os.File, err error) {
	reply = new(wire.Message)
	switch {
	case m.Dial != nil && len(files) == 0:
		file, err = s.dialInto(m.Dial.Sandbox, m.Dial.Port)
	case m.Measure != nil:
		reply.Measured, err = s.measure(m.Measure.Sandbox)
	case m.Save != nil && len(files) == wire.SnapshotFiles:
		reply.Saved, err = s.save(m.Save, files)
	case m.Execute != nil && len(files) == 3:
		reply.Executed, err = s.execute(m.Execute, files)
	case m.Wait != nil:
		reply.Waited, err = wait(m.Wait)
	default:
		err = s.do(m, files)
	}
	return reply, file, err
}

// do carries out a request whose success says all.
func (s *supervisor) do(m *wire.Message, files []*os.File) error {
	switch {
	case m.Start != nil && !m.Start.Resume && len(files) == 2, m.Start != nil && m.Start.Resume && len(files) == 2+wire.SnapshotFiles:
		return s.start(m.Start, files[0], files[1], files[2:])
	case m.Dial != nil && len(files) == 1:
		g := s.find(m.Dial.Sandbox)
		if g == nil {
			return gone(m.Dial.Sandbox)
		}
		g.saving.RLock()
		defer g.saving.RUnlock()
		return dial(m.Dial.Sandbox, m.Dial.Port, files[0])
	case m.Signal != nil:
		if s.find(m.Signal.Sandbox) == nil {
			return gone(m.Signal.Sandbox)
		}
		return deliver(m.Signal)
	case m.Thaw != nil:
		if s.find(m.Thaw.Sandbox) == nil {
			return gone(m.Thaw.Sandbox)
		}
		return thaw(m.Thaw.Sandbox)
	case m.Kill != nil:
		if g := s.find(m.Kill.Sandbox); g != nil {
			g.kill()
		}
		return nil
	}
	return fmt.Errorf("message %d is no request, or its %d files are not what it needs", m.Seq, len(files))
}

// answer tells the engine how a request went, and gives the file away if there is
// one. An engine that cannot be told has gone, and Run learns of it.
func (s *supervisor) answer(seq uint64, reply *wire.Message, file *os.File, err error) {
	if err != nil {
		reply = new(wire.Message)
		if !errors.As(err, &reply.Failed) {
			reply.Failed = &wire.Failure{Kind: wire.Internal, Text: err.Error()}
		}
	}
	reply.Seq = seq
	if file == nil {
		_ = s.conn.Send(reply)
		return
	}
	_ = s.conn.Send(reply, file)
	file.Close()
}

func (s *supervisor) find(id string) *guest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guests[id]
}

func gone(id string) error {
	return &wire.Failure{Kind: wire.Gone, Text: "sandbox " + id + " is not there"}
}
