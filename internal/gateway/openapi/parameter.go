package openapi

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
	"github.com/outcrop/outcrop/internal/gateway/openapi/style"
	"golang.org/x/net/http/httpguts"
)

// parameter is one of an operation's, and how its value is written.
type parameter struct {
	name     string
	in       string
	argument string // its name among a tool's arguments
	required bool
	style    style.Style
	// json is set for parameters whose content is JSON.
	json  bool
	types types

	node   *node.Node // the Parameter Object
	at     *node.Path
	schema *node.Node // nil for any string
	where  *node.Path // of the schema
}

// reserved are the headers that belong to HTTP itself, to credentials and to the body.
// OpenAPI ignores parameters named Accept, Content-Type and Authorization; the others
// would let an argument change where a request goes or where it ends.
var reserved = []string{
	"Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type",
	"Cookie", "Expect", "Forwarded", "Host", "Http2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Via", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Proto", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
}

// parameters reads those of the path item and of the operation, which win.
func (p *parser) parameters(o *operation, item, op *node.Node, itemAt, opAt *node.Path) {
	for _, from := range []struct {
		list *node.Node
		at   *node.Path
		own  bool
	}{{item.Get("parameters"), itemAt.Down("parameters"), false}, {op.Get("parameters"), opAt.Down("parameters"), true}} {
		if from.list == nil || from.list.Is(node.Null) {
			continue
		}
		if !from.list.Is(node.List) || len(from.list.Items) > maxParameters {
			p.found.problem(from.at, fmt.Sprintf("must be a list of at most %d parameters", maxParameters))
			continue
		}
		var own []*parameter
		for i, n := range from.list.Items {
			param := p.parameter(n, from.at.At(i))
			if param == nil {
				continue
			}
			if slices.ContainsFunc(own, param.same) {
				p.refuseOrWarn(param.at, "the parameter "+short(param.name)+" is there twice in "+param.in)
				continue
			}
			own = append(own, param)
			if i := slices.IndexFunc(o.parameters, param.same); i >= 0 {
				o.parameters[i] = param
				continue
			}
			o.parameters = append(o.parameters, param)
		}
	}
	p.matchQuery(o, opAt)
	p.matchPath(o, opAt)
}

func (a *parameter) same(b *parameter) bool { return a.name == b.name && a.in == b.in }

// parameter reads one; nil when it is left out or wrong.
func (p *parser) parameter(n *node.Node, at *node.Path) *parameter {
	n, at = p.schemas.Resolve(n, at)
	if n == nil {
		return nil
	}
	a := &parameter{name: n.Get("name").Str(), in: n.Get("in").Str(), required: n.Get("required").True(), node: n, at: at}
	if a.name == "" {
		p.found.problem(at, "the parameter has no name")
		return nil
	}
	if p.filled(a) {
		return nil
	}
	switch a.in {
	case "path":
		a.required = true
	case "query":
	case "header":
		if !p.header(a) {
			return nil
		}
	case "cookie":
		if p.options.Strict {
			p.found.problem(at, "cookie parameters are not supported; remove "+short(a.name))
			return nil
		}
		if !httpguts.ValidHeaderFieldName(a.name) {
			p.found.problem(at, short(a.name)+" is no name that a cookie can have")
			return nil
		}
	case "body", "formData":
		p.found.problem(at, "parameters in "+a.in+" are Swagger 2.0's; write a requestBody")
		return nil
	default:
		p.found.problem(at.Down("in"), "must be path, query, header or cookie")
		return nil
	}
	p.content(a)
	p.style(a)
	a.types = p.types(a.schema, a.where)
	return a
}

// filled reports whether a credential fills a parameter.
func (p *parser) filled(a *parameter) bool {
	return a.in == p.options.FilledIn && (a.name == p.options.Filled || a.in == "header" && strings.EqualFold(a.name, p.options.Filled))
}

// header checks a header's name. Those that are reserved are left out.
func (p *parser) header(a *parameter) bool {
	if !httpguts.ValidHeaderFieldName(a.name) {
		p.found.problem(a.at, short(a.name)+" is no name that a header can have")
		return false
	}
	name := textproto.CanonicalMIMEHeaderKey(a.name)
	if name == "Accept" || name == "Content-Type" || name == "Authorization" {
		return false // as OpenAPI says
	}
	if slices.Contains(reserved, name) {
		p.refuseOrWarn(a.at, "the header "+name+" is not for arguments")
		return false
	}
	if p.options.Strict {
		p.found.problem(a.at, "header parameters are not supported; remove "+short(a.name))
		return false
	}
	return true
}

// content finds the schema of a parameter: its own, or that of its one media type.
func (p *parser) content(a *parameter) {
	a.schema, a.where = a.node.Get("schema"), a.at.Down("schema")
	content := a.node.Get("content")
	switch {
	case a.schema != nil:
	case content.Is(node.Map) && len(content.Members) == 1:
		if p.options.Strict {
			p.found.problem(a.at.Down("content"), "parameters with content are not supported; write a schema")
			return
		}
		m := content.Members[0]
		a.json = mediaKind(m.Name) == jsonBody
		a.schema, a.where = m.Value.Get("schema"), a.at.Down("content").Down(m.Name).Down("schema")
	case content != nil:
		p.found.problem(a.at.Down("content"), "must have one media type")
	default:
		p.found.warn(a.at, "the parameter "+short(a.name)+" has no schema; any text is taken")
		a.where = a.at
	}
}

// style reads how a value is written, with OpenAPI's defaults.
func (p *parser) style(a *parameter) {
	allowed := map[string][]string{
		"path":   {"simple", "label", "matrix"},
		"query":  {"form", "spaceDelimited", "pipeDelimited", "deepObject"},
		"header": {"simple"},
		"cookie": {"form"},
	}[a.in]
	a.style = p.readStyle(a.node, allowed[0])
	if !slices.Contains(allowed, a.style.Name) {
		p.found.problem(a.at.Down("style"), fmt.Sprintf("%s is no style of parameters in %s; write %s", short(a.style.Name), a.in, strings.Join(allowed, ", ")))
		return
	}
	if a.in != "query" {
		a.style.Reserved = false
	}
	a.style.Integer = p.integer(a.schema, a.where)
	if p.options.Strict && a.in == "path" && a.style.Name != "simple" {
		p.found.problem(a.at.Down("style"), "only the style simple is supported in paths")
		return
	}
	if s, _ := p.schemas.Resolve(a.schema, a.where); p.options.Strict && a.in == "query" {
		if t := s.Get("type").Str(); t == "array" || t == "object" {
			p.found.problem(a.at, "query parameters are strings, numbers and booleans; "+short(a.name)+" is an "+t+" (a server that is not --strict takes it)")
			return
		}
	}
}

// readStyle reads style, explode and allowReserved, of a parameter or of an Encoding Object.
func (p *parser) readStyle(n *node.Node, normal string) style.Style {
	s := style.Style{Name: normal, Reserved: n.Get("allowReserved").True()}
	if name := n.Get("style").Str(); name != "" {
		s.Name = name
	}
	s.Explode = s.Name == "form"
	if e := n.Get("explode"); e.Is(node.Bool) {
		s.Explode = e.True()
	}
	return s
}

// integer reports whether values, or the items of lists, are whole numbers.
func (p *parser) integer(n *node.Node, at *node.Path) bool {
	for range 2 {
		if n == nil {
			return false
		}
		if n, at = p.schemas.Resolve(n, at); n.Get("type").Str() == "integer" {
			return true
		}
		n, at = n.Get("items"), at.Down("items")
	}
	return false
}

// matchPath matches the parameters of a path with the places in it.
func (p *parser) matchPath(o *operation, at *node.Path) {
	in := map[string]bool{}
	for _, s := range o.path {
		if s.parameter == "" || in[s.parameter] {
			continue
		}
		in[s.parameter] = true
		missing := &parameter{name: s.parameter, in: "path", required: true, style: style.Style{Name: "simple"}, at: at, where: at}
		if slices.ContainsFunc(o.parameters, missing.same) {
			continue
		}
		if p.options.Strict {
			p.found.problem(at, "the path has {"+short(s.parameter)+"}, which is no parameter; add one that is in path")
			continue
		}
		p.found.warn(at, "the path has {"+short(s.parameter)+"}, which is no parameter; any text is taken")
		o.parameters = append(o.parameters, missing)
	}
	o.parameters = slices.DeleteFunc(o.parameters, func(a *parameter) bool {
		left := a.in == "path" && !in[a.name]
		if left {
			p.refuseOrWarn(a.at, "the parameter "+short(a.name)+" is not in the path")
		}
		return left
	})
}

// nameArguments gives each parameter, and the body, the name of an argument. A name that is
// in several places is the path's first, then the query's, the header's, the cookie's.
func (p *parser) nameArguments(o *operation, at *node.Path) {
	taken := map[string]bool{}
	o.isParameter = taken
	for _, in := range []string{"path", "query", "header", "cookie"} {
		for _, a := range o.parameters {
			if a.in != in {
				continue
			}
			a.argument = a.name
			for taken[a.argument] {
				a.argument = in + "_" + a.argument
			}
			if a.argument != a.name {
				p.found.warn(a.at, "another parameter is called "+short(a.name)+", too; this one's argument is "+short(a.argument))
			}
			taken[a.argument] = true
			p.warnArgument(a.argument, a.at)
		}
	}
	if o.body == nil {
		return
	}
	for _, f := range o.body.fields {
		if taken[f.name] {
			p.found.warn(o.body.at, "the body has a property "+short(f.name)+", as a parameter is called; the body is one argument")
			o.body.flat = false
		}
		if o.body.flat {
			p.warnArgument(f.name, f.at)
		}
	}
	o.body.argument = "body"
	for taken[o.body.argument] {
		o.body.argument = "request_" + o.body.argument
	}
}

// warnArgument tells of names that some models' APIs refuse in a tool's schema.
func (p *parser) warnArgument(name string, at *node.Path) {
	ok := len(name) <= 64 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
	if !ok && !p.options.Strict {
		p.found.warn(at, "some models refuse tools with an argument called "+short(name)+" (they take up to 64 of a-z A-Z 0-9 _ . -)")
	}
}
