package openapi

import (
	"math"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

// types are those of a schema, by JSON Schema's names, and of the items of its lists; none
// is any.
type types struct{ own, items []string }

// types reads what a parameter's schema says outright. What its parts say together (allOf,
// oneOf) is the service's to judge.
func (p *parser) types(n *node.Node, at *node.Path) (out types) {
	if n == nil {
		return out
	}
	if n, at = p.schemas.Resolve(n, at); n == nil {
		return out
	}
	out.own = typesOf(n)
	if items := n.Get("items"); items != nil {
		items, _ = p.schemas.Resolve(items, at.Down("items"))
		out.items = typesOf(items)
	}
	return out
}

func typesOf(n *node.Node) []string {
	t := n.Get("type")
	switch {
	case t.Is(node.String):
		return []string{t.Text}
	case t.Is(node.List):
		var out []string
		for _, i := range t.Items {
			out = append(out, i.Str())
		}
		return out
	}
	return nil
}

// check refuses a value that is of no type of the schema. Models put numbers and booleans
// in quotes: those are written the same.
func (t types) check(argument string, v *node.Node) error {
	if !fits(v, t.own) {
		return &ArgumentError{argument, "must be of the type " + strings.Join(t.own, " or ") + ", and is " + given(v)}
	}
	if v.Kind != node.List {
		return nil
	}
	for i, item := range v.Items {
		if item.Kind != node.Null && !fits(item, t.items) {
			return &ArgumentError{argument, "must have items of the type " + strings.Join(t.items, " or ") + ", and item " + strconv.Itoa(i) + " is " + given(item)}
		}
	}
	return nil
}

// given is what a value is, in words.
func given(v *node.Node) string {
	switch v.Kind {
	case node.List, node.Map, node.Null:
		return v.Kind.String()
	}
	return "the " + v.Kind.String() + " " + short(v.Text)
}

func fits(v *node.Node, types []string) bool {
	if len(types) == 0 {
		return true
	}
	for _, t := range types {
		var ok bool
		switch t {
		case "integer":
			f, err := strconv.ParseFloat(v.Text, 64)
			ok = v.Scalar() && v.Kind != node.Bool && (err == nil || math.IsInf(f, 0)) && f == math.Trunc(f) && decimal(v.Text)
		case "number":
			ok = v.Kind == node.Number || v.Kind == node.String && decimal(v.Text)
		case "boolean":
			ok = v.Kind == node.Bool || v.Kind == node.String && (v.Text == "true" || v.Text == "false")
		case "string", "array", "object", "null":
			ok = v.Kind.String() == t
		default:
			ok = true // no type of JSON Schema, which has been told
		}
		if ok {
			return true
		}
	}
	return false
}

// decimal reports whether a text is a number as JSON writes it; strconv takes others, such
// as 0x1 and Inf.
func decimal(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return (r < '0' || r > '9') && !strings.ContainsRune("+-.eE", r) }) && strings.ContainsAny(text, "0123456789")
}
