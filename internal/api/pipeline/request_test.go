package pipeline

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
)

// wire is a request as a client writes it. It is the inverse of what the router
// and the codec do, written for these tests.
type wire struct {
	method, path string
	query        url.Values
	header       http.Header
	body         string
}

// target is the path with its query.
func (w *wire) target() string {
	if len(w.query) == 0 {
		return w.path
	}
	return w.path + "?" + w.query.Encode()
}

// writeRequest is the request of a REST-JSON operation with the given input, a
// pointer to the generated type.
func writeRequest(t testing.TB, svc *schema.Service, op *schema.Operation, in any) *wire {
	t.Helper()
	w := &wire{method: op.Method, path: op.Path, query: url.Values{}, header: http.Header{}}
	if op.Input < 0 {
		return w
	}
	sh, v := svc.Shape(op.Input), reflect.ValueOf(in).Elem()
	inBody := false
	for i := range sh.Members {
		m, field := &sh.Members[i], v.Field(i)
		if m.In == schema.InBody {
			inBody = true
			continue
		}
		if field.IsNil() {
			w.path = strings.Replace(w.path, "{"+m.Wire+"+}", "", 1)
			continue
		}
		target := svc.Shape(m.Shape)
		switch m.In {
		case schema.InPath:
			w.path = strings.Replace(w.path, "{"+m.Wire+"+}", "{"+m.Wire+"}", 1)
			w.path = strings.Replace(w.path, "{"+m.Wire+"}", escapeLabel(scalarText(t, target, m, field)), 1)
		case schema.InQuery:
			if target.Kind == schema.List {
				for j := range field.Len() {
					w.query.Add(m.Wire, scalarText(t, svc.Shape(target.Elem), nil, field.Index(j)))
				}
				continue
			}
			w.query.Set(m.Wire, scalarText(t, target, m, field))
		case schema.InHeader:
			w.header.Set(m.Wire, scalarText(t, target, m, field))
		default:
			t.Fatalf("%s.%s: nobody has written a request with this location yet", op.Name, m.Name)
		}
	}
	m := sh.PayloadMember()
	switch {
	case m != nil && m.Streaming:
		if stream, ok := v.Field(sh.Payload - 1).Interface().(interface{ Read([]byte) (int, error) }); ok {
			w.body = readAll(t, stream)
		}
	case m != nil && svc.Shape(m.Shape).Kind == schema.Structure:
		if f := v.Field(sh.Payload - 1); !f.IsNil() {
			w.body = marshal(t, svc, m.Shape, f.Interface(), false)
		}
	case m != nil && svc.Shape(m.Shape).Kind == schema.Blob:
		w.body = string(v.Field(sh.Payload - 1).Bytes())
	case m != nil:
		t.Fatalf("%s: nobody has written a payload of this kind yet", op.Name)
	case inBody:
		w.body = marshal(t, svc, op.Input, in, true)
	}
	return w
}

func marshal(t testing.TB, svc *schema.Service, shape int, v any, bodyOnly bool) string {
	t.Helper()
	b, err := protocol.MarshalJSON(svc, shape, v, bodyOnly)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// scalarText is a scalar as it stands in a path, a query or a header.
func scalarText(t testing.TB, sh *schema.Shape, m *schema.Member, v reflect.Value) string {
	t.Helper()
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch sh.Kind {
	case schema.String:
		return v.String()
	case schema.Boolean:
		return strconv.FormatBool(v.Bool())
	case schema.Integer, schema.Long:
		return strconv.FormatInt(v.Int(), 10)
	case schema.Timestamp:
		at := v.Interface().(time.Time)
		if m != nil && m.In == schema.InHeader {
			return at.Format(http.TimeFormat)
		}
		return at.Format(time.RFC3339)
	}
	t.Fatalf("nobody has written a %v outside a body yet", sh.Kind)
	return ""
}

// escapeLabel encodes a path label as the SDKs do: all but the unreserved.
func escapeLabel(s string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(unreserved, s[i]) >= 0 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// httpRequest makes the request that a server would read.
func (w *wire) httpRequest() *http.Request {
	r := newRequest(w.method, w.target(), w.body)
	for name, values := range w.header {
		r.Header[name] = slices.Clone(values)
	}
	if _, typed := r.Header["Content-Type"]; w.body != "" && !typed {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// signWire makes the request and signs it for the service.
func signWire(t testing.TB, svc *schema.Service, w *wire) *http.Request {
	t.Helper()
	return sign(t, w.httpRequest(), svc.SigningName, w.body)
}
