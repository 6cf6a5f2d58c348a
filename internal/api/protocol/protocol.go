// Package protocol reads requests and writes answers in the AWS protocols:
// REST-JSON, REST-XML, query and JSON 1.1, with their event streams.
//
// It is driven by the generated tables of package schema and works on the
// generated types by reflection. It checks the form of a request (that a number
// is a number), not its constraints; that is package validation.
package protocol

import (
	"io"
	"net/http"
	"reflect"
	"sync"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// MaxBody bounds a body that is held in memory, in bytes. Streaming payloads
// are not held and have bounds of their own.
const MaxBody = 16 << 20

// CopyBuffer is how much of a streamed answer is copied at once, in bytes.
const CopyBuffer = 32 << 10

// Codec reads and writes one protocol.
type Codec interface {
	// Decode fills in, a pointer to the operation's input type, from a request
	// whose path labels the router has found. Its errors are fault.Errors.
	Decode(c Call, r *http.Request, labels []Label, in any) error
	// Encode writes a successful answer; out is a pointer to the output type.
	// Once it has begun to write the body an error can only be logged; a
	// *ToldError needs no more than that.
	Encode(c Call, w http.ResponseWriter, out any) error
	// EncodeError writes a refusal.
	EncodeError(c Call, w http.ResponseWriter, e *fault.Error) error
}

// Label is a part of the path that a member is bound to, decoded.
type Label struct{ Name, Value string }

// Call is what a codec must know of the call besides the request.
type Call struct {
	Service *schema.Service
	// Operation is nil when the request was refused before it was routed.
	Operation *schema.Operation
	// Former is set where the request came by a route of an older model.
	Former    bool
	RequestID string
	// Head is set for HEAD requests, whose answers have no body.
	Head bool
	// Buffers holds *[CopyBuffer]byte for streamed answers; nil makes new ones.
	Buffers *sync.Pool
}

// For returns the codec of a protocol.
func For(p schema.Protocol) Codec {
	switch p {
	case schema.RestXML:
		return restXML{}
	case schema.Query:
		return query{}
	case schema.JSON11:
		return json11{}
	}
	return restJSON{}
}

// input returns the input shape and the settable structure behind in.
func (c Call) input(in any) (*schema.Shape, reflect.Value) {
	if c.Operation.Input < 0 {
		return &schema.Shape{Kind: schema.Structure}, reflect.ValueOf(in).Elem()
	}
	return c.Service.Shape(c.Operation.Input), reflect.ValueOf(in).Elem()
}

// output returns the output shape and the structure behind out.
func (c Call) output(out any) (*schema.Shape, reflect.Value) {
	v := reflect.ValueOf(out)
	if c.Operation.Output < 0 || v.IsNil() {
		return &schema.Shape{Kind: schema.Structure}, reflect.Value{}
	}
	return c.Service.Shape(c.Operation.Output), v.Elem()
}

// BodyLimit bounds a body of an operation that is held in memory, in bytes.
func BodyLimit(op *schema.Operation) int64 {
	if op != nil && op.MaxBody > 0 {
		return op.MaxBody
	}
	return MaxBody
}

// readBody reads a body that must fit into memory.
func readBody(c Call, r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	limit := BodyLimit(c.Operation)
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, bodyError(err)
	}
	if int64(len(body)) > limit {
		return nil, fault.New("RequestEntityTooLargeException", http.StatusRequestEntityTooLarge,
			"The request body is larger than %d bytes", limit)
	}
	return body, nil
}

// bodyError keeps a refusal that the body's own reader makes (a bad chunk
// signature) and calls everything else a broken request.
func bodyError(err error) error {
	if f := fault.From(err); f.Status != http.StatusInternalServerError {
		return f
	}
	return fault.Malformed("The request body could not be read").Because(err)
}

// set stores a scalar or aggregate value into a field, which is a pointer for
// scalars of a structure and the plain type inside lists and maps.
func set(field reflect.Value, value reflect.Value) {
	if field.Kind() == reflect.Pointer {
		p := reflect.New(field.Type().Elem())
		p.Elem().Set(value)
		field.Set(p)
		return
	}
	field.Set(value)
}

// target returns the value to fill behind a field: what its pointer will point
// at, or the field itself.
func target(field reflect.Value) reflect.Value {
	if field.Kind() == reflect.Pointer {
		if field.IsNil() {
			field.Set(reflect.New(field.Type().Elem()))
		}
		return field.Elem()
	}
	return field
}

// mismatch says that a value has the wrong type.
func mismatch(path, want, got string) error {
	if path == "" {
		path = "the request body"
	} else {
		path = "'" + fault.Clip(path, 256) + "'"
	}
	return fault.Malformed("Value at %s cannot be parsed: expected %s, found %s", path, want, got)
}
