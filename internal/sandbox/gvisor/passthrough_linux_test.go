package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
	"github.com/outcrop/outcrop/internal/sandbox/socketpair"
)

// TestPassthroughPowers: the process of a guest that is passed through to its network
// namespace is in a user namespace that does not own that, and as root not the
// machine's root: it can neither reconfigure the namespace nor leave it.
func TestPassthroughPowers(t *testing.T) {
	e := open(t)
	for _, passthrough := range []bool{false, true} {
		var out sandboxtest.Buffer
		s, err := e.Start(t.Context(), sandbox.Spec{
			ID: "a", Args: []string{"/opt/guest", "serve", ":8080"}, Stdout: &out, Passthrough: passthrough, Network: echoes{},
			Mounts: []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		out.WaitFor(t, "ready\n")
		var pid string
		for _, p := range look(t).processes {
			if strings.Contains(p, "runsc-sandbox") && strings.Contains(p, " boot ") {
				fmt.Sscan(p, &pid)
			}
		}
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			t.Fatal(err)
		}
		var uids, groups string
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
				uids = rest
			}
			if rest, ok := strings.CutPrefix(line, "Seccomp:"); ok {
				groups = rest
			}
		}
		if strings.Contains(uids+" ", "\t0") || strings.TrimSpace(groups) != "2" {
			t.Errorf("passthrough %t: the sandbox's process has the users %q and filters system calls in mode %q", passthrough, uids, groups)
		}
		if owns, err := ownsNetwork(pid); err != nil || owns {
			t.Errorf("passthrough %t: its user namespace owns its network namespace: %t, %v", passthrough, owns, err)
		}
		if err := s.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// ownsNetwork tells whether a process is in the user namespace that owns its network
// namespace. One whose owner is out of the test's sight is another.
func ownsNetwork(pid string) (bool, error) {
	ns, err := os.Open("/proc/" + pid + "/ns/net")
	if err != nil {
		return false, nil // it is not even the test's to look at
	}
	defer ns.Close()
	owner, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return false, nil
	}
	defer unix.Close(owner)
	var a, b unix.Stat_t
	if err := unix.Fstat(owner, &a); err != nil {
		return false, err
	}
	if err := unix.Stat("/proc/"+pid+"/ns/user", &b); err != nil {
		return false, err
	}
	return a.Ino == b.Ino, nil
}

// TestAnswerNobodyAwaits: a socket that comes for a dial that was given up is closed.
func TestAnswerNobodyAwaits(t *testing.T) {
	ours, theirs, err := socketpair.Files(socketpair.Stream)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := wire.NewConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	far, err := wire.NewConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	l := &link{conn: conn, waiting: map[uint64]chan answer{}, lost: make(chan struct{}), words: new(tail)}
	exited := make(chan struct{})
	go l.listen(exited)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.askFile(ctx, &wire.Message{Dial: &wire.Dial{Port: 1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("askFile() = %v", err)
	}
	m, _, err := far.Receive()
	if err != nil {
		t.Fatal(err)
	}
	near, file, err := socketpair.Conn(socketpair.Stream)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	if err := far.Send(&wire.Message{Seq: m.Seq}, file); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the socket's other end read %v, want its end", err)
	}
	go func() {
		m, _, _ := far.Receive()
		_ = far.Send(&wire.Message{Seq: m.Seq})
	}()
	if file, err := l.askFile(t.Context(), &wire.Message{Dial: &wire.Dial{Port: 1}}); err == nil {
		t.Errorf("an answer without its file is %v", file)
	}
	close(exited)
	l.close()
	<-l.lost
}

var _ net.Conn = (*throughConn)(nil)
