package rules

import (
	"errors"
	"fmt"
	"strings"
)

// expr is a part of a rule that has a value: nil for none, a string, a bool, an int, a
// []any or a map[string]any.
type expr interface {
	eval(s *scope) (any, error)
}

type (
	literal    struct{ value any }
	ref        string
	listExpr   []expr
	objectExpr map[string]expr
	template   []part
	call       struct {
		name string
		fn   builtin
		args listExpr
	}
)

// part is of a template: a text, or the value of a path where path is set.
type part struct {
	text, name, path string
	isValue          bool
	// guarded is set for what callers say in a host.
	guarded bool
}

// scope is one evaluation.
type scope struct {
	params map[string]any
	// variables are those that conditions assigned, the newest last.
	variables []variable
	steps     int
}

type variable struct {
	name  string
	value any
}

var (
	errSteps = fmt.Errorf("the rules take more than %d steps", maxSteps)
	errText  = fmt.Errorf("the rules make a text longer than %d bytes", maxText)
	// errNone is rules that are exhausted.
	errNone = errors.New("no rule is for these parameters")
)

func (s *scope) step() error {
	if s.steps++; s.steps > maxSteps {
		return errSteps
	}
	return nil
}

func (s *scope) lookup(name string) any {
	for i := len(s.variables) - 1; i >= 0; i-- {
		if s.variables[i].name == name {
			return s.variables[i].value
		}
	}
	return s.params[name]
}

// Resolve finds the endpoint for parameters: strings, bools and []any of strings by name.
// Those that the set does not have are ignored.
//
// Errors: *Error is the rules' own refusal; any other is of parameters that are missing or
// of another type, or of rules that do not end in an endpoint.
func (s *Set) Resolve(params map[string]any) (Endpoint, error) {
	sc := &scope{params: make(map[string]any, len(s.parameters))}
	for name, p := range s.parameters {
		v := params[name]
		if v == nil {
			v = p.Default
		}
		if v == nil && p.Required {
			return Endpoint{}, fmt.Errorf("the endpoint rules need the parameter %s", name)
		}
		if v != nil && !p.fits(v) {
			return Endpoint{}, fmt.Errorf("the endpoint rules' parameter %s is no %s", name, p.Type)
		}
		sc.params[name] = v
	}
	if s.diagram != nil {
		return s.diagram.resolve(sc)
	}
	return sc.first(s.rules)
}

func (p Parameter) fits(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.EqualFold(p.Type, "string") && len(v) <= maxText
	case bool:
		return strings.EqualFold(p.Type, "boolean")
	case []any:
		return strings.EqualFold(p.Type, "stringArray")
	}
	return false
}

// first is the endpoint of the first rule whose conditions hold.
func (s *scope) first(rules []rule) (Endpoint, error) {
	for i := range rules {
		mark := len(s.variables)
		ok, err := s.holds(rules[i].conditions)
		if err != nil {
			return Endpoint{}, err
		}
		if ok {
			// A tree is terminal: what follows it is not looked at.
			return s.end(&rules[i])
		}
		s.variables = s.variables[:mark]
	}
	return Endpoint{}, errNone
}

func (s *scope) holds(conditions []condition) (bool, error) {
	for i := range conditions {
		if ok, err := s.matches(&conditions[i]); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// matches says whether a condition has a value other than false, and assigns it.
func (s *scope) matches(c *condition) (bool, error) {
	v, err := c.call.eval(s)
	if err != nil {
		return false, err
	}
	if c.assign != "" {
		s.variables = append(s.variables, variable{c.assign, v})
	}
	return v != nil && v != false, nil
}

func (s *scope) end(r *rule) (Endpoint, error) {
	switch {
	case r.endpoint != nil:
		return r.endpoint.resolve(s)
	case r.err != nil:
		text, err := textOf(r.err, s)
		if err != nil {
			return Endpoint{}, err
		}
		return Endpoint{}, &Error{Message: text}
	}
	return s.first(r.rules)
}

func (e *endpoint) resolve(s *scope) (Endpoint, error) {
	var out Endpoint
	var err error
	if out.URL, err = textOf(e.url, s); err != nil {
		return Endpoint{}, err
	}
	if len(e.headers) > 0 {
		out.Headers = make(map[string][]string, len(e.headers))
	}
	for name, values := range e.headers {
		for _, v := range values {
			text, err := textOf(v, s)
			if err != nil {
				return Endpoint{}, err
			}
			out.Headers[name] = append(out.Headers[name], text)
		}
	}
	out.Properties = make(map[string]any, len(e.properties))
	for name, v := range e.properties {
		if out.Properties[name], err = v.eval(s); err != nil {
			return Endpoint{}, err
		}
	}
	return out, nil
}

func textOf(e expr, s *scope) (string, error) {
	v, err := e.eval(s)
	if err != nil {
		return "", err
	}
	text, ok := v.(string)
	if !ok {
		return "", errors.New("the rules end in a value that is no text")
	}
	return text, nil
}

func (l literal) eval(*scope) (any, error) { return l.value, nil }

func (r ref) eval(s *scope) (any, error) { return s.lookup(string(r)), s.step() }

func (l listExpr) eval(s *scope) (any, error) {
	out := make([]any, len(l))
	for i, e := range l {
		var err error
		if out[i], err = e.eval(s); err != nil {
			return nil, err
		}
	}
	return out, s.step()
}

func (o objectExpr) eval(s *scope) (any, error) {
	out := make(map[string]any, len(o))
	for k, e := range o {
		var err error
		if out[k], err = e.eval(s); err != nil {
			return nil, err
		}
	}
	return out, s.step()
}

func (c call) eval(s *scope) (any, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	// The arguments of coalesce and ite are evaluated all the same: nothing in the
	// language has an effect, and steps bound the work.
	args := make([]any, len(c.args), c.fn.max)
	for i, e := range c.args {
		var err error
		if args[i], err = e.eval(s); err != nil {
			return nil, err
		}
	}
	v, err := c.fn.run(args)
	if err != nil {
		return nil, fmt.Errorf("function %s of the endpoint rules: %w", c.name, err)
	}
	return v, nil
}

func (t template) eval(s *scope) (any, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, p := range t {
		text := p.text
		if p.isValue {
			v := s.lookup(p.name)
			if p.path != "" {
				v = attribute(v, p.path)
			}
			switch v := v.(type) {
			case string:
				text = v
			case bool:
				text = fmt.Sprint(v)
			default:
				return nil, fmt.Errorf("the endpoint rules put {%s} in a text, and it is not set", p.name)
			}
		}
		if p.guarded && endsHost(text) {
			return nil, &Error{Message: fmt.Sprintf("%q cannot be part of a host", text)}
		}
		if b.Len()+len(text) > maxText {
			return nil, errText
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// parseTemplate reads {name} and {name#path} in a text; {{ and }} stand for braces.
func parseTemplate(text, at string) (expr, error) {
	if !strings.ContainsAny(text, "{}") {
		return literal{text}, nil
	}
	var out template
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '{' || c == '}') && i+1 < len(text) && text[i+1] == c:
			plain.WriteByte(c)
			i++
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("%s: a { without its }", at)
			}
			name, path, _ := strings.Cut(text[i+1:i+end], "#")
			if name == "" {
				return nil, fmt.Errorf("%s: {} names nothing", at)
			}
			out = append(out, part{text: plain.String()}, part{name: name, path: path, isValue: true})
			plain.Reset()
			i += end
		default:
			plain.WriteByte(c)
		}
	}
	return append(out, part{text: plain.String()}), nil
}
