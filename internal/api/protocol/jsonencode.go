package protocol

import (
	"bytes"
	"encoding/base64"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/api/schema"
)

// jsonEncoder writes values of any shape. Members come in the model's order and
// map entries in the order of their keys, so that equal values give equal bytes.
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
		held, ok := schema.Present(v.Field(i))
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
