package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

func TestRefusal(t *testing.T) {
	_, timeout := net.DialTimeout("tcp", "127.0.0.1:1", time.Nanosecond)
	for err, want := range map[error]wire.Kind{
		errors.New("the policy says no"):                 wire.Refused,
		fmt.Errorf("dial: %w", unix.ECONNREFUSED):        wire.Refused,
		fmt.Errorf("dial: %w", unix.EHOSTUNREACH):        wire.Unreachable,
		fmt.Errorf("dial: %w", unix.ENETUNREACH):         wire.Unreachable,
		fmt.Errorf("dial: %w", context.DeadlineExceeded): wire.TimedOut,
		timeout: wire.TimedOut,
		&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}: wire.TimedOut,
	} {
		if got := refusal(err); got != want {
			t.Errorf("refusal(%v) = %s, want %s", err, got, want)
		}
	}
}

func TestCable(t *testing.T) {
	if c := cable(sandbox.Spec{}); c != nil {
		t.Errorf("a guest without a network has %+v", c)
	}
	if c := cable(sandbox.Spec{Savable: true}); c == nil || c.Connections != DefaultConnections {
		t.Errorf("a savable guest has %+v", c)
	}
	spec := sandbox.Spec{Network: echoes{}, Limits: sandbox.Limits{Connections: 7, Bandwidth: 8}}
	if c := cable(spec); c == nil || *c != (wire.Cable{Connections: 7, Bandwidth: 8}) {
		t.Errorf("a guest with limits has %+v", c)
	}
}

// TestHandOver: sockets go as they are, everything else through a pair that is
// copied for as long as both ends are there.
func TestHandOver(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	for name, ends := range map[string][2]net.Conn{"socket": {socket, server}, "pipe": {theirs, ours}} {
		file, err := handOver("tcp", ends[0])
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(c, "hello") }()
		b := make([]byte, 5)
		if _, err := io.ReadFull(ends[1], b); err != nil || string(b) != "hello" {
			t.Errorf("%s: the other end read %q, %v", name, b, err)
		}
		c.Close()
		if n, err := ends[1].Read(b); err != io.EOF {
			t.Errorf("%s: the other end read %d, %v; want its end", name, n, err)
		}
		ends[1].Close()
	}
	goleak.VerifyNone(t, leaks)
}

// TestHook: the engine's own address is not asked of the network, and is refused
// where nobody serves it.
func TestHook(t *testing.T) {
	g := newGuest(sandbox.Spec{Network: echoes{}}, &wire.Start{}, "")
	defer close(g.done)
	if _, err := g.connect("tcp", hookAddress); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("connect() without a hook = %v", err)
	}
	served := make(chan net.Conn, 1)
	g.hook = func(c net.Conn) { served <- c }
	if _, err := g.connect("udp", hookAddress); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("connect() by UDP = %v", err)
	}
	file, err := g.connect("tcp", hookAddress)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	c := <-served
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the hook's end read %v, want its end", err)
	}
	c.Close()
	g = newGuest(sandbox.Spec{Savable: true}, &wire.Start{}, "")
	defer close(g.done)
	if _, err := g.connect("tcp", netip.MustParseAddrPort("1.2.3.4:80")); err == nil {
		t.Error("a guest without a network reaches something")
	}
}
