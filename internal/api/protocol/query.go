package protocol

import (
	"cmp"
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
// Tags.member.1.Key, Attributes.entry.1.value.
type formReader struct {
	svc  *schema.Service
	form url.Values
	// keys are sorted, so that looking for a prefix does not read them all.
	keys []string
	path memberPath
	// depth counts structures, lists and maps against maxDepth: a key may be as
	// long as the form, and shapes may hold themselves.
	depth int
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
	if scalar(sh.Kind) {
		if !f.form.Has(key) {
			return nil
		}
		return parseScalar(sh, timeFormat(m, sh, schema.ISO8601), f.form.Get(key), &f.path, target(field))
	}
	nested := f.hasPrefix(key + ".")
	if !nested && !f.form.Has(key) {
		return nil
	}
	if f.depth++; f.depth > maxDepth {
		return fault.Malformed("Value at '%s' is nested more than %d deep", clip(f.path.String()), maxDepth)
	}
	defer func() { f.depth-- }()
	switch sh.Kind {
	case schema.Structure:
		if !nested {
			return nil
		}
		return f.structure(sh, target(field), key+".")
	case schema.List:
		return f.list(m, sh, field, key)
	case schema.Map:
		return f.entries(m, sh, field, key)
	}
	return mismatch(f.path.String(), "nothing: forms have no documents", strconv.Quote(clip(key)))
}

// list reads the members of a list in the order of their numbers, whichever those
// are. Clients write an empty list as the key alone.
func (f *formReader) list(m *schema.Member, sh *schema.Shape, field reflect.Value, key string) error {
	switch name := cmp.Or(sh.ElemName, "member"); {
	case !flattened(m, sh):
		key += "." + name
	case sh.ElemName != "": // which stands in place of the member's own name
		key = key[:strings.LastIndexByte(key, '.')+1] + sh.ElemName
	}
	numbers, err := f.numbers(key + ".")
	if err != nil {
		return err
	}
	elem := f.svc.Shape(sh.Elem)
	out := reflect.MakeSlice(field.Type(), len(numbers), len(numbers))
	for i, n := range numbers {
		mark := f.path.pushItem(i)
		if err := f.value(nil, elem, out.Index(i), key+"."+strconv.Itoa(n)); err != nil {
			return err
		}
		f.path.pop(mark)
	}
	field.Set(out)
	return nil
}

// entries reads a map. Of two entries with one key the later counts.
func (f *formReader) entries(m *schema.Member, sh *schema.Shape, field reflect.Value, key string) error {
	if !flattened(m, sh) {
		key += ".entry"
	}
	numbers, err := f.numbers(key + ".")
	if err != nil {
		return err
	}
	elem := f.svc.Shape(sh.Elem)
	out := reflect.MakeMapWithSize(field.Type(), len(numbers))
	for _, n := range numbers {
		entry := key + "." + strconv.Itoa(n) + "."
		name := f.form.Get(entry + cmp.Or(sh.KeyName, "key"))
		v := reflect.New(field.Type().Elem()).Elem()
		mark := f.path.push(clip(name))
		if err := f.value(nil, elem, v, entry+cmp.Or(sh.ValueName, "value")); err != nil {
			return err
		}
		f.path.pop(mark)
		out.SetMapIndex(reflect.ValueOf(name), v)
	}
	field.Set(out)
	return nil
}

func flattened(m *schema.Member, sh *schema.Shape) bool {
	return sh.Flattened || m != nil && m.Flattened
}

// numbers returns the numbers that follow a prefix in the form, in their order, each
// once. There are never more than the form has keys, however large they are.
func (f *formReader) numbers(prefix string) ([]int, error) {
	var out []int
	first, _ := slices.BinarySearch(f.keys, prefix)
	for _, key := range f.keys[first:] {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			break
		}
		text, _, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || strconv.Itoa(n) != text {
			return nil, fault.New("MalformedInput", http.StatusBadRequest, "The key '%s' is not well formed: the members of a list have numbers, beginning with 1", clip(key))
		}
		if len(out) == 0 || out[len(out)-1] != n {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
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
	if c.Operation.Output >= 0 { // others have nothing but the metadata
		doc.open(name + "Result")
		if v.IsValid() {
			doc.members(sh, v)
		}
		doc.close(name + "Result")
	}
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
