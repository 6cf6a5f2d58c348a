// Package sse reads server-sent events (WHATWG HTML, 9.2), as model providers
// stream their answers.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
)

// MaxEvent bounds the data of one event, and a line, in bytes: an event may hold a
// tool's whole input.
const MaxEvent = 8 << 20

// ErrTooLong says that an event is longer than MaxEvent.
var ErrTooLong = errors.New("event is longer than 8 MiB")

// Event is one event.
type Event struct {
	// Name is the event's type, empty where it has none.
	Name string
	// Data is valid until the next event.
	Data []byte
}

// Read returns the events of a stream. An event that its stream breaks off in is
// not among them. The last one has an error, unless the stream ended as it should.
func Read(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		in := bufio.NewReaderSize(r, 16<<10)
		var line, data []byte
		var name string
		var has bool
		for {
			var err error
			if line, err = readLine(in, line[:0]); err != nil {
				if !errors.Is(err, io.EOF) {
					yield(Event{}, err)
				}
				return
			}
			if len(line) == 0 {
				if has && !yield(Event{Name: name, Data: data}, nil) {
					return
				}
				name, data, has = "", data[:0], false
				continue
			}
			field, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(field) {
			case "event":
				name = string(value)
			case "data":
				if has {
					data = append(data, '\n')
				}
				if len(data)+len(value) > MaxEvent {
					yield(Event{}, ErrTooLong)
					return
				}
				data, has = append(data, value...), true
			}
		}
	}
}

// readLine appends the next line to dst, without its end, LF or CR LF: no provider ends lines with CR alone.
func readLine(in *bufio.Reader, dst []byte) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		dst = append(dst, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(dst[:len(dst)-1], []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return dst, err
		case len(dst) > MaxEvent:
			return dst, ErrTooLong
		}
	}
}
