package telemetry

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// Appender takes log events; DB is one.
type Appender interface {
	Append(group Group, stream string, at time.Time, message string)
}

// waiter is an Appender that can ask a flood to wait.
type waiter interface {
	Wait(group Group, stream string, most time.Duration)
}

// Patience is the longest that one Write holds a guest up which writes faster
// than its lines can be stored. After that the oldest of them are dropped.
const Patience = time.Second

// PartialAfter is how long a Sink waits for the rest of a line before it gives
// what there is (a prompt, a progress bar) as an event.
const PartialAfter = time.Second

// Sink turns what a guest writes into log events, one a line. Standard output and
// standard error each have a Sink, and may share a stream.
type Sink struct {
	to     Appender
	group  Group
	stream string
	now    func() time.Time

	mu     sync.Mutex
	line   []byte
	timer  *time.Timer
	closed bool
}

var _ io.WriteCloser = (*Sink)(nil)

// NewSink returns a Sink that writes to a stream; now is the clock, nil for
// time.Now.
func NewSink(to Appender, group Group, stream string, now func() time.Time) *Sink {
	if now == nil {
		now = time.Now
	}
	return &Sink{to: to, group: group, stream: stream, now: now}
}

// Write takes any bytes and never fails before Close. A line longer than
// MaxMessage becomes several events; a line end is "\n" or "\r\n". It holds its
// caller up for at most Patience.
func (s *Sink) Write(p []byte) (int, error) {
	n, err := s.write(p)
	if w, ok := s.to.(waiter); ok && err == nil {
		w.Wait(s.group, s.stream, Patience)
	}
	return n, err
}

func (s *Sink) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.add(p)
			break
		}
		s.add(p[:end])
		s.emit()
		p = p[end+1:]
	}
	s.arm()
	return n, nil
}

// add extends the line, and gives off its beginning where it grows too long.
func (s *Sink) add(p []byte) {
	for len(s.line)+len(p) > MaxMessage {
		// One character more than fits, to see where to cut.
		take := min(len(p), MaxMessage+4-len(s.line))
		s.line = append(s.line, p[:take]...)
		p = p[take:]
		n := cut(s.line, MaxMessage)
		rest := bytes.Clone(s.line[n:])
		s.line = s.line[:n]
		s.emit()
		s.line = rest
	}
	s.line = append(s.line, p...)
}

// emit gives the line as an event.
func (s *Sink) emit() {
	line := bytes.TrimSuffix(s.line, []byte("\r"))
	if len(line) > 0 {
		s.to.Append(s.group, s.stream, s.now(), string(line))
	}
	s.line = s.line[:0]
	if cap(s.line) > 64<<10 {
		s.line = nil
	}
}

// arm starts or stops the timer of a partial line.
func (s *Sink) arm() {
	if s.timer != nil {
		s.timer.Stop()
	}
	if len(s.line) == 0 {
		return
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(PartialAfter, s.partial)
	} else {
		s.timer.Reset(PartialAfter)
	}
}

func (s *Sink) partial() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.emit()
	}
}

// Close gives the last line, ended or not.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.emit()
	return nil
}
