package openapi

import (
	"bytes"
	"encoding/xml"
	"strings"
	"unicode"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

// element is how a value is named in XML, and shape what is in it.
type element struct {
	name      string // with its prefix; empty for items without a name of their own
	xmlns     string // the attribute that declares the namespace
	namespace string
	attribute bool
	wrapped   bool
	shape     *shape
}

// shape is what is in the elements of a schema. Schemas that hold themselves share theirs.
type shape struct {
	fields map[string]*element
	order  []string
	items  *element // nil when nothing is known of them
}

// maxElements is how deep elements have shapes; what is deeper is named as in JSON.
const maxElements = 64

// rootElement is how a body is named: by its schema's xml, else as the component is called.
func (p *parser) rootElement(n *node.Node, at *node.Path) *element {
	name := "root"
	if ref := n.Get("$ref").Str(); ref != "" {
		name = ref[strings.LastIndexByte(ref, '/')+1:]
	}
	e := p.element(name, n, at, 0)
	e.wrapped = true
	return e
}

// element reads how a property's value is named (OpenAPI's XML Object).
func (p *parser) element(name string, n *node.Node, at *node.Path, depth int) *element {
	e := &element{name: name, shape: &shape{}}
	if n == nil || depth > maxElements {
		return e
	}
	x := n.Get("xml")
	s, at := p.schemas.Resolve(n, at)
	if x == nil {
		x = s.Get("xml")
	}
	e.attribute, e.wrapped = x.Get("attribute").True(), x.Get("wrapped").True()
	list := s.Get("items") != nil
	if own := x.Get("name").Str(); own != "" && (!list || e.wrapped || depth == 0) {
		e.name = own
	}
	prefix := x.Get("prefix").Str()
	if prefix != "" && e.name != "" {
		e.name = prefix + ":" + e.name
	}
	if e.namespace = x.Get("namespace").Str(); e.namespace != "" {
		e.xmlns = "xmlns"
		if prefix != "" {
			e.xmlns += ":" + prefix
		}
	}
	e.shape = p.shapeOf(s, at, depth)
	return e
}

func (p *parser) shapeOf(s *node.Node, at *node.Path, depth int) *shape {
	if s == nil {
		return &shape{}
	}
	if made := p.shapes[s]; made != nil {
		return made
	}
	out := &shape{}
	p.shapes[s] = out
	if items := s.Get("items"); items != nil {
		out.items = p.element("", items, at.Down("items"), depth+1)
	}
	if object, ok := p.schemas.Object(s, at); ok {
		out.fields = make(map[string]*element, len(object.Properties))
		for _, f := range object.Properties {
			out.fields[f.Name] = p.element(f.Name, f.Schema, f.At, depth+1)
			out.order = append(out.order, f.Name)
		}
	}
	return out
}

// writeXML writes a body as its schema's xml members say.
func writeXML(b *body, v *node.Node) ([]byte, error) {
	w := &xmlWriter{}
	w.out.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	if err := w.element(b.xml, v); err != nil {
		return nil, err
	}
	return w.out.Bytes(), nil
}

type xmlWriter struct {
	out bytes.Buffer
}

// element writes a value as one element, or a list as several of the same name.
func (w *xmlWriter) element(e *element, v *node.Node) error {
	if v.Is(node.List) && !e.wrapped {
		return w.items(e, v)
	}
	if !xmlName(e.name) {
		return &ArgumentError{e.name, "is no name that XML can have"}
	}
	w.out.WriteString("<" + e.name)
	if e.namespace != "" {
		w.attribute(e.xmlns, e.namespace)
	}
	if err := w.attributes(e, v); err != nil {
		return err
	}
	w.out.WriteString(">")
	if err := w.content(e, v); err != nil {
		return err
	}
	w.out.WriteString("</" + e.name + ">")
	return nil
}

func (w *xmlWriter) attribute(name, value string) {
	w.out.WriteString(" " + name + `="`)
	_ = xml.EscapeText(&w.out, []byte(value)) // a buffer takes everything
	w.out.WriteString(`"`)
}

func (w *xmlWriter) attributes(e *element, v *node.Node) error {
	for _, m := range v.Members {
		f := e.field(m.Name)
		if !f.attribute || m.Value.Kind == node.Null {
			continue
		}
		if !xmlName(f.name) {
			return &ArgumentError{f.name, "is no name that XML can have"}
		}
		w.attribute(f.name, text(m.Value))
	}
	return nil
}

func (w *xmlWriter) content(e *element, v *node.Node) error {
	switch v.Kind {
	case node.List:
		return w.items(e, v)
	case node.Map:
		for _, m := range e.sorted(v) {
			f := e.field(m.Name)
			if f.attribute || m.Value.Kind == node.Null {
				continue
			}
			if err := w.element(f, m.Value); err != nil {
				return err
			}
		}
	case node.Null:
	default:
		_ = xml.EscapeText(&w.out, []byte(v.Text))
	}
	return nil
}

// items writes each item as its schema says, else under the list's name.
func (w *xmlWriter) items(e *element, v *node.Node) error {
	items := &element{shape: &shape{}}
	if e.shape.items != nil {
		own := *e.shape.items
		items = &own
	}
	if items.name == "" {
		items.name = e.name
	}
	for _, item := range v.Items {
		if item.Is(node.List) { // a list of lists needs something around each
			items.wrapped = true
		}
		if err := w.element(items, item); err != nil {
			return err
		}
	}
	return nil
}

// field is how a member is named; one that the schema does not name, as in JSON.
func (e *element) field(name string) *element {
	if f := e.shape.fields[name]; f != nil {
		return f
	}
	return &element{name: name, shape: &shape{}}
}

// sorted are an object's members in the order of the schema, which readers of XML may
// insist on, and those it does not name behind them.
func (e *element) sorted(v *node.Node) []node.Member {
	var out []node.Member
	for _, name := range e.shape.order {
		if m := v.Get(name); m != nil {
			out = append(out, node.Member{Name: name, Value: m})
		}
	}
	for _, m := range v.Members {
		if e.shape.fields[m.Name] == nil {
			out = append(out, m)
		}
	}
	return out
}

// xmlName reports whether a name can be an element's or an attribute's.
func xmlName(s string) bool {
	for i, c := range s {
		letter := c == '_' || unicode.IsLetter(c)
		if !letter && (i == 0 || c != '-' && c != '.' && c != ':' && !unicode.IsDigit(c)) {
			return false
		}
	}
	return s != "" && !strings.HasPrefix(s, ":")
}
