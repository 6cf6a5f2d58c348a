package invoke

import (
	"strings"
	"testing"
)

// TestScreen: what nobody is connected to see is kept as far as it goes, and who
// connects learns how much was lost.
func TestScreen(t *testing.T) {
	sh := newShell(shellKey{name: "one"})
	write := func(text string) {
		if n, err := (screen{sh}).Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("Write(%d bytes) = %d, %v", len(text), n, err)
		}
	}
	a := &attachment{sh: sh}
	sh.current = a
	write("seen")
	if part, dropped, _, current := sh.next(a, 100); string(part) != "seen" || dropped != 0 || !current {
		t.Errorf("next() = %q, %d, %v", part, dropped, current)
	}
	sh.current = nil
	total := 0
	for range 100 {
		write(strings.Repeat("x", 10_007))
		total += 10_007
	}
	write("end")
	if part, _, _, current := sh.next(a, 100); part != nil || current {
		t.Errorf("next() of who is not connected = %q, %v", part, current)
	}
	sh.current = a
	var got []byte
	var lost int64
	for {
		part, dropped, wait, _ := sh.next(a, 1000)
		lost += dropped
		if wait != nil {
			break
		}
		got = append(got, part...)
	}
	if len(got) < replayBytes || len(got) > 2*replayBytes || lost+int64(len(got)) != int64(total+3) || !strings.HasSuffix(string(got), "xend") {
		t.Errorf("%d bytes were kept and %d lost of %d", len(got), lost, total+3)
	}
	// Who is connected and takes nothing is waited for, until it is not any more.
	written := make(chan struct{})
	go func() {
		write(strings.Repeat("y", 3*replayBytes))
		close(written)
	}()
	for n := 0; n < replayBytes; {
		part, dropped, wait, _ := sh.next(a, replayBytes)
		if dropped != 0 {
			t.Fatalf("%d bytes were dropped of who is connected", dropped)
		}
		if n += len(part); wait != nil {
			<-wait
		}
	}
	sh.mu.Lock()
	sh.current = nil
	sh.tell()
	sh.mu.Unlock()
	<-written
}
