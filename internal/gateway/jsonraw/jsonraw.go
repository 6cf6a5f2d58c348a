// Package jsonraw reads JSON as the bytes that it is: members and elements as they came,
// without objects for what only passes. What it is given shares its memory with what it
// returns. But for Valid, Strict and Object, it is given what is known to be JSON.
package jsonraw

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"iter"
	"math/bits"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds how deep objects and arrays may lie in each other.
const maxDepth = 10000

// Valid tells whether a value is JSON (RFC 8259) in UTF-8. Members that are given twice,
// and halves of pairs of surrogates as Python writes them, are for its reader to think
// about.
func Valid(raw []byte) bool { return whole(raw, false) }

// Strict tells whether a value is JSON that all readers read alike (RFC 7493): no member
// is given twice, and no string has half of a pair of surrogates.
func Strict(raw []byte) bool {
	if !bytes.Contains(raw, []byte(`\u`)) && whole(raw, true) {
		return true
	}
	return jsontext.Value(raw).IsValid() // which looks closer
}

// whole tells whether a value, distinct as value has it, is all there is.
func whole(raw []byte, distinct bool) bool {
	end := value(raw, space(raw, 0), maxDepth, distinct)
	return end > 0 && space(raw, end) == len(raw) && utf8.Valid(raw)
}

// Members are those of an object that is known to be JSON, keys as they read: what is
// between their quotes.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for at := space(object, 1); at < len(object) && object[at] == '"'; {
			end := quoted(object, at)
			if end < 0 {
				return
			}
			key := unquoted(object[at:end])
			at = space(object, space(object, end)+1)
			if end = value(object, at, maxDepth, false); end < 0 || !yield(key, object[at:end]) {
				return
			}
			if at = space(object, end); at >= len(object) || object[at] != ',' {
				return
			}
			at = space(object, at+1)
		}
	}
}

// Elements are those of an array that is known to be JSON.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for at := space(array, 1); at < len(array) && array[at] != ']'; {
			end := value(array, at, maxDepth, false)
			if end < 0 || !yield(array[at:end]) {
				return
			}
			if at = space(array, end); at >= len(array) || array[at] != ',' {
				return
			}
			at = space(array, at+1)
		}
	}
}

// Text is what a JSON string reads.
func Text(raw []byte) string { return string(unquoted(raw)) }

func unquoted(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return []byte(s)
}

// space returns where the next byte is that is no white space.
func space(p []byte, at int) int {
	for at < len(p) && (p[at] == ' ' || p[at] == '\n' || p[at] == '\t' || p[at] == '\r') {
		at++
	}
	return at
}

// Trim is a value without the white space around it.
func Trim(p []byte) []byte {
	p = p[space(p, 0):]
	for len(p) > 0 && space(p[len(p)-1:], 0) == 1 {
		p = p[:len(p)-1]
	}
	return p
}

// value returns where a value ends that begins at a place, or -1 where none does. With
// distinct there is none either where an object's names are not for certain different.
func value(p []byte, at, depth int, distinct bool) int {
	if at >= len(p) {
		return -1
	}
	switch p[at] {
	case '"':
		return quoted(p, at)
	case '{':
		return list(p, at, '}', depth, distinct)
	case '[':
		return list(p, at, ']', depth, distinct)
	case 't':
		return word(p, at, "true")
	case 'f':
		return word(p, at, "false")
	case 'n':
		return word(p, at, "null")
	}
	return number(p, at)
}

// list is value for an object or an array, which end with a byte.
func list(p []byte, at int, end byte, depth int, distinct bool) int {
	if depth == 0 {
		return -1
	}
	var seen names
	if at = space(p, at+1); at < len(p) && p[at] == end {
		return at + 1
	}
	for {
		if end == '}' {
			if at >= len(p) || p[at] != '"' {
				return -1
			}
			from := at
			if at = quoted(p, at); at < 0 || distinct && !seen.add(p, from, at) {
				return -1
			}
			if at = space(p, at); at >= len(p) || p[at] != ':' {
				return -1
			}
			at = space(p, at+1)
		}
		if at = value(p, at, depth-1, distinct); at < 0 {
			return -1
		}
		if at = space(p, at); at >= len(p) {
			return -1
		}
		switch p[at] {
		case end:
			return at + 1
		case ',':
			at = space(p, at+1)
		default:
			return -1
		}
	}
}

// names are those of an object, by where they begin and end.
type names struct {
	at [16][2]int
	n  int
}

// add reports whether a name is another than those before: plainly written, and one of few.
func (s *names) add(p []byte, from, to int) bool {
	name := p[from:to]
	if s.n == len(s.at) || bytes.IndexByte(name, '\\') >= 0 {
		return false
	}
	for _, at := range s.at[:s.n] {
		if bytes.Equal(p[at[0]:at[1]], name) {
			return false
		}
	}
	s.at[s.n] = [2]int{from, to}
	s.n++
	return true
}

// quoted is value for a string.
func quoted(p []byte, at int) int {
	for at++; ; at++ {
		for at+8 <= len(p) {
			if odd := special(binary.LittleEndian.Uint64(p[at:])); odd != 0 {
				at += bits.TrailingZeros64(odd) / 8
				break
			}
			at += 8
		}
		if at >= len(p) {
			return -1
		}
		switch c := p[at]; {
		case c == '"':
			return at + 1
		case c < ' ':
			return -1
		case c == '\\':
			if at++; at >= len(p) {
				return -1
			}
			switch p[at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if at++; at >= len(p) || !hex(p[at]) {
						return -1
					}
				}
			default:
				return -1
			}
		}
	}
}

// special has its lowest bit in the first of eight bytes that is a quote, a backslash or a
// control character, and none where there is no such byte.
func special(eight uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quotes, backslashes := eight^'"'*ones, eight^'\\'*ones // zero where they are
	return ((quotes-ones)&^quotes | (backslashes-ones)&^backslashes | (eight-' '*ones)&^eight) & tops
}

func hex(c byte) bool { return digit(c) || c|' ' >= 'a' && c|' ' <= 'f' }

func digit(c byte) bool { return c >= '0' && c <= '9' }

func word(p []byte, at int, w string) int {
	if end := at + len(w); end <= len(p) && string(p[at:end]) == w {
		return end
	}
	return -1
}

// number is value for a number.
func number(p []byte, at int) int {
	if p[at] == '-' {
		at++
	}
	from := at
	if at = digits(p, at); at < 0 || at > from+1 && p[from] == '0' {
		return -1
	}
	if at < len(p) && p[at] == '.' {
		if at = digits(p, at+1); at < 0 {
			return -1
		}
	}
	if at < len(p) && p[at]|' ' == 'e' {
		if at++; at < len(p) && (p[at] == '+' || p[at] == '-') {
			at++
		}
		at = digits(p, at)
	}
	return at
}

// digits returns where digits end, of which there is one at least, or -1.
func digits(p []byte, at int) int {
	from := at
	for at < len(p) && digit(p[at]) {
		at++
	}
	if at == from {
		return -1
	}
	return at
}

// Object tells whether raw is a JSON object.
func Object(raw []byte) bool {
	return len(raw) > 0 && raw[0] == '{' && Valid(raw)
}
