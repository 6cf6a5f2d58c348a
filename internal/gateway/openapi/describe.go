package openapi

import (
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
	"github.com/outcrop/outcrop/internal/gateway/openapi/schema"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// tool describes an operation as MCP lists it.
func (p *parser) tool(o *operation, op *node.Node, at *node.Path) tool.Tool {
	input, ok := p.schemas.Build(false, maxSchema, at, func(b *schema.Builder) *node.Node { return p.input(b, o) })
	if !ok {
		p.found.problem(at, fmt.Sprintf("the input schema of %s has more than %d KB; leave out properties or descriptions", short(o.name), maxSchema>>10))
		return tool.Tool{}
	}
	t := tool.Tool{Name: o.name, Description: op.Get("description").Str(), InputSchema: input.AppendJSON(nil)}
	p.bytes += len(t.InputSchema)
	summary := op.Get("summary").Str()
	if t.Description == "" {
		t.Description = summary
	} else {
		t.Title = summary
	}
	if op.Get("deprecated").True() {
		t.Description = strings.TrimSpace("Deprecated. " + t.Description)
	}
	t.Annotations = annotations(o.method)
	return t
}

// annotations are MCP's hints, as far as HTTP defines them (RFC 9110, 9.2).
func annotations(method string) json.RawMessage {
	switch method {
	case "GET", "HEAD", "OPTIONS":
		return json.RawMessage(`{"readOnlyHint":true}`)
	case "PUT":
		return json.RawMessage(`{"idempotentHint":true}`)
	case "DELETE":
		return json.RawMessage(`{"destructiveHint":true,"idempotentHint":true}`)
	}
	return nil
}

// input is the schema of an operation's arguments: one flat object.
func (p *parser) input(b *schema.Builder, o *operation) *node.Node {
	props, required := &node.Node{Kind: node.Map}, &node.Node{Kind: node.List}
	add := func(name string, v *node.Node, must bool) {
		props.Members = append(props.Members, node.Member{Name: name, Value: v})
		if must {
			required.Items = append(required.Items, str(name))
		}
	}
	for _, a := range o.parameters {
		add(a.argument, p.parameterSchema(b, a), a.required)
	}
	var additional *node.Node = &node.Node{Kind: node.Bool, Text: "false"}
	if body := o.body; body != nil && body.flat {
		for _, f := range body.fields {
			v := b.Schema(f.schema, f.at)
			if f.binary {
				v = base64Schema(v)
			}
			add(f.name, v, f.required && body.required)
		}
		if body.open {
			additional = nil
		}
		if body.additional != nil {
			additional = b.Schema(body.additional, body.where)
		}
	} else if body != nil {
		add(body.argument, p.bodySchema(b, body), body.required)
	}
	out := &node.Node{Kind: node.Map, Members: []node.Member{{Name: "type", Value: str("object")}, {Name: "properties", Value: props}}}
	if len(required.Items) > 0 {
		out.Members = append(out.Members, node.Member{Name: "required", Value: required})
	}
	if additional != nil {
		out.Members = append(out.Members, node.Member{Name: "additionalProperties", Value: additional})
	}
	return out
}

// parameterSchema is a parameter's schema, with what the parameter itself says of it.
func (p *parser) parameterSchema(b *schema.Builder, a *parameter) *node.Node {
	v := &node.Node{Kind: node.Map, Members: []node.Member{{Name: "type", Value: str("string")}}}
	if a.schema != nil {
		v = b.Schema(a.schema, a.where)
	}
	if d := a.node.Get("description"); d.Str() != "" {
		v = b.With(v, "description", d)
	}
	if a.node.Get("deprecated").True() {
		v = b.With(v, "deprecated", a.node.Get("deprecated"))
	}
	if e := examples(a.node); e != nil {
		v = b.With(v, "examples", e)
	}
	return v
}

// examples are a parameter's own, as JSON Schema has them.
func examples(n *node.Node) *node.Node {
	if e := n.Get("example"); e != nil {
		return &node.Node{Kind: node.List, Items: []*node.Node{e}}
	}
	named := n.Get("examples")
	if !named.Is(node.Map) {
		return nil
	}
	out := &node.Node{Kind: node.List}
	for _, m := range named.Members[:min(len(named.Members), 10)] {
		if v := m.Value.Get("value"); v != nil {
			out.Items = append(out.Items, v)
		}
	}
	if out.Items == nil {
		return nil
	}
	return out
}

// bodySchema is the schema of a body that is one argument.
func (p *parser) bodySchema(b *schema.Builder, body *body) *node.Node {
	v := &node.Node{Kind: node.Map}
	if body.schema != nil {
		v = b.Schema(body.schema, body.schemaPath)
	}
	switch body.kind {
	case textBody:
		if v.Get("type") == nil && v.Get("$ref") == nil {
			v = b.With(v, "type", str("string"))
		}
	case bytesBody:
		v = base64Schema(v)
	}
	if d := body.node.Get("description"); d.Str() != "" && v.Get("description") == nil {
		v = b.With(v, "description", d)
	}
	return v
}

// base64Schema is the schema of bytes, which JSON has as base64, or of a list of them.
func base64Schema(n *node.Node) *node.Node {
	if n.Get("type").Str() == "array" {
		out := &node.Node{Kind: node.Map}
		for _, m := range n.Members {
			if m.Name == "items" {
				m.Value = base64Schema(m.Value)
			}
			out.Members = append(out.Members, m)
		}
		return out
	}
	out := &node.Node{Kind: node.Map, Members: []node.Member{{Name: "type", Value: str("string")}, {Name: "contentEncoding", Value: str("base64")}}}
	for _, m := range n.Members {
		switch m.Name {
		case "title", "description", "contentMediaType", "deprecated", "examples":
			out.Members = append(out.Members, m)
		}
	}
	return out
}

// responses reads what an operation says of its answers: those of status 2xx, or the
// default where it names none.
func (p *parser) responses(o *operation, op *node.Node, opAt *node.Path) {
	all := op.Get("responses")
	o.success.Accept = "*/*"
	if !all.Is(node.Map) || len(all.Members) > maxEntries {
		return
	}
	at := opAt.Down("responses")
	var accept []string
	for _, second := range []bool{false, true} {
		for _, m := range all.Members {
			if isSuccess := strings.HasPrefix(m.Name, "2"); isSuccess == second || second && m.Name != "default" {
				continue
			}
			accept = p.response(o, m.Value, at.Down(m.Name), accept)
		}
		if accept != nil {
			o.success.Accept = strings.Join(accept, ", ")
			return
		}
	}
}

func (p *parser) response(o *operation, n *node.Node, at *node.Path, accept []string) []string {
	quiet := p.quiet()
	n, at = quiet.Resolve(n, at)
	content := n.Get("content")
	if !content.Is(node.Map) || len(content.Members) > maxEntries {
		return accept
	}
	for _, m := range content.Members {
		if _, _, err := mime.ParseMediaType(m.Name); err != nil || len(accept) >= 10 {
			continue
		}
		if !slices.Contains(accept, m.Name) {
			accept = append(accept, m.Name)
		}
		if s := m.Value.Get("schema"); s != nil && p.options.Output && o.success.OutputSchema == nil && mediaKind(m.Name) == jsonBody {
			o.success.OutputSchema = p.output(s, at.Down("content").Down(m.Name).Down("schema"))
		}
	}
	return accept
}

// quiet reads answers: what is wrong with them is no reason to refuse a tool.
func (p *parser) quiet() *schema.Reader {
	quiet := *p.schemas
	quiet.Problem = func(*node.Path, string) {}
	quiet.Warn, quiet.Strict, quiet.Spent = quiet.Problem, false, 0
	return &quiet
}

// output is the schema of an answer that is an object, nil for others and for large ones.
func (p *parser) output(n *node.Node, at *node.Path) json.RawMessage {
	if p.outputs > maxWork/2 {
		return nil
	}
	quiet := p.quiet()
	out, ok := quiet.Build(true, maxOutput, at, func(b *schema.Builder) *node.Node { return b.Schema(n, at) })
	p.outputs += quiet.Spent
	if !ok || out.Get("type").Str() != "object" {
		return nil
	}
	return out.AppendJSON(nil)
}

func str(s string) *node.Node { return &node.Node{Kind: node.String, Text: s} }
