// Package style writes the values of parameters as OpenAPI's styles say: simple, label,
// matrix, form, spaceDelimited, pipeDelimited and deepObject, in paths, queries, headers,
// cookies and form bodies.
package style

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

// Style is how a value is written. The zero Style is none; parsers fill in the defaults of
// OpenAPI.
type Style struct {
	// Name is one of OpenAPI's styles.
	Name    string
	Explode bool
	// Reserved lets characters of URLs pass that are otherwise encoded (allowReserved).
	Reserved bool
	// Integer writes 5.0 as 5.
	Integer bool
}

// Pair is a name and a value, both encoded for where they go.
type Pair struct{ Name, Value string }

// encoder encodes a piece of text for where it goes.
type encoder func(string) string

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

// Escape percent-encodes all but the unreserved characters of RFC 3986, in UTF-8.
func Escape(s string) string { return escape(s, "", false) }

// escapeReserved lets those reserved characters pass that cannot end a value in a query,
// and triples that are encoded already (RFC 6570, 3.2.3).
func escapeReserved(s string) string { return escape(s, ":/?@!$'()*,;=", true) }

func escape(s, more string, triples bool) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case strings.IndexByte(unreserved, c) >= 0, strings.IndexByte(more, c) >= 0,
			triples && c == '%' && i+2 < len(s) && hex(s[i+1]) && hex(s[i+2]):
			b.WriteByte(c)
		default:
			const digits = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

func hex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func plain(s string) string { return s }

// atom is a value as text: what has no text of its own is JSON.
func (s Style) atom(n *node.Node) string {
	switch {
	case n.Is(node.String):
		return n.Text
	case n.Is(node.Number):
		if s.Integer {
			if f, err := strconv.ParseFloat(n.Text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
				return strconv.FormatInt(int64(f), 10)
			}
		}
		return n.Text
	case n.Is(node.Bool):
		return n.Text
	}
	return string(n.AppendJSON(nil))
}

// pieces are a list's values or a map's names and values, encoded. Nulls are left out, as
// RFC 6570 has it for undefined values.
func (s Style) pieces(n *node.Node, enc encoder, joint string) []string {
	var out []string
	for _, v := range n.Items {
		if v.Kind != node.Null {
			out = append(out, enc(s.atom(v)))
		}
	}
	for _, m := range n.Members {
		switch {
		case m.Value.Kind == node.Null:
		case joint != "":
			out = append(out, enc(m.Name)+joint+enc(s.atom(m.Value)))
		default:
			out = append(out, enc(m.Name), enc(s.atom(m.Value)))
		}
	}
	return out
}

func compound(n *node.Node) bool { return n.Is(node.List) || n.Is(node.Map) }

// Path writes a value for a path: styles simple, label and matrix.
func (s Style) Path(name string, n *node.Node) string {
	name = Escape(name)
	joint, named := "", s.Explode && n.Is(node.Map)
	if named {
		joint = "="
	}
	values := []string{Escape(s.atom(n))}
	if compound(n) {
		values = s.pieces(n, Escape, joint)
	}
	switch s.Name {
	case "label":
		if len(values) == 0 {
			return ""
		}
		if s.Explode {
			return "." + strings.Join(values, ".")
		}
		return "." + strings.Join(values, ",")
	case "matrix":
		switch {
		case named:
			return prefixed(";", values)
		case s.Explode && n.Is(node.List):
			return prefixed(";"+name+"=", values)
		case len(values) == 0 || len(values) == 1 && values[0] == "":
			return ";" + name
		}
		return ";" + name + "=" + strings.Join(values, ",")
	}
	return strings.Join(values, ",")
}

func prefixed(prefix string, values []string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(prefix)
		b.WriteString(v)
	}
	return b.String()
}

// Query writes a value for a query, or for a form body: styles form, spaceDelimited,
// pipeDelimited and deepObject. Empty lists and maps are no pairs at all.
func (s Style) Query(name string, n *node.Node) []Pair {
	enc := Escape
	if s.Reserved {
		enc = escapeReserved
	}
	key := Escape(name)
	if !compound(n) {
		return []Pair{{key, enc(s.atom(n))}}
	}
	if s.Name == "deepObject" {
		return s.deep(nil, key, n, enc)
	}
	if s.Explode {
		return s.exploded(key, n, Escape, enc)
	}
	values := s.pieces(n, enc, "")
	if len(values) == 0 {
		return nil
	}
	delimiter := ","
	switch s.Name {
	case "spaceDelimited":
		delimiter = "%20"
	case "pipeDelimited":
		delimiter = "%7C"
	}
	return []Pair{{key, strings.Join(values, delimiter)}}
}

func (s Style) exploded(key string, n *node.Node, encName, enc encoder) []Pair {
	var out []Pair
	for _, v := range n.Items {
		if v.Kind != node.Null {
			out = append(out, Pair{key, enc(s.atom(v))})
		}
	}
	for _, m := range n.Members {
		if m.Value.Kind != node.Null {
			out = append(out, Pair{encName(m.Name), enc(s.atom(m.Value))})
		}
	}
	return out
}

// deep writes name[a][b]=value. OpenAPI defines one level of scalars; below it we write
// what servers that read such names understand, lists by index.
func (s Style) deep(out []Pair, key string, n *node.Node, enc encoder) []Pair {
	switch {
	case n.Is(node.Map):
		for _, m := range n.Members {
			out = s.deep(out, key+"%5B"+Escape(m.Name)+"%5D", m.Value, enc)
		}
	case n.Is(node.List):
		for i, v := range n.Items {
			out = s.deep(out, key+"%5B"+strconv.Itoa(i)+"%5D", v, enc)
		}
	case !n.Is(node.Null):
		out = append(out, Pair{key, enc(s.atom(n))})
	}
	return out
}

// Header writes a value for a header: style simple, unencoded.
func (s Style) Header(n *node.Node) (string, error) {
	value := s.atom(n)
	if compound(n) {
		joint := ""
		if s.Explode {
			joint = "="
		}
		value = strings.Join(s.pieces(n, plain, joint), ",")
	}
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", errors.New("has a control character, which a header cannot hold")
		}
	}
	return value, nil
}

// Cookie writes a value for the Cookie header: style form.
func (s Style) Cookie(name string, n *node.Node) []Pair {
	return Style{Name: "form", Explode: s.Explode, Integer: s.Integer}.Query(name, n)
}
