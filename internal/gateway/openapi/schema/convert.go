package schema

import (
	"slices"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

// convert converts a schema that is no reference.
func (b *Builder) convert(n *node.Node, at *node.Path) *node.Node {
	out := &node.Node{Kind: node.Map}
	add := func(name string, v *node.Node) {
		out.Members = append(out.Members, node.Member{Name: name, Value: v})
	}
	types := b.r.types(n, at)
	nullable := n.Get("nullable").True() // 3.0's, but people write it in 3.1, too
	if nullable && types != nil && !has(types, "null") {
		types = append(types, "null")
	}
	if types != nil {
		add("type", typeNode(types))
	}
	var hidden []string
	for _, m := range n.Members {
		if b.over {
			break
		}
		where := at.Down(m.Name)
		switch {
		case m.Name == "type", m.Name == "required":
		case m.Name == "example":
			if n.Get("examples") == nil {
				add("examples", list(b.copy(m.Value)))
			}
		case m.Name == "exclusiveMinimum" && m.Value.Is(node.Bool), m.Name == "exclusiveMaximum" && m.Value.Is(node.Bool):
		case m.Name == "minimum" && n.Get("exclusiveMinimum").True() && m.Value.Is(node.Number):
			add("exclusiveMinimum", m.Value)
		case m.Name == "maximum" && n.Get("exclusiveMaximum").True() && m.Value.Is(node.Number):
			add("exclusiveMaximum", m.Value)
		case m.Name == "items" && m.Value.Is(node.List):
			if len(m.Value.Items) > 0 {
				add("prefixItems", b.keyword("prefixItems", several, m.Value, where))
			}
		case m.Name == "properties" && m.Value.Is(node.Map):
			var props *node.Node
			props, hidden = b.properties(m.Value, where)
			add("properties", props)
		case m.Name == "enum" && nullable && m.Value.Is(node.List):
			add("enum", nullEnum(b.copy(m.Value)))
		default:
			if f := formOf(m.Name); f != dropped && b.take(m, f, where) {
				add(m.Name, b.keyword(m.Name, f, m.Value, where))
			}
		}
	}
	if v := b.required(n, at, hidden); v != nil {
		add("required", v)
	}
	b.media(n, out)
	null := nullable && types == nil && composed(out)
	if all := out.Get("allOf"); all != nil && len(all.Items) == 1 && onlyNotes(out, "allOf") {
		out = overlay(all.Items[0], without(out, "allOf")) // how 3.0 puts notes beside a reference
	}
	if null {
		return orNull(out)
	}
	return out
}

// onlyNotes reports whether a schema has nothing but annotations beside one keyword.
func onlyNotes(n *node.Node, but string) bool {
	for _, m := range n.Members {
		if m.Name != but && !note(m.Name) {
			return false
		}
	}
	return true
}

// note reports whether a keyword says something of a value without constraining it.
func note(keyword string) bool {
	switch keyword {
	case "title", "description", "default", "deprecated", "examples":
		return true
	}
	return false
}

func without(n *node.Node, name string) *node.Node {
	out := &node.Node{Kind: node.Map}
	for _, m := range n.Members {
		if m.Name != name {
			out.Members = append(out.Members, m)
		}
	}
	return out
}

// take reports whether a keyword is carried over, and tells when not.
func (b *Builder) take(m node.Member, f form, at *node.Path) bool {
	if b.r.Strict && (m.Name == "oneOf" || m.Name == "anyOf" || m.Name == "allOf") {
		b.r.Problem(at, m.Name+" is not supported; describe the value by one schema (a server that is not --strict takes it)")
		return false
	}
	if f.fits(m.Name, m.Value) {
		return true
	}
	if f == several && m.Value.Is(node.List) { // empty: says nothing
		return false
	}
	b.r.dislike(at, m.Name+" has no value that JSON Schema knows")
	return false
}

// keyword converts the value of a keyword that fits its form.
func (b *Builder) keyword(name string, f form, v *node.Node, at *node.Path) *node.Node {
	b.spend(len(name) + 4)
	switch f {
	case one:
		return b.Schema(v, at)
	case several:
		out := &node.Node{Kind: node.List}
		for i, s := range v.Items {
			if b.over {
				break
			}
			out.Items = append(out.Items, b.Schema(s, at.At(i)))
		}
		return out
	case named:
		out := &node.Node{Kind: node.Map}
		for _, m := range v.Members {
			if b.spend(len(m.Name) + 4); b.over {
				break
			}
			out.Members = append(out.Members, node.Member{Name: m.Name, Value: b.Schema(m.Value, at.Down(m.Name))})
		}
		return out
	case namesNamed:
		out := &node.Node{Kind: node.Map}
		for _, m := range v.Members {
			if b.spend(len(m.Name) + 4); b.over {
				break
			}
			if strings0(m.Value) {
				out.Members = append(out.Members, node.Member{Name: m.Name, Value: unique(b.copy(m.Value))})
			}
		}
		return out
	default:
		return b.copy(v)
	}
}

// copy counts a value that is carried over as it is.
func (b *Builder) copy(v *node.Node) *node.Node {
	b.spend(32 * v.Size())
	if b.over { // what is made is thrown away; no need to hold large values
		return &node.Node{}
	}
	return v
}

// properties converts properties and names those that the direction does not have.
func (b *Builder) properties(v *node.Node, at *node.Path) (*node.Node, []string) {
	out := &node.Node{Kind: node.Map}
	var hidden []string
	for _, m := range v.Members {
		if b.over {
			break
		}
		if b.Hidden(m.Value, at.Down(m.Name)) {
			hidden = append(hidden, m.Name)
			continue
		}
		b.spend(len(m.Name) + 4)
		out.Members = append(out.Members, node.Member{Name: m.Name, Value: b.Schema(m.Value, at.Down(m.Name))})
	}
	return out, hidden
}

// Hidden reports whether a property is none of requests (readOnly), or none of responses
// (writeOnly), when the builder makes a schema of those.
func (b *Builder) Hidden(n *node.Node, at *node.Path) bool {
	key := "readOnly"
	if b.output {
		key = "writeOnly"
	}
	for range maxChain {
		if n.Get(key).True() {
			return true
		}
		ref := n.Get("$ref").Str()
		if ref == "" {
			return false
		}
		if n, at = b.r.Target(ref, at); n == nil {
			return false
		}
	}
	return false
}

func (b *Builder) required(n *node.Node, at *node.Path, hidden []string) *node.Node {
	v := n.Get("required")
	if v == nil {
		return nil
	}
	if b.spend(4 * len(v.Items)); b.over {
		return nil
	}
	if !strings0(v) {
		b.r.dislike(at.Down("required"), "required must be a list of names of properties")
		return nil
	}
	out := &node.Node{Kind: node.List}
	for _, i := range unique(v).Items {
		if !has(hidden, i.Text) {
			b.spend(len(i.Text) + 4)
			out.Items = append(out.Items, i)
		}
	}
	if out.Items == nil {
		return nil
	}
	return out
}

// unique keeps the first of equal strings: JSON Schema wants them unique.
func unique(v *node.Node) *node.Node {
	out := &node.Node{Kind: node.List}
	seen := make(map[string]bool, len(v.Items))
	for _, i := range v.Items {
		if !seen[i.Text] {
			seen[i.Text] = true
			out.Items = append(out.Items, i)
		}
	}
	return out
}

// media adds to strings of bytes how they are written in JSON: base64 (3.0's format byte).
func (b *Builder) media(n, out *node.Node) {
	if n.Get("format").Str() == "byte" && out.Get("contentEncoding") == nil {
		out.Members = append(out.Members, node.Member{Name: "contentEncoding", Value: str("base64")})
	}
}

func typeNode(types []string) *node.Node {
	if len(types) == 1 {
		return str(types[0])
	}
	out := &node.Node{Kind: node.List}
	for _, t := range types {
		out.Items = append(out.Items, str(t))
	}
	return out
}

func nullEnum(v *node.Node) *node.Node {
	if v.Kind != node.List || slices.ContainsFunc(v.Items, func(i *node.Node) bool { return i.Is(node.Null) }) {
		return v
	}
	return &node.Node{Kind: node.List, Items: append(slices.Clone(v.Items), &node.Node{})}
}

// composed reports whether a schema constrains its values by other schemas.
func composed(n *node.Node) bool {
	return n.Get("allOf") != nil || n.Get("anyOf") != nil || n.Get("oneOf") != nil || n.Get("$ref") != nil || n.Get("enum") != nil
}

// orNull lets a schema take null, too, with its annotations outside.
func orNull(n *node.Node) *node.Node {
	out, inner := &node.Node{Kind: node.Map}, &node.Node{Kind: node.Map}
	for _, m := range n.Members {
		if note(m.Name) {
			out.Members = append(out.Members, m)
		} else {
			inner.Members = append(inner.Members, m)
		}
	}
	if t := inner.Get("type"); t.Is(node.String) && inner.Get("enum") == nil && inner.Get("const") == nil && !composed(inner) {
		members := []node.Member{{Name: "type", Value: list(t, str("null"))}}
		return &node.Node{Kind: node.Map, Members: append(append(members, without(inner, "type").Members...), out.Members...)}
	}
	out.Members = append(out.Members, node.Member{Name: "anyOf", Value: list(inner, obj("type", str("null")))})
	return out
}
