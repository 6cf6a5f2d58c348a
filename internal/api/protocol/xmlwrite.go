package protocol

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"reflect"
	"slices"

	"github.com/outcrop/outcrop/internal/api/schema"
)

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
		if held, ok := schema.Present(v.Field(i)); ok {
			w.member(m, w.svc.Shape(m.Shape), held)
		}
	}
}

func (w *xmlWriter) member(m *schema.Member, sh *schema.Shape, v reflect.Value) {
	if sh.Kind == schema.Map {
		w.entries(m, sh, v)
		return
	}
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

// entries writes a map, by key.
func (w *xmlWriter) entries(m *schema.Member, sh *schema.Shape, v reflect.Value) {
	elem, name := w.svc.Shape(sh.Elem), "entry"
	if m.Flattened || sh.Flattened {
		name = m.Wire
	} else {
		w.open(m.Wire)
		defer w.close(m.Wire)
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	for _, key := range keys {
		w.open(name)
		w.text(cmp.Or(sh.KeyName, "key"), key.String())
		w.value(nil, cmp.Or(sh.ValueName, "value"), elem, v.MapIndex(key))
		w.close(name)
	}
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
		if held, ok := schema.Present(v.Field(i)); ok {
			if sh.Namespace != "" {
				out = append(out, "xmlns:"+sh.NamespacePrefix, sh.Namespace)
			}
			out = append(out, m.Wire, formatScalar(w.svc.Shape(m.Shape), schema.ISO8601, held))
		}
	}
	return out
}
