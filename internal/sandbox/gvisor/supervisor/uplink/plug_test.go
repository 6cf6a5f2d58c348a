//go:build linux

package uplink

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// plugged makes a wire in a new namespace, on a thread that ends with it.
func plugged() (file *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			file, err = Plug(nil)
		}
	}()
	<-done
	return file, err
}

// TestPlug: the socket of a wire that was made is one that a link reads.
func TestPlug(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes network namespaces without a user namespace; the engine's tests do both")
	}
	file, err := plugged()
	if err != nil {
		t.Fatal(err)
	}
	far, err := Link(file)
	if err != nil {
		t.Fatal(err)
	}
	u, err := New(Config{Connections: 1}, far)
	if err != nil {
		t.Fatal(err)
	}
	u.Close()
	if err := file.Close(); err == nil {
		t.Error("the socket was left open")
	}
}

// BenchmarkPlug is what a wire adds to the start of a sandbox, without runsc's
// part of it.
func BenchmarkPlug(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("only root makes network namespaces without a user namespace")
	}
	for b.Loop() {
		file, err := plugged()
		if err != nil {
			b.Fatal(err)
		}
		far, err := Link(file)
		if err != nil {
			b.Fatal(err)
		}
		u, err := New(Config{Connections: 1024}, far)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		u.Close()
		b.StartTimer()
	}
}
