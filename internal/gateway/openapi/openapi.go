// Package openapi reads OpenAPI documents as tools, and writes a tool's arguments as the
// HTTP request its operation describes (spec/gateway.md 5.2). It does no input or output:
// documents are texts, and requests are sent by somebody else.
//
// Documents come from whoever may create a target, and arguments from models. A document
// is read within bounds; a request stays on the document's server and below its path,
// whatever the arguments are.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/openapi/node"
	"github.com/outcrop/outcrop/internal/gateway/openapi/schema"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// The bounds of a document. MaxBytes is AWS's for schemas from S3, and MaxOperations its
// tools per target (spec/gateway.md 6); the others are ours.
const (
	MaxBytes      = 10 << 20
	MaxOperations = tool.MaxPerTarget

	maxDepth      = 100       // lists and maps in one another
	maxValues     = 1 << 20   // values in a document
	maxURL        = 8 << 10   // bytes of a server's URL with its variables, and of a path
	maxParameters = 500       // of an operation
	maxEntries    = 100       // of a path item, of an operation's responses and media types
	maxSchema     = 256 << 10 // bytes of a tool's input schema
	maxSchemas    = 16 << 20  // bytes of all tools' input schemas
	maxOutput     = 64 << 10  // bytes of a tool's output schema
	maxWork       = 64 << 20  // bytes of schemas made for input, and half as many for output
)

// Options say how a document is read. The zero Options are Outcrop's own: more than AWS
// takes, and https alone.
type Options struct {
	// Strict refuses what AWS's gateway refuses: oneOf, anyOf and allOf, operations
	// without operationId, and parameters and bodies in forms that it does not write.
	Strict bool
	// AllowHTTP takes servers with http URLs, too.
	AllowHTTP bool
	// Server is used in place of all servers of the document, unless it is empty.
	Server string
	// FilledIn and Filled are the place (query, header) and the name of the parameter that a
	// credential fills: it is no argument of any tool.
	FilledIn, Filled string
	// Output asks for the schemas of answers, too (Success).
	Output bool
	// MaxBytes bounds the text; 0 stands for the constant of that name.
	MaxBytes int
}

// Document is a document that was read. It is never changed and may be used by many.
type Document struct {
	tools      []tool.Tool
	operations map[string]*operation
	warnings   []string
}

// Parse reads a document of OpenAPI 3.0 or 3.1, in JSON or YAML. What is wrong with it is
// told as *Problems, all at once.
func Parse(text []byte, o Options) (*Document, error) {
	limit := o.MaxBytes
	if limit == 0 {
		limit = MaxBytes
	}
	p := &parser{options: o, found: newFindings(), shapes: map[*node.Node]*shape{}}
	if len(text) > limit {
		p.found.problem(nil, fmt.Sprintf("the document has %d bytes; the limit is %d: leave out descriptions and examples, or split it into several targets", len(text), limit))
		return nil, p.found.err()
	}
	root, err := p.read(text)
	if err != nil {
		at, text := (*node.Path)(nil), err.Error()
		if e, ok := err.(*node.Error); ok {
			at = node.To(e.Pointer)
		}
		p.found.problem(at, text)
		return nil, p.found.err()
	}
	p.root = root
	if p.version() {
		p.document()
	}
	if err := p.found.err(); err != nil {
		return nil, err
	}
	return p.result(), nil
}

// read reads JSON or YAML. A YAML document may begin as JSON does.
func (p *parser) read(text []byte) (*node.Node, error) {
	limits := node.Limits{Depth: maxDepth, Nodes: maxValues}
	if !p.options.Strict {
		limits.Twice = func(where string) { p.found.warn(nil, "there twice, the last one counts: "+short(where)) }
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return node.YAML(text, limits)
	}
	n, err := node.JSON(text, limits)
	if err != nil {
		if y, yerr := node.YAML(text, limits); yerr == nil {
			return y, nil
		}
	}
	return n, err
}

// parser collects what a document says.
type parser struct {
	options Options
	root    *node.Node
	found   *findings
	schemas *schema.Reader
	old     bool // OpenAPI 3.0

	operations []*operation
	tools      []tool.Tool
	names      map[string]*node.Path // of tools, and where they come from
	shapes     map[*node.Node]*shape // of schemas in XML
	bytes      int                   // of all input schemas
	outputs    int                   // bytes spent on output schemas
}

// version checks that the document is one of OpenAPI's that can be read.
func (p *parser) version() bool {
	if !p.root.Is(node.Map) {
		p.found.problem(nil, "is no OpenAPI document: it must be an object with the member openapi")
		return false
	}
	if p.root.Get("swagger") != nil {
		p.found.problem(node.To("/swagger"), "Swagger 2.0 is not supported; convert the document to OpenAPI 3.0 or 3.1 (for example with `npx swagger2openapi`)")
		return false
	}
	v := p.root.Get("openapi")
	if !v.Scalar() {
		p.found.problem(node.To("/openapi"), `must say the version of OpenAPI, for example "3.0.3" or "3.1.0"`)
		return false
	}
	minor := v.Text + "."
	p.old = strings.HasPrefix(minor, "3.0.")
	if !p.old && !strings.HasPrefix(minor, "3.1.") {
		p.found.problem(node.To("/openapi"), fmt.Sprintf("version %q is not supported; versions 3.0.x and 3.1.x are", short(v.Text)))
		return false
	}
	p.schemas = &schema.Reader{Root: p.root, Old: p.old, Strict: p.options.Strict, Problem: p.found.problem, Warn: p.found.warn}
	return true
}

func (p *parser) result() *Document {
	d := &Document{tools: p.tools, operations: make(map[string]*operation, len(p.operations)), warnings: p.found.warnings}
	for _, o := range p.operations {
		o.release()
		d.operations[o.name] = o
	}
	return d
}

// Tools are the tools of a document, in its order. They have no prefix.
func (d *Document) Tools() []tool.Tool { return append([]tool.Tool(nil), d.tools...) }

// Warnings are what the target's owner should know about a document that can be served:
// what was left out or understood in another way, each with a JSON pointer.
func (d *Document) Warnings() []string { return append([]string(nil), d.warnings...) }

// Success is what an operation says of its answers.
type Success struct {
	// Accept is the header that requests have: the media types of its successes.
	Accept string
	// OutputSchema is the JSON Schema of a success that is a JSON object, or nil. It is
	// read where Options.Output asks for it. Services are known to answer otherwise than
	// they say, so tools do not promise it.
	OutputSchema json.RawMessage
}

// Success tells it of a tool; false when there is no such tool.
func (d *Document) Success(name string) (Success, bool) {
	o, ok := d.operations[name]
	if !ok {
		return Success{}, false
	}
	return o.success, true
}
