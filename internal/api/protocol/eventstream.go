package protocol

import (
	"bytes"
	"net/http"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// EventStreamType is the media type of a framed stream of events.
const EventStreamType = "application/vnd.amazon.eventstream"

// writeEvents frames each event of the sequence and flushes it at once. An
// error that the sequence yields becomes an exception event: by then the
// status has been sent.
func writeEvents(c Call, w http.ResponseWriter, status int, union *schema.Shape, seq reflect.Value) error {
	w.Header().Set("Content-Type", EventStreamType)
	w.WriteHeader(status)
	flush := http.NewResponseController(w)
	if err := flush.Flush(); err != nil {
		return err
	}
	if seq.IsNil() {
		return nil
	}
	enc := eventstream.NewEncoder()
	for event, failed := range seq.Seq2() {
		var msg eventstream.Message
		var err error
		if e, ok := failed.Interface().(error); ok && e != nil {
			msg, err = exceptionMessage(union, fault.From(e))
		} else {
			msg, err = eventMessage(c.Service, union, event.Elem())
		}
		if err != nil {
			return err
		}
		if err := enc.Encode(w, msg); err != nil {
			return err
		}
		if err := flush.Flush(); err != nil {
			return err
		}
		if !failed.IsNil() {
			return &ToldError{failed.Interface().(error)}
		}
	}
	return nil
}

// ToldError is what Encode returns when an event stream ended with an error
// that the client has been told as its last event: the answer is whole.
type ToldError struct{ cause error }

func (e *ToldError) Error() string { return "event stream ended: " + e.cause.Error() }

// Unwrap returns the error that the stream yielded.
func (e *ToldError) Unwrap() error { return e.cause }

// eventMessage frames the one member of the union that is set.
func eventMessage(svc *schema.Service, union *schema.Shape, v reflect.Value) (eventstream.Message, error) {
	for i := range union.Members {
		held, ok := schema.Present(v.Field(i))
		if !ok {
			continue
		}
		m := &union.Members[i]
		sh := svc.Shape(m.Shape)
		body, contentType, err := eventPayload(svc, sh, held)
		if err != nil {
			return eventstream.Message{}, err
		}
		msg := eventstream.Message{Payload: body}
		if sh.Status != 0 {
			msg.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(eventstreamapi.ExceptionMessageType))
			msg.Headers.Set(eventstreamapi.ExceptionTypeHeader, eventstream.StringValue(m.Wire))
		} else {
			msg.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(eventstreamapi.EventMessageType))
			msg.Headers.Set(eventstreamapi.EventTypeHeader, eventstream.StringValue(m.Wire))
		}
		msg.Headers.Set(eventstreamapi.ContentTypeHeader, eventstream.StringValue(contentType))
		return msg, nil
	}
	return eventstream.Message{}, fault.Internal(errEmptyEvent(union.Name))
}

type errEmptyEvent string

func (e errEmptyEvent) Error() string { return "encode event of " + string(e) + ": no member is set" }

// eventPayload is the JSON of an event, or the one member that is its payload.
func eventPayload(svc *schema.Service, sh *schema.Shape, v reflect.Value) (body []byte, contentType string, err error) {
	for i := range sh.Members {
		m := &sh.Members[i]
		if !m.EventPayload {
			continue
		}
		held, ok := schema.Present(v.Field(i))
		if !ok {
			return nil, "application/octet-stream", nil
		}
		switch svc.Shape(m.Shape).Kind {
		case schema.Blob:
			return held.Bytes(), "application/octet-stream", nil
		case schema.String:
			return []byte(held.String()), "text/plain", nil
		case schema.Structure:
			body, err = MarshalJSON(svc, m.Shape, held.Addr().Interface(), false)
			return body, "application/json", err
		}
	}
	var b bytes.Buffer
	e := newJSONEncoder(svc, &b)
	if err := e.structure(sh, v, false); err != nil {
		return nil, "", err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), "application/json", nil
}

// exceptionMessage frames a refusal under the name the union gives it, or as
// the stream's internal error.
func exceptionMessage(union *schema.Shape, f *fault.Error) (eventstream.Message, error) {
	name := f.Code
	for i := range union.Members {
		if m := &union.Members[i]; sameName(m.Wire, f.Code) {
			name = m.Wire
		}
	}
	var b bytes.Buffer
	e := newJSONEncoder(nil, &b)
	if err := e.message(f.Message); err != nil {
		return eventstream.Message{}, err
	}
	msg := eventstream.Message{Payload: bytes.TrimRight(b.Bytes(), "\n")}
	msg.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(eventstreamapi.ExceptionMessageType))
	msg.Headers.Set(eventstreamapi.ExceptionTypeHeader, eventstream.StringValue(name))
	msg.Headers.Set(eventstreamapi.ContentTypeHeader, eventstream.StringValue("application/json"))
	return msg, nil
}

// sameName compares a union's member (accessDeniedException) with an error's
// name (AccessDeniedException).
func sameName(member, code string) bool {
	return len(member) == len(code) && member[1:] == code[1:] && member[0]|0x20 == code[0]|0x20
}
