package pipeline

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/api/schema"
)

// valuegen makes valid values of shapes.
type valuegen struct {
	svc  *schema.Service
	rand *rand.Rand
	// all sets every member that does not lead into a circle, not only those
	// that are required.
	all bool
	// open are the structures under construction.
	open map[*schema.Shape]bool
}

func newValuegen(svc *schema.Service) *valuegen {
	return &valuegen{svc: svc, rand: rand.New(rand.NewPCG(3, 4)), open: map[*schema.Shape]bool{}}
}

// fill sets v, which holds the plain type of the shape, to a valid value. It
// reports false where that would never end.
func (g *valuegen) fill(v reflect.Value, sh *schema.Shape) bool {
	switch sh.Kind {
	case schema.Structure:
		return g.structure(v, sh)
	case schema.List:
		lo, _ := lengths(sh)
		return g.list(v, sh, max(lo, 1))
	case schema.Map:
		lo, _ := lengths(sh)
		return g.mapping(v, sh, max(lo, 1))
	case schema.String:
		v.SetString(g.text(sh))
	case schema.Blob:
		lo, _ := lengths(sh)
		v.SetBytes(bytes.Repeat([]byte{'b'}, lo))
	case schema.Boolean:
		v.SetBool(true)
	case schema.Integer, schema.Long:
		v.SetInt(int64(number(sh)))
	case schema.Float, schema.Double:
		v.SetFloat(number(sh))
	case schema.Timestamp:
		v.Set(reflect.ValueOf(testTime))
	case schema.Document:
		v.SetBytes([]byte(`{"any":["value",1]}`))
	}
	return true
}

func number(sh *schema.Shape) float64 {
	switch b := sh.Bounds; {
	case b == nil:
		return 1
	case b.Has&schema.HasMin != 0:
		return b.Min
	default:
		return min(1, b.Max)
	}
}

func (g *valuegen) text(sh *schema.Shape) string {
	for _, e := range sh.Enum {
		if refusedValue(sh, e) == "" {
			return e
		}
	}
	lo, hi := lengths(sh)
	s, ok := matching(g.rand, sh.Pattern, lo, hi)
	if !ok {
		panic(fmt.Sprintf("no text for %s", sh.Name))
	}
	return own(s)
}

// own makes the ARN of another account one of the caller's, so that nobody is
// refused before the value is looked at.
func own(s string) string {
	if !strings.HasPrefix(s, "arn:") {
		return s
	}
	s = accountField.ReplaceAllString(s, ":"+testAccount+":")
	if part := strings.SplitN(s, ":", 6); len(part) == 6 && part[4] != "" && part[4] != "aws" {
		part[4] = testAccount // where any word may stand
		s = strings.Join(part, ":")
	}
	return s
}

var accountField = regexp.MustCompile(`:[0-9]{12}:`)

func refusedValue(sh *schema.Shape, value string) string {
	for _, r := range sh.RefusedValues {
		if r.Value == value {
			return r.Reason
		}
	}
	return ""
}

func (g *valuegen) structure(v reflect.Value, sh *schema.Shape) bool {
	if g.open[sh] {
		return false
	}
	g.open[sh] = true
	defer delete(g.open, sh)
	for i := range sh.Members {
		m := &sh.Members[i]
		switch {
		case sh.Union:
			if m.Refused == "" && g.member(v, sh, i) {
				return true
			}
			v.Field(i).SetZero()
		case m.Required:
			if !g.member(v, sh, i) {
				return false
			}
		case g.all && m.Refused == "":
			if !g.member(v, sh, i) {
				v.Field(i).SetZero()
			}
		}
	}
	return !sh.Union
}

// member sets member i of a structure.
func (g *valuegen) member(v reflect.Value, sh *schema.Shape, i int) bool {
	m, field := &sh.Members[i], v.Field(i)
	if m.Streaming {
		field.Set(reflect.ValueOf(io.NopCloser(bytes.NewReader([]byte("streamed")))))
		return true
	}
	return g.fill(plain(field), g.svc.Shape(m.Shape))
}

// plain is what a field holds, or what its pointer points at.
func plain(field reflect.Value) reflect.Value {
	if field.Kind() != reflect.Pointer {
		return field
	}
	if field.IsNil() {
		field.Set(reflect.New(field.Type().Elem()))
	}
	return field.Elem()
}

func (g *valuegen) list(v reflect.Value, sh *schema.Shape, n int) bool {
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		if !g.fill(v.Index(i), g.svc.Shape(sh.Elem)) {
			return false
		}
	}
	return true
}

func (g *valuegen) mapping(v reflect.Value, sh *schema.Shape, n int) bool {
	v.Set(reflect.MakeMapWithSize(v.Type(), n))
	key, elem := g.svc.Shape(sh.Key), g.svc.Shape(sh.Elem)
	for tries := 0; v.Len() < n && tries < 100*n; tries++ {
		e := reflect.New(v.Type().Elem()).Elem()
		if !g.fill(e, elem) {
			return false
		}
		v.SetMapIndex(reflect.ValueOf(g.key(key, tries)), e)
	}
	return v.Len() == n
}

// key is a valid key of a map, another one at each call as far as there are any.
func (g *valuegen) key(sh *schema.Shape, i int) string {
	if len(sh.Enum) > 0 {
		return sh.Enum[i%len(sh.Enum)]
	}
	lo, hi := lengths(sh)
	if sh.Pattern == nil {
		s := fmt.Sprintf("k%d", i)
		for utf8.RuneCountInString(s) < lo {
			s += "k"
		}
		return s
	}
	if i == 0 {
		return g.text(sh)
	}
	s, _ := another(g.rand, sh.Pattern, min(hi, lo+3), min(hi, lo+12))
	return s
}

// TestMinimalInputs sends the least valid input of every operation: nothing
// may be wrong with it.
func TestMinimalInputs(t *testing.T) {
	k := newKit(t)
	served, refused := 0, 0
	for _, svc := range allServices() {
		if svc.Protocol != schema.RestJSON {
			continue
		}
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.NewInput == nil {
				continue // refused, and its input is not described
			}
			in := op.NewInput()
			if !newValuegen(svc).fill(reflect.ValueOf(in).Elem(), svc.Shape(op.Input)) {
				t.Errorf("%s has no finite input", op.Name)
				continue
			}
			w := k.do(signWire(t, svc, writeRequest(t, svc, op, in)))
			body := w.Body.String()
			switch {
			case w.Header().Get("X-Amzn-Requestid") == "":
				t.Errorf("%s: no request id", op.Name)
			case op.Refused != "" && w.Code == 400 && w.Header().Get("X-Outcrop-Refused") == op.Name:
				refused++
			case op.Refused == "" && w.Code == op.Status:
				served++
			default:
				t.Errorf("%s: %d %s", op.Name, w.Code, body)
			}
		}
	}
	t.Logf("%d served, %d refused by name", served, refused)
}
