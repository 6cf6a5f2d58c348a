package protocol

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// query is the protocol of STS and IAM: a form in, XML out.
type query struct{}

func (query) Decode(c Call, r *http.Request, _ []Label, in any) error {
	form, err := FormValues(r)
	if err != nil {
		return err
	}
	sh, v := c.input(in)
	f := formReader{svc: c.Service, form: form, keys: slices.Sorted(maps.Keys(form))}
	return f.structure(sh, v, "")
}

// MaxForm bounds the form of a query-protocol request, in bytes.
const MaxForm = 1 << 20

// FormValues returns the parameters of a query-protocol request, which stand in
// the body or, for GET, in the URL. They are kept with the request, so asking
// again does not read again.
func FormValues(r *http.Request) (url.Values, error) {
	if r.PostForm != nil {
		return r.PostForm, nil
	}
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost && r.Body != nil {
		body, err := io.ReadAll(io.LimitReader(r.Body, MaxForm+1))
		if err != nil {
			return nil, bodyError(err)
		}
		raw = string(body)
	}
	if len(raw) > MaxForm {
		return nil, fault.New("RequestEntityTooLarge", http.StatusRequestEntityTooLarge, "The form is larger than %d bytes", MaxForm)
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fault.New("MalformedQueryString", http.StatusBadRequest, "The query string or form is not well formed").Because(err)
	}
	r.PostForm = form
	return form, nil
}

// formReader fills structures from the keys of a form: Filter.Name,
// Tags.member.1.Key.
type formReader struct {
	svc  *schema.Service
	form url.Values
	// keys are sorted, so that looking for a prefix does not read them all.
	keys []string
	path memberPath
}

func (f *formReader) structure(sh *schema.Shape, v reflect.Value, prefix string) error {
	for i := range sh.Members {
		m := &sh.Members[i]
		mark := f.path.push(m.Name)
		if err := f.value(m, f.svc.Shape(m.Shape), v.Field(i), prefix+m.Wire); err != nil {
			return err
		}
		f.path.pop(mark)
	}
	return nil
}

func (f *formReader) value(m *schema.Member, sh *schema.Shape, field reflect.Value, key string) error {
	switch sh.Kind {
	case schema.Structure:
		if !f.hasPrefix(key + ".") {
			return nil
		}
		return f.structure(sh, target(field), key+".")
	case schema.List:
		if !sh.Flattened {
			key += ".member"
		}
		return f.list(sh, field, key)
	}
	if !f.form.Has(key) {
		return nil
	}
	return parseScalar(sh, timeFormat(m, sh, schema.ISO8601), f.form.Get(key), &f.path, target(field))
}

func (f *formReader) list(sh *schema.Shape, field reflect.Value, key string) error {
	elem := f.svc.Shape(sh.Elem)
	for i := 0; ; i++ {
		k := key + "." + strconv.Itoa(i+1)
		if !f.form.Has(k) && !f.hasPrefix(k+".") {
			return nil
		}
		v := reflect.New(field.Type().Elem()).Elem()
		mark := f.path.pushItem(i)
		if err := f.value(nil, elem, v, k); err != nil {
			return err
		}
		f.path.pop(mark)
		field.Set(reflect.Append(field, v))
	}
}

func (f *formReader) hasPrefix(prefix string) bool {
	i, _ := slices.BinarySearch(f.keys, prefix)
	return i < len(f.keys) && strings.HasPrefix(f.keys[i], prefix)
}

func (query) Encode(c Call, w http.ResponseWriter, out any) error {
	sh, v := c.output(out)
	doc := xmlWriter{svc: c.Service}
	name := c.Operation.Name
	doc.open(name+"Response", "xmlns", c.Service.Namespace)
	doc.open(name + "Result")
	if v.IsValid() {
		doc.members(sh, v)
	}
	doc.close(name + "Result")
	doc.open("ResponseMetadata")
	doc.text("RequestId", c.RequestID)
	doc.close("ResponseMetadata")
	doc.close(name + "Response")
	return writeBody(c, w, c.Operation.Status, "text/xml", doc.b.Bytes())
}

func (query) EncodeError(c Call, w http.ResponseWriter, f *fault.Error) error {
	doc := xmlWriter{svc: c.Service}
	doc.open("ErrorResponse", "xmlns", c.Service.Namespace)
	doc.open("Error")
	who := "Sender"
	if f.Status >= http.StatusInternalServerError {
		who = "Receiver"
	}
	doc.text("Type", who)
	doc.text("Code", f.Code)
	doc.text("Message", f.Message)
	doc.close("Error")
	doc.text("RequestId", c.RequestID)
	doc.close("ErrorResponse")
	setErrorHeaders(c, w.Header(), f)
	return writeBody(c, w, f.Status, "text/xml", doc.b.Bytes())
}
