package openapi

import (
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
	"github.com/outcrop/outcrop/internal/gateway/openapi/style"
)

// kind is how a body is written.
type kind uint8

const (
	noBody kind = iota
	jsonBody
	formBody
	multipartBody
	xmlBody
	textBody
	bytesBody // of any other media type; the argument is base64, or text if the schema says so
)

// body is an operation's, and how it is written.
type body struct {
	kind     kind
	media    string // the Content-Type header; multipart's boundary is added
	required bool
	// flat is set when the properties of the body are arguments of their own; otherwise
	// the body is the argument of that name.
	flat     bool
	argument string
	fields   []*field
	byName   map[string]*field
	// open is set when a flat body takes properties that the schema does not name.
	open       bool
	additional *node.Node // the schema of those, or nil
	where      *node.Path // of additional

	xml *element // of XML

	node       *node.Node // the Request Body Object
	at         *node.Path
	schema     *node.Node
	schemaPath *node.Path
}

// field is a property of a body that is an object.
type field struct {
	name     string
	schema   *node.Node
	at       *node.Path
	required bool

	style  *style.Style // of forms; nil for the default
	media  string       // of a part, or of a form's value; empty for the default
	binary bool         // the argument is base64 of the part
}

// mediaKind is how a media type is written.
func mediaKind(media string) kind {
	media, _, _ = strings.Cut(strings.ToLower(media), ";")
	media = strings.TrimSpace(media)
	switch {
	case media == "application/json", strings.HasSuffix(media, "+json"), media == "*/*", media == "application/*", media == "text/json":
		return jsonBody
	case media == "application/x-www-form-urlencoded":
		return formBody
	case media == "multipart/form-data":
		return multipartBody
	case media == "application/xml", media == "text/xml", strings.HasSuffix(media, "+xml"):
		return xmlBody
	case strings.HasPrefix(media, "text/"):
		return textBody
	case strings.HasPrefix(media, "multipart/"), !strings.Contains(media, "/"):
		return noBody
	}
	return bytesBody
}

// body reads an operation's request body.
func (p *parser) body(o *operation, op *node.Node, opAt *node.Path) {
	n := op.Get("requestBody")
	if n == nil {
		return
	}
	at := opAt.Down("requestBody")
	// RFC 9110 gives these no meaning, and OpenAPI 3.0 ignores them.
	if o.method == "HEAD" || p.old && o.method == "GET" || p.options.Strict && (o.method == "GET" || o.method == "DELETE") {
		if !empty(n) {
			p.refuseOrWarn(at, o.method+" has no body")
		}
		return
	}
	if n, at = p.schemas.Resolve(n, at); n == nil {
		return
	}
	b := &body{node: n, at: at, required: n.Get("required").True()}
	content := n.Get("content")
	if !content.Is(node.Map) || len(content.Members) == 0 || len(content.Members) > maxEntries {
		p.found.problem(at.Down("content"), fmt.Sprintf("must have a media type, and at most %d", maxEntries))
		return
	}
	media := p.choose(b, content, at.Down("content"))
	if b.kind == noBody {
		return
	}
	b.schema, b.schemaPath = media.Get("schema"), at.Down("content").Down(b.media).Down("schema")
	b.media = concrete(b.media, b.kind)
	if b.kind <= xmlBody {
		p.fields(b, media.Get("encoding"))
	}
	if b.kind == xmlBody {
		b.xml = p.rootElement(b.schema, b.schemaPath)
	}
	if b.kind == bytesBody && !strings.HasPrefix(b.media, "application/octet-stream") && p.isText(b.schema, b.schemaPath) {
		b.kind = textBody
	}
	o.body = b
}

// empty reports whether a request body says that there is nothing in it, as generators
// write it for all operations alike.
func empty(n *node.Node) bool {
	content := n.Get("content")
	if !content.Is(node.Map) || len(content.Members) != 1 || n.Get("required").True() {
		return false
	}
	s := content.Members[0].Value.Get("schema")
	props := s.Get("properties")
	return s.Get("type").Str() == "object" && props.Is(node.Map) && len(props.Members) == 0
}

// choose takes JSON before any other media type, since the order of a map says nothing,
// unless its schema says as little; then the first that has a form of its own, and the
// first that is bytes, which AWS does not send.
func (p *parser) choose(b *body, content *node.Node, at *node.Path) *node.Node {
	for _, wanted := range []func(kind, *node.Node) bool{
		func(k kind, m *node.Node) bool { return k == jsonBody && telling(m.Get("schema")) },
		func(k kind, _ *node.Node) bool { return k != bytesBody },
		func(kind, *node.Node) bool { return true },
	} {
		for _, m := range content.Members {
			k, media := mediaKind(m.Name), m.Name
			if _, _, err := mime.ParseMediaType(media); err != nil { // such as text/plain; utf-8
				media, _, _ = strings.Cut(media, ";")
			}
			if _, _, err := mime.ParseMediaType(media); err != nil || k == noBody || !wanted(k, m.Value) {
				continue
			}
			if p.options.Strict && (k == bytesBody || k == textBody) {
				continue
			}
			b.kind, b.media = k, media
			return m.Value
		}
	}
	var names []string
	for _, m := range content.Members {
		names = append(names, short(m.Name))
	}
	p.found.problem(at, "has no media type that can be sent ("+short(strings.Join(names, ", "))+"); add application/json, or another of those that the documentation lists")
	return nil
}

// telling reports whether a schema says more than that there is an object.
func telling(schema *node.Node) bool {
	return schema.Is(node.Map) && slices.ContainsFunc(schema.Members, func(m node.Member) bool {
		return m.Name != "description" && (m.Name != "type" || m.Value.Str() != "object")
	})
}

// concrete is the media type that is sent for one that may be a range.
func concrete(media string, k kind) string {
	if !strings.Contains(media, "*") {
		return media
	}
	switch k {
	case jsonBody:
		return "application/json"
	case textBody:
		return "text/plain"
	}
	return "application/octet-stream"
}

// fields lists the properties of a body that is an object.
func (p *parser) fields(b *body, encoding *node.Node) {
	if b.schema == nil {
		return
	}
	object, ok := p.schemas.Object(b.schema, b.schemaPath)
	if !ok {
		return
	}
	b.byName = make(map[string]*field, len(object.Properties))
	for _, prop := range object.Properties {
		if p.hidden(prop.Schema, prop.At) {
			continue
		}
		f := &field{name: prop.Name, schema: prop.Schema, at: prop.At, required: prop.Required}
		if b.kind == formBody || b.kind == multipartBody {
			p.encoding(b, f, encoding.Get(prop.Name))
		}
		b.fields = append(b.fields, f)
		b.byName[f.name] = f
	}
	b.flat = len(b.fields) > 0
	b.open = !object.Additional.False()
	if object.Additional.Is(node.Map) {
		b.additional, b.where = object.Additional, object.At
	}
}

// hidden reports whether a property is readOnly, and so none of requests.
func (p *parser) hidden(n *node.Node, at *node.Path) bool {
	for range 32 {
		if n == nil || n.Get("readOnly").True() {
			return n != nil
		}
		ref := n.Get("$ref").Str()
		if ref == "" {
			return false
		}
		n, at = p.schemas.Target(ref, at)
	}
	return false
}

// encoding reads how a field of a form is written.
func (p *parser) encoding(b *body, f *field, e *node.Node) {
	f.binary = b.kind == multipartBody && p.isBinary(f.schema, f.at)
	if media, _, _ := strings.Cut(e.Get("contentType").Str(), ","); media != "" {
		media = strings.TrimSpace(media)
		if _, _, err := mime.ParseMediaType(media); err == nil && !strings.Contains(media, "*") {
			f.media = media
		}
	}
	if f.media == "" && f.binary {
		f.media = "application/octet-stream"
		if s, _ := p.schemas.Resolve(f.schema, f.at); s.Get("contentMediaType").Str() != "" {
			if _, _, err := mime.ParseMediaType(s.Get("contentMediaType").Text); err == nil {
				f.media = s.Get("contentMediaType").Text
			}
		}
	}
	if e.Get("style") != nil || e.Get("explode") != nil || e.Get("allowReserved") != nil {
		s := p.readStyle(e, "form")
		switch s.Name {
		case "form", "spaceDelimited", "pipeDelimited", "deepObject":
			f.style = &s
		default:
			p.found.warn(b.at, "the encoding of "+short(f.name)+" has a style that forms do not have (left out)")
		}
	}
}

// isBinary reports whether a value, or each item of a list, is bytes that are no text.
func (p *parser) isBinary(n *node.Node, at *node.Path) bool {
	for range 2 {
		if n == nil {
			return false
		}
		n, at = p.schemas.Resolve(n, at)
		if n.Get("format").Str() == "binary" {
			return true
		}
		if m := n.Get("contentMediaType").Str(); m != "" && n.Get("contentEncoding") == nil {
			return mediaKind(m) == bytesBody
		}
		n, at = n.Get("items"), at.Down("items")
	}
	return false
}

// isText reports whether a body of some other media type is a string, not bytes.
func (p *parser) isText(n *node.Node, at *node.Path) bool {
	if n == nil {
		return false
	}
	n, _ = p.schemas.Resolve(n, at)
	return n.Get("type").Str() == "string" && !p.isBinary(n, at) && n.Get("contentEncoding") == nil && n.Get("format").Str() != "byte"
}
