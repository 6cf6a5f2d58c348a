package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/gateway/jsonraw"
)

// message is one message of a caller: a request, a notification, or the answer to
// something that was asked of the caller.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
}

// call reports whether somebody waits for an answer.
func (m *message) call() bool { return m.Method != "" && len(m.ID) > 0 }

// answers reports whether it is itself an answer.
func (m *message) answers() bool { return m.Method == "" && (m.Result != nil || m.Error != nil) }

// id is what the answer names.
func (m *message) id() json.RawMessage {
	if m == nil || len(m.ID) == 0 {
		return json.RawMessage("null")
	}
	return m.ID
}

// lenient takes JSON as other programs write it: members that nobody knows pass.
var lenient = []jsonv2.Options{jsonv2.RejectUnknownMembers(false)}

// parse reads one message.
func parse(body []byte) (*message, *failure) {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return nil, invalid(codeParse, "The request has no body. POST one JSON-RPC message")
	case body[0] == '[':
		return nil, invalid(codeInvalidRequest, "A message is an object, and no list")
	}
	var m message
	if !m.scan(body) {
		m = message{}
		if err := jsonv2.Unmarshal(body, &m, lenient...); err != nil {
			if json.Valid(body) {
				return nil, invalid(codeInvalidRequest, "The request is no JSON-RPC message: %s", reason(err))
			}
			return nil, invalid(codeParse, "The request is not JSON: %s", reason(err))
		}
	}
	if string(m.Params) == "null" { // as some clients write what they leave out
		m.Params = nil
	}
	switch {
	case m.Version != "2.0":
		return &m, invalid(codeInvalidRequest, `The message has no "jsonrpc": "2.0"`)
	case m.Method == "" && !m.answers():
		return &m, invalid(codeInvalidRequest, "The message has no method")
	case len(m.ID) > 0 && m.ID[0] != '"' && (m.ID[0] < '0' || m.ID[0] > '9') && m.ID[0] != '-':
		m.ID = nil
		return &m, invalid(codeInvalidRequest, "The message's id is neither a string nor a number")
	case m.answers() && len(m.ID) == 0:
		return &m, invalid(codeInvalidRequest, "The answer has no id")
	case len(m.Params) > 0 && m.Params[0] != '{':
		return &m, invalid(codeInvalidRequest, "The message's params are no object")
	}
	return &m, nil
}

// scan reads what jsonv2 would, with the members as they came. Where it reports false the
// decoder says what is wrong: a member that is given twice is none, wherever it is.
func (m *message) scan(body []byte) bool {
	if body[0] != '{' || !jsonraw.Strict(body) {
		return false
	}
	for key, value := range jsonraw.Members(body) {
		ok := true
		value = slices.Clip(value)
		switch string(key) {
		case "jsonrpc":
			m.Version, ok = stringOf(value)
		case "id":
			m.ID = value
		case "method":
			m.Method, ok = stringOf(value)
		case "params":
			m.Params = value
		case "result":
			m.Result = value
		case "error":
			m.Error = value
		}
		if !ok {
			return false
		}
	}
	return true
}

// stringOf is what a string reads, or null.
func stringOf(value []byte) (s string, ok bool) {
	if value[0] != '"' {
		return "", string(value) == "null"
	}
	return jsonraw.Text(value), true
}

// reason is what a decoder has against a text, without the text.
func reason(err error) string {
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntactic.Err.Error()
	}
	if semantic, ok := errors.AsType[*jsonv2.SemanticError](err); ok && semantic.JSONPointer != "" {
		return "the type of " + string(semantic.JSONPointer) + " is wrong"
	}
	return "it is not well formed"
}

// params are those of a request, read as far as a gateway has to.
type params struct {
	Name      string                     `json:"name"`
	URI       string                     `json:"uri"`
	Cursor    string                     `json:"cursor"`
	Arguments json.RawMessage            `json:"arguments"`
	Meta      json.RawMessage            `json:"_meta"`
	Rest      map[string]json.RawMessage `json:",embed"`
}

// meta is what a request says of itself and its sender.
type meta struct {
	Version      string                     `json:"io.modelcontextprotocol/protocolVersion"`
	Client       json.RawMessage            `json:"io.modelcontextprotocol/clientInfo"`
	Capabilities map[string]json.RawMessage `json:"io.modelcontextprotocol/clientCapabilities"`
}

// scan is message.scan for params, which are a part of what was checked.
func (p *params) scan(object []byte) bool {
	for key, value := range jsonraw.Members(object) {
		ok := true
		value = slices.Clip(value)
		switch string(key) {
		case "name":
			p.Name, ok = stringOf(value)
		case "uri":
			p.URI, ok = stringOf(value)
		case "cursor":
			p.Cursor, ok = stringOf(value)
		case "arguments":
			p.Arguments = value
		case "_meta":
			p.Meta = value
		default:
			if p.Rest == nil {
				p.Rest = map[string]json.RawMessage{}
			}
			p.Rest[string(key)] = value
		}
		if !ok {
			return false
		}
	}
	return true
}

// scan is message.scan for _meta.
func (a *meta) scan(object []byte) bool {
	if object[0] != '{' {
		return false
	}
	for key, value := range jsonraw.Members(object) {
		ok := true
		value = slices.Clip(value)
		switch string(key) {
		case "io.modelcontextprotocol/protocolVersion":
			a.Version, ok = stringOf(value)
		case "io.modelcontextprotocol/clientInfo":
			a.Client = value
		case "io.modelcontextprotocol/clientCapabilities":
			if ok = value[0] == '{'; ok {
				a.Capabilities = map[string]json.RawMessage{}
				for name, of := range jsonraw.Members(value) {
					a.Capabilities[string(name)] = slices.Clip(of)
				}
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// read reads the params of a request.
func (m *message) read() (p params, about meta, f *failure) {
	if len(m.Params) > 0 && !p.scan(m.Params) {
		p = params{}
		if err := jsonv2.Unmarshal(m.Params, &p, lenient...); err != nil {
			return p, about, invalid(codeInvalidParams, "The params of %s are not valid: %s", m.Method, reason(err))
		}
	}
	if len(p.Meta) > 0 && !about.scan(p.Meta) {
		about = meta{}
		if err := jsonv2.Unmarshal(p.Meta, &about, lenient...); err != nil {
			return p, about, invalid(codeInvalidParams, "The _meta of %s is not valid: %s", m.Method, reason(err))
		}
	}
	if string(p.Arguments) == "null" {
		p.Arguments = nil
	}
	if string(p.Meta) == "null" {
		p.Meta = nil
	}
	return p, about, nil
}
