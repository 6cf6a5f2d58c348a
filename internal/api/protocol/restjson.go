package protocol

import (
	"bytes"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// restJSON is the protocol of AgentCore itself.
type restJSON struct{}

func (restJSON) Decode(c Call, r *http.Request, labels []Label, in any) error {
	sh, v := c.input(in)
	if err := bind(c, r, labels, sh, v); err != nil {
		return err
	}
	if done, err := bindPayload(c, r, sh, v); done || err != nil {
		return err
	}
	body, err := readBody(c, r)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	m := sh.PayloadMember()
	if m == nil && !hasBody(sh) {
		return nil // clients may send "{}" where nothing is expected
	}
	if err := checkContentType(sh, r); err != nil {
		return err
	}
	if m != nil {
		return decodePayload(c, m, body, v.Field(sh.Payload-1))
	}
	return decodeJSON(c.Service, sh, body, v, true)
}

func decodePayload(c Call, m *schema.Member, body []byte, field reflect.Value) error {
	sh := c.Service.Shape(m.Shape)
	if sh.Kind == schema.Document {
		if !jsontext.Value(body).IsValid() {
			return fault.Malformed("The request body is not valid JSON")
		}
		field.SetBytes(body)
		return nil
	}
	return decodeJSON(c.Service, sh, body, target(field), false)
}

func hasBody(sh *schema.Shape) bool {
	for i := range sh.Members {
		if sh.Members[i].In == schema.InBody {
			return true
		}
	}
	return false
}

// checkContentType refuses a body that says it is something else than JSON.
// No content type at all is accepted, as AWS does, and any where the type is a
// member of the input.
func checkContentType(sh *schema.Shape, r *http.Request) error {
	for i := range sh.Members {
		if m := &sh.Members[i]; m.In == schema.InHeader && strings.EqualFold(m.Wire, "Content-Type") {
			return nil
		}
	}
	ct := r.Header.Get("Content-Type")
	media, _, _ := strings.Cut(ct, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media == "" || media == "application/json" || strings.HasPrefix(media, "application/x-amz-json-") || strings.HasSuffix(media, "+json") {
		return nil
	}
	return fault.New("UnsupportedMediaTypeException", http.StatusUnsupportedMediaType,
		"Content-Type '%s' is not supported here; send application/json", clip(ct))
}

func (restJSON) Encode(c Call, w http.ResponseWriter, out any) error {
	sh, v := c.output(out)
	status := writeHeaders(c, w.Header(), sh, v)
	if done, err := writePayload(c, w, status, sh, v); done {
		return err
	}
	if status == http.StatusNoContent || (!hasBody(sh) && sh.Payload == 0) {
		w.WriteHeader(status)
		return nil
	}
	var b bytes.Buffer
	e := newJSONEncoder(c.Service, &b)
	if m := sh.PayloadMember(); m != nil {
		if held, ok := schema.Present(v.Field(sh.Payload - 1)); ok {
			if err := e.value(m, c.Service.Shape(m.Shape), held); err != nil {
				return err
			}
		}
	} else if err := e.structure(sh, v, true); err != nil {
		return err
	}
	return writeBody(c, w, status, "application/json", bytes.TrimRight(b.Bytes(), "\n"))
}

// writeBody writes a whole body with its length.
func writeBody(c Call, w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", contentType)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if c.Head {
		return nil
	}
	_, err := w.Write(body)
	return err
}

func (restJSON) EncodeError(c Call, w http.ResponseWriter, f *fault.Error) error {
	if f.Body != nil {
		setErrorHeaders(c, w.Header(), f)
		return writeBody(c, w, f.Status, "application/json", f.Body)
	}
	return writeJSONError(c, w, f, "application/json")
}

func writeJSONError(c Call, w http.ResponseWriter, f *fault.Error, contentType string) error {
	var b bytes.Buffer
	e := jsontext.NewEncoder(&b, jsontext.AllowInvalidUTF8(true))
	member := func(name, value string) error {
		if err := e.WriteToken(jsontext.String(name)); err != nil {
			return err
		}
		return e.WriteToken(jsontext.String(value))
	}
	err := e.WriteToken(jsontext.BeginObject)
	for _, kv := range [][2]string{{"__type", f.Code}, {"message", f.Message}, {"reason", f.Reason}} {
		if kv[1] != "" && err == nil {
			err = member(kv[0], kv[1])
		}
	}
	for _, name := range sortedNames(f.Members) {
		if err == nil {
			err = member(name, f.Members[name])
		}
	}
	if err == nil && len(f.Fields) > 0 {
		err = writeFields(e, f.Fields, member)
	}
	if err == nil {
		err = e.WriteToken(jsontext.EndObject)
	}
	if err != nil {
		return err
	}
	setErrorHeaders(c, w.Header(), f)
	return writeBody(c, w, f.Status, contentType, bytes.TrimRight(b.Bytes(), "\n"))
}

func writeFields(e *jsontext.Encoder, fields []fault.Field, member func(name, value string) error) error {
	if err := e.WriteToken(jsontext.String("fieldList")); err != nil {
		return err
	}
	if err := e.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, f := range fields {
		if err := e.WriteToken(jsontext.BeginObject); err != nil {
			return err
		}
		if err := member("name", f.Name); err != nil {
			return err
		}
		if err := member("message", f.Message); err != nil {
			return err
		}
		if err := e.WriteToken(jsontext.EndObject); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndArray)
}

// setErrorHeaders clears what a half-prepared answer may have set and writes
// the headers that SDKs read before the body.
func setErrorHeaders(c Call, h http.Header, f *fault.Error) {
	h.Del("Content-Type")
	h.Del("Content-Length")
	for name, values := range f.Header {
		h[name] = values
	}
	if c.Service == nil || c.Service.Protocol == schema.RestJSON {
		h.Set("X-Amzn-Errortype", f.Code)
	}
}
