package telemetry_test

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/telemetry"
)

// lines is an Appender that remembers.
type lines struct {
	mu   sync.Mutex
	text []string
	at   []time.Time
}

func (l *lines) Append(_ telemetry.Group, _ string, at time.Time, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text, l.at = append(l.text, message), append(l.at, at)
}

func (l *lines) joined() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.text, "|")
}

func TestSinkSplitsLines(t *testing.T) {
	var got lines
	s := telemetry.NewSink(&got, group, "s", func() time.Time { return begin })
	for _, chunk := range []string{"one\ntw", "o\r\n\n", "\nthr", "ee\nfo", "ur"} {
		if n, err := s.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got.text, "|") != "one|two|three|four" || !got.at[0].Equal(begin) {
		t.Errorf("lines: %q", got.text)
	}
	if _, err := s.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("write after close: %v", err)
	}
}

func TestSinkGivesAPartialLineAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got lines
		s := telemetry.NewSink(&got, group, "s", nil)
		defer s.Close()
		io.WriteString(s, "Name: ")
		time.Sleep(telemetry.PartialAfter / 2) // the bubble's clock
		io.WriteString(s, "? ")
		time.Sleep(telemetry.PartialAfter - time.Millisecond)
		synctest.Wait()
		if early := got.joined(); early != "" {
			t.Errorf("too early: %q", early)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if all := got.joined(); all != "Name: ? " {
			t.Errorf("partial: %q", all)
		}
	})
}

func TestSinkSplitsLongLinesBetweenCharacters(t *testing.T) {
	for _, chunk := range []int{1 << 10, 100_001, 1 << 20} {
		var got lines
		s := telemetry.NewSink(&got, group, "s", nil)
		long := "x" + strings.Repeat("é🙂", 100_000) // characters end at no multiple of the limit
		for rest := long; rest != ""; {
			n := min(chunk, len(rest))
			io.WriteString(s, rest[:n])
			rest = rest[n:]
		}
		s.Close()
		for i, line := range got.text {
			if len(line) > telemetry.MaxMessage || !utf8.ValidString(line) || i < len(got.text)-1 && len(line) < telemetry.MaxMessage-4 {
				t.Errorf("chunk %d: line %d has %d bytes, valid %t", chunk, i, len(line), utf8.ValidString(line))
			}
		}
		if strings.Join(got.text, "") != long {
			t.Errorf("chunk %d: text is not what was written", chunk)
		}
	}
}

// FuzzSink writes any bytes in two pieces: nothing but line ends is lost.
func FuzzSink(f *testing.F) {
	f.Add([]byte("a\nb\r\n\xff\x00"), 3)
	f.Add([]byte("é🙂\xf0\x9f"), 4)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		var got lines
		s := telemetry.NewSink(&got, group, "s", nil)
		at = max(0, min(at, len(b)))
		s.Write(b[:at])
		s.Write(b[at:])
		s.Close()
		total := 0
		for _, line := range got.text {
			if len(line) > telemetry.MaxMessage || line == "" || strings.Contains(line, "\n") {
				t.Fatalf("line of %d bytes", len(line))
			}
			total += len(line)
		}
		if want := len(b) - strings.Count(string(b), "\n"); total > want || total < want-strings.Count(string(b), "\r") {
			t.Fatalf("%d bytes of %d", total, want)
		}
	})
}
