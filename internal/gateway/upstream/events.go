package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"
)

// events reads a stream of server-sent events (WHATWG HTML 9.2.6). The stream may go on
// as long as its server likes: what bounds it is left and max.
type events struct {
	in   *bufio.Reader
	left int64 // bytes that are still read, a line being minLine at least
	max  int   // bytes of one event

	// lastID is that of the last event that had one, and retry what the server asks to
	// wait before its stream is asked for again.
	lastID string
	retry  time.Duration

	rest  []byte // lines of an odd piece that are still to be taken
	begun bool   // the first line, where a byte order mark may stand, was read
	ended bool
	event event
}

// event is one, its data without the line break that ends it.
type event struct {
	name  string
	data  []byte
	lines int
}

// readers are kept since most answers of most servers are streams of one event.
type readers struct{ pool sync.Pool }

func (p *readers) get(in io.Reader) *bufio.Reader {
	if r, ok := p.pool.Get().(*bufio.Reader); ok {
		r.Reset(in)
		return r
	}
	return bufio.NewReaderSize(in, 4<<10)
}

func (p *readers) put(r *bufio.Reader) {
	r.Reset(nil)
	p.pool.Put(r)
}

// next returns the data of the next event that has any and is called message, as it is
// without a name. Its errors are io.EOF, *tooLarge and those of reading.
func (e *events) next() ([]byte, error) {
	for {
		line, err := e.line()
		if err != nil {
			return nil, err
		}
		if len(line) > 0 {
			if err := e.field(line); err != nil {
				return nil, err
			}
			continue
		}
		done := e.event
		e.event = event{}
		if len(done.data) > 0 && (done.name == "" || done.name == "message") {
			return done.data, nil
		}
	}
}

func (e *events) field(line []byte) error {
	key, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(key) {
	case "data":
		if len(e.event.data)+len(value) > e.max {
			return &tooLarge{limit: int64(e.max)}
		}
		if e.event.lines++; e.event.lines > 1 {
			e.event.data = append(e.event.data, '\n')
		}
		e.event.data = append(e.event.data, value...)
	case "event":
		e.event.name = string(value)
	case "id":
		if bytes.IndexByte(value, 0) < 0 && len(value) <= maxEventID {
			e.lastID = string(value)
		}
	case "retry":
		if n, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			e.retry = time.Duration(n) * time.Millisecond
		}
	}
	return nil
}

// maxEventID is how long an event's id may be to be sent back, in bytes.
const maxEventID = 4 << 10

// minLine is what a line counts for at least, in bytes: a stream of empty ones would cost
// more than its length says.
const minLine = 64

// line returns the next line without its end, which is a line feed, a carriage return
// or both. It is valid until the next call.
func (e *events) line() ([]byte, error) {
	line, err := e.unbounded()
	if short := minLine - len(line); err == nil && short > 0 {
		if e.left -= int64(short); e.left < 0 {
			return nil, &tooLarge{stream: true}
		}
	}
	return line, err
}

// unbounded is line, of which only long ones are counted.
func (e *events) unbounded() ([]byte, error) {
	if len(e.rest) == 0 {
		if e.ended {
			return nil, io.EOF
		}
		piece, err := e.piece()
		if err != nil {
			return nil, err
		}
		if bytes.IndexByte(piece, '\r') < 0 {
			return piece, nil
		}
		// What ends with a line feed alone is a line; carriage returns inside end others.
		e.rest = append(append(e.rest[:0], piece...), '\n')
	}
	at := bytes.IndexAny(e.rest, "\r\n")
	line := e.rest[:at]
	next := at + 1
	if e.rest[at] == '\r' && next < len(e.rest) && e.rest[next] == '\n' {
		next++
	}
	e.rest = e.rest[next:]
	return line, nil
}

// piece reads up to a line feed, which it leaves out, or the end.
func (e *events) piece() ([]byte, error) {
	var long []byte
	for {
		part, err := e.in.ReadSlice('\n')
		if e.left -= int64(len(part)); e.left < 0 {
			return nil, &tooLarge{stream: true}
		}
		if len(long)+len(part) > e.max+len("data: \r\n") {
			return nil, &tooLarge{limit: int64(e.max)}
		}
		if long != nil || errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			part = long
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			// An event that no blank line ends is none.
			if e.ended = true; bytes.IndexByte(part, '\r') < 0 {
				return nil, io.EOF
			}
		case err != nil:
			return nil, err
		}
		part = bytes.TrimSuffix(part, []byte("\n"))
		if !e.begun {
			e.begun = true
			part = bytes.TrimPrefix(part, []byte("\xef\xbb\xbf"))
		}
		return part, nil
	}
}
