package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// maxEvent bounds one event of a stream, in bytes: an agent's answer is at most
// this long before a blank line.
const maxEvent = 100 << 20

// eventReader takes a text/event-stream apart, as the HTML standard's chapter on
// server-sent events says, and hands over the data of each event as soon as its
// blank line has come.
type eventReader struct {
	emit func(data []byte) error

	line, data []byte
	hasData    bool
	begun      bool // the first line, which may have a byte order mark, is over
	afterCR    bool // a line feed that comes next ends no further line
}

func (e *eventReader) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		if e.afterCR && rest[0] == '\n' {
			rest = rest[1:]
		}
		e.afterCR = false
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			i = len(rest)
		}
		if len(e.line)+len(e.data)+i > maxEvent {
			return 0, fmt.Errorf("read event: longer than %d bytes; --raw shows the stream as it is", maxEvent)
		}
		e.line = append(e.line, rest[:i]...)
		if i == len(rest) {
			break
		}
		e.afterCR = rest[i] == '\r'
		rest = rest[i+1:]
		if err := e.endLine(); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// Close hands over an event that the stream's end cut off. Browsers drop it; a
// person wants to see it.
func (e *eventReader) Close() error {
	if len(e.line) > 0 {
		if err := e.endLine(); err != nil {
			return err
		}
	}
	return e.endEvent()
}

func (e *eventReader) endLine() error {
	line := e.line
	e.line = e.line[:0]
	if !e.begun {
		e.begun = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	if len(line) == 0 {
		return e.endEvent()
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	if string(name) != "data" {
		return nil // comments, and names of events that say nothing to a person
	}
	if e.hasData {
		e.data = append(e.data, '\n')
	}
	e.hasData = true
	e.data = append(e.data, bytes.TrimPrefix(value, []byte(" "))...)
	return nil
}

func (e *eventReader) endEvent() error {
	if !e.hasData {
		return nil
	}
	data := e.data
	e.data, e.hasData = e.data[:0], false
	return e.emit(data)
}

// eventText writes events as a person reads them: JSON strings are pieces of one
// text, everything else has a line of its own.
type eventText struct {
	w       io.Writer
	midLine bool
	failure *agentError
}

// agentError is what an SDK agent sends when it fails in the middle of a stream
// (spec/clients.md 2).
type agentError struct {
	Text string `json:"error"`
	Type string `json:"error_type"`
}

func (e *eventText) event(data []byte) error {
	var piece string
	if len(data) > 0 && data[0] == '"' && json.Unmarshal(data, &piece) == nil {
		if piece == "" {
			return nil
		}
		e.midLine = piece[len(piece)-1] != '\n'
		_, err := io.WriteString(e.w, piece)
		return err
	}
	if err := e.end(); err != nil {
		return err
	}
	if len(data) > 0 && data[0] == '{' {
		var failed agentError
		if json.Unmarshal(data, &failed) == nil && failed.Text != "" && failed.Type != "" {
			e.failure = &failed
			return nil
		}
	}
	_, err := e.w.Write(append(bytes.Clone(data), '\n'))
	return err
}

// end finishes a line that was begun.
func (e *eventText) end() error {
	if !e.midLine {
		return nil
	}
	e.midLine = false
	_, err := io.WriteString(e.w, "\n")
	return err
}
