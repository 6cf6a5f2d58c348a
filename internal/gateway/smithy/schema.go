package smithy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	// maxNodes is how many schemas that of a tool may have in it.
	maxNodes = 20_000
	// maxInline is up to how many shapes are written where they are used. Beyond, those
	// used more than once stand under $defs, which fewer clients understand.
	maxInline = 400
	// maxNesting is how deep shapes nest that do not come back to themselves.
	maxNesting = 64
)

var (
	errSchemaSize  = fmt.Errorf("the JSON Schema of its input has more than %d schemas in it, or %d bytes", maxNodes, maxSchema)
	errSchemaDepth = fmt.Errorf("its input nests deeper than %d", maxNesting)
	errInline      = errors.New("too large to be written without $defs")
)

// schemaWriter writes the JSON Schema of one tool.
type schemaWriter struct {
	// names are the shapes that stand under $defs, by their names there.
	names map[*shape]string
	defs  map[string]any
	nodes int
	limit int
}

// inputSchema is the JSON Schema of a structure. Shapes that hold themselves stand under
// $defs, and in large ones all that are used more than once.
func inputSchema(input *shape) (json.RawMessage, error) {
	recursive, shared := used(input)
	schema, err := write(input, recursive, maxInline)
	if errors.Is(err, errInline) || errors.Is(err, errSchemaDepth) {
		schema, err = write(input, append(recursive, shared...), maxNodes)
	}
	if errors.Is(err, errInline) || len(schema) > maxSchema {
		err = errSchemaSize
	}
	return schema, err
}

// used walks what a shape holds, once, and returns the shapes where a way leads back to
// themselves, and those that several ways lead to.
func used(input *shape) (recursive, shared []*shape) {
	const open, done = 1, 2
	state := map[*shape]int{}
	isRecursive, isShared := map[*shape]bool{}, map[*shape]bool{}
	var walk func(s *shape)
	walk = func(s *shape) {
		if !s.kind.holds() {
			return
		}
		if state[s] == open && !isRecursive[s] {
			isRecursive[s] = true
			recursive = append(recursive, s)
		}
		if state[s] == done && !isShared[s] {
			isShared[s] = true
			shared = append(shared, s)
		}
		if state[s] != 0 {
			return
		}
		state[s] = open
		for _, m := range s.members {
			walk(m.target)
		}
		if s.elem != nil {
			walk(s.elem.target)
		}
		state[s] = done
	}
	walk(input)
	return recursive, shared
}

func write(input *shape, apart []*shape, limit int) (json.RawMessage, error) {
	w := &schemaWriter{names: map[*shape]string{}, defs: map[string]any{}, limit: limit}
	taken := map[string]bool{}
	for _, s := range apart {
		_, name, _ := strings.Cut(s.id, "#")
		for base, n := name, 2; taken[name]; n++ {
			name = fmt.Sprintf("%s%d", base, n)
		}
		taken[name] = true
		w.names[s] = name
	}
	schema, err := w.structure(input, 0)
	if err != nil {
		return nil, err
	}
	for _, s := range apart {
		if _, written := w.defs[w.names[s]]; written {
			continue
		}
		if w.defs[w.names[s]], err = w.body(s, 0); err != nil {
			return nil, err
		}
	}
	if len(w.defs) > 0 {
		schema["$defs"] = w.defs
	}
	return encode(schema)
}

// encode is JSON as it is sent: without escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// member is the schema of a member's value.
func (w *schemaWriter) member(m *member, depth int) (map[string]any, error) {
	var out map[string]any
	if name, apart := w.names[m.target]; apart {
		out = map[string]any{"$ref": "#/$defs/" + name}
		w.nodes++
	} else {
		var err error
		if out, err = w.body(m.target, depth); err != nil {
			return nil, err
		}
		delete(out, "description")
	}
	w.facets(out, m)
	if m.doc != "" {
		out["description"] = m.doc
	}
	if m.fallback != nil && !m.target.kind.holds() {
		out["default"] = m.fallback
	}
	return out, nil
}

// body is the schema of a shape's values.
func (w *schemaWriter) body(s *shape, depth int) (map[string]any, error) {
	if w.nodes++; w.nodes > w.limit {
		return nil, errInline
	}
	if depth > maxNesting {
		return nil, errSchemaDepth
	}
	switch s.kind {
	case kindStructure:
		return w.structure(s, depth+1)
	case kindUnion:
		return w.union(s, depth+1)
	case kindList, kindMap:
		return w.container(s, depth+1)
	}
	return w.simple(s), nil
}

// simple is the schema of values that hold no others.
func (w *schemaWriter) simple(s *shape) map[string]any {
	out := map[string]any{}
	switch {
	case s.kind == kindBoolean:
		out["type"] = "boolean"
	case s.kind.isInteger():
		out["type"] = "integer"
		if len(s.ints) > 0 {
			out["enum"] = s.ints
		}
	case s.kind.isFloat():
		out["type"] = "number"
	case s.kind == kindTimestamp:
		out["type"], out["format"] = "string", "date-time"
	case s.kind == kindBlob:
		out["type"], out["contentEncoding"] = "string", "base64"
	case s.kind != kindDocument:
		out["type"] = "string"
		if len(s.enum) > 0 {
			out["enum"] = s.enum
		}
	}
	if s.doc != "" {
		out["description"] = s.doc
	}
	return out
}

func (w *schemaWriter) structure(s *shape, depth int) (map[string]any, error) {
	properties, required := map[string]any{}, []string{}
	for _, m := range s.members {
		v, err := w.member(m, depth)
		if err != nil {
			return nil, err
		}
		properties[m.arg] = v
		// Idempotency tokens are filled in where they are left out.
		if (m.required || m.in == inLabel) && !m.token && m.fallback == nil {
			required = append(required, m.arg)
		}
	}
	out := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	if s.doc != "" && depth > 0 {
		out["description"] = s.doc
	}
	return out, nil
}

// union is one member out of several: an object with that member alone.
func (w *schemaWriter) union(s *shape, depth int) (map[string]any, error) {
	var choices []any
	for _, m := range s.members {
		v, err := w.member(m, depth)
		if err != nil {
			return nil, err
		}
		choices = append(choices, map[string]any{
			"type": "object", "properties": map[string]any{m.arg: v}, "required": []string{m.arg}, "additionalProperties": false,
		})
	}
	if choices == nil {
		choices = []any{map[string]any{"type": "object"}}
	}
	out := map[string]any{"oneOf": choices}
	if s.doc != "" {
		out["description"] = s.doc
	}
	return out, nil
}

func (w *schemaWriter) container(s *shape, depth int) (map[string]any, error) {
	elem, err := w.member(s.elem, depth)
	if err != nil {
		return nil, err
	}
	if s.sparse {
		elem = map[string]any{"anyOf": []any{elem, map[string]any{"type": "null"}}}
	}
	out := map[string]any{"type": "array", "items": elem}
	if s.unique {
		out["uniqueItems"] = true
	}
	if s.kind == kindMap {
		out = map[string]any{"type": "object", "additionalProperties": elem}
		names := w.simple(s.key.target)
		delete(names, "description")
		if w.facets(names, s.key); len(names) > 1 {
			out["propertyNames"] = names
		}
	}
	if s.doc != "" {
		out["description"] = s.doc
	}
	return out, nil
}

// facets writes what traits say of a value's extent and form.
func (w *schemaWriter) facets(out map[string]any, m *member) {
	f, k := m.facets, m.target.kind
	low, high := "minLength", "maxLength"
	switch k {
	case kindList:
		low, high = "minItems", "maxItems"
	case kindMap:
		low, high = "minProperties", "maxProperties"
	case kindBlob:
		f.length = nil // of the bytes, not of their base64
	}
	for _, b := range []struct {
		*bounds
		low, high string
	}{{f.length, low, high}, {f.between, "minimum", "maximum"}} {
		if b.bounds == nil {
			continue
		}
		if b.Min != "" {
			out[b.low] = b.Min
		}
		if b.Max != "" {
			out[b.high] = b.Max
		}
	}
	if f.pattern != "" && (k == kindString || k == kindEnum) {
		out["pattern"] = f.pattern
	}
	if f.mediaType != "" && k == kindBlob {
		out["contentMediaType"] = f.mediaType
	}
}
