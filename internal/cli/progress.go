package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// redrawEvery is how long one kind of changing line stands at least.
const redrawEvery = 100 * time.Millisecond

// progress shows one line that changes, where a person watches, and only whole
// lines elsewhere.
type progress struct {
	p     *Program
	shown bool
	drawn time.Time
	kind  string // format of the line that is shown
}

// update replaces the changing line, ten times a second at most as long as only
// its figures change.
func (s *progress) update(format string, args ...any) {
	if !s.p.StderrTerminal {
		return
	}
	now := s.p.Now()
	if s.shown && s.kind == format && now.Sub(s.drawn) < redrawEvery {
		return
	}
	s.shown, s.kind, s.drawn = true, format, now
	_, _ = io.WriteString(s.p.Stderr, clearLine+s.fitted(harmless(fmt.Sprintf(format, args...))))
}

// clearLine goes to the line's begin and clears it.
const clearLine = "\r\x1b[K"

// fitted cuts a line to the terminal, since of one that wraps only the last row
// could be cleared.
func (s *progress) fitted(line string) string {
	line = strings.ReplaceAll(line, "\n", " ")
	width := 0
	if s.p.Columns != nil {
		width = s.p.Columns()
	}
	if width <= 1 {
		return line
	}
	room := width - 1 // in the last column some terminals wrap already
	for i, r := range line {
		if room -= columns(r); room < 0 {
			return line[:i]
		}
	}
	return line
}

// columns is how many columns a character may take: two for those that East
// Asian scripts and symbols are made of, which is enough for fitting.
func columns(r rune) int {
	if r >= 0x1100 && r != utf8.RuneError {
		return 2
	}
	return 1
}

// moved shows how many bytes have passed; one may be read ahead while another asks.
type moved struct {
	mu         sync.Mutex
	show       progress
	what, done string // what goes on, and what was done to the bytes
	bytes      int64
	ended      bool
}

// watch shows on a terminal how much has passed, until end is called.
func (p *Program) watch(what, done string) *moved {
	m := &moved{show: progress{p: p}, what: what, done: done}
	m.add(0)
	return m
}

func (m *moved) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes += int64(n); !m.ended {
		m.show.update("%s: %s %s", m.what, size(m.bytes), m.done)
	}
}

func (m *moved) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	m.show.done()
}

// watchedWriter tells how much was written, and watchedReader how much was read.
type (
	watchedWriter struct {
		io.Writer
		moved *moved
	}
	watchedReader struct {
		io.Reader
		moved *moved
	}
)

func (w *watchedWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.moved.add(n)
	return n, err
}

func (r *watchedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.moved.add(n)
	return n, err
}

// line writes a line that stays.
func (s *progress) line(format string, args ...any) {
	s.done()
	s.p.say(format, args...)
}

// done clears the changing line.
func (s *progress) done() {
	if s.shown {
		s.shown = false
		_, _ = io.WriteString(s.p.Stderr, clearLine)
	}
}
