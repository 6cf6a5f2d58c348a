package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// The bounds of what Parse reads at all. The limits that users meet are smaller
// and belong to those who store documents.
const (
	maxBytes      = 256 << 10
	maxDepth      = 8 // a value of a condition lies 7 deep
	maxStatements = 1000
)

// node is a JSON value that keeps the order of members and what is a string.
type node struct {
	kind    byte // one of { [ " 0 t n: object, list, string, number, boolean, null
	text    string
	members []member
	items   []node
}

type member struct {
	name  string
	value node
}

// readJSON reads a text whole. The grammar forbids two members of one name in
// an object ("grammar", notes).
func readJSON(text []byte) (node, *Error) {
	switch {
	case len(text) > maxBytes:
		return node{}, problem("", "the document is longer than %d bytes", maxBytes)
	case !utf8.Valid(text):
		return node{}, problem("", "the document is not UTF-8")
	case !json.Valid(text):
		return node{}, syntax(text)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return readNode(d, "", 0)
}

// syntax says where a text stops being JSON.
func syntax(text []byte) *Error {
	var v any
	err := json.Unmarshal(text, &v)
	if s, ok := err.(*json.SyntaxError); ok { //nolint:errorlint // Unmarshal returns it bare
		return problem("", "not JSON at byte %d: %s", s.Offset, s.Error())
	}
	return problem("", "not JSON")
}

func readNode(d *json.Decoder, path string, depth int) (node, *Error) {
	if depth > maxDepth {
		return node{}, problem(path, "nested deeper than any element of a policy")
	}
	t, err := d.Token()
	if err != nil {
		return node{}, problem(path, "not JSON")
	}
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			return readObject(d, path, depth)
		}
		return readList(d, path, depth)
	case string:
		return node{kind: '"', text: v}, nil
	case json.Number:
		return node{kind: '0', text: v.String()}, nil
	case bool:
		return node{kind: 't', text: fmt.Sprint(v)}, nil
	default:
		return node{kind: 'n'}, nil
	}
}

func readObject(d *json.Decoder, path string, depth int) (node, *Error) {
	n := node{kind: '{'}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return n, problem(path, "not JSON")
		}
		at := join(path, name)
		if seen[name] {
			return n, problem(at, "written twice; each element stands once")
		}
		seen[name] = true
		if depth == 0 && name == statementElement {
			at = "" // an error names the statement by its number
		}
		v, bad := readNode(d, at, depth+1)
		if bad != nil {
			return n, inStatement(bad, at == "", 1)
		}
		n.members = append(n.members, member{name, v})
	}
	if _, err := d.Token(); err != nil {
		return n, problem(path, "not JSON")
	}
	return n, nil
}

func readList(d *json.Decoder, path string, depth int) (node, *Error) {
	n := node{kind: '['}
	for d.More() {
		v, bad := readNode(d, path, depth+1)
		if bad != nil {
			return n, inStatement(bad, depth == 1 && path == "", len(n.items)+1)
		}
		n.items = append(n.items, v)
	}
	if _, err := d.Token(); err != nil {
		return n, problem(path, "not JSON")
	}
	return n, nil
}

const (
	statementElement = "Statement"
	resourceElement  = "Resource"
)

// inStatement says which statement an error is in, unless that is known.
func inStatement(bad *Error, is bool, number int) *Error {
	if is && bad.Statement == 0 {
		bad.Statement = number
	}
	return bad
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func problem(element, format string, args ...any) *Error {
	return &Error{Element: element, Problem: fmt.Sprintf(format, args...)}
}

// strings reads a string or a list of strings. Scalars lets a number or a
// boolean stand for its text ("grammar": quotation marks are optional for them).
func (n node) strings(element string, scalars bool) ([]string, *Error) {
	list := []node{n}
	if n.kind == '[' {
		list = n.items
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		if v.kind != '"' && (!scalars || v.kind != '0' && v.kind != 't') {
			return nil, problem(element, "must be a string or a list of strings")
		}
		out = append(out, v.text)
	}
	return out, nil
}
