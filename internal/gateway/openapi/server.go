package openapi

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
)

// server is where an operation's requests go.
type server struct {
	scheme, host string
	base         string // encoded path that all paths are below, without a slash at its end
}

// server reads the first server of the innermost list there is: the operation's, the path
// item's or the document's.
func (p *parser) server(op, item *node.Node, opAt, itemAt *node.Path) server {
	if p.options.Server != "" {
		return p.serverURL(p.options.Server, nil)
	}
	list, at := op.Get("servers"), opAt
	if !list.Is(node.List) || len(list.Items) == 0 {
		list, at = item.Get("servers"), itemAt
	}
	if !list.Is(node.List) || len(list.Items) == 0 {
		list, at = p.root.Get("servers"), nil
	}
	at = at.Down("servers")
	if !list.Is(node.List) || len(list.Items) == 0 {
		p.found.problem(at, "the document names no server; add servers with an absolute URL: [{url: https://api.example.com}]")
		return server{}
	}
	first, at := list.Items[0], at.At(0)
	raw := first.Get("url")
	if !raw.Is(node.String) {
		p.found.problem(at, "must have a url that is a string")
		return server{}
	}
	text, ok := p.expand(raw.Text, first.Get("variables"), at)
	if !ok {
		return server{}
	}
	return p.serverURL(text, at.Down("url"))
}

// expand puts the defaults of a server's variables into its URL.
func (p *parser) expand(text string, variables *node.Node, at *node.Path) (string, bool) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{")
		b.WriteString(before)
		if b.Len() > maxURL {
			p.found.problem(at.Down("url"), fmt.Sprintf("the server's URL has more than %d bytes with its variables", maxURL))
			return "", false
		}
		if !found {
			return b.String(), true
		}
		name, after, closed := strings.Cut(rest, "}")
		v := variables.Get(name)
		value := v.Get("default")
		where := at.Down("variables").Down(name)
		switch {
		case !closed:
			p.found.problem(at.Down("url"), "a { has no } in "+short(text))
			return "", false
		case !value.Scalar():
			p.found.problem(where, "the variable "+short(name)+" of the server's URL has no default; add one")
			return "", false
		case !inEnum(value, v.Get("enum")):
			p.found.problem(where, "the default "+short(value.Text)+" is not among the values of enum; choose one of them")
			return "", false
		}
		b.WriteString(value.Text)
		text = after
	}
}

func inEnum(value, enum *node.Node) bool {
	if !enum.Is(node.List) || len(enum.Items) == 0 {
		return true
	}
	for _, e := range enum.Items {
		if e.Scalar() && e.Text == value.Text {
			return true
		}
	}
	return false
}

func (p *parser) serverURL(text string, at *node.Path) server {
	refuse := func(why string) server {
		p.found.problem(at, "the server "+short(text)+" "+why)
		return server{}
	}
	u, err := url.Parse(text)
	if err != nil {
		return refuse("is no URL; write one like https://api.example.com/v1")
	}
	switch {
	case u.Scheme == "" || u.Host == "":
		return refuse("is relative; write an absolute URL like https://api.example.com/v1")
	case u.Scheme == "http" && !(p.options.AllowHTTP && !p.options.Strict):
		return refuse("is http; use https (the operator of this server can allow http)")
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("is neither http nor https; use https")
	case u.User != nil:
		return refuse("has a user or password in it; remove them and use a credential provider")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return refuse("has a query or fragment; remove it and write parameters")
	case u.Hostname() == "":
		return refuse("has no host; write a URL like https://api.example.com/v1")
	}
	base := strings.TrimRight(literal(u.EscapedPath()), "/")
	if dotted(base) {
		return refuse("has . or .. in its path; write the path that is meant")
	}
	return server{scheme: u.Scheme, host: u.Host, base: base}
}

// literal encodes what a path cannot hold as it is, and keeps what is encoded already.
func literal(s string) string {
	const pathChars = "/-._~!$&'()*+,;=:@"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(pathChars, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		if c == '%' && i+2 < len(s) {
			if _, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteByte(c)
				continue
			}
		}
		const digits = "0123456789ABCDEF"
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

// dotted reports whether an encoded path has a segment that somebody on the way may take
// for . or .., which would lead to another resource. What looks like a slash to some
// servers counts as one.
func dotted(path string) bool {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return true
	}
	for _, segment := range strings.FieldsFunc(plain, func(c rune) bool { return c == '/' || c == '\\' }) {
		segment, _, _ = strings.Cut(segment, ";") // servers of Java drop what follows
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
