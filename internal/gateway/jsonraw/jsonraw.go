// Package jsonraw reads JSON as the bytes that it is: members and elements as they came,
// without objects for what only passes. What it is given shares its memory with what it
// returns. But for Valid and Object, it is given what is known to be JSON.
package jsonraw

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Valid tells whether a value is JSON (RFC 8259) in UTF-8. Members that are given twice,
// and halves of pairs of surrogates as Python writes them, are for its reader to think
// about.
func Valid(raw []byte) bool {
	return utf8.Valid(raw) && jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Members are those of an object that is known to be JSON, keys as they read: what is
// between their quotes.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for at := space(object, 1); at < len(object) && object[at] == '"'; {
			end := skip(object, at)
			key := unquoted(object[at:end])
			at = space(object, space(object, end)+1)
			end = skip(object, at)
			if !yield(key, object[at:end]) {
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
			end := skip(array, at)
			if !yield(array[at:end]) {
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
func Text(quoted []byte) string { return string(unquoted(quoted)) }

func unquoted(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
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

// skip returns where a value ends that begins at a place of what is known to be JSON.
func skip(p []byte, at int) int {
	depth := 0
	for ; at < len(p); at++ {
		switch p[at] {
		case '"':
			at = quoted(p, at) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ':', ' ', '\n', '\t', '\r':
			continue
		default:
			for at+1 < len(p) && literal(p[at+1]) {
				at++
			}
		}
		if depth == 0 {
			return at + 1
		}
	}
	return len(p)
}

// quoted returns where a string ends.
func quoted(p []byte, at int) int {
	for at++; at < len(p); at++ {
		switch p[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(p)
}

// literal tells whether a byte goes on with a number, true, false or null.
func literal(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '.' || b == '+' || b == '-'
}

// Object tells whether raw is a JSON object.
func Object(raw []byte) bool {
	return len(raw) > 0 && raw[0] == '{' && Valid(raw)
}
