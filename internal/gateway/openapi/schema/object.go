package schema

import (
	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

// Property is one property of an object, with its schema.
type Property struct {
	Name     string
	Schema   *node.Node
	At       *node.Path
	Required bool
}

// Object is a schema of objects as one list of properties, allOf and references seen
// through.
type Object struct {
	Properties []Property
	// Additional is what the schema says of properties it does not name: nil for nothing.
	Additional *node.Node
	At         *node.Path // of the schema that says it
}

// Object sees through a schema of objects. It reports false for schemas that are more than
// their properties (oneOf and its like) and for values that are no objects.
func (r *Reader) Object(n *node.Node, at *node.Path) (*Object, bool) {
	o := &merger{r: r, index: map[string]int{}, required: map[string]bool{}}
	if !o.add(n, at, 0) || !o.object {
		return nil, false
	}
	for i := range o.out.Properties {
		o.out.Properties[i].Required = o.required[o.out.Properties[i].Name]
	}
	return &o.out, true
}

type merger struct {
	r        *Reader
	out      Object
	index    map[string]int
	required map[string]bool
	object   bool // something says that values are objects
	parts    int
}

// maxParts is how many schemas allOf may join.
const maxParts = 64

// maxProperties is how many properties make a list of arguments; more are one argument.
const maxProperties = 1000

func (o *merger) add(n *node.Node, at *node.Path, depth int) bool {
	if o.parts++; o.parts > maxParts || depth > maxChain {
		return false
	}
	if n, at = o.r.Resolve(n, at); !n.Is(node.Map) || len(n.Members) > maxProperties {
		return false
	}
	if req, props := n.Get("required"), n.Get("properties"); req.Is(node.List) && len(req.Items) > maxProperties ||
		props.Is(node.Map) && len(props.Members) > maxProperties {
		return false
	}
	for _, m := range n.Members {
		switch m.Name {
		case "not", "if", "then", "else", "dependentSchemas", "dependentRequired", "patternProperties",
			"propertyNames", "unevaluatedProperties", "enum", "const", "$dynamicRef":
			return false
		case "oneOf", "anyOf":
			if o.r.Strict || !onlyRequired(m.Value) {
				return false
			}
		case "allOf":
			if o.r.Strict {
				o.r.Problem(at.Down("allOf"), "allOf is not supported; describe the value by one schema (a server that is not --strict takes it)")
				return false
			}
		}
	}
	if t := o.r.types(n, at); t != nil {
		if !has(t, "object") || len(t) > 1 && !(len(t) == 2 && has(t, "null")) {
			return false
		}
		o.object = true
	}
	if all := n.Get("allOf"); all.Is(node.List) {
		for i, part := range all.Items {
			if !o.add(part, at.Down("allOf").At(i), depth+1) {
				return false
			}
		}
	}
	o.own(n, at)
	return len(o.out.Properties) <= maxProperties
}

// own adds what a schema says itself.
func (o *merger) own(n *node.Node, at *node.Path) {
	if props := n.Get("properties"); props.Is(node.Map) {
		o.object = true
		for _, m := range props.Members {
			o.property(Property{Name: m.Name, Schema: m.Value, At: at.Down("properties").Down(m.Name)})
		}
	}
	if req := n.Get("required"); req != nil && strings0(req) {
		for _, name := range req.Items {
			o.required[name.Text] = true
		}
	}
	if more := n.Get("additionalProperties"); more != nil && !o.out.Additional.False() {
		o.out.Additional, o.out.At = more, at.Down("additionalProperties")
	}
}

// property adds one; where two parts of allOf have the same, both hold.
func (o *merger) property(p Property) {
	i, there := o.index[p.Name]
	if !there {
		o.index[p.Name] = len(o.out.Properties)
		o.out.Properties = append(o.out.Properties, p)
		return
	}
	before := &o.out.Properties[i]
	if before.Schema != p.Schema {
		before.Schema = obj("allOf", list(before.Schema, p.Schema))
	}
}

// onlyRequired reports whether all alternatives merely ask for properties ("one of these
// two must be there"), which a flat list of arguments need not repeat.
func onlyRequired(v *node.Node) bool {
	if !v.Is(node.List) || len(v.Items) > maxProperties {
		return false
	}
	for _, alt := range v.Items {
		if !alt.Is(node.Map) {
			return false
		}
		for _, m := range alt.Members {
			if m.Name != "required" && m.Name != "title" && m.Name != "description" {
				return false
			}
		}
	}
	return true
}
