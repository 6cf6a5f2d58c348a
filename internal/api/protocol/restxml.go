package protocol

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"slices"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// restXML is the protocol of S3.
type restXML struct{}

// s3Namespace is the XML namespace of S3's documents.
const s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

func (restXML) Decode(c Call, r *http.Request, labels []Label, in any) error {
	sh, v := c.input(in)
	if err := bind(c, r, labels, sh, v); err != nil {
		return err
	}
	if done, err := bindPayload(c, r, sh, v); done || err != nil {
		return err
	}
	if sh.Payload == 0 && !hasBody(sh) {
		return nil
	}
	body, err := readBody(c, r)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	if err := checkDigests(r.Header, body); err != nil {
		return err
	}
	root, err := parseXML(body)
	if err != nil {
		return err
	}
	x := xmlReader{svc: c.Service}
	if m := sh.PayloadMember(); m != nil {
		x.path.push(m.Name)
		return x.structure(root, c.Service.Shape(m.Shape), target(v.Field(sh.Payload-1)))
	}
	return x.structure(root, sh, v)
}

func (restXML) Encode(c Call, w http.ResponseWriter, out any) error {
	sh, v := c.output(out)
	status := writeHeaders(c, w.Header(), sh, v)
	if w.Header().Get("Content-Range") != "" {
		status = http.StatusPartialContent // the model has no member for it
	}
	if done, err := writePayload(c, w, status, sh, v); done {
		return err
	}
	doc := xmlWriter{svc: c.Service}
	doc.b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	switch m := sh.PayloadMember(); {
	case m != nil:
		held, ok := schema.Present(v.Field(sh.Payload - 1))
		if !ok {
			w.WriteHeader(status)
			return nil
		}
		doc.open(m.Wire, "xmlns", s3Namespace)
		doc.members(c.Service.Shape(m.Shape), held)
		doc.close(m.Wire)
	case !hasBody(sh):
		w.WriteHeader(status)
		return nil
	case c.Operation.Unwrapped:
		i := slices.IndexFunc(sh.Members, func(m schema.Member) bool { return m.In == schema.InBody })
		name, text := sh.Members[i].Wire, ""
		if held, ok := schema.Present(v.Field(i)); ok {
			text = held.String()
		}
		doc.open(name, "xmlns", s3Namespace)
		_ = xml.EscapeText(&doc.b, []byte(text))
		doc.close(name)
	default:
		name := c.Operation.Root
		if name == "" {
			name = sh.Name
		}
		doc.open(name, "xmlns", s3Namespace)
		doc.members(sh, v)
		doc.close(name)
	}
	return writeBody(c, w, status, "application/xml", doc.b.Bytes())
}

func (restXML) EncodeError(c Call, w http.ResponseWriter, f *fault.Error) error {
	doc := xmlWriter{svc: c.Service}
	doc.b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	doc.open("Error")
	doc.text("Code", f.Code)
	doc.text("Message", f.Message)
	for _, name := range sortedNames(f.Members) {
		doc.text(name, f.Members[name])
	}
	doc.text("RequestId", c.RequestID)
	doc.text("HostId", c.RequestID)
	doc.close("Error")
	setErrorHeaders(c, w.Header(), f)
	if f.Status == http.StatusNotModified {
		w.WriteHeader(f.Status)
		return nil
	}
	return writeBody(c, w, f.Status, "application/xml", doc.b.Bytes())
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
