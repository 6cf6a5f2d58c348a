package main

import (
	"fmt"
	"strings"
	"unicode"
)

// types writes one Go type per structure and one constant per enum value.
func (g *generator) types() []byte {
	var body strings.Builder
	uses := map[string]bool{}
	for _, name := range g.shapes {
		s := g.model.Shapes[name]
		switch {
		case s.Type == "structure" && !s.Document:
			g.structType(&body, uses, name, s)
		case len(s.Enum) > 0:
			fmt.Fprintf(&body, "// The values of %s.\nconst (\n", exported(name))
			seen := map[string]bool{}
			for _, v := range s.Enum {
				if c := exported(name) + enumName(v); !seen[c] {
					seen[c] = true
					fmt.Fprintf(&body, "\t%s = %q\n", c, v)
				}
			}
			body.WriteString(")\n\n")
		}
	}
	var imports strings.Builder
	for _, p := range []string{"io", "iter", "time"} {
		if uses[p] {
			fmt.Fprintf(&imports, "\t%q\n", p)
		}
	}
	if uses["jsontext"] {
		imports.WriteString("\n\t\"github.com/go-json-experiment/json/jsontext\"\n")
	}
	var b strings.Builder
	g.header(&b, fmt.Sprintf("// Package %s is the wire of service %s, API version %s: its shapes with\n// their constraints, its operation table and a handler interface per group.",
		g.overlay.Package, g.overlay.Model, g.model.Metadata.APIVersion), imports.String())
	b.WriteString(body.String())
	return []byte(b.String())
}

func (g *generator) structType(b *strings.Builder, uses map[string]bool, name string, s *shape) {
	what := "a structure"
	switch {
	case s.Error != nil || s.Exception:
		what = "an error"
	case s.EventStream:
		what = "the events of a stream, of which exactly one is set"
	case s.Union:
		what = "a union, of which exactly one member is set"
	}
	fmt.Fprintf(b, "// %s is %s of the wire.\ntype %s struct {\n", exported(name), what, exported(name))
	for _, m := range s.Members.Names {
		fmt.Fprintf(b, "\t%s %s\n", exported(m), g.goMember(uses, name, m, s.Members.Refs[m]))
	}
	b.WriteString("}\n\n")
}

// goMember is the Go type of a member.
func (g *generator) goMember(uses map[string]bool, owner, member string, r *ref) string {
	s := g.model.Shapes[r.Shape]
	switch {
	case s.Type == "blob" && (s.Streaming || r.Streaming || g.overlay.Streaming[owner+"."+member]):
		uses["io"] = true
		return "io.ReadCloser"
	case s.EventStream:
		uses["iter"] = true
		return "iter.Seq2[*" + exported(r.Shape) + ", error]"
	}
	t := g.goType(uses, r.Shape)
	switch {
	case s.Type == "structure" && !s.Document, scalar(s.Type):
		return "*" + t
	}
	return t
}

// goType is the Go type of a shape as an element of a list or map.
func (g *generator) goType(uses map[string]bool, name string) string {
	s := g.model.Shapes[name]
	switch s.Type {
	case "structure":
		if s.Document {
			uses["jsontext"] = true
			return "jsontext.Value"
		}
		return exported(name)
	case "list":
		return "[]" + g.goType(uses, s.Member.Shape)
	case "map":
		return "map[string]" + g.goType(uses, s.Value.Shape)
	case "blob":
		return "[]byte"
	case "timestamp":
		uses["time"] = true
		return "time.Time"
	case "boolean":
		return "bool"
	case "integer":
		return "int32"
	case "long":
		return "int64"
	case "float":
		return "float32"
	case "double":
		return "float64"
	}
	return "string"
}

func scalar(t string) bool {
	switch t {
	case "structure", "list", "map", "blob":
		return false
	}
	return true
}

// enumName turns an enum value into the tail of a Go name.
func enumName(v string) string {
	var b strings.Builder
	for _, r := range v {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(r)
		} else if b.Len() > 0 {
			b.WriteByte('_')
		}
	}
	out := strings.Trim(b.String(), "_")
	if out == "" {
		return "Empty"
	}
	return strings.ToUpper(out[:1]) + out[1:]
}
