package gvisor

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPress: what a guest writes because it has the signal of a key is not dropped with
// what was there before, and what was typed before the key is.
func TestPress(t *testing.T) {
	ours, theirs, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	s := stdio{in: ours, terminal: true}
	for i := range 500 {
		if _, err := ours.WriteString("typed"); err != nil {
			t.Fatal(err)
		}
		if before, signal := s.signalled([]byte("a\x03")); before != 1 || signal != unix.SIGINT {
			t.Fatalf("signalled = %d, %v", before, signal)
		}
		if err := s.press([]byte{3}); err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.WriteString("answer\n"); err != nil {
			t.Fatal(err)
		}
		if err := ours.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var seen []byte
		for buf := make([]byte, 100); !bytes.HasSuffix(seen, []byte("answer\r\n")); {
			n, err := ours.Read(buf)
			if err != nil {
				t.Fatalf("key %d: %q, %v", i, seen, err)
			}
			if seen = append(seen, buf[:n]...); len(seen) > 1000 {
				t.Fatalf("key %d: %q", i, seen)
			}
		}
		if left, err := unix.IoctlGetInt(int(theirs.Fd()), unix.TIOCINQ); err != nil || left != 0 {
			t.Fatalf("key %d: %d bytes that were typed before it are left, %v", i, left, err)
		}
	}
}
