package main

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// tables writes the shapes and the operations as data.
func (g *generator) tables() []byte {
	var b strings.Builder
	g.header(&b, "", "\t\"github.com/outcrop/outcrop/internal/api/schema\"\n")
	m := g.model.Metadata
	protocol := map[string]string{"rest-json": "RestJSON", "rest-xml": "RestXML", "query": "Query", "json": "JSON11"}[m.Protocol]
	fmt.Fprintf(&b, "// Service is the model of %s.\nvar Service = schema.Service{\n", g.overlay.Model)
	fmt.Fprintf(&b, "Name: %q, SigningName: %q, Version: %q, Protocol: schema.%s,", g.overlay.Model, g.overlay.signingName(), m.APIVersion, protocol)
	if m.TargetPrefix != "" {
		fmt.Fprintf(&b, "Target: %q,", m.TargetPrefix)
	}
	if g.model.namespace != "" {
		fmt.Fprintf(&b, "Namespace: %q,", g.model.namespace)
	}
	b.WriteString("\nShapes: shapes[:], Operations: operations[:],\n}\n\n")

	b.WriteString("var shapes = [...]schema.Shape{\n")
	for i, name := range g.shapes {
		fmt.Fprintf(&b, "/* %d */ {%s},\n", i, g.shapeRow(name))
	}
	b.WriteString("}\n\nvar operations = [...]schema.Operation{\n")
	for _, op := range g.ops {
		fmt.Fprintf(&b, "{%s},\n", g.operationRow(op))
	}
	b.WriteString("}\n")
	return []byte(b.String())
}

var kinds = map[string]string{
	"structure": "Structure", "list": "List", "map": "Map", "string": "String", "blob": "Blob", "boolean": "Boolean",
	"integer": "Integer", "long": "Long", "float": "Float", "double": "Double", "timestamp": "Timestamp",
}

func (g *generator) shapeRow(name string) string {
	s := g.model.Shapes[name]
	kind := kinds[s.Type]
	if s.Document {
		kind = "Document"
	}
	f := []string{fmt.Sprintf("Name: %q, Kind: schema.%s", name, kind)}
	add := func(format string, args ...any) { f = append(f, fmt.Sprintf(format, args...)) }
	switch s.Type {
	case "list":
		add("Elem: %d", g.index[s.Member.Shape])
		if s.Member.LocationName != "" {
			add("ElemName: %q", s.Member.LocationName)
		}
	case "map":
		add("Key: %d, Elem: %d", g.index[s.Key.Shape], g.index[s.Value.Shape])
		if s.Key.LocationName != "" {
			add("KeyName: %q, ValueName: %q", s.Key.LocationName, s.Value.LocationName)
		}
	}
	if s.Min != nil || s.Max != nil {
		add("Bounds: &schema.Bounds{%s}", bounds(s))
	}
	if p := g.pattern(name, s); p != "" {
		add("%s", p)
	}
	if len(s.Enum) > 0 {
		add("Enum: %#v", s.Enum)
		add("%s", g.refusedValues(name, s))
	}
	if s.Payload != "" {
		add("Payload: %d", 1+slices.Index(s.Members.Names, s.Payload))
	}
	if t := timeFormat(s.TimestampFormat); t != "" {
		add("Format: schema.%s", t)
	}
	if s.Error != nil {
		add("Status: %d", s.Error.HTTPStatusCode)
		if s.Error.Code != "" && s.Error.Code != name {
			add("Code: %q", s.Error.Code)
		}
	}
	add("%s", flags("Union", s.Union, "Sensitive", s.Sensitive, "EventStream", s.EventStream, "Streaming", s.Streaming, "Flattened", s.Flattened))
	if s.XMLNamespace != nil {
		add("Namespace: %q, NamespacePrefix: %q", s.XMLNamespace.URI, s.XMLNamespace.Prefix)
	}
	if s.Type == "structure" && len(s.Members.Names) > 0 && !s.Document {
		var rows []string
		for _, m := range s.Members.Names {
			rows = append(rows, "{"+g.memberRow(name, s, m)+"}")
		}
		add("Members: []schema.Member{\n%s,\n}", strings.Join(rows, ",\n"))
	}
	return join(f)
}

func bounds(s *shape) string {
	var f, has []string
	if s.Min != nil {
		f = append(f, fmt.Sprintf("Min: %v", *s.Min))
		has = append(has, "schema.HasMin")
	}
	if s.Max != nil {
		f = append(f, fmt.Sprintf("Max: %v", *s.Max))
		has = append(has, "schema.HasMax")
	}
	return strings.Join(append(f, "Has: "+strings.Join(has, "|")), ", ")
}

func (g *generator) pattern(name string, s *shape) string {
	src := s.Pattern
	if o, ok := g.overlay.Patterns[name]; ok {
		src = o.pattern
	}
	if src == "" {
		return ""
	}
	goForm, not, err := goPattern(src)
	if err != nil {
		panic(err) // the generator stops; overlay.go must replace the pattern
	}
	f := []string{fmt.Sprintf("Source: %q", src)}
	if goForm != "" {
		f = append(f, fmt.Sprintf("Go: %q", goForm))
	}
	if len(not) > 0 {
		f = append(f, fmt.Sprintf("Not: %#v", not))
	}
	return "Pattern: &schema.Pattern{" + strings.Join(f, ", ") + "}"
}

func (g *generator) refusedValues(name string, s *shape) string {
	var rows []string
	for _, v := range s.Enum {
		if reason, ok := g.overlay.RefusedValues[name+"="+v]; ok {
			rows = append(rows, fmt.Sprintf("{Value: %q, Reason: %q}", v, reason))
		}
	}
	if rows == nil {
		return ""
	}
	return "RefusedValues: []schema.Refusal{" + strings.Join(rows, ", ") + "}"
}

func (g *generator) memberRow(owner string, s *shape, name string) string {
	r := s.Members.Refs[name]
	target := g.model.Shapes[r.Shape]
	f := []string{fmt.Sprintf("Name: %q, Shape: %d", name, g.index[r.Shape])}
	wire := r.LocationName
	if wire == "" {
		wire = name
	}
	if r.Location == "header" {
		wire = textproto.CanonicalMIMEHeaderKey(wire) // as net/http keys them
	}
	f = append(f, fmt.Sprintf("Wire: %q", wire))
	if in := map[string]string{"uri": "InPath", "querystring": "InQuery", "header": "InHeader", "headers": "InHeaders", "statusCode": "InStatus"}[r.Location]; in != "" {
		f = append(f, "In: schema."+in)
	}
	if t := timeFormat(r.TimestampFormat); t != "" {
		f = append(f, "Format: schema."+t)
	}
	if reason, ok := g.overlay.RefusedMembers[owner+"."+name]; ok {
		f = append(f, fmt.Sprintf("Refused: %q", reason))
	}
	streaming := target.Type == "blob" && (target.Streaming || r.Streaming || g.overlay.Streaming[owner+"."+name])
	f = append(f, flags("Required", slices.Contains(s.Required, name), "Token", r.IdempotencyToken,
		"Flattened", r.Flattened, "Attribute", r.XMLAttribute, "Sensitive", r.Sensitive || target.Sensitive,
		"Streaming", streaming, "EventPayload", r.EventPayload))
	if r.XMLNamespace != nil {
		f = append(f, fmt.Sprintf("Namespace: %q", r.XMLNamespace.URI))
	}
	return join(f)
}

func (g *generator) operationRow(op string) string {
	o := g.model.Operations[op]
	path, query, _ := strings.Cut(o.HTTP.RequestURI, "?")
	status := o.HTTP.ResponseCode
	if status == 0 {
		status = 200
	}
	in, out := -1, -1
	var errs []string
	f := []string{fmt.Sprintf("Name: %q, Group: %q, Method: %q, Path: %q", op, g.overlay.Groups[g.group[op]].Name, o.HTTP.Method, path)}
	if query != "" {
		f = append(f, fmt.Sprintf("Query: %q", query))
	}
	if former := g.overlay.Former[op]; former != "" {
		var routes []string
		for one := range strings.SplitSeq(former, ", ") {
			method, path, _ := strings.Cut(one, " ")
			routes = append(routes, fmt.Sprintf("{Method: %q, Path: %q}", method, path))
		}
		f = append(f, "Former: []schema.Route{"+strings.Join(routes, ", ")+"}")
	}
	if g.typed(op) {
		if o.Input != nil {
			in = g.index[o.Input.Shape]
		}
		if o.Output != nil {
			out = g.index[o.Output.Shape]
		}
		inType, outType := g.signature(op)
		f = append(f, fmt.Sprintf("NewInput: func() any { return new(%s) }, NewOutput: func() any { return new(%s) }", inType, outType))
		for _, e := range o.Errors {
			errs = append(errs, fmt.Sprint(g.index[e.Shape]))
		}
	}
	f = append(f, fmt.Sprintf("Status: %d, Input: %d, Output: %d", status, in, out))
	if errs != nil {
		f = append(f, "Errors: []int{"+strings.Join(errs, ", ")+"}")
	}
	switch root := g.overlay.Roots[op]; root {
	case "":
	case "-":
		f = append(f, "Unwrapped: true")
	default:
		f = append(f, fmt.Sprintf("Root: %q", root))
	}
	if reason := g.refused[op]; reason != "" {
		f = append(f, fmt.Sprintf("Refused: %q", reason))
	}
	if most := g.overlay.Bodies[op]; most > 0 {
		f = append(f, fmt.Sprintf("MaxBody: %d", most))
	}
	unsigned := o.Authtype == "none" || slices.Contains(o.Auth, "smithy.api#noAuth")
	readOnly := o.Readonly || o.HTTP.Method == "GET" || o.HTTP.Method == "HEAD" || strings.HasPrefix(op, "List") || strings.HasPrefix(op, "Get")
	f = append(f, flags("Metadata", g.metadata[op] != "", "ReadOnly", readOnly, "Unsigned", unsigned, "Secret", g.secret[op], "Upgrade", o.Upgrade,
		"Bearer", slices.Contains(strings.Fields(g.overlay.Bearer), op)))
	var keys []string
	for _, k := range g.keys[op] {
		keys = append(keys, k.row())
	}
	if keys != nil {
		f = append(f, "Keys: []schema.ConditionKey{"+strings.Join(keys, ", ")+"}")
	}
	var reqs []string
	for _, r := range g.requires[op] {
		row := fmt.Sprintf("Action: %q, Resource: %q", r.action, r.resource)
		if r.when != nil {
			row += fmt.Sprintf(", When: %#v", r.when)
		}
		if r.inferred {
			row += ", Inferred: true"
		}
		reqs = append(reqs, "{"+row+"}")
	}
	if reqs == nil {
		f = append(f, "Free: true")
	} else {
		f = append(f, "Requires: []schema.Requirement{"+strings.Join(reqs, ", ")+"}")
	}
	return join(f)
}

func timeFormat(f string) string {
	return map[string]string{"unixTimestamp": "EpochSeconds", "iso8601": "ISO8601", "rfc822": "HTTPDate"}[f]
}

// flags takes pairs of a field name and whether it is set.
func flags(pairs ...any) string {
	var on []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1].(bool) {
			on = append(on, pairs[i].(string)+": true")
		}
	}
	return strings.Join(on, ", ")
}

func join(fields []string) string {
	return strings.Join(slices.DeleteFunc(fields, func(s string) bool { return s == "" }), ", ")
}
