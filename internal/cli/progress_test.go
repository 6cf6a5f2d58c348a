package cli

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgressIsNotRedrawnForEveryByte: ten times a second is enough, but another
// kind of line is shown at once.
func TestProgressIsNotRedrawnForEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		s := &progress{p: &Program{Stderr: &out, StderrTerminal: true, Now: time.Now}}
		for i := range 10_000 { // in a second
			s.update("uploading: %d", i)
			time.Sleep(100 * time.Microsecond)
		}
		if n := strings.Count(out.String(), "uploading"); n != 10 {
			t.Errorf("drawn %d times in a second", n)
		}
		s.update("waiting")
		if !strings.HasSuffix(out.String(), "waiting") {
			t.Error("another kind of line waits")
		}
		s.line("done")
		if !strings.HasSuffix(out.String(), "\r\x1b[Kdone\n") {
			t.Errorf("it ends with %q", out.String())
		}
		out.Reset()
		s = &progress{p: &Program{Stderr: &out, Now: time.Now}}
		s.update("uploading: %d", 1)
		s.line("uploaded")
		if out.String() != "uploaded\n" {
			t.Errorf("without a terminal: %q", out.String())
		}
	})
}

// A line that wraps could not be cleared.
func TestProgressFitsTheTerminal(t *testing.T) {
	for width, want := range map[int]string{0: "ab日本c", 1: "ab日本c", 2: "a", 4: "ab", 5: "ab日", 7: "ab日本", 8: "ab日本c", 40: "ab日本c"} {
		var out strings.Builder
		s := &progress{p: &Program{Stderr: &out, StderrTerminal: true, Now: time.Now, Columns: func() int { return width }}}
		s.update("ab日本c")
		if got := strings.TrimPrefix(out.String(), clearLine); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}
