package schema

import (
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

// form says what the value of a keyword must be for a schema to be one of 2020-12.
type form uint8

const (
	dropped    form = iota // means nothing to a tool
	text                   // a string
	anything               // any value
	flag                   // a boolean
	figure                 // a number
	count                  // a whole number from 0
	values                 // a list of anything
	one                    // a schema
	several                // a list of schemas
	named                  // schemas by name
	names                  // a list of strings
	namesNamed             // lists of strings by name
)

// formOf is the form of a keyword that is carried over as it is, or with the schemas in it
// converted. All others are dropped: discriminator, xml, $id, x-…, and those that schema
// and convert see to.
func formOf(keyword string) form {
	switch keyword {
	case "title", "description", "format", "pattern", "contentEncoding", "contentMediaType":
		return text
	case "default", "const":
		return anything
	case "uniqueItems", "deprecated":
		return flag
	case "maximum", "minimum", "multipleOf", "exclusiveMaximum", "exclusiveMinimum":
		return figure
	case "maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties", "maxContains", "minContains":
		return count
	case "enum", "examples":
		return values
	case "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
		"unevaluatedItems", "unevaluatedProperties", "contentSchema":
		return one
	case "allOf", "anyOf", "oneOf", "prefixItems":
		return several
	case "properties", "patternProperties", "dependentSchemas":
		return named
	case "required":
		return names
	case "dependentRequired":
		return namesNamed
	}
	return dropped
}

// fits reports whether a value has the form its keyword asks for, apart from what is in
// schemas below it.
func (f form) fits(keyword string, v *node.Node) bool {
	switch f {
	case text:
		return v.Kind == node.String
	case flag:
		return v.Kind == node.Bool
	case figure:
		return v.Kind == node.Number && (keyword != "multipleOf" || positive(v.Text))
	case count:
		n, err := strconv.ParseFloat(v.Text, 64)
		return v.Kind == node.Number && err == nil && n >= 0 && n == float64(int64(n))
	case values:
		return v.Kind == node.List
	case one:
		return v.Kind == node.Map || v.Kind == node.Bool
	case several:
		return v.Kind == node.List && len(v.Items) > 0
	case named, namesNamed:
		return v.Kind == node.Map
	case names:
		return strings0(v)
	}
	return true
}

func positive(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	return err == nil && f > 0
}

func strings0(v *node.Node) bool {
	if v.Kind != node.List {
		return false
	}
	for _, i := range v.Items {
		if !i.Is(node.String) {
			return false
		}
	}
	return true
}

// types is a schema's `type` as a list, nil when it has none. Names that other languages
// have for the types are understood, with a warning; others are told as problems.
func (r *Reader) types(n *node.Node, at *node.Path) []string {
	t := n.Get("type")
	if t == nil {
		return nil
	}
	list := []*node.Node{t}
	if t.Kind == node.List {
		list = t.Items
	}
	if len(list) > 7 {
		r.Problem(at.Down("type"), "has more types than there are")
		list = list[:7]
	}
	var out []string
	for _, i := range list {
		name := i.Str()
		switch name {
		case "string", "number", "integer", "boolean", "array", "object", "null":
		default:
			if i.Is(node.Null) { // `type: [string, null]` of YAML
				name = "null"
				break
			}
			if i.Str() == "" { // no text, or none in it
				r.Warn(at.Down("type"), "is no name of a type (left out)")
				continue
			}
			name = otherName(strings.ToLower(i.Str()))
			if name == "" {
				r.Problem(at.Down("type"), quote(i.Str())+" is no type; write string, number, integer, boolean, array, object or null (a file is a string of format binary)")
				continue
			}
			r.Warn(at.Down("type"), quote(i.Str())+" is no type; read as "+name)
		}
		if !has(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func otherName(name string) string {
	switch name {
	case "string", "number", "integer", "boolean", "array", "object":
		return name
	case "int", "int32", "int64", "long":
		return "integer"
	case "float", "double", "decimal":
		return "number"
	case "bool":
		return "boolean"
	case "str":
		return "string"
	}
	return ""
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
