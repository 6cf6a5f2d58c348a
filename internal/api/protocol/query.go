package protocol

import (
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// query is the protocol of STS and IAM: a form in, XML out.
type query struct{}

func (query) Decode(c Call, r *http.Request, _ map[string]string, in any) error {
	form, err := FormValues(r)
	if err != nil {
		return err
	}
	sh, v := c.input(in)
	return fillForm(c.Service, sh, v, form, "", "")
}

// FormValues returns the parameters of a query-protocol request, which stand in
// the body or, for GET, in the URL. The body can be read again afterwards by
// asking again: the values are kept with the request.
func FormValues(r *http.Request) (url.Values, error) {
	if r.PostForm != nil {
		return r.PostForm, nil
	}
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		body, err := readBody(r)
		if err != nil {
			return nil, err
		}
		raw = string(body)
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fault.New("MalformedQueryString", http.StatusBadRequest, "The query string or form is not well formed").Because(err)
	}
	r.PostForm = form
	return form, nil
}

func fillForm(svc *schema.Service, sh *schema.Shape, v reflect.Value, form url.Values, prefix, path string) error {
	for i := range sh.Members {
		m := &sh.Members[i]
		if err := fillFormValue(svc, m, svc.Shape(m.Shape), v.Field(i), form, prefix+m.Wire, child(path, m.Name)); err != nil {
			return err
		}
	}
	return nil
}

func fillFormValue(svc *schema.Service, m *schema.Member, sh *schema.Shape, field reflect.Value, form url.Values, key, path string) error {
	switch sh.Kind {
	case schema.Structure:
		if !hasPrefix(form, key+".") {
			return nil
		}
		return fillForm(svc, sh, target(field), form, key+".", path)
	case schema.List:
		if !sh.Flattened {
			key += ".member"
		}
		elem := svc.Shape(sh.Elem)
		for i := 0; ; i++ {
			k := key + "." + strconv.Itoa(i+1)
			if !form.Has(k) && !hasPrefix(form, k+".") {
				return nil
			}
			v := reflect.New(field.Type().Elem()).Elem()
			if err := fillFormValue(svc, nil, elem, v, form, k, item(path, i)); err != nil {
				return err
			}
			field.Set(reflect.Append(field, v))
		}
	}
	if !form.Has(key) {
		return nil
	}
	return parseScalar(sh, timeFormat(m, sh, schema.ISO8601), form.Get(key), path, target(field))
}

func hasPrefix(form url.Values, prefix string) bool {
	for k := range form {
		if strings.HasPrefix(k, prefix) {
			return true
		}
	}
	return false
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
