// Package validation holds a decoded request against the constraints of its
// service model and writes AWS's texts about what fails.
package validation

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// Violation is one constraint that one value breaks.
type Violation struct {
	// Path names the member: a.b, list.1.member.c, map.key.
	Path string
	// Value is how the refusal shows the value: null, 'x', or empty where the
	// member is sensitive.
	Value string
	// Constraint continues "failed to satisfy constraint: ".
	Constraint string
}

// String is the violation in AWS's words.
func (v Violation) String() string {
	value := "Value "
	if v.Value != "" {
		value += v.Value + " "
	}
	return value + "at '" + v.Path + "' failed to satisfy constraint: " + v.Constraint
}

// mostReported bounds an answer, not the check: the count in the text is true.
const mostReported = 20

// Check returns nil, or a refusal that lists what in breaks; in is a pointer
// to the operation's input. Members that are not available in this build are
// refused by name. version is named in that text.
func Check(svc *schema.Service, op *schema.Operation, in any, version string) error {
	if op.Input < 0 {
		return nil
	}
	c := checker{svc: svc}
	c.structure(svc.Shape(op.Input), reflect.ValueOf(in).Elem(), "")
	if len(c.broken) > 0 {
		return refusal(svc, c.broken)
	}
	if len(c.refused) > 0 {
		r := c.refused[0]
		e := fault.Validation("%s is not available in Outcrop %s: %s", r.Path, version, r.Constraint)
		e.Fields = []fault.Field{{Name: r.Path, Message: r.Constraint}}
		e.Header = map[string][]string{"X-Outcrop-Refused": {r.Path}}
		return e
	}
	return nil
}

// refusal writes the violations in the error each protocol family uses.
func refusal(svc *schema.Service, broken []Violation) error {
	texts := make([]string, 0, min(len(broken), mostReported))
	for _, v := range broken[:min(len(broken), mostReported)] {
		texts = append(texts, v.String())
	}
	plural := "s"
	if len(broken) == 1 {
		plural = ""
	}
	e := fault.Validation("%d validation error%s detected: %s", len(broken), plural, strings.Join(texts, "; "))
	switch svc.Protocol {
	case schema.Query:
		e.Code, e.Reason = "ValidationError", ""
	case schema.RestXML:
		e.Code, e.Reason = "InvalidArgument", ""
	default:
		for _, v := range broken[:len(texts)] {
			e.Fields = append(e.Fields, fault.Field{Name: v.Path, Message: v.String()})
		}
	}
	return e
}

type checker struct {
	svc             *schema.Service
	broken, refused []Violation
	sensitive       int // > 0 inside a sensitive member
}

func (c *checker) add(path, value, constraint string) {
	if c.sensitive > 0 && value != "null" {
		value = ""
	}
	c.broken = append(c.broken, Violation{path, value, constraint})
}

func (c *checker) structure(sh *schema.Shape, v reflect.Value, path string) {
	if sh.Sensitive {
		c.sensitive++
		defer func() { c.sensitive-- }()
	}
	set := 0
	for i := range sh.Members {
		m := &sh.Members[i]
		p := join(path, m.Name)
		held, ok := present(v.Field(i))
		if !ok {
			if m.Required {
				c.add(p, "null", "Member must not be null")
			}
			continue
		}
		set++
		if m.Refused != "" {
			c.refused = append(c.refused, Violation{Path: p, Constraint: m.Refused})
		}
		c.member(m, held, p)
	}
	if sh.Union && set != 1 {
		c.add(orRoot(path, sh), fmt.Sprintf("with %d members", set), "Exactly one member of the union must be set")
	}
}

func (c *checker) member(m *schema.Member, v reflect.Value, path string) {
	if m.Sensitive {
		c.sensitive++
		defer func() { c.sensitive-- }()
	}
	sh := c.svc.Shape(m.Shape)
	if m.Streaming || sh.EventStream {
		return // bounded while it is read
	}
	if m.Required && m.In == schema.InPath && sh.Kind == schema.String && v.Len() == 0 && sh.Bounds == nil {
		c.add(path, "''", "Member must have length greater than or equal to 1")
		return
	}
	c.value(sh, v, path)
}

// value checks one present value and what it holds.
func (c *checker) value(sh *schema.Shape, v reflect.Value, path string) {
	for _, constraint := range c.failures(sh, v) {
		c.add(path, c.show(v), constraint)
	}
	switch sh.Kind {
	case schema.String:
		for _, r := range sh.RefusedValues {
			if v.String() == r.Value {
				c.refused = append(c.refused, Violation{Path: path + " " + r.Value, Constraint: r.Reason})
			}
		}
	case schema.Structure:
		c.structure(sh, v, path)
	case schema.List:
		c.list(sh, v, path)
	case schema.Map:
		c.mapping(sh, v, path)
	}
}

func (c *checker) list(sh *schema.Shape, v reflect.Value, path string) {
	elem := c.svc.Shape(sh.Elem)
	if elem.Sensitive {
		c.sensitive++
		defer func() { c.sensitive-- }()
	}
	failed := false
	for i := range v.Len() {
		switch elem.Kind {
		case schema.Structure, schema.List, schema.Map:
			c.value(elem, v.Index(i), fmt.Sprintf("%s.%d.member", path, i+1))
		default:
			failed = failed || len(c.failures(elem, v.Index(i))) > 0
		}
	}
	if failed {
		c.add(path, c.show(v), "Member must satisfy constraint: ["+strings.Join(constraints(elem), ", ")+"]")
	}
}

func (c *checker) mapping(sh *schema.Shape, v reflect.Value, path string) {
	key, elem := c.svc.Shape(sh.Key), c.svc.Shape(sh.Elem)
	badKey, badValue := false, false
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	for _, k := range keys {
		badKey = badKey || len(c.failures(key, k)) > 0
		switch elem.Kind {
		case schema.Structure, schema.List, schema.Map:
			c.value(elem, v.MapIndex(k), join(path, k.String()))
		default:
			badValue = badValue || len(c.failures(elem, v.MapIndex(k))) > 0
		}
	}
	if badKey {
		c.add(path, c.show(v), "Map keys must satisfy constraint: ["+strings.Join(constraints(key), ", ")+"]")
	}
	if badValue {
		c.add(path, c.show(v), "Map value must satisfy constraint: ["+strings.Join(constraints(elem), ", ")+"]")
	}
}

// failures lists the constraints that a value breaks by itself.
func (c *checker) failures(sh *schema.Shape, v reflect.Value) []string {
	var out []string
	if b := sh.Bounds; b != nil {
		n := measure(sh, v)
		if b.Has&schema.HasMax != 0 && n > b.Max {
			out = append(out, boundText(sh, "less", b.Max))
		}
		if b.Has&schema.HasMin != 0 && n < b.Min {
			out = append(out, boundText(sh, "greater", b.Min))
		}
	}
	if sh.Pattern != nil && sh.Kind == schema.String && !sh.Pattern.Match(v.String()) {
		out = append(out, patternText(sh))
	}
	if len(sh.Enum) > 0 && sh.Kind == schema.String && !slices.Contains(sh.Enum, v.String()) {
		out = append(out, enumText(sh))
	}
	return out
}

// constraints lists everything a shape asks, as AWS does for list members and
// map entries.
func constraints(sh *schema.Shape) []string {
	var out []string
	if b := sh.Bounds; b != nil {
		if b.Has&schema.HasMax != 0 {
			out = append(out, boundText(sh, "less", b.Max))
		}
		if b.Has&schema.HasMin != 0 {
			out = append(out, boundText(sh, "greater", b.Min))
		}
	}
	if sh.Pattern != nil {
		out = append(out, patternText(sh))
	}
	if len(sh.Enum) > 0 {
		out = append(out, enumText(sh))
	}
	return out
}

func patternText(sh *schema.Shape) string {
	return "Member must satisfy regular expression pattern: " + sh.Pattern.Source
}

func enumText(sh *schema.Shape) string {
	return "Member must satisfy enum value set: [" + strings.Join(sh.Enum, ", ") + "]"
}

func boundText(sh *schema.Shape, which string, bound float64) string {
	what := "length"
	switch sh.Kind {
	case schema.Integer, schema.Long, schema.Float, schema.Double:
		what = "value"
	}
	return "Member must have " + what + " " + which + " than or equal to " + strconv.FormatFloat(bound, 'f', -1, 64)
}

// measure is what bounds apply to: characters, bytes, members or the value.
func measure(sh *schema.Shape, v reflect.Value) float64 {
	switch sh.Kind {
	case schema.String:
		return float64(utf8.RuneCountInString(v.String()))
	case schema.Integer, schema.Long:
		return float64(v.Int())
	case schema.Float, schema.Double:
		return v.Float()
	case schema.Blob, schema.List, schema.Map:
		return float64(v.Len())
	}
	return 0
}

// show writes a value into a refusal, cut to a length that is still helpful.
func (c *checker) show(v reflect.Value) string {
	const most = 256
	if c.sensitive > 0 {
		return ""
	}
	var text string
	switch v.Kind() {
	case reflect.String:
		text = v.String()
	case reflect.Slice, reflect.Map:
		if v.Type().Elem().Kind() == reflect.Uint8 || v.Type().Elem().Kind() == reflect.Struct {
			return fmt.Sprintf("with %d members", v.Len())
		}
		text = fmt.Sprint(v.Interface())
	default:
		text = fmt.Sprint(v.Interface())
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return "'" + text + "'"
}

// present reports whether a member is set, and returns what it holds.
func present(field reflect.Value) (reflect.Value, bool) {
	switch field.Kind() {
	case reflect.Pointer:
		return field.Elem(), !field.IsNil()
	case reflect.Slice, reflect.Map, reflect.Interface, reflect.Func:
		return field, !field.IsNil()
	}
	return field, true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orRoot(path string, sh *schema.Shape) string {
	if path == "" {
		return sh.Name
	}
	return path
}
