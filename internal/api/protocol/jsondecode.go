package protocol

import (
	"bytes"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// jsonDecoder reads one body. Where a name is repeated the last value counts,
// whole; null is the same as absent.
type jsonDecoder struct {
	svc *schema.Service
	dec *jsontext.Decoder
	// path is where the decoder is, for the text of an error.
	path memberPath
	// values counts list members and map entries against maxValues.
	values int
}

// kindName says what a JSON value is, for an error text.
func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	}
	return "a list"
}

// expect reads the next token, which must be of kind k.
func (d *jsonDecoder) expect(k jsontext.Kind, want string) (jsontext.Token, error) {
	switch got := d.dec.PeekKind(); got {
	case k, 0, '}', ']': // the tokeniser's own error says where
		return d.dec.ReadToken()
	default:
		return jsontext.Token{}, mismatch(d.path.String(), want, kindName(got))
	}
}

func (d *jsonDecoder) structure(sh *schema.Shape, v reflect.Value, bodyOnly bool, depth int) error {
	if depth > maxDepth {
		return fault.Malformed("Value at '%s' is nested more than %d deep", clip(d.path.String()), maxDepth)
	}
	if _, err := d.expect('{', "an object"); err != nil {
		return err
	}
	next, known, unknown := 0, false, ""
	for d.dec.PeekKind() == '"' {
		raw, err := d.dec.ReadValue()
		if err != nil {
			return err
		}
		i, err := findMember(sh, raw, bodyOnly, next)
		if err != nil {
			return err
		}
		if i < 0 {
			if sh.Union && d.dec.PeekKind() != 'n' {
				unknown = string(raw)
			}
			if err := d.dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		next = i + 1
		m, field := &sh.Members[i], v.Field(i)
		field.SetZero()
		if d.dec.PeekKind() == 'n' {
			if err := d.dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		known = true
		mark := d.path.push(m.Name)
		if err := d.value(m, d.svc.Shape(m.Shape), field, depth+1); err != nil {
			return err
		}
		d.path.pop(mark)
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	if unknown != "" && !known && d.svc.Protocol == schema.RestJSON {
		return unknownChoice(d.path.String(), sh, unknown)
	}
	return nil
}

// unknownChoice refuses a union of which nothing that we know is set, and tells what is.
func unknownChoice(path string, sh *schema.Shape, quoted string) error {
	names := make([]string, len(sh.Members))
	for i := range sh.Members {
		names[i] = sh.Members[i].Wire
	}
	if path == "" {
		path = sh.Name
	}
	return fault.Invalid(path, "1 validation error detected: Value with the unknown member %s at '%s' failed to satisfy constraint: Exactly one member of the union must be set: %s",
		clip(quoted), fault.Clip(path, 256), strings.Join(names, ", "))
}

// findMember returns the member that a quoted name stands for, or -1. It looks
// from the member after the last one found: most clients write them in order.
func findMember(sh *schema.Shape, quoted []byte, bodyOnly bool, from int) (int, error) {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var err error
		if name, err = jsontext.AppendUnquote(nil, quoted); err != nil {
			return -1, err
		}
	}
	for k := range sh.Members {
		i := k + from
		if i >= len(sh.Members) {
			i -= len(sh.Members)
		}
		if m := &sh.Members[i]; m.Wire == string(name) && !(bodyOnly && m.In != schema.InBody) {
			return i, nil
		}
	}
	return -1, nil
}

// value reads one value of any shape. m is nil inside lists and maps.
func (d *jsonDecoder) value(m *schema.Member, sh *schema.Shape, field reflect.Value, depth int) error {
	switch sh.Kind {
	case schema.Structure:
		return d.structure(sh, target(field), false, depth)
	case schema.List:
		return d.list(sh, field, depth)
	case schema.Map:
		return d.mapping(sh, field, depth)
	case schema.Document:
		raw, err := d.dec.ReadValue()
		if err != nil {
			return err
		}
		field.SetBytes(bytes.Clone(raw))
		return nil
	}
	return d.scalar(m, sh, target(field))
}

// count keeps a small body from becoming a large structure.
func (d *jsonDecoder) count() error {
	if d.values++; d.values > maxValues {
		return fault.Malformed("The request body has more than %d list members and map entries", maxValues)
	}
	return nil
}

func (d *jsonDecoder) list(sh *schema.Shape, field reflect.Value, depth int) error {
	if _, err := d.expect('[', "a list"); err != nil {
		return err
	}
	elem := d.svc.Shape(sh.Elem)
	field.Set(reflect.MakeSlice(field.Type(), 0, 0))
	for i := 0; d.dec.PeekKind() != ']'; i++ {
		if err := d.count(); err != nil {
			return err
		}
		mark := d.path.pushItem(i)
		if d.dec.PeekKind() == 'n' {
			return mismatch(d.path.String(), "a value", "null")
		}
		if i == field.Cap() {
			field.Grow(1)
		}
		field.SetLen(i + 1)
		if err := d.value(nil, elem, field.Index(i), depth+1); err != nil {
			return err
		}
		d.path.pop(mark)
	}
	_, err := d.dec.ReadToken()
	return err
}

func (d *jsonDecoder) mapping(sh *schema.Shape, field reflect.Value, depth int) error {
	if _, err := d.expect('{', "an object"); err != nil {
		return err
	}
	elem := d.svc.Shape(sh.Elem)
	out := reflect.MakeMap(field.Type())
	for d.dec.PeekKind() == '"' {
		if err := d.count(); err != nil {
			return err
		}
		token, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		key := token.String()
		mark := d.path.push(key)
		if d.dec.PeekKind() == 'n' {
			if d.svc.Protocol == schema.JSON11 {
				// There null is no entry: amazon-cognito-identity-js sends "DEVICE_KEY": null.
				d.path.pop(mark)
				if err := d.dec.SkipValue(); err != nil {
					return err
				}
				continue
			}
			return mismatch(d.path.String(), "a value", "null")
		}
		v := reflect.New(field.Type().Elem()).Elem()
		if err := d.value(nil, elem, v, depth+1); err != nil {
			return err
		}
		d.path.pop(mark)
		out.SetMapIndex(reflect.ValueOf(key), v)
	}
	field.Set(out)
	_, err := d.dec.ReadToken()
	return err
}

func (d *jsonDecoder) scalar(m *schema.Member, sh *schema.Shape, v reflect.Value) error {
	want := jsontext.Kind('0')
	switch sh.Kind {
	case schema.String, schema.Blob:
		want = '"'
	case schema.Boolean:
		if k := d.dec.PeekKind(); k == 't' || k == 'f' {
			t, err := d.dec.ReadToken()
			v.SetBool(err == nil && t.Bool())
			return err
		}
		_, err := d.expect('t', "true or false")
		return err
	case schema.Timestamp, schema.Float, schema.Double:
		if d.dec.PeekKind() == '"' { // ISO-8601, or a name such as "NaN"
			want = '"'
		}
	}
	wanted := "a number"
	if want == '"' {
		wanted = "a string"
	}
	t, err := d.expect(want, wanted)
	if err != nil {
		return err
	}
	text := t.String()
	if sh.Kind == schema.String {
		v.SetString(text)
		return nil
	}
	if (sh.Kind == schema.Integer || sh.Kind == schema.Long) && strings.ContainsAny(text, ".eE") {
		// 3.0 and 3e0 are whole numbers to JSON; strconv's ParseInt has another view.
		f, err := strconv.ParseFloat(text, 64)
		if err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			text = strconv.FormatInt(int64(f), 10)
		}
	}
	return parseScalar(sh, timeFormat(m, sh, schema.EpochSeconds), text, &d.path, v)
}
