// Package rules evaluates the endpoint rules of Smithy models: which URL a service is
// called at, and how a call to it is signed, worked out from the region, from switches of
// the client and from members of the call. It knows both forms of the rules that models
// carry, the tree of smithy.rules#endpointRuleSet and the decision diagram of
// smithy.rules#endpointBdd, with AWS's own functions (Smithy's rules engine
// specification, 1.1).
//
// Rules come from whoever makes a target, so that all is bounded: how deep they nest, how
// many steps an evaluation takes, and how long a text becomes.
package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	// maxDepth is how deep rules and their arguments nest.
	maxDepth = 64
	// maxSteps is how many functions, references and rules one evaluation looks at.
	// Amazon S3's rules, the longest there are, take fewer than 500.
	maxSteps = 50_000
	// maxText is how long a text may become while rules are evaluated, in bytes.
	maxText = 8 << 10
)

// Set is a rule set. It is safe for concurrent use.
type Set struct {
	parameters map[string]Parameter
	rules      []rule
	diagram    *diagram
}

// Parameter is a value that a rule set depends on.
type Parameter struct {
	// Type is string, boolean or stringArray.
	Type string `json:"type"`
	// BuiltIn names where clients take the value from, such as AWS::Region; empty for none.
	BuiltIn  string `json:"builtIn"`
	Required bool   `json:"required"`
	// Default is the value when there is none: a string, a bool or a []any of strings.
	Default any `json:"default"`
}

// Endpoint is what rules end in.
type Endpoint struct {
	URL     string
	Headers map[string][]string
	// Properties are JSON values: authSchemes and others.
	Properties map[string]any
}

// Error is what rules say of parameters that no endpoint is for.
type Error struct{ Message string }

// Error implements error.
func (e *Error) Error() string { return e.Message }

// rule is a tree, an endpoint or an error: exactly one of the last three members is set.
type rule struct {
	conditions []condition
	rules      []rule
	endpoint   *endpoint
	err        expr
}

type condition struct {
	call   expr
	assign string
}

type endpoint struct {
	url        expr
	headers    map[string][]expr
	properties map[string]expr
}

// Parameters are those of the set, by name. Nobody writes to the map.
func (s *Set) Parameters() map[string]Parameter { return s.parameters }

// Parse reads the value of the trait smithy.rules#endpointRuleSet. Its errors name the
// place in the value.
func Parse(text []byte) (*Set, error) {
	var doc struct {
		Parameters map[string]Parameter `json:"parameters"`
		Rules      []json.RawMessage    `json:"rules"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read rule set: %w", err)
	}
	if len(doc.Rules) == 0 {
		return nil, errors.New("rules: there are none")
	}
	s := &Set{parameters: doc.Parameters}
	if err := s.checkParameters(); err != nil {
		return nil, err
	}
	var err error
	s.rules, err = parseRules(doc.Rules, "rules", 0)
	return s, err
}

func (s *Set) checkParameters() error {
	for name, p := range s.parameters {
		switch p.Type {
		case "string", "String", "boolean", "Boolean", "stringArray", "StringArray":
		default:
			return fmt.Errorf("parameters.%s: type %q is none of string, boolean and stringArray", name, p.Type)
		}
	}
	return nil
}

func parseRules(list []json.RawMessage, at string, depth int) ([]rule, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: nests deeper than %d", at, maxDepth)
	}
	out := make([]rule, len(list))
	for i, text := range list {
		var err error
		if out[i], err = parseRule(text, fmt.Sprintf("%s[%d]", at, i), depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func parseRule(text []byte, at string, depth int) (rule, error) {
	var doc struct {
		Type       string            `json:"type"`
		Conditions []json.RawMessage `json:"conditions"`
		Rules      []json.RawMessage `json:"rules"`
		Error      json.RawMessage   `json:"error"`
		Endpoint   *struct {
			URL        json.RawMessage              `json:"url"`
			Headers    map[string][]json.RawMessage `json:"headers"`
			Properties map[string]json.RawMessage   `json:"properties"`
		} `json:"endpoint"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return rule{}, fmt.Errorf("%s: %w", at, err)
	}
	var r rule
	var err error
	if r.conditions, err = parseConditions(doc.Conditions, at); err != nil {
		return rule{}, err
	}
	switch {
	case doc.Type == "tree":
		r.rules, err = parseRules(doc.Rules, at+".rules", depth+1)
		if len(doc.Rules) == 0 {
			err = fmt.Errorf("%s: a tree without rules", at)
		}
	case doc.Type == "error" && doc.Error != nil:
		r.err, err = parseExpr(doc.Error, at+".error", depth)
	case doc.Type == "endpoint" && doc.Endpoint != nil && doc.Endpoint.URL != nil:
		r.endpoint = &endpoint{headers: map[string][]expr{}, properties: map[string]expr{}}
		r.endpoint.url, err = parseExpr(doc.Endpoint.URL, at+".endpoint.url", depth)
		for name, values := range doc.Endpoint.Headers {
			for _, v := range values {
				var e expr
				if e, err = parseExpr(v, at+".endpoint.headers."+name, depth); err != nil {
					return rule{}, err
				}
				r.endpoint.headers[name] = append(r.endpoint.headers[name], e)
			}
		}
		for name, v := range doc.Endpoint.Properties {
			var e expr
			if e, err = parseProperty(v, at+".endpoint.properties."+name); err != nil {
				return rule{}, err
			}
			r.endpoint.properties[name] = e
		}
	default:
		err = fmt.Errorf("%s: neither a tree, an endpoint with a url, nor an error", at)
	}
	return r, err
}

func parseConditions(list []json.RawMessage, at string) ([]condition, error) {
	out := make([]condition, 0, len(list))
	for i, text := range list {
		place := fmt.Sprintf("%s.conditions[%d]", at, i)
		var doc struct {
			Fn     string `json:"fn"`
			Assign string `json:"assign"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if doc.Fn == "" {
			return nil, fmt.Errorf("%s: fn is missing", place)
		}
		e, err := parseExpr(text, place, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, condition{call: e, assign: doc.Assign})
	}
	return out, nil
}

// parseExpr reads an argument: a text that may be a template, a bool, a number, a list, a
// reference or a function.
func parseExpr(text []byte, at string, depth int) (expr, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: nests deeper than %d", at, maxDepth)
	}
	switch text = bytes.TrimSpace(text); text[0] {
	case '"':
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		return parseTemplate(s, at)
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		return parseList(list, at, depth)
	case '{':
		return parseCall(text, at, depth)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if f, ok := v.(float64); ok {
		if f != float64(int(f)) || f < -maxText || f > maxText {
			return nil, fmt.Errorf("%s: %s is no whole number of a reasonable size", at, text)
		}
		v = int(f)
	}
	return literal{v}, nil
}

func parseList(list []json.RawMessage, at string, depth int) (expr, error) {
	out := make(listExpr, len(list))
	for i, v := range list {
		var err error
		if out[i], err = parseExpr(v, fmt.Sprintf("%s[%d]", at, i), depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func parseCall(text []byte, at string, depth int) (expr, error) {
	var doc struct {
		Ref  string            `json:"ref"`
		Fn   string            `json:"fn"`
		Argv []json.RawMessage `json:"argv"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if doc.Ref != "" {
		return ref(doc.Ref), nil
	}
	fn, ok := function(doc.Fn)
	if !ok {
		return nil, fmt.Errorf("%s: there is no function %q", at, doc.Fn)
	}
	if len(doc.Argv) < fn.min || len(doc.Argv) > fn.max {
		return nil, fmt.Errorf("%s: %s with %d arguments", at, doc.Fn, len(doc.Argv))
	}
	args, err := parseList(doc.Argv, at+".argv", depth)
	if err != nil {
		return nil, err
	}
	return call{name: doc.Fn, fn: fn, args: args.(listExpr)}, nil
}

// parseProperty reads a property of an endpoint, where only texts are templates: objects
// are neither references nor functions.
func parseProperty(text []byte, at string) (expr, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return property(v, at, 0)
}

func property(v any, at string, depth int) (expr, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: nests deeper than %d", at, maxDepth)
	}
	switch v := v.(type) {
	case string:
		return parseTemplate(v, at)
	case []any:
		out := make(listExpr, len(v))
		for i, item := range v {
			var err error
			if out[i], err = property(item, at, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := objectExpr{}
		for k, item := range v {
			var err error
			if out[k], err = property(item, at+"."+k, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return literal{v}, nil
}
