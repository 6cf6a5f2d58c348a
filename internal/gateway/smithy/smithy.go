// Package smithy makes tools of Smithy models, and requests of calls to them
// (spec/gateway.md 5.3). It reads the JSON form of Smithy 1.0 and 2.0, serves what speaks
// aws.protocols#restJson1, and does no input or output: whoever uses it signs and sends
// the request and hands back what came.
package smithy

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/smithy/rules"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// The bounds of a model.
const (
	// MaxModel is how long a model may be, in bytes (spec/gateway.md 6, S3 schema).
	MaxModel = 10 << 20
	// maxProblems is how many problems a Refusal lists.
	maxProblems = 50
	// maxSchema is how long the schema of one tool may be, and maxSchemas of all, in bytes.
	maxSchema  = 512 << 10
	maxSchemas = 32 << 20
)

// protocol is the one that is served.
const protocol = "aws.protocols#restJson1"

// Options are what a model does not say itself.
type Options struct {
	// Service is the shape id of the service, for models that have several.
	Service string
	// Region is the region of AWS that is called and signed for.
	Region string
	// BaseURL is called in place of what the model's endpoint rules find; where the rules
	// know custom endpoints, it is given to them. Models without rules need it.
	BaseURL string
	// Endpoints are base URLs by the service that they are of: the name that requests are
	// signed for (aws.auth#sigv4), or the service's shape id. BaseURL goes before.
	Endpoints map[string]string
	// FIPS and DualStack choose among AWS's endpoints.
	FIPS, DualStack bool
	// Client are values of clientContextParams and of the rules' other parameters, strings
	// and bools by the parameter's name.
	Client map[string]any
	// NewToken makes idempotency tokens. Nil is random UUIDs.
	NewToken func() string
}

// Model is a service as tools. It is safe for concurrent use.
type Model struct {
	options    Options
	operations map[string]*operation
	tools      []tool.Tool
	warnings   []string
	signing    string
	rules      *rules.Set
	// bucketInHost is set where the endpoint rules place the bucket of a call, so that the
	// URI's own does not.
	bucketInHost bool
}

// Tools are the service's operations, in the order of their names. Nobody writes to them.
func (m *Model) Tools() []tool.Tool { return m.tools }

// Warnings say what was left out, and why.
func (m *Model) Warnings() []string { return m.warnings }

// Parse reads a model. Its error is a *Refusal.
func Parse(text []byte, o Options) (*Model, error) {
	if o.NewToken == nil {
		o.NewToken = newToken
	}
	var problems problems
	if len(text) > MaxModel {
		return nil, problems.refuse("", fmt.Sprintf("the model has %d bytes, and may have %d", len(text), MaxModel), "leave out the operations that are no tools, and what only they use")
	}
	doc := parseDocument(text, &problems)
	if problems.any() {
		return nil, problems.refusal()
	}
	id, service := doc.service(o.Service, &problems)
	if problems.any() {
		return nil, problems.refusal()
	}
	m := &Model{options: o, operations: map[string]*operation{}}
	m.readEndpoint(id, service, &problems)
	c := &compiler{doc: doc, shapes: map[string]*shape{}, problems: &problems, service: service}
	m.compile(c, id, service)
	m.guard(id, &problems)
	if len(m.operations) == 0 && !problems.any() {
		problems.add(id, "no operation is left that a tool can be made of"+reasons(m.warnings), "name a service that has operations without streams")
	}
	if problems.any() {
		return nil, problems.refusal()
	}
	m.list(&problems)
	if problems.any() {
		return nil, problems.refusal()
	}
	return m, nil
}

func reasons(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return " (" + warnings[0] + ")"
}

// compile makes the service's operations.
func (m *Model) compile(c *compiler, id string, service *astShape) {
	names := map[string]string{}
	for _, target := range c.doc.operationsOf(id, service, c.problems) {
		op, why := c.operation(target)
		if op == nil {
			if why != "" {
				m.warnings = append(m.warnings, why)
			}
			continue
		}
		if other, taken := names[strings.ToLower(op.name)]; taken {
			c.problems.add(target, "has the name of "+other, "rename one of the two")
			continue
		}
		names[strings.ToLower(op.name)] = target
		op.signed = m.signing != "" && c.signs(target)
		m.operations[op.name] = op
	}
	slices.Sort(m.warnings)
}

// guard holds that arguments, which models write, do not choose the host that is called
// with the gateway's credentials.
func (m *Model) guard(id string, problems *problems) {
	if m.rules == nil {
		return
	}
	var params []string
	for _, op := range m.operations {
		for _, member := range op.input.members {
			if member.context != "" {
				params = append(params, member.context)
			}
		}
	}
	if err := m.rules.Guard(params); err != nil {
		problems.add(id, "in its endpoint rules, "+err.Error(), "")
	}
}

// list makes the tools.
func (m *Model) list(problems *problems) {
	total := 0
	for name, op := range m.operations {
		schema, err := inputSchema(op.input)
		if err != nil {
			m.warnings = append(m.warnings, fmt.Sprintf("%s is left out: %v", op.id, err))
			delete(m.operations, name)
			continue
		}
		total += len(schema)
		m.tools = append(m.tools, tool.Tool{Name: name, Description: op.doc, InputSchema: schema})
	}
	if len(m.tools) == 0 {
		problems.add("", "no operation is left that a tool can be made of"+reasons(m.warnings), "simplify their input")
	}
	if total > maxSchemas {
		problems.add("", fmt.Sprintf("the schemas of all tools have %d bytes, and may have %d", total, maxSchemas), "leave out operations that are no tools")
	}
	slices.SortFunc(m.tools, func(a, b tool.Tool) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(m.warnings)
}

// newToken is a random UUID.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
