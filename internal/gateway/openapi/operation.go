package openapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
	"github.com/outcrop/outcrop/internal/gateway/openapi/style"
)

// operation is what a tool's calls need to become requests.
type operation struct {
	name       string
	method     string
	server     server
	path       []segment
	asked      []asked
	fixed      []style.Pair // of the query, in every request
	parameters []*parameter
	// isParameter has the names of arguments that are parameters.
	isParameter map[string]bool
	body        *body // nil when it has none
	success     Success
}

// segment is a piece of a path: text, or a parameter's place.
type segment struct {
	text      string // encoded
	parameter string // empty for text
}

// release lets go of the document's tree, which calls do not need and which is many times
// what they do.
func (o *operation) release() {
	for _, a := range o.parameters {
		a.node, a.at, a.schema, a.where = nil, nil, nil, nil
	}
	if b := o.body; b != nil {
		b.node, b.at, b.schema, b.schemaPath, b.additional, b.where = nil, nil, nil, nil, nil, nil
		for _, f := range b.fields {
			f.schema, f.at = nil, nil
		}
	}
}

// methods are those that tools may have; TRACE is none of them.
var methods = []string{"get", "put", "post", "delete", "options", "head", "patch"}

// document reads all operations, in the order of the document.
func (p *parser) document() {
	p.names = map[string]*node.Path{}
	paths := p.root.Get("paths")
	at := node.To("/paths")
	if paths != nil && !paths.Is(node.Map) {
		p.found.problem(at, "must be an object")
		return
	}
	if paths != nil {
		for _, m := range paths.Members {
			if strings.HasPrefix(m.Name, "x-") {
				continue
			}
			if !strings.HasPrefix(m.Name, "/") {
				p.found.problem(at.Down(m.Name), "a path must begin with /")
				continue
			}
			if !p.pathItem(m.Name, m.Value, at.Down(m.Name)) {
				return
			}
		}
	}
	if len(p.operations) == 0 && len(p.found.problems.List) == 0 {
		p.found.problem(at, "has no operation; each path needs at least one of get, put, post, delete, options, head and patch")
	}
}

// pathItem reads the operations of a path. It reports false when no more can be read.
func (p *parser) pathItem(path string, item *node.Node, at *node.Path) bool {
	item, itemAt := p.schemas.Resolve(item, at)
	if item == nil {
		return true
	}
	if !item.Is(node.Map) || len(item.Members) > maxEntries {
		p.found.problem(at, fmt.Sprintf("must be an object with at most %d members", maxEntries))
		return true
	}
	for _, m := range item.Members {
		opAt := itemAt.Down(m.Name)
		if m.Name == "trace" {
			p.refuseOrWarn(opAt, "TRACE is no operation of a tool")
			continue
		}
		if !slices.Contains(methods, m.Name) {
			continue
		}
		if !m.Value.Is(node.Map) {
			p.found.problem(opAt, "must be an object")
			continue
		}
		if len(p.operations) == MaxOperations {
			p.found.problem(node.To("/paths"), fmt.Sprintf("has more than %d operations, the limit of a target; split the document", MaxOperations))
			return false
		}
		o := &operation{method: strings.ToUpper(m.Name)}
		p.operation(o, path, item, m.Value, itemAt, opAt)
		if p.bytes > maxSchemas || p.schemas.Spent > maxWork {
			p.found.problem(node.To("/paths"), fmt.Sprintf("the input schemas of all tools have more than %d MB; split the document into several targets", maxSchemas>>20))
			return false
		}
	}
	return true
}

// refuseOrWarn tells what AWS's gateway refuses and ours leaves out.
func (p *parser) refuseOrWarn(at *node.Path, text string) {
	if p.options.Strict {
		p.found.problem(at, text+"; remove it")
	} else {
		p.found.warn(at, text+" (left out)")
	}
}

// operation reads one. It becomes a tool if nothing is wrong with it; all that is wrong
// is told.
func (p *parser) operation(o *operation, path string, item, op *node.Node, itemAt, opAt *node.Path) {
	before := p.found.count()
	if len(path) > maxURL {
		p.found.problem(node.To("/paths"), fmt.Sprintf("the path %s has %d bytes; it may have at most %d", short(path), len(path), maxURL))
		return
	}
	o.name = p.name(o.method, path, op, opAt)
	o.server = p.server(op, item, opAt, itemAt)
	o.path = p.template(o, path, opAt)
	p.parameters(o, item, op, itemAt, opAt)
	p.body(o, op, opAt)
	p.nameArguments(o, opAt)
	t := p.tool(o, op, opAt)
	if p.found.count() > before {
		return
	}
	p.responses(o, op, opAt)
	p.operations = append(p.operations, o)
	p.tools = append(p.tools, t)
}

// name is the tool's: the operationId with what names of tools cannot have replaced, or
// one that is made of method and path.
func (p *parser) name(method, path string, op *node.Node, at *node.Path) string {
	id := op.Get("operationId").Str()
	name := toolName(id)
	if strings.Trim(name, "_") == "" { // nothing of 一覧 is left
		where, has, mend := at, "has no operationId", ", which names the tool; add one"
		if id != "" {
			where, has, mend = at.Down("operationId"), short(id)+" has no letter, digit or - that a tool's name could have", "; write another"
		}
		if p.options.Strict {
			p.found.problem(where, has+mend)
			return ""
		}
		name = madeName(method, path)
		for i, base := 2, name; p.names[name] != nil; i++ {
			name = base + "_" + strconv.Itoa(i)
		}
		p.found.warn(where, has+"; the tool is called "+short(name))
	}
	if other, there := p.names[name]; there {
		p.found.problem(at.Down("operationId"), "the tool "+short(name)+" is there already, by "+other.String()+"; give each operation an operationId of its own")
		return ""
	}
	p.names[name] = at
	return name
}

// toolName keeps letters, digits, _ and -, all that models take in a tool's name.
func toolName(id string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			return c
		}
		return '_'
	}, id)
}

// madeName is get_pets_petId for GET /pets/{petId}.
func madeName(method, path string) string {
	name := strings.ToLower(method)
	for _, s := range strings.FieldsFunc(path, func(c rune) bool { return strings.ContainsRune("/{}?&=", c) }) {
		name += "_" + toolName(s)
	}
	return name
}

// template cuts a path into text and parameters, and reads what it asks.
func (p *parser) template(o *operation, path string, at *node.Path) []segment {
	refuse := func(why string) []segment {
		p.found.problem(at, "the path "+short(path)+" "+why)
		return nil
	}
	if before, _, found := strings.Cut(path, "#"); found && !p.options.Strict {
		p.found.warn(at, "what follows # in the path "+short(path)+" is no part of it")
		path = before
	}
	if p.options.Strict && strings.ContainsAny(path, "?#") {
		return refuse("has ? or #; write a query as parameters")
	}
	var ok bool
	text, query, _ := strings.Cut(path, "?")
	if o.asked, ok = readAsked(query); !ok {
		return refuse("has more behind its ? than name=value and name={parameter}; write a query as parameters")
	}
	var out []segment
	plain := ""
	for rest := text; rest != ""; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return refuse("has a } without {")
		}
		if text != "" {
			out = append(out, segment{text: literal(text)})
			plain += literal(text)
		}
		if !found {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || name == "" || strings.Contains(name, "{") {
			return refuse("has a { without its name and }")
		}
		out = append(out, segment{parameter: name})
		plain += "x"
		rest = tail
	}
	if dotted(plain) {
		return refuse("has . or .. as a segment; write the path that is meant")
	}
	return out
}
