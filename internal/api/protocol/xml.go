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
	text     strings.Builder
	children []*element
}

// parseXML reads a document of bounded depth. encoding/xml knows no external
// or user-defined entities, so a body cannot grow while it is parsed.
func parseXML(body []byte) (*element, error) {
	malformed := func(err error) error {
		return fault.New("MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema").Because(err)
	}
	dec := xml.NewDecoder(bytes.NewReader(body))
	var root *element
	var stack []*element
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, malformed(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(stack) >= maxDepth || (root != nil && len(stack) == 0) {
				return nil, malformed(nil)
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
				stack[len(stack)-1].text.Write(t)
			}
		}
	}
	if root == nil || len(stack) > 0 {
		return nil, malformed(nil)
	}
	return root, nil
}

// fill reads an element into a structure.
func (e *element) fill(svc *schema.Service, sh *schema.Shape, v reflect.Value, path string) error {
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.In != schema.InBody {
			continue
		}
		target := svc.Shape(m.Shape)
		if err := e.member(svc, m, target, v.Field(i), child(path, m.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (e *element) member(svc *schema.Service, m *schema.Member, sh *schema.Shape, field reflect.Value, path string) error {
	if m.Attribute {
		_, local, _ := strings.Cut(":"+m.Wire, ":")
		for _, a := range e.attrs {
			if a.Name.Local == local[strings.LastIndexByte(local, ':')+1:] {
				return parseScalar(sh, timeFormat(m, sh, schema.ISO8601), a.Value, path, target(field))
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
		return fillList(svc, sh, items, field, path)
	}
	return found[0].value(svc, m, sh, field, path)
}

func fillList(svc *schema.Service, sh *schema.Shape, items []*element, field reflect.Value, path string) error {
	elem := svc.Shape(sh.Elem)
	out := reflect.MakeSlice(field.Type(), len(items), len(items))
	for i, e := range items {
		if err := e.value(svc, nil, elem, out.Index(i), item(path, i)); err != nil {
			return err
		}
	}
	field.Set(out)
	return nil
}

func (e *element) value(svc *schema.Service, m *schema.Member, sh *schema.Shape, field reflect.Value, path string) error {
	switch sh.Kind {
	case schema.Structure:
		return e.fill(svc, sh, target(field), path)
	case schema.List:
		return fillList(svc, sh, e.children, field, path)
	case schema.String:
		return parseScalar(sh, 0, e.text.String(), path, target(field))
	}
	return parseScalar(sh, timeFormat(m, sh, schema.ISO8601), strings.TrimSpace(e.text.String()), path, target(field))
}

// xmlWriter writes elements; bytes.Buffer never fails.
type xmlWriter struct {
	svc *schema.Service
	b   bytes.Buffer
}

func (w *xmlWriter) open(name string, attrs ...string) {
	w.b.WriteByte('<')
	w.b.WriteString(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		w.b.WriteByte(' ')
		w.b.WriteString(attrs[i])
		w.b.WriteString(`="`)
		_ = xml.EscapeText(&w.b, []byte(attrs[i+1]))
		w.b.WriteByte('"')
	}
	w.b.WriteByte('>')
}

func (w *xmlWriter) close(name string) {
	w.b.WriteString("</")
	w.b.WriteString(name)
	w.b.WriteByte('>')
}

func (w *xmlWriter) text(name, text string) {
	w.open(name)
	_ = xml.EscapeText(&w.b, []byte(text))
	w.close(name)
}

// members writes the members of a structure that belong to the body.
func (w *xmlWriter) members(sh *schema.Shape, v reflect.Value) {
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.In != schema.InBody || m.Attribute {
			continue
		}
		if held, ok := present(v.Field(i)); ok {
			w.member(m, w.svc.Shape(m.Shape), held)
		}
	}
}

func (w *xmlWriter) member(m *schema.Member, sh *schema.Shape, v reflect.Value) {
	if sh.Kind != schema.List {
		w.value(m, m.Wire, sh, v)
		return
	}
	elem := w.svc.Shape(sh.Elem)
	if m.Flattened || sh.Flattened {
		for i := range v.Len() {
			w.value(nil, m.Wire, elem, v.Index(i))
		}
		return
	}
	name := sh.ElemName
	if name == "" {
		name = "member"
	}
	w.open(m.Wire)
	for i := range v.Len() {
		w.value(nil, name, elem, v.Index(i))
	}
	w.close(m.Wire)
}

func (w *xmlWriter) value(m *schema.Member, name string, sh *schema.Shape, v reflect.Value) {
	if sh.Kind != schema.Structure {
		w.text(name, formatScalar(sh, timeFormat(m, sh, schema.ISO8601), v))
		return
	}
	w.open(name, w.attributes(sh, v)...)
	w.members(sh, v)
	w.close(name)
}

// attributes lists a structure's members that XML carries as attributes.
func (w *xmlWriter) attributes(sh *schema.Shape, v reflect.Value) []string {
	var out []string
	for i := range sh.Members {
		m := &sh.Members[i]
		if !m.Attribute {
			continue
		}
		if held, ok := present(v.Field(i)); ok {
			if sh.Namespace != "" {
				out = append(out, "xmlns:"+sh.NamespacePrefix, sh.Namespace)
			}
			out = append(out, m.Wire, formatScalar(w.svc.Shape(m.Shape), schema.ISO8601, held))
		}
	}
	return out
}
