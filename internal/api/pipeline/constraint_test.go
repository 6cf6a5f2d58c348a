package pipeline

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
)

// The kinds of constraints in the tables.
const (
	required = "required"
	atLeast  = "min"
	atMost   = "max"
	pattern  = "pattern"
	enum     = "enum"
	union    = "union"
)

// phrases are what a refusal says of each kind.
var phrases = map[string]string{
	required: "Member must not be null",
	atLeast:  "greater than or equal to",
	atMost:   "less than or equal to",
	pattern:  "Member must satisfy regular expression pattern",
	enum:     "Member must satisfy enum value set",
	union:    "Exactly one member of the union must be set",
}

// step leads from a value to one that it holds.
type step struct {
	member int  // of a structure
	item   bool // the first of a list
	entry  bool // the first value of a map
	key    bool // the first key of a map, where a path ends
}

// constraint is one of the tables, at one place of an operation's input.
type constraint struct {
	op    *schema.Operation
	kind  string
	shape *schema.Shape  // what is constrained
	in    *schema.Member // the input's own member the path begins with
	steps []step
}

// TestEveryConstraint breaks every constraint at every place where a request
// can meet it, that one alone where a value can do so, and wants 400 with the
// place's path. What cannot be broken by any request is a line with its reason.
func TestEveryConstraint(t *testing.T) {
	k := newKit(t)
	for _, svc := range []*schema.Service{&agentcorecontrol.Service, &agentcore.Service} {
		var cases, alone, company, skipped int
		rows, skips := map[string]bool{}, map[string]int{}
		for _, c := range constraintsOf(svc) {
			cases++
			b := breaker{valuegen: newValuegen(svc), t: t, constraint: c}
			b.run(k)
			switch {
			case b.skip != "":
				skipped++
				skips[c.row()+": "+b.skip]++
			case b.company:
				company++
			default:
				alone++
			}
			rows[c.row()] = rows[c.row()] || b.skip == ""
		}
		tested := 0
		for _, ok := range rows {
			if ok {
				tested++
			}
		}
		for _, line := range slices.Sorted(maps.Keys(skips)) {
			t.Logf("skipped %s %s (%d places)", svc.Name, line, skips[line])
		}
		t.Logf("%s: %d constraints, %d of them tested; at %d places: %d broken alone, %d in company, %d skipped",
			svc.Name, len(rows), tested, cases, alone, company, skipped)
		if alone+company+skipped != cases {
			t.Errorf("%d cases are not all accounted for", cases)
		}
	}
}

// row names the constraint in the table, wherever it is met.
func (c *constraint) row() string { return c.shape.Name + " " + c.kind }

// constraintsOf walks the inputs of every operation. A structure within itself
// is not entered again.
func constraintsOf(svc *schema.Service) []constraint {
	var out []constraint
	for i := range svc.Operations {
		op := &svc.Operations[i]
		w := walker{svc: svc, op: op, open: map[*schema.Shape]bool{}}
		w.structure(svc.Shape(op.Input), nil)
		out = append(out, w.found...)
	}
	return out
}

type walker struct {
	svc   *schema.Service
	op    *schema.Operation
	in    *schema.Member
	open  map[*schema.Shape]bool
	found []constraint
}

func (w *walker) add(kind string, sh *schema.Shape, steps []step) {
	w.found = append(w.found, constraint{w.op, kind, sh, w.in, slices.Clone(steps)})
}

func (w *walker) structure(sh *schema.Shape, steps []step) {
	if w.open[sh] {
		return
	}
	w.open[sh] = true
	defer delete(w.open, sh)
	if sh.Union {
		w.add(union, sh, steps)
	}
	for i := range sh.Members {
		m := &sh.Members[i]
		if len(steps) == 0 {
			w.in = m
		}
		at := append(slices.Clone(steps), step{member: i})
		if m.Required {
			// The shape of the row is the structure that asks for the member.
			w.add(required, &schema.Shape{Name: sh.Name + "." + m.Name, Kind: schema.Structure}, at)
		}
		w.value(w.svc.Shape(m.Shape), at)
	}
}

func (w *walker) value(sh *schema.Shape, at []step) {
	if b := sh.Bounds; b != nil {
		if b.Has&schema.HasMin != 0 && (b.Min > 0 || isNumber(sh)) { // no value is shorter than nothing
			w.add(atLeast, sh, at)
		}
		if b.Has&schema.HasMax != 0 {
			w.add(atMost, sh, at)
		}
	}
	if sh.Pattern != nil {
		w.add(pattern, sh, at)
	}
	if len(sh.Enum) > 0 {
		w.add(enum, sh, at)
	}
	switch sh.Kind {
	case schema.Structure:
		w.structure(sh, at)
	case schema.List:
		w.value(w.svc.Shape(sh.Elem), append(slices.Clone(at), step{item: true}))
	case schema.Map:
		w.value(w.svc.Shape(sh.Key), append(slices.Clone(at), step{key: true}))
		w.value(w.svc.Shape(sh.Elem), append(slices.Clone(at), step{entry: true}))
	}
}

// breaker makes the request that breaks one constraint.
type breaker struct {
	*valuegen
	constraint
	t    *testing.T
	path []string
	// company is set where every value that breaks it breaks something else too
	// (a text that is too short for its pattern as well).
	company bool
	// skip is the reason why no request breaks it.
	skip string
}

// run tests the case.
func (b *breaker) run(k *kit) {
	in := b.op.NewInput()
	root := reflect.ValueOf(in).Elem()
	shape := b.svc.Shape(b.op.Input)
	if !b.fill(root, shape) {
		b.t.Fatalf("%s has no finite input", b.op.Name)
	}
	b.walk(root, shape, b.steps)
	if b.skip != "" {
		return
	}
	request := writeRequest(b.t, b.svc, b.op, in)
	w := k.do(signWire(b.t, b.svc, request))
	var got struct {
		Type      string `json:"__type"`
		Message   string
		Reason    string
		FieldList []struct{ Name, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 400 || got.Type != "ValidationException" || got.Reason != "FieldValidationFailed" {
		b.t.Fatalf("%s: %s at %v: %d %s %v", b.op.Name, b.row(), b.path, w.Code, clip(w.Body.String()), err)
	}
	path := strings.Join(b.path, ".")
	named := false
	for _, f := range got.FieldList {
		named = named || f.Name == path && strings.Contains(f.Message, "at '"+path+"' failed to satisfy constraint: ") && strings.Contains(f.Message, phrases[b.kind])
	}
	if !named {
		b.t.Fatalf("%s: %s: no violation of %s in %s", b.op.Name, b.row(), path, w.Body)
	}
	if !b.company && (!strings.HasPrefix(got.Message, "1 validation error detected: ") || len(got.FieldList) != 1) {
		b.t.Fatalf("%s: %s at %s breaks more than one: %s", b.op.Name, b.row(), path, got.Message)
	}
}

// walk goes to the constrained value, makes everything on the way present, and
// breaks it there. v holds the plain type of sh.
func (b *breaker) walk(v reflect.Value, sh *schema.Shape, steps []step) {
	if len(steps) == 0 {
		b.breakValue(v, sh)
		return
	}
	s := steps[0]
	switch {
	case s.item:
		b.item(v, sh, steps)
	case s.key, s.entry:
		b.entry(v, sh, steps)
	default:
		m := &sh.Members[s.member]
		b.path = append(b.path, m.Name)
		if len(steps) == 1 && b.kind == required {
			b.skip = unsendable(m)
			v.Field(s.member).SetZero()
			return
		}
		if m.Streaming {
			b.skip = "a streamed body is bounded while it is read"
			return
		}
		if sh.Union {
			v.SetZero()
		}
		field := v.Field(s.member)
		if field.IsZero() && !b.fill(plain(field), b.svc.Shape(m.Shape)) {
			b.t.Fatalf("%s: nothing can be made at %v", b.op.Name, b.path)
		}
		b.walk(plain(field), b.svc.Shape(m.Shape), steps[1:])
	}
}

func unsendable(m *schema.Member) string {
	switch {
	case m.In == schema.InPath:
		return "a path without the label is another path"
	case m.Streaming:
		return "a streamed body is always there"
	}
	return ""
}

func (b *breaker) item(v reflect.Value, sh *schema.Shape, steps []step) {
	if v.Len() == 0 {
		b.list(v, sh, 1)
	}
	elem := b.svc.Shape(sh.Elem)
	if inner(elem) {
		b.path = append(b.path, "1", "member")
	}
	b.walk(v.Index(0), elem, steps[1:])
}

// entry replaces one key or one value of a map.
func (b *breaker) entry(v reflect.Value, sh *schema.Shape, steps []step) {
	if v.Len() == 0 {
		b.mapping(v, sh, 1)
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, c reflect.Value) int { return strings.Compare(a.String(), c.String()) })
	key := reflect.New(v.Type().Key()).Elem()
	key.Set(keys[0])
	elem := reflect.New(v.Type().Elem()).Elem()
	elem.Set(v.MapIndex(keys[0]))
	v.SetMapIndex(keys[0], reflect.Value{})
	if steps[0].key {
		b.walk(key, b.svc.Shape(sh.Key), steps[1:])
	} else {
		if inner(b.svc.Shape(sh.Elem)) {
			b.path = append(b.path, key.String())
		}
		b.walk(elem, b.svc.Shape(sh.Elem), steps[1:])
	}
	v.SetMapIndex(key, elem)
}

// inner reports whether values of the shape have a path of their own within a
// list or map.
func inner(sh *schema.Shape) bool {
	return sh.Kind == schema.Structure || sh.Kind == schema.List || sh.Kind == schema.Map
}

// breakValue replaces v by a value that breaks the constraint.
func (b *breaker) breakValue(v reflect.Value, sh *schema.Shape) {
	lo, hi := lengths(sh)
	n := lo - 1
	if b.kind == atMost {
		n = hi + 1
	}
	if b.kind == atMost && sh.Bounds.Max > protocol.MaxBody && !isNumber(sh) {
		b.skip = "longer than a body may be"
		return
	}
	switch {
	case b.kind == union:
		v.SetZero()
	case sh.Kind == schema.String:
		b.breakText(v, sh, lo, hi)
	case isNumber(sh):
		x := sh.Bounds.Min - 1
		if b.kind == atMost {
			x = sh.Bounds.Max + 1
		}
		if v.CanInt() {
			v.SetInt(int64(x))
		} else {
			v.SetFloat(x)
		}
	case sh.Kind == schema.List && n == 0 && b.in.In == schema.InQuery:
		b.skip = "an empty list in a query is an absent one"
	case sh.Kind == schema.List:
		b.list(v, sh, n)
	case sh.Kind == schema.Map:
		if !b.mapping(v, sh, n) {
			b.skip = "there are not so many different keys"
		}
	case sh.Kind == schema.Blob:
		v.SetBytes(make([]byte, n))
	}
}

func isNumber(sh *schema.Shape) bool {
	switch sh.Kind {
	case schema.Integer, schema.Long, schema.Float, schema.Double:
		return true
	}
	return false
}

// breakText finds a text that breaks the wanted constraint and nothing else, or
// as little else as possible.
func (b *breaker) breakText(v reflect.Value, sh *schema.Shape, lo, hi int) {
	var candidates []string
	r := rand.New(rand.NewPCG(5, 6))
	switch b.kind {
	case atLeast:
		if s, ok := matching(r, sh.Pattern, 0, lo-1); ok {
			candidates = append(candidates, s)
		}
		candidates = append(candidates, strings.Repeat("a", lo-1))
	case atMost:
		if s, ok := matching(r, sh.Pattern, hi+1, hi+200); ok {
			candidates = append(candidates, s)
		}
		candidates = append(candidates, strings.Repeat("a", hi+1))
	default:
		for _, c := range []string{"!", "#", "{", "~", "a", "-", "/", " ", ":", "?", "é", "\n", "\x01"} {
			candidates = append(candidates, strings.Repeat(c, max(lo, 1)), strings.Repeat(c, min(hi, max(lo, 1)+3)))
		}
	}
	best, fewest := "", 1<<10
	for _, s := range candidates {
		s = own(s)
		broken := brokenBy(sh, s)
		if b.in.In == schema.InPath && s == "" || b.in.In == schema.InHeader && strings.ContainsAny(s, " \n\x01é") {
			continue // cannot stand there
		}
		if slices.Contains(broken, b.kind) && len(broken) < fewest {
			best, fewest, b.company = s, len(broken), len(broken) > 1
		}
	}
	if fewest == 1<<10 {
		b.skip = "no text of its length breaks it here"
		if b.in.In == schema.InPath && b.kind == atLeast {
			b.skip = "an empty label is another path"
		}
		return
	}
	v.SetString(best)
}

// brokenBy is what a text breaks, by the tables alone.
func brokenBy(sh *schema.Shape, s string) []string {
	var out []string
	lo, hi := lengths(sh)
	n := utf8.RuneCountInString(s)
	if n < lo {
		out = append(out, atLeast)
	}
	if n > hi {
		out = append(out, atMost)
	}
	if sh.Pattern != nil && !sh.Pattern.Match(s) {
		out = append(out, pattern)
	}
	if len(sh.Enum) > 0 && !slices.Contains(sh.Enum, s) {
		out = append(out, enum)
	}
	return out
}
