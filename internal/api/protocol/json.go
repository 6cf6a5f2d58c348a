package protocol

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// maxDepth bounds the nesting of a request's JSON.
const maxDepth = 128

// MarshalJSON writes v, a structure of the given shape, as the canonical JSON
// of the wire: members in the model's order, unset ones absent. Members bound
// to other places than the body are left out when bodyOnly is set.
func MarshalJSON(svc *schema.Service, shape int, v any, bodyOnly bool) ([]byte, error) {
	var b bytes.Buffer
	e := newJSONEncoder(svc, &b)
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	if err := e.structure(svc.Shape(shape), rv, bodyOnly); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// UnmarshalJSON reads what MarshalJSON wrote into v, a pointer to a structure
// of the given shape. Unknown members are ignored. Errors are fault.Errors.
func UnmarshalJSON(svc *schema.Service, shape int, body []byte, v any) error {
	return decodeJSON(svc, svc.Shape(shape), body, reflect.ValueOf(v).Elem(), false)
}

func decodeJSON(svc *schema.Service, sh *schema.Shape, body []byte, v reflect.Value, bodyOnly bool) error {
	d := jsonDecoder{svc: svc, dec: jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))}
	if err := d.structure(sh, v, "", bodyOnly, 0); err != nil {
		return syntaxError(err)
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return fault.Malformed("The request body has data after its JSON value")
	}
	return nil
}

// syntaxError turns the tokeniser's errors into a refusal.
func syntaxError(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fault.Malformed("The request body is not valid JSON at byte %d", syntax.ByteOffset).Because(err)
	}
	return fault.Malformed("The request body is not valid JSON").Because(err)
}

type jsonDecoder struct {
	svc *schema.Service
	dec *jsontext.Decoder
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
	case '[':
		return "a list"
	}
	return "the end of the body"
}

// expect reads the next token, which must be of kind k.
func (d *jsonDecoder) expect(k jsontext.Kind, want, path string) (jsontext.Token, error) {
	if got := d.dec.PeekKind(); got != k {
		if got == 0 {
			_, err := d.dec.ReadToken() // the tokeniser's own error says where
			return jsontext.Token{}, err
		}
		return jsontext.Token{}, mismatch(path, want, kindName(got))
	}
	return d.dec.ReadToken()
}

func (d *jsonDecoder) structure(sh *schema.Shape, v reflect.Value, path string, bodyOnly bool, depth int) error {
	if depth > maxDepth {
		return fault.Malformed("Value at '%s' is nested more than %d deep", path, maxDepth)
	}
	if _, err := d.expect('{', "an object", path); err != nil {
		return err
	}
	for d.dec.PeekKind() == '"' {
		token, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		i := slices.IndexFunc(sh.Members, func(m schema.Member) bool {
			return m.Wire == name && !(bodyOnly && m.In != schema.InBody)
		})
		if i < 0 || d.dec.PeekKind() == 'n' {
			if err := d.dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		m := &sh.Members[i]
		if err := d.value(m, d.svc.Shape(m.Shape), v.Field(i), child(path, m.Name), depth+1); err != nil {
			return err
		}
	}
	_, err := d.expect('}', "an object", path)
	return err
}

// value reads one value of any shape. m is nil inside lists and maps.
func (d *jsonDecoder) value(m *schema.Member, sh *schema.Shape, field reflect.Value, path string, depth int) error {
	switch sh.Kind {
	case schema.Structure:
		return d.structure(sh, target(field), path, false, depth)
	case schema.List:
		return d.list(sh, field, path, depth)
	case schema.Map:
		return d.mapping(sh, field, path, depth)
	case schema.Document:
		raw, err := d.dec.ReadValue()
		if err != nil {
			return err
		}
		field.SetBytes(bytes.Clone(raw))
		return nil
	}
	return d.scalar(m, sh, target(field), path)
}

func (d *jsonDecoder) list(sh *schema.Shape, field reflect.Value, path string, depth int) error {
	if _, err := d.expect('[', "a list", path); err != nil {
		return err
	}
	elem := d.svc.Shape(sh.Elem)
	out := reflect.MakeSlice(field.Type(), 0, 0)
	for i := 0; d.dec.PeekKind() != ']'; i++ {
		if d.dec.PeekKind() == 'n' {
			return mismatch(item(path, i), "a value", "null")
		}
		v := reflect.New(field.Type().Elem()).Elem()
		if err := d.value(nil, elem, v, item(path, i), depth+1); err != nil {
			return err
		}
		out = reflect.Append(out, v)
	}
	field.Set(out)
	_, err := d.dec.ReadToken()
	return err
}

func (d *jsonDecoder) mapping(sh *schema.Shape, field reflect.Value, path string, depth int) error {
	if _, err := d.expect('{', "an object", path); err != nil {
		return err
	}
	elem := d.svc.Shape(sh.Elem)
	out := reflect.MakeMap(field.Type())
	for d.dec.PeekKind() == '"' {
		token, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		key := token.String()
		if d.dec.PeekKind() == 'n' {
			return mismatch(child(path, key), "a value", "null")
		}
		v := reflect.New(field.Type().Elem()).Elem()
		if err := d.value(nil, elem, v, child(path, key), depth+1); err != nil {
			return err
		}
		out.SetMapIndex(reflect.ValueOf(key), v)
	}
	field.Set(out)
	_, err := d.expect('}', "an object", path)
	return err
}

func (d *jsonDecoder) scalar(m *schema.Member, sh *schema.Shape, v reflect.Value, path string) error {
	switch sh.Kind {
	case schema.String, schema.Blob:
		t, err := d.expect('"', "a string", path)
		if err != nil {
			return err
		}
		return parseScalar(sh, 0, t.String(), path, v)
	case schema.Boolean:
		if k := d.dec.PeekKind(); k != 't' && k != 'f' {
			_, err := d.expect('t', "true or false", path)
			return err
		}
		t, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		v.SetBool(t.Bool())
		return nil
	case schema.Timestamp, schema.Float, schema.Double:
		if d.dec.PeekKind() == '"' { // ISO-8601, or a name such as "NaN"
			t, err := d.dec.ReadToken()
			if err != nil {
				return err
			}
			return parseScalar(sh, timeFormat(m, sh, schema.EpochSeconds), t.String(), path, v)
		}
	}
	t, err := d.expect('0', "a number", path)
	if err != nil {
		return err
	}
	text := t.String()
	if (sh.Kind == schema.Integer || sh.Kind == schema.Long) && strings.ContainsAny(text, ".eE") {
		// 3.0 and 3e0 are whole numbers to JSON; strconv's ParseInt has another view.
		f, err := strconv.ParseFloat(text, 64)
		if err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return parseScalar(sh, 0, strconv.FormatInt(int64(f), 10), path, v)
		}
	}
	return parseScalar(sh, schema.EpochSeconds, text, path, v)
}

type jsonEncoder struct {
	svc *schema.Service
	enc *jsontext.Encoder
}

func newJSONEncoder(svc *schema.Service, b *bytes.Buffer) jsonEncoder {
	return jsonEncoder{svc: svc, enc: jsontext.NewEncoder(b, jsontext.AllowInvalidUTF8(true))}
}

// message writes {"message": text}.
func (e *jsonEncoder) message(text string) error {
	for _, t := range []jsontext.Token{jsontext.BeginObject, jsontext.String("message"), jsontext.String(text), jsontext.EndObject} {
		if err := e.enc.WriteToken(t); err != nil {
			return err
		}
	}
	return nil
}

func (e *jsonEncoder) structure(sh *schema.Shape, v reflect.Value, bodyOnly bool) error {
	if err := e.enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for i := range sh.Members {
		m := &sh.Members[i]
		if bodyOnly && m.In != schema.InBody {
			continue
		}
		held, ok := present(v.Field(i))
		if !ok || m.Streaming {
			continue
		}
		if err := e.enc.WriteToken(jsontext.String(m.Wire)); err != nil {
			return err
		}
		if err := e.value(m, e.svc.Shape(m.Shape), held); err != nil {
			return err
		}
	}
	return e.enc.WriteToken(jsontext.EndObject)
}

func (e *jsonEncoder) value(m *schema.Member, sh *schema.Shape, v reflect.Value) error {
	switch sh.Kind {
	case schema.Structure:
		return e.structure(sh, v, false)
	case schema.Document:
		return e.enc.WriteValue(jsontext.Value(v.Bytes()))
	case schema.List:
		if err := e.enc.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		elem := e.svc.Shape(sh.Elem)
		for i := range v.Len() {
			if err := e.value(nil, elem, v.Index(i)); err != nil {
				return err
			}
		}
		return e.enc.WriteToken(jsontext.EndArray)
	case schema.Map:
		return e.mapping(sh, v)
	case schema.Boolean:
		return e.enc.WriteToken(jsontext.Bool(v.Bool()))
	case schema.Integer, schema.Long:
		return e.enc.WriteToken(jsontext.Int(v.Int()))
	case schema.Float, schema.Double:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return e.enc.WriteToken(jsontext.String(formatFloat(f, 64)))
		}
		return e.enc.WriteValue(jsontext.Value(formatFloat(v.Float(), v.Type().Bits())))
	case schema.Timestamp:
		format := timeFormat(m, sh, schema.EpochSeconds)
		text := formatTime(v.Interface().(time.Time), format)
		if format == schema.EpochSeconds {
			return e.enc.WriteValue(jsontext.Value(text))
		}
		return e.enc.WriteToken(jsontext.String(text))
	case schema.Blob:
		return e.enc.WriteToken(jsontext.String(base64.StdEncoding.EncodeToString(v.Bytes())))
	}
	return e.enc.WriteToken(jsontext.String(v.String()))
}

func (e *jsonEncoder) mapping(sh *schema.Shape, v reflect.Value) error {
	if err := e.enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	elem := e.svc.Shape(sh.Elem)
	for _, k := range keys {
		if err := e.enc.WriteToken(jsontext.String(k.String())); err != nil {
			return err
		}
		if err := e.value(nil, elem, v.MapIndex(k)); err != nil {
			return err
		}
	}
	return e.enc.WriteToken(jsontext.EndObject)
}
