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
			s.answer(m.Seq, s.setup(m.Setup))
			if !s.groups.Any() {
				go s.countTables(stop)
			}
			continue
		}
		if m.Connected != nil {
			s.asks.answer(m.Connected, files)
			continue
		}
		if m.Measure != nil {
			go s.measure(m.Seq, m.Measure.Sandbox)
			continue
		}
		if m.Save != nil {
			go s.answerSave(m.Seq, m.Save, files)
			continue
		}
		if m.Execute != nil {
			go s.answerExecute(m.Seq, m.Execute, files)
			continue
		}
		if m.Wait != nil {
			go s.answerWait(m.Seq, m.Wait)
			continue
		}
		if m.Dial != nil && len(files) == 0 {
			go s.answerDial(m.Seq, m.Dial)
			continue
		}
		go func() {
			err := s.handle(m, files)
			for _, f := range files {
				f.Close()
			}
			s.answer(m.Seq, err)
		}()
	}
}

// supervisor owns the guests.
type supervisor struct {
	conn     *wire.Conn
	reaper   *reaper
	separate bool
	groups   groups
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

func (s *supervisor) handle(m *wire.Message, files []*os.File) error {
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

// answer tells the engine how a request went. An engine that cannot be told has
// gone, and Run learns of it.
func (s *supervisor) answer(seq uint64, err error) {
	m := &wire.Message{Seq: seq}
	if err != nil && !errors.As(err, &m.Failed) {
		m.Failed = &wire.Failure{Kind: wire.Internal, Text: err.Error()}
	}
	_ = s.conn.Send(m)
}

func (s *supervisor) find(id string) *guest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guests[id]
}

func gone(id string) error {
	return &wire.Failure{Kind: wire.Gone, Text: "sandbox " + id + " is not there"}
}
