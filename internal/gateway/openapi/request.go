package openapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
	"github.com/outcrop/outcrop/internal/gateway/openapi/style"
)

// ErrUnknownTool is returned for a name that no tool of the document has.
var ErrUnknownTool = errors.New("unknown tool")

// maxServers bounds what Servers returns.
const maxServers = 10

// Servers are the first URLs that requests go to, without their paths, each once.
func (d *Document) Servers() []*url.URL {
	var out []*url.URL
	for _, t := range d.tools {
		o := d.operations[t.Name]
		at := url.URL{Scheme: o.server.scheme, Host: o.server.host}
		if len(out) < maxServers && !slices.ContainsFunc(out, func(u *url.URL) bool { return *u == at }) {
			out = append(out, &at)
		}
	}
	return out
}

// Request writes the request of a call: an absolute URL, headers and a body that can be
// read again. Credentials, User-Agent and the like are for the caller to add. Arguments
// that cannot be sent are told as *ArgumentError; no arguments (empty or null) are none.
func (d *Document) Request(ctx context.Context, name string, arguments json.RawMessage) (*http.Request, error) {
	o, ok := d.operations[name]
	if !ok {
		return nil, fmt.Errorf("write request of %s: %w", short(name), ErrUnknownTool)
	}
	c, err := newCall(o, arguments)
	if err != nil {
		return nil, err
	}
	if err := c.parameters(); err != nil {
		return nil, err
	}
	if err := c.known(); err != nil {
		return nil, err
	}
	media, content, err := c.body()
	if err != nil {
		return nil, err
	}
	return c.request(ctx, media, content)
}

// call is one call of an operation that is being written.
type call struct {
	o       *operation
	args    *node.Node
	path    map[string]string // encoded values by the parameter's name
	query   []style.Pair
	head    http.Header
	cookies []string // cookies
}

func newCall(o *operation, arguments json.RawMessage) (*call, error) {
	args := &node.Node{Kind: node.Map}
	if trimmed := bytes.TrimSpace(arguments); len(trimmed) > 0 && string(trimmed) != "null" {
		var err error
		if args, err = node.JSON(trimmed, node.Limits{Depth: maxDepth, Nodes: maxValues}); err != nil {
			return nil, &ArgumentError{Text: "the arguments are not to be read: " + err.Error()}
		}
		if !args.Is(node.Map) {
			return nil, &ArgumentError{Text: "the arguments must be an object"}
		}
	}
	return &call{o: o, args: args, path: map[string]string{}, query: slices.Clone(o.fixed), head: http.Header{}}, nil
}

// parameters writes the values of all parameters. Null stands for an argument that is not
// there: models write it so.
func (c *call) parameters() error {
	for _, a := range c.o.parameters {
		v := c.args.Get(a.argument)
		if v == nil || v.Kind == node.Null {
			if a.required {
				return &ArgumentError{a.argument, "is missing; it is required"}
			}
			continue
		}
		if err := a.types.check(a.argument, v); err != nil {
			return err
		}
		if a.json {
			v = &node.Node{Kind: node.String, Text: string(v.AppendJSON(nil))}
		}
		if err := c.parameter(a, v); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) parameter(a *parameter, v *node.Node) error {
	switch a.in {
	case "path":
		text := a.style.Path(a.name, v)
		if text == "" {
			return &ArgumentError{a.argument, "is empty; it is a part of the path"}
		}
		if dotted(text) {
			return &ArgumentError{a.argument, "must not have . or .. as a part of a path: it would name another resource"}
		}
		c.path[a.name] = text
	case "query":
		c.query = append(c.query, a.style.Query(a.name, v)...)
	case "header":
		text, err := a.style.Header(v)
		if err != nil {
			return &ArgumentError{a.argument, err.Error()}
		}
		c.head.Set(a.name, text)
	case "cookie":
		for _, pair := range a.style.Cookie(a.name, v) {
			c.cookies = append(c.cookies, pair.Name+"="+pair.Value)
		}
	}
	return nil
}

// known refuses arguments that nothing takes, rather than to lose them.
func (c *call) known() error {
	b := c.o.body
	for _, m := range c.args.Members {
		switch {
		case c.o.isParameter[m.Name]:
		case b != nil && b.flat && (b.open || b.byName[m.Name] != nil):
		case b != nil && !b.flat && m.Name == b.argument:
		default:
			return &ArgumentError{m.Name, "is no argument of " + c.o.name + "; its arguments are: " + cut(strings.Join(c.o.arguments(), ", "), 500)}
		}
	}
	return nil
}

// arguments are the names of those that an operation has.
func (o *operation) arguments() []string {
	var out []string
	for _, a := range o.parameters {
		out = append(out, a.argument)
	}
	switch {
	case o.body == nil:
	case o.body.flat:
		for _, f := range o.body.fields {
			out = append(out, f.name)
		}
	default:
		out = append(out, o.body.argument)
	}
	if out == nil {
		out = []string{"none"}
	}
	return out
}

// maxPath bounds the path of a request, in bytes.
const maxPath = 64 << 10

// request puts the parts together.
func (c *call) request(ctx context.Context, media string, content []byte) (*http.Request, error) {
	raw := c.o.server.base
	for _, s := range c.o.path {
		if s.parameter != "" {
			raw += c.path[s.parameter]
		} else {
			raw += s.text
		}
		if len(raw) > maxPath { // a path may name one parameter many times
			return nil, &ArgumentError{Text: fmt.Sprintf("the arguments make a path of more than %d bytes", maxPath)}
		}
	}
	if dotted(raw) {
		return nil, &ArgumentError{Text: "the arguments make . or .. a part of the path: it would name another resource"}
	}
	plain, err := url.PathUnescape(raw)
	if err != nil {
		return nil, fmt.Errorf("write path of %s: %w", c.o.name, err)
	}
	u := &url.URL{Scheme: c.o.server.scheme, Host: c.o.server.host, Path: plain, RawPath: raw, RawQuery: query(c.query)}
	var body io.Reader
	if media != "" {
		body = bytes.NewReader(content)
	}
	r, err := http.NewRequestWithContext(ctx, c.o.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("write request of %s: %w", c.o.name, err)
	}
	r.URL = u
	r.Header = c.head
	if len(c.cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(c.cookies, "; "))
	}
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	r.Header.Set("Accept", c.o.success.Accept)
	return r, nil
}

func query(pairs []style.Pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.Name)
		b.WriteByte('=')
		b.WriteString(p.Value)
	}
	return b.String()
}
