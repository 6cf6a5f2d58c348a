package protocol

import (
	"bytes"
	"errors"
	"io"
	"reflect"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// The bounds of what a request may make us build. They are far above what any
// operation needs, and keep a small body from becoming a large structure.
const (
	// maxDepth bounds the nesting of a request's structures.
	maxDepth = 128
	// maxValues bounds the list members and map entries of one request, or the
	// elements of its XML (S3's largest, a CompleteMultipartUpload of 10,000
	// parts with checksums, has some 80,000).
	maxValues = 1 << 17
)

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
	d := jsonDecoder{svc: svc, dec: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))}
	if err := d.structure(sh, v, bodyOnly, 0); err != nil {
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
