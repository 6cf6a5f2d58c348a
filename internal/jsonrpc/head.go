// Package jsonrpc reads off a JSON-RPC 2.0 message what somebody between its two
// ends must know of it: its method and its id, while the message passes.
package jsonrpc

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// The longest id and method that are read, in bytes as they are written. A longer
// one counts as none: the message is still passed on.
const (
	maxID     = 1 << 10
	maxMethod = 256
)

// Null is the id of a message that has none (JSON-RPC 2.0, section 5).
const Null = "null"

// A Head reads one message as it is written to it, in pieces of any size, and keeps
// nothing but the two members. What is no JSON object has neither. Of members that
// are given twice the last one counts, as in most parsers.
type Head struct {
	state  state
	depth  int  // of the value that is passed over
	quoted bool // inside a string of it
	escape bool // after a backslash

	key        []byte // that is being read, or whose value is
	value      []byte // of a member that is kept
	keep, over bool   // the value is kept; it is longer than that
	id, method string // as JSON
}

type state uint8

const (
	atStart state = iota
	atKey         // before a key or the end of the object
	inKey
	atColon
	atValue
	inString
	inScalar
	inNested
	atComma
	ended // nothing more is read
)

// Write reads on. It never fails.
func (h *Head) Write(p []byte) (int, error) {
	for i := 0; i < len(p) && h.state != ended; i++ {
		if i += h.dull(p[i:]); i < len(p) {
			h.next(p[i])
		}
	}
	return len(p), nil
}

// window bounds how far dull looks, in bytes: a text full of quotes is looked at once.
const window = 256

// dull counts the bytes that are next and change nothing: those inside a string that
// is passed over, which most of a large message is.
func (h *Head) dull(p []byte) (n int) {
	if h.escape || h.state != inNested && h.state != inString || h.state == inNested && !h.quoted || h.state == inString && h.keep {
		return 0
	}
	for n < len(p) {
		part := p[n:min(n+window, len(p))]
		at := bytes.IndexByte(part, '"')
		if at >= 0 {
			part = part[:at]
		}
		if back := bytes.IndexByte(part, '\\'); back >= 0 {
			return n + back
		}
		if n += len(part); at >= 0 {
			return n
		}
	}
	return n
}

// ID is the message's id as JSON: a string or a number, or Null.
func (h *Head) ID() string {
	if h.id == "" {
		return Null
	}
	return h.id
}

// Method is the message's method, or empty as long as none was read.
func (h *Head) Method() string {
	var s string
	if h.method == "" || json.Unmarshal([]byte(h.method), &s) != nil {
		return ""
	}
	return s
}

// Ended reports that nothing that follows matters.
func (h *Head) Ended() bool { return h.state == ended }

func (h *Head) next(b byte) {
	switch h.state {
	case atStart:
		h.skip(b, step{'{', atKey})
	case atKey:
		if b == '"' {
			h.key = h.key[:0]
		}
		h.skip(b, step{'"', inKey}, step{'}', ended})
	case inKey:
		if h.inside(b) {
			h.key = grow(h.key, b, len(`"method"`))
			return
		}
		h.state = atColon
	case atColon:
		h.skip(b, step{':', atValue})
	case atValue:
		h.begin(b)
	case inString:
		more := h.inside(b)
		h.add(b)
		if !more {
			h.finish()
		}
	case inScalar:
		if b == ',' || b == '}' || space(b) {
			h.finish()
			h.next(b)
			return
		}
		h.add(b)
	case inNested:
		h.nested(b)
	case atComma:
		h.skip(b, step{',', atKey}, step{'}', ended})
	}
}

// step is where one byte leads.
type step struct {
	b  byte
	to state
}

// skip passes over white space up to one of the steps; anything else ends the message.
func (h *Head) skip(b byte, steps ...step) {
	if space(b) {
		return
	}
	for _, s := range steps {
		if s.b == b {
			h.state = s.to
			return
		}
	}
	h.state = ended
}

// begin enters a value.
func (h *Head) begin(b byte) {
	if space(b) {
		return
	}
	name := string(h.key)
	h.keep, h.over, h.value = name == "id" || name == "method", false, h.value[:0]
	switch b {
	case '"':
		h.state = inString
		h.add(b)
	case '{', '[':
		h.state, h.depth, h.value = inNested, 1, h.value[:0]
	case ',', '}', ']', ':':
		h.state = ended
	default:
		h.state = inScalar
		h.add(b)
	}
}

// nested passes over an object or a list.
func (h *Head) nested(b byte) {
	if h.quoted {
		h.quoted = h.inside(b)
		return
	}
	switch b {
	case '"':
		h.quoted = true
	case '{', '[':
		h.depth++
	case '}', ']':
		if h.depth--; h.depth == 0 {
			h.finish()
		}
	}
}

// inside reports whether a string goes on after a byte of it.
func (h *Head) inside(b byte) bool {
	switch {
	case h.escape:
		h.escape = false
	case b == '\\':
		h.escape = true
	case b == '"':
		return false
	}
	return true
}

func (h *Head) add(b byte) {
	if !h.keep {
		return
	}
	if len(h.value) == maxID {
		h.over = true
		return
	}
	h.value = append(h.value, b)
}

// finish ends a value.
func (h *Head) finish() {
	h.state = atComma
	if !h.keep {
		return
	}
	h.keep = false
	text := string(h.value)
	if h.over || !json.Valid(h.value) || !utf8.Valid(h.value) {
		text = ""
	}
	switch string(h.key) {
	case "method":
		if h.method = ""; strings.HasPrefix(text, `"`) && len(text) <= maxMethod {
			h.method = text
		}
	case "id":
		if h.id = text; text == "true" || text == "false" {
			h.id = ""
		}
	}
}

// grow adds a byte as long as the name is no longer than one that counts.
func grow(name []byte, b byte, most int) []byte {
	if len(name) > most {
		return name
	}
	return append(name, b)
}

func space(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }
