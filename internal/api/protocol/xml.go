package protocol

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// element is one node of a parsed document.
type element struct {
	name     string
	attrs    []xml.Attr
	text     []byte
	children []*element
}

func malformedXML(err error) error {
	return fault.New("MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema").Because(err)
}

// maxXML bounds a document, in bytes. A thousand keys to delete, each as long as
// keys get and every character escaped, fit; a tree takes ten times as much memory.
const maxXML = 8 << 20

var errXMLBounds = errors.New("parse XML: more than one root, too long, nested too deep or too many elements")

// parseXML reads a document of bounded depth and size. encoding/xml knows no
// external or user-defined entities, so a body cannot grow while it is parsed.
func parseXML(body []byte) (*element, error) {
	if len(body) > maxXML {
		return nil, malformedXML(errXMLBounds)
	}
	dec := xml.NewDecoder(bytes.NewReader(body))
	var root *element
	var stack []*element
	for elements := 0; ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, malformedXML(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			elements++
			if len(stack) >= maxDepth || elements > maxValues || (root != nil && len(stack) == 0) {
				return nil, malformedXML(errXMLBounds)
			}
			e := &element{name: t.Name.Local, attrs: slices.Clone(t.Attr)}
			if len(stack) == 0 {
				root = e
			} else {
				top := stack[len(stack)-1]
				top.children = append(top.children, e)
			}
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 {
				top := stack[len(stack)-1]
				top.text = append(top.text, t...)
			}
		}
	}
	if root == nil {
		return nil, malformedXML(io.ErrUnexpectedEOF)
	}
	return root, nil
}

// xmlReader fills structures from elements.
type xmlReader struct {
	svc  *schema.Service
	path memberPath
}

// structure reads an element into a structure.
func (x *xmlReader) structure(e *element, sh *schema.Shape, v reflect.Value) error {
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.In != schema.InBody {
			continue
		}
		mark := x.path.push(m.Name)
		if err := x.member(e, m, x.svc.Shape(m.Shape), v.Field(i)); err != nil {
			return err
		}
		x.path.pop(mark)
	}
	return nil
}

func (x *xmlReader) member(e *element, m *schema.Member, sh *schema.Shape, field reflect.Value) error {
	if m.Attribute {
		local := m.Wire[strings.LastIndexByte(m.Wire, ':')+1:]
		for _, a := range e.attrs {
			if a.Name.Local == local {
				return parseScalar(sh, timeFormat(m, sh, schema.ISO8601), a.Value, &x.path, target(field))
			}
		}
		return nil
	}
	var found []*element
	for _, c := range e.children {
		if c.name == m.Wire {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return nil
	}
	if sh.Kind == schema.List {
		items := found
		if !m.Flattened && !sh.Flattened {
			items = found[0].children
		}
		return x.list(sh, items, field)
	}
	return x.value(found[0], m, sh, field)
}

func (x *xmlReader) list(sh *schema.Shape, items []*element, field reflect.Value) error {
	elem := x.svc.Shape(sh.Elem)
	out := reflect.MakeSlice(field.Type(), len(items), len(items))
	for i, e := range items {
		mark := x.path.pushItem(i)
		if err := x.value(e, nil, elem, out.Index(i)); err != nil {
			return err
		}
		x.path.pop(mark)
	}
	field.Set(out)
	return nil
}

func (x *xmlReader) value(e *element, m *schema.Member, sh *schema.Shape, field reflect.Value) error {
	switch sh.Kind {
	case schema.Structure:
		return x.structure(e, sh, target(field))
	case schema.List:
		return x.list(sh, e.children, field)
	case schema.String:
		return parseScalar(sh, 0, string(e.text), &x.path, target(field))
	}
	return parseScalar(sh, timeFormat(m, sh, schema.ISO8601), strings.TrimSpace(string(e.text)), &x.path, target(field))
}
