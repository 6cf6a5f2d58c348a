package openapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
	"github.com/outcrop/outcrop/internal/gateway/openapi/style"
)

// body writes the body of a call and its Content-Type; both are empty when it has none.
func (c *call) body() (string, []byte, error) {
	b := c.o.body
	if b == nil {
		return "", nil, nil
	}
	v, err := c.value(b)
	if err != nil || v == nil {
		return "", nil, err
	}
	switch b.kind {
	case jsonBody:
		return b.media, v.AppendJSON(nil), nil
	case formBody:
		return c.form(b, v)
	case multipartBody:
		return c.multipart(b, v)
	case xmlBody:
		content, err := writeXML(b, v)
		return b.media, content, err
	case textBody:
		return b.media, []byte(text(v)), nil
	default:
		content, err := decode(b.argument, v)
		return b.media, content, err
	}
}

// value is what the body says: one argument, or an object of all that are no parameters.
// It is nil when the call has no body.
func (c *call) value(b *body) (*node.Node, error) {
	if !b.flat {
		v := c.args.Get(b.argument)
		if v == nil && b.required {
			return nil, &ArgumentError{b.argument, "is missing; it is required"}
		}
		return v, nil
	}
	var members []node.Member
	for _, m := range c.args.Members {
		if !c.o.isParameter[m.Name] {
			members = append(members, m)
		}
	}
	if len(members) == 0 && !b.required {
		return nil, nil
	}
	v := node.NewMap(members)
	for _, f := range b.fields {
		if f.required && v.Get(f.name) == nil {
			return nil, &ArgumentError{f.name, "is missing; it is required"}
		}
	}
	return v, nil
}

// text is a value where only text can stand.
func text(v *node.Node) string {
	if v.Scalar() {
		return v.Text
	}
	return string(v.AppendJSON(nil))
}

// decode reads bytes, which arguments have as base64, of either alphabet.
func decode(argument string, v *node.Node) ([]byte, error) {
	if !v.Is(node.String) {
		return nil, &ArgumentError{argument, "must be a string: bytes in base64"}
	}
	s := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "").Replace(v.Text), "=")
	out, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, &ArgumentError{argument, "must be bytes in base64"}
	}
	return out, nil
}

// members are the fields of a form. Nulls are left out: forms have none.
func members(b *body, v *node.Node) ([]node.Member, error) {
	if !v.Is(node.Map) {
		return nil, &ArgumentError{b.argument, "must be an object: the fields of a form"}
	}
	var out []node.Member
	for _, m := range v.Members {
		if m.Value.Kind != node.Null {
			out = append(out, m)
		}
	}
	return out, nil
}

// form writes application/x-www-form-urlencoded: fields in OpenAPI's style form, exploded,
// and objects as JSON, unless their encoding says otherwise.
func (c *call) form(b *body, v *node.Node) (string, []byte, error) {
	fields, err := members(b, v)
	if err != nil {
		return "", nil, err
	}
	var pairs []style.Pair
	for _, m := range fields {
		f := b.byName[m.Name]
		switch {
		case f != nil && f.style != nil:
			pairs = append(pairs, f.style.Query(m.Name, m.Value)...)
		case f != nil && f.media != "" && mediaKind(f.media) == jsonBody:
			pairs = append(pairs, pair(m.Name, string(m.Value.AppendJSON(nil))))
		case m.Value.Is(node.List):
			for _, item := range m.Value.Items {
				pairs = append(pairs, pair(m.Name, text(item)))
			}
		default:
			pairs = append(pairs, pair(m.Name, text(m.Value)))
		}
	}
	// Styles encode a space as %20, which forms read as well as +.
	return b.media, []byte(query(pairs)), nil
}

func pair(name, value string) style.Pair {
	return style.Pair{Name: url.QueryEscape(name), Value: url.QueryEscape(value)}
}

// part is one part of a multipart body.
type part struct {
	name, media string
	file        bool
	content     []byte
}

// multipart writes multipart/form-data: a part for each field, or for each item of a list.
func (c *call) multipart(b *body, v *node.Node) (string, []byte, error) {
	fields, err := members(b, v)
	if err != nil {
		return "", nil, err
	}
	var parts []part
	for _, m := range fields {
		items := []*node.Node{m.Value}
		f := b.byName[m.Name]
		if f == nil {
			f = &field{name: m.Name}
		}
		if m.Value.Is(node.List) && !(f.media != "" && mediaKind(f.media) == jsonBody) {
			items = m.Value.Items
		}
		for _, item := range items {
			p := part{name: m.Name, media: f.media, content: []byte(text(item))}
			if f.binary {
				p.file = true
				if p.content, err = decode(m.Name, item); err != nil {
					return "", nil, err
				}
			}
			if p.media == "" && !item.Scalar() {
				p.media = "application/json"
			}
			parts = append(parts, p)
		}
	}
	boundary, content := writeParts(parts)
	media, _, _ := strings.Cut(b.media, ";")
	return strings.TrimSpace(media) + "; boundary=" + boundary, content, nil
}

// writeParts writes parts between boundaries that are a digest of them all, so that no
// content can hold its own, and equal calls make equal requests.
func writeParts(parts []part) (string, []byte) {
	sum := sha256.New()
	for _, p := range parts {
		sum.Write(p.content)
		sum.Write([]byte{0})
	}
	boundary := hex.EncodeToString(sum.Sum(nil))[:48]
	quote := strings.NewReplacer("\r", "%0D", "\n", "%0A", `"`, "%22")
	var out bytes.Buffer
	for _, p := range parts {
		out.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + quote.Replace(p.name) + `"`)
		if p.file {
			out.WriteString(`; filename="` + quote.Replace(p.name) + `"`)
		}
		out.WriteString("\r\n")
		if p.media != "" {
			out.WriteString("Content-Type: " + p.media + "\r\n")
		}
		out.WriteString("\r\n")
		out.Write(p.content)
		out.WriteString("\r\n")
	}
	out.WriteString("--" + boundary + "--\r\n")
	return boundary, out.Bytes()
}
