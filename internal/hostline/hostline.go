// Package hostline forgives WebSocket clients that say their Host twice.
//
// The bedrock-agentcore SDK signs the Host header and hands it, with the others,
// to a WebSocket library that writes one of its own: two equal lines, which
// RFC 9112 3.2 has every server refuse with 400, and net/http does before any
// handler sees the request.
//
// What stands here reads untrusted bytes before anybody has shown credentials, and
// it must never make two readers disagree on where a request ends. So
//
//   - only the first head of a connection is looked at. A WebSocket client opens a
//     connection of its own; bodies and later requests pass unread.
//   - only a handshake is touched: GET, HTTP/1.1, Upgrade: websocket, no field that
//     says that a body follows.
//   - it is touched only when every line of it is as RFC 9112 has lines, with CR LF
//     and without folding, so that all readers see the same lines. At the first byte
//     that is otherwise the connection passes as it came.
//   - all that is done is to leave out one whole line, Host, whose value is that of
//     the one other Host line byte by byte. Two that differ, and three, are left for
//     net/http to refuse.
//   - a head of more than maxHead bytes passes as it came.
package hostline

import (
	"bytes"
	"strings"
)

// maxHead is how much of a connection is held back at most, in bytes: the largest
// head that the server takes.
const maxHead = 32 << 10

// A verdict is what is known of a head so far.
type verdict int

const (
	more  verdict = iota // it may be a handshake with two Hosts
	leave                // it is to pass as it came
	drop                 // its second Host is to be left out
)

// head reads the head of a request as it comes.
type head struct {
	scanned int // bytes of whole lines
	looked  int // bytes that were searched for the end of a line
	lines   int

	hosts    int
	host     string // the first one's value
	from, to int    // the second one's line
	upgrade  bool
}

// scan looks at what has come of a head since it was called before; b begins with
// the same bytes as then.
func (h *head) scan(b []byte) verdict {
	if h.lines == 0 && !handshake(b) {
		return leave
	}
	for {
		n := bytes.IndexByte(b[h.looked:], '\n')
		if n < 0 {
			h.looked = len(b)
			return more
		}
		end := h.looked + n
		line := b[h.scanned:end]
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return leave
		}
		if len(line) == 1 {
			return h.decide()
		}
		if !h.take(line[:len(line)-1], end+1) {
			return leave
		}
		h.scanned, h.looked = end+1, end+1
		h.lines++
	}
}

// method is how a handshake begins.
const method = "GET "

// handshake reports whether a head that begins with b may be a handshake's.
func handshake(b []byte) bool {
	n := min(len(b), len(method))
	return string(b[:n]) == method[:n]
}

// take looks at a line without its CR LF, which the next one follows at end.
func (h *head) take(line []byte, end int) bool {
	if h.lines == 0 {
		target, ok := bytes.CutSuffix(line[len(method):], []byte(" HTTP/1.1"))
		return ok && len(target) > 0 && visible(target)
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	value = bytes.Trim(value, " \t")
	if !ok || !token(name) || !text(value) {
		return false
	}
	switch {
	case is(name, "host"):
		h.hosts++
		switch {
		case len(value) == 0, h.hosts > 2, h.hosts == 2 && string(value) != h.host:
			return false
		case h.hosts == 2:
			h.from, h.to = h.scanned, end
		default:
			h.host = string(value)
		}
	case is(name, "upgrade"):
		if !is(value, "websocket") {
			return false
		}
		h.upgrade = true
	case is(name, "content-length"), is(name, "transfer-encoding"), is(name, "trailer"), is(name, "te"), is(name, "expect"):
		return false
	}
	return true
}

func (h *head) decide() verdict {
	if h.hosts == 2 && h.upgrade {
		return drop
	}
	return leave
}

// is compares without case; lower is in lower case.
func is(b []byte, lower string) bool {
	return len(b) == len(lower) && strings.EqualFold(string(b), lower)
}

// visible reports whether all bytes are visible ASCII.
func visible(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// text is visible for a field's value, which may have spaces and tabs inside.
func text(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// token reports whether b is a field's name (RFC 9110 5.6.2).
func token(b []byte) bool {
	for _, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return len(b) > 0
}
