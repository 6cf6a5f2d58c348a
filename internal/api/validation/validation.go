// Package validation holds a decoded request against the constraints of its
// service model and writes AWS's texts about what fails.
package validation

import (
	"fmt"
	"reflect"
	"slices"
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

// mostReported and most bound an answer, not the check: how many violations are
// told (the count in the text is the true one), and how much of a value.
const (
	mostReported = 20
	most         = 256
)

// Check returns nil, or a refusal that lists what in breaks; in is a pointer
// to the operation's input. Members that are not available in this build are
// refused by name. version is named in that text.
func Check(svc *schema.Service, op *schema.Operation, in any, version string) error {
	if op.Input < 0 {
		return nil
	}
	c := checker{svc: svc}
	c.structure(svc.Shape(op.Input), reflect.ValueOf(in).Elem())
	if c.count > 0 {
		return c.refusal()
	}
	if c.refused != nil {
		r := c.refused
		name := r.Path
		if r.Value != "" {
			name += " " + r.Value
		}
		e := fault.Validation("%s is not available in Outcrop %s: %s", name, version, r.Constraint)
		e.Fields = []fault.Field{{Name: r.Path, Message: r.Constraint}}
		e.Header = map[string][]string{"X-Outcrop-Refused": {name}}
		return e
	}
	return nil
}

// refusal writes the violations in the error each protocol family uses.
func (c *checker) refusal() error {
	texts := make([]string, len(c.broken))
	for i, v := range c.broken {
		texts[i] = v.String()
	}
	plural := "s"
	if c.count == 1 {
		plural = ""
	}
	e := fault.Validation("%d validation error%s detected: %s", c.count, plural, strings.Join(texts, "; "))
	switch c.svc.Protocol {
	case schema.Query:
		e.Code, e.Reason = "ValidationError", ""
	case schema.RestXML:
		e.Code, e.Reason = "InvalidArgument", ""
	case schema.JSON11: // of some, the model has a name for it: ECR, Cognito, Secrets Manager
		const own = "InvalidParameterException"
		e.Reason = ""
		if slices.ContainsFunc(c.svc.Shapes, func(s schema.Shape) bool { return s.Name == own }) {
			e.Code = own
		}
	default:
		for i, v := range c.broken {
			e.Fields = append(e.Fields, fault.Field{Name: v.Path, Message: texts[i]})
		}
	}
	return e
}

// checker walks one input. It keeps the first mostReported violations, the
// number of all, and the first member or value that is not available.
type checker struct {
	svc       *schema.Service
	path      []byte
	broken    []Violation
	count     int
	refused   *Violation
	sensitive int // > 0 inside a sensitive member
}

func (c *checker) add(value, constraint string) {
	c.count++
	if len(c.broken) < mostReported {
		c.broken = append(c.broken, Violation{string(c.path), value, constraint})
	}
}

func (c *checker) refuse(value, reason string) {
	if c.refused == nil {
		c.refused = &Violation{Path: string(c.path), Value: value, Constraint: reason}
	}
}

// push and pushItem extend the path and return the mark that pop goes back to.
func (c *checker) push(name string) int {
	mark := len(c.path)
	if mark > 0 {
		c.path = append(c.path, '.')
	}
	c.path = append(c.path, name...)
	if c.svc.Protocol == schema.Query && name != "" { // IAM and STS write 'roleName'
		c.path[len(c.path)-len(name)] = lower(name[0])
	}
	return mark
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func (c *checker) pushItem(i int) int {
	mark := c.push("")
	c.path = strconv.AppendInt(c.path, int64(i)+1, 10)
	c.path = append(c.path, ".member"...)
	return mark
}

func (c *checker) pop(mark int) { c.path = c.path[:mark] }

func (c *checker) structure(sh *schema.Shape, v reflect.Value) {
	if sh.Sensitive {
		c.sensitive++
		defer func() { c.sensitive-- }()
	}
	set := 0
	for i := range sh.Members {
		m := &sh.Members[i]
		held, ok := schema.Present(v.Field(i))
		if !ok && !m.Required {
			continue
		}
		mark := c.push(m.Name)
		if !ok {
			c.add("null", "Member must not be null")
		} else {
			set++
			c.member(m, held)
		}
		c.pop(mark)
	}
	if sh.Union && set != 1 {
		mark := len(c.path)
		if mark == 0 {
			c.push(sh.Name)
		}
		c.add(fmt.Sprintf("with %d members", set), "Exactly one member of the union must be set")
		c.pop(mark)
	}
}

func (c *checker) member(m *schema.Member, v reflect.Value) {
	if m.Sensitive {
		c.sensitive++
		defer func() { c.sensitive-- }()
	}
	sh := c.svc.Shape(m.Shape)
	// An empty list, map or text of something we do not have asks for nothing.
	if m.Refused != "" && !((sh.Kind == schema.List || sh.Kind == schema.Map || sh.Kind == schema.String) && v.Len() == 0) {
		c.refuse("", m.Refused)
	}
	if m.Streaming || sh.EventStream {
		return // bounded while it is read
	}
	c.value(sh, v)
}

// value checks one present value and what it holds.
func (c *checker) value(sh *schema.Shape, v reflect.Value) {
	for _, constraint := range c.failures(sh, v) {
		c.add(c.show(sh, v), constraint)
	}
	switch sh.Kind {
	case schema.String:
		for _, r := range sh.RefusedValues {
			if v.String() == r.Value {
				c.refuse(r.Value, r.Reason)
			}
		}
	case schema.Structure:
		c.structure(sh, v)
	case schema.List:
		c.list(sh, v)
	case schema.Map:
		c.mapping(sh, v)
	}
}

// holds reports whether values of the kind hold others, which have paths of
// their own. Scalars inside a list or map are told with it as a whole.
func holds(k schema.Kind) bool {
	return k == schema.Structure || k == schema.List || k == schema.Map
}

func (c *checker) list(sh *schema.Shape, v reflect.Value) {
	elem := c.svc.Shape(sh.Elem)
	failed := false
	for i := range v.Len() {
		if !holds(elem.Kind) {
			failed = failed || len(c.failures(elem, v.Index(i))) > 0
			continue
		}
		mark := c.pushItem(i)
		c.value(elem, v.Index(i))
		c.pop(mark)
	}
	if failed {
		c.add(c.show(sh, v), "Member must satisfy constraint: ["+strings.Join(constraints(elem), ", ")+"]")
	}
}

func (c *checker) mapping(sh *schema.Shape, v reflect.Value) {
	key, elem := c.svc.Shape(sh.Key), c.svc.Shape(sh.Elem)
	badKey, badValue := false, false
	for _, k := range sortedKeys(v) {
		badKey = badKey || len(c.failures(key, k)) > 0
		if !holds(elem.Kind) {
			badValue = badValue || len(c.failures(elem, v.MapIndex(k))) > 0
			continue
		}
		mark := c.push(clip(k.String()))
		c.value(elem, v.MapIndex(k))
		c.pop(mark)
	}
	if badKey {
		c.add(c.show(sh, v), "Map keys must satisfy constraint: ["+strings.Join(constraints(key), ", ")+"]")
	}
	if badValue {
		c.add(c.show(sh, v), "Map value must satisfy constraint: ["+strings.Join(constraints(elem), ", ")+"]")
	}
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
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

// show writes a value into a refusal as AWS does: 'x', '[a, b]', '{k=v}', cut to
// a length that is still helpful; structures by their size alone, and nothing
// of what is or holds something sensitive.
func (c *checker) show(sh *schema.Shape, v reflect.Value) string {
	if c.sensitive > 0 || c.secret(sh) {
		return ""
	}
	var b strings.Builder
	switch sh.Kind {
	case schema.List, schema.Map:
		if holds(c.svc.Shape(sh.Elem).Kind) {
			return fmt.Sprintf("with %d members", v.Len())
		}
		showAll(&b, sh, v)
	case schema.Blob:
		return fmt.Sprintf("with %d bytes", v.Len())
	default:
		fmt.Fprint(&b, v.Interface())
	}
	return "'" + clip(b.String()) + "'"
}

// clip cuts a value or a map's key to a length that is still helpful.
func clip(text string) string { return fault.Clip(text, most) }

// showAll writes the scalars of a list or map, and stops once b is full.
func showAll(b *strings.Builder, sh *schema.Shape, v reflect.Value) {
	if sh.Kind == schema.List {
		b.WriteByte('[')
		for i := 0; i < v.Len() && b.Len() <= most; i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprint(b, v.Index(i).Interface())
		}
		b.WriteByte(']')
		return
	}
	b.WriteByte('{')
	for i, k := range sortedKeys(v) {
		if b.Len() > most {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(b, "%s=%v", k, v.MapIndex(k).Interface())
	}
	b.WriteByte('}')
}

// secret reports whether a list's members, or a map's keys or values, are
// sensitive, or the shape itself.
func (c *checker) secret(sh *schema.Shape) bool {
	switch {
	case sh.Sensitive:
		return true
	case sh.Kind == schema.List:
		return c.svc.Shape(sh.Elem).Sensitive
	case sh.Kind == schema.Map:
		return c.svc.Shape(sh.Elem).Sensitive || c.svc.Shape(sh.Key).Sensitive
	}
	return false
}
