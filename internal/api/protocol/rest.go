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
func bind(c Call, r *http.Request, labels map[string]string, sh *schema.Shape, v reflect.Value) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.Malformed("The query string is not well formed").Because(err)
	}
	for i := range sh.Members {
		m := &sh.Members[i]
		target := c.Service.Shape(m.Shape)
		var err error
		switch m.In {
		case schema.InPath:
			if text, ok := labels[m.Wire]; ok {
				err = bindScalar(m, target, schema.ISO8601, text, v.Field(i))
			}
		case schema.InQuery:
			if values, ok := q[m.Wire]; ok {
				err = bindQuery(c.Service, m, target, values, v.Field(i))
			}
		case schema.InHeader:
			if values, ok := r.Header[textproto.CanonicalMIMEHeaderKey(m.Wire)]; ok && len(values) > 0 {
				err = bindHeader(c.Service, m, target, values, v.Field(i))
			}
		case schema.InHeaders:
			bindPrefixed(m, r.Header, v.Field(i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bindScalar(m *schema.Member, sh *schema.Shape, format schema.Format, text string, field reflect.Value) error {
	return parseScalar(sh, timeFormat(m, sh, format), text, m.Name, target(field))
}

func bindQuery(svc *schema.Service, m *schema.Member, sh *schema.Shape, values []string, field reflect.Value) error {
	if sh.Kind != schema.List {
		return bindScalar(m, sh, schema.ISO8601, values[0], field)
	}
	return bindList(svc, m, sh, values, field)
}

func bindHeader(svc *schema.Service, m *schema.Member, sh *schema.Shape, values []string, field reflect.Value) error {
	if sh.Kind != schema.List {
		return bindScalar(m, sh, schema.HTTPDate, values[0], field)
	}
	var items []string
	for _, v := range values {
		for _, part := range strings.Split(v, ",") {
			items = append(items, strings.TrimSpace(part))
		}
	}
	return bindList(svc, m, sh, items, field)
}

func bindList(svc *schema.Service, m *schema.Member, sh *schema.Shape, values []string, field reflect.Value) error {
	elem := svc.Shape(sh.Elem)
	out := reflect.MakeSlice(field.Type(), len(values), len(values))
	for i, text := range values {
		if err := parseScalar(elem, timeFormat(nil, elem, schema.ISO8601), text, item(m.Name, i), out.Index(i)); err != nil {
			return err
		}
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
		body, err := readBody(r)
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
		held, ok := present(v.Field(i))
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
				setHeader(h, m.Wire+iter.Key().String(), iter.Value().String())
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
		return true, copyBody(w, body)
	case target.Kind == schema.Blob || target.Kind == schema.String:
		w.WriteHeader(status)
		held, ok := present(field)
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
func copyBody(w http.ResponseWriter, body io.Reader) error {
	if w.Header().Get("Content-Length") != "" {
		_, err := io.Copy(w, body)
		return err
	}
	flush := http.NewResponseController(w)
	if err := flush.Flush(); err != nil { // the head, before the first byte is there
		return err
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
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
