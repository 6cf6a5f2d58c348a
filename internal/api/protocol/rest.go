package protocol

import (
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"strings"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// bind fills the members that travel outside the body: path labels, query
// parameters and headers. REST-JSON and REST-XML share it.
func bind(c Call, r *http.Request, labels []Label, sh *schema.Shape, v reflect.Value) error {
	b := binder{svc: c.Service}
	if r.URL.RawQuery != "" {
		var err error
		if b.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return fault.Malformed("The query string is not well formed").Because(err)
		}
	}
	for i := range sh.Members {
		m := &sh.Members[i]
		var values []string
		switch m.In {
		case schema.InPath:
			for _, l := range labels {
				if l.Name == m.Wire {
					values = []string{l.Value}
				}
			}
		case schema.InQuery:
			values = b.query[m.Wire]
		case schema.InHeader:
			values = r.Header[m.Wire]
		case schema.InHeaders:
			bindPrefixed(m, r.Header, v.Field(i))
		case schema.InBody:
			if c.Former && scalar(c.Service.Shape(m.Shape).Kind) {
				values = b.query[m.Wire]
			}
		}
		if len(values) == 0 {
			continue
		}
		if err := b.member(m, values, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// binder reads members from text that stands outside the body.
type binder struct {
	svc   *schema.Service
	query url.Values
	path  memberPath
}

func (b *binder) member(m *schema.Member, values []string, field reflect.Value) error {
	mark := b.path.push(m.Name)
	defer b.path.pop(mark)
	sh := b.svc.Shape(m.Shape)
	fallback := schema.ISO8601
	if m.In == schema.InHeader {
		fallback = schema.HTTPDate
	}
	if sh.Kind != schema.List {
		return parseScalar(sh, timeFormat(m, sh, fallback), values[0], &b.path, target(field))
	}
	if m.In == schema.InHeader {
		values = splitHeader(values)
	}
	return b.list(sh, values, field)
}

// splitHeader splits a list's header values at their commas.
func splitHeader(values []string) []string {
	var items []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			items = append(items, strings.TrimSpace(part))
		}
	}
	return items
}

func (b *binder) list(sh *schema.Shape, values []string, field reflect.Value) error {
	if len(values) > maxValues {
		return fault.Malformed("Value at '%s' has more than %d members", b.path.String(), maxValues)
	}
	elem := b.svc.Shape(sh.Elem)
	out := reflect.MakeSlice(field.Type(), len(values), len(values))
	for i, text := range values {
		mark := b.path.pushItem(i)
		if err := parseScalar(elem, timeFormat(nil, elem, schema.ISO8601), text, &b.path, out.Index(i)); err != nil {
			return err
		}
		b.path.pop(mark)
	}
	field.Set(out)
	return nil
}

func bindPrefixed(m *schema.Member, h http.Header, field reflect.Value) {
	prefix := textproto.CanonicalMIMEHeaderKey(m.Wire)
	var out map[string]string
	for name, values := range h {
		if tail, ok := strings.CutPrefix(name, prefix); ok && len(values) > 0 {
			if out == nil {
				out = map[string]string{}
			}
			out[strings.ToLower(tail)] = strings.Join(values, ",")
		}
	}
	if out != nil {
		field.Set(reflect.ValueOf(out))
	}
}

// bindPayload fills the member that is the whole body when it is a blob or a
// string; structures are the codec's own business. It reports whether it did.
func bindPayload(c Call, r *http.Request, sh *schema.Shape, v reflect.Value) (bool, error) {
	m := sh.PayloadMember()
	if m == nil {
		return false, nil
	}
	field := v.Field(sh.Payload - 1)
	kind := c.Service.Shape(m.Shape).Kind
	switch {
	case m.Streaming:
		body := r.Body
		if body == nil {
			body = http.NoBody
		}
		field.Set(reflect.ValueOf(io.ReadCloser(body)))
		return true, nil
	case kind == schema.Blob || kind == schema.String:
		body, err := readBody(c, r)
		if err != nil {
			return true, err
		}
		if kind == schema.Blob {
			field.SetBytes(body)
		} else {
			set(field, reflect.ValueOf(string(body)))
		}
		return true, nil
	}
	return false, nil
}

// writeHeaders writes the members bound to headers and returns the status.
func writeHeaders(c Call, h http.Header, sh *schema.Shape, v reflect.Value) int {
	status := c.Operation.Status
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.In == schema.InBody {
			continue
		}
		held, ok := schema.Present(v.Field(i))
		if !ok {
			continue
		}
		target := c.Service.Shape(m.Shape)
		switch m.In {
		case schema.InStatus:
			status = int(held.Int())
		case schema.InHeader:
			if target.Kind == schema.List {
				elem := c.Service.Shape(target.Elem)
				parts := make([]string, held.Len())
				for j := range parts {
					parts[j] = formatScalar(elem, timeFormat(nil, elem, schema.HTTPDate), held.Index(j))
				}
				setHeader(h, m.Wire, strings.Join(parts, ", "))
				continue
			}
			setHeader(h, m.Wire, formatScalar(target, timeFormat(m, target, schema.HTTPDate), held))
		case schema.InHeaders:
			for iter := held.MapRange(); iter.Next(); {
				setLower(h, m.Wire+iter.Key().String(), iter.Value().String())
			}
		}
	}
	return status
}

// setHeader drops values that cannot stand in a header rather than let them
// end it.
func setHeader(h http.Header, name, value string) {
	if strings.ContainsAny(value, "\r\n\x00") {
		return
	}
	h.Set(name, value)
}

// setLower keeps the case of a name that is in part the caller's: SDKs hand the
// rest of it to their users as it came.
func setLower(h http.Header, name, value string) {
	if !strings.ContainsAny(value, "\r\n\x00") {
		h[strings.ToLower(name)] = []string{value}
	}
}

// writePayload writes the member that is the whole body when it is a blob,
// string or event stream. It reports whether it did.
func writePayload(c Call, w http.ResponseWriter, status int, sh *schema.Shape, v reflect.Value) (bool, error) {
	m := sh.PayloadMember()
	if m == nil {
		return false, nil
	}
	field := v.Field(sh.Payload - 1)
	target := c.Service.Shape(m.Shape)
	switch {
	case target.EventStream:
		return true, writeEvents(c, w, status, target, field)
	case m.Streaming:
		w.WriteHeader(status)
		if field.IsNil() {
			return true, nil
		}
		body := field.Interface().(io.ReadCloser)
		defer body.Close()
		if c.Head {
			return true, nil
		}
		return true, copyBody(c, w, body)
	case target.Kind == schema.Blob || target.Kind == schema.String:
		w.WriteHeader(status)
		held, ok := schema.Present(field)
		if !ok || c.Head {
			return true, nil
		}
		var err error
		if target.Kind == schema.Blob {
			_, err = w.Write(held.Bytes())
		} else {
			_, err = io.WriteString(w, held.String())
		}
		return true, err
	}
	return false, nil
}

// copyBody streams body to the client. A body of unknown length is flushed
// piece by piece, so that what an agent says is seen as it is said.
func copyBody(c Call, w http.ResponseWriter, body io.Reader) error {
	if w.Header().Get("Content-Length") != "" {
		_, err := io.Copy(w, body)
		return err
	}
	flush := http.NewResponseController(w)
	if err := flush.Flush(); err != nil { // the head, before the first byte is there
		return err
	}
	buf := c.buffer()
	defer c.release(buf)
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			if err := flush.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c Call) buffer() *[CopyBuffer]byte {
	if c.Buffers != nil {
		if b, ok := c.Buffers.Get().(*[CopyBuffer]byte); ok {
			return b
		}
	}
	return new([CopyBuffer]byte)
}

func (c Call) release(b *[CopyBuffer]byte) {
	if c.Buffers != nil {
		c.Buffers.Put(b)
	}
}
