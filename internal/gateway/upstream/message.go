package upstream

import (
	"encoding/json"
	"iter"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/gateway/jsonraw"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// message is one of JSON-RPC, its members as they came. They share the memory of what
// was read.
type message struct {
	version, id, method, params, result, failure []byte
}

// response tells whether it answers a request.
func (m message) response() bool { return m.method == nil && (m.result != nil || m.failure != nil) }

// answers tells whether it answers the request of an id.
func (m message) answers(id int64) bool {
	n, err := strconv.ParseInt(string(m.id), 10, 64)
	return err == nil && n == id
}

// err is the error that it answers with, or nil.
func (m message) err() error {
	if m.failure == nil {
		return nil
	}
	e := &target.Error{}
	if json.Unmarshal(m.failure, e) != nil {
		return &malformed{what: "its error is no object with code and message"}
	}
	return e
}

// messages are those of an answer: one, or several in an array as the revision
// 2025-03-26 has it. What is no JSON at all is an error before the first of them.
func messages(raw []byte) (iter.Seq2[message, error], error) {
	raw = jsonraw.Trim(raw)
	if !jsonraw.Valid(raw) {
		return nil, &malformed{what: "it is not JSON"}
	}
	return func(yield func(message, error) bool) {
		if raw[0] != '[' {
			yield(parse(raw))
			return
		}
		for item := range jsonraw.Elements(raw) {
			if !yield(parse(item)) {
				return
			}
		}
	}, nil
}

// parse reads a value that is known to be JSON.
func parse(raw []byte) (message, error) {
	if len(raw) == 0 || raw[0] != '{' {
		return message{}, &malformed{what: "it is no JSON object"}
	}
	var m message
	for key, value := range jsonraw.Members(raw) {
		switch string(key) {
		case "jsonrpc":
			m.version = value
		case "id":
			m.id = value
		case "method":
			m.method = value
		case "params":
			m.params = value
		case "result":
			m.result = value
		case "error":
			if string(value) != "null" {
				m.failure = value
			}
		}
	}
	if m.method == nil && m.result == nil && m.failure == nil {
		return message{}, &malformed{what: "it is no JSON-RPC message: it has neither method nor result nor error"}
	}
	if m.method != nil && m.method[0] != '"' {
		return message{}, &malformed{what: "its method is no string"}
	}
	return m, nil
}

// quote is a string as JSON.
func quote(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD")) // fails for other bytes alone
	return b
}
