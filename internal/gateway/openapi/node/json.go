package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits bound what a text may become.
type Limits struct {
	// Depth is how deep lists and maps may be in one another.
	Depth int
	// Nodes is how many values there may be, and how large the tree may be (Size) with all
	// aliases of YAML written out.
	Nodes int
	// Twice is told of names that a map has twice, of which the last counts. Where it is nil
	// such a text is refused.
	Twice func(where string)
}

// Error says what is wrong with a text and where.
type Error struct {
	// Pointer is the JSON pointer of the innermost value that was being read.
	Pointer string
	Text    string
}

func (e *Error) Error() string { return e.Text }

func failf(pointer, format string, args ...any) error {
	return &Error{Pointer: pointer, Text: fmt.Sprintf(format, args...)}
}

// JSON reads one JSON value. Errors are *Error.
func JSON(text []byte, l Limits) (*Node, error) {
	r := &jsonReader{d: jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(l.Twice != nil)), limits: l}
	n, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, failf("", "JSON: there is more text after the value; keep one document in it")
	}
	return n, nil
}

type jsonReader struct {
	d      *jsontext.Decoder
	limits Limits
	nodes  int
}

func (r *jsonReader) value(depth int) (*Node, error) {
	if r.nodes++; r.nodes > r.limits.Nodes {
		return nil, failf("", "has more than %d values; split the document", r.limits.Nodes)
	}
	if depth > r.limits.Depth {
		return nil, failf(string(r.d.StackPointer()), "is nested deeper than %d levels", r.limits.Depth)
	}
	t, err := r.d.ReadToken()
	if err != nil {
		return nil, r.wrong(err)
	}
	n := &Node{}
	switch t.Kind() {
	case 'n':
	case 't', 'f':
		n.Kind, n.Text = Bool, t.String()
	case '0':
		n.Kind, n.Text = Number, t.String()
	case '"':
		n.Kind, n.Text = String, t.String()
	case '[':
		n.Kind = List
		for r.d.PeekKind() != ']' {
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, v)
		}
		return n, r.end(n)
	case '{':
		n.Kind = Map
		for r.d.PeekKind() != '}' {
			name, err := r.d.ReadToken()
			if err != nil {
				return nil, r.wrong(err)
			}
			text := name.String()
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Members = append(n.Members, Member{text, v})
		}
		return n, r.end(n)
	}
	n.finish()
	return n, nil
}

// end reads the closing bracket. The decoder has refused names that are there twice, unless
// they are taken.
func (r *jsonReader) end(n *Node) error {
	if _, err := r.d.ReadToken(); err != nil {
		return r.wrong(err)
	}
	if twice, ok := n.finish(); !ok {
		r.limits.Twice(fmt.Sprintf("%q in %s", twice, r.d.StackPointer()))
		n.last()
	}
	return nil
}

func (r *jsonReader) wrong(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return failf(string(syntax.JSONPointer), "JSON: %v after byte %d", syntax.Err, syntax.ByteOffset)
	}
	return failf(string(r.d.StackPointer()), "JSON: %v", err)
}
