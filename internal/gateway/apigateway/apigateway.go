// Package apigateway makes of a stage of Amazon API Gateway what a target of a gateway
// needs (spec/gateway.md 5.5): it asks for the stage's export, an OpenAPI document, and
// leaves in it the operations that the target's filters select, under the names that its
// overrides give. What it returns is a document as internal/gateway/openapi reads it.
package apigateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// MaxExport is how long an export may be, in bytes (spec/gateway.md 5.5).
const MaxExport = 50 << 20

// maxReasons is how many reasons a Refusal lists.
const maxReasons = 50

// Filter selects operations of a stage.
type Filter struct {
	// Path is that of a resource, such as /pets/{petId}, or ends in /* for all below.
	Path string
	// Methods are HTTP methods in capitals.
	Methods []string
}

// Override names an operation of a stage.
type Override struct {
	Name, Path, Method string
	// Description is in place of the document's unless it is empty.
	Description string
}

// Selection is what is left of an export.
type Selection struct {
	// Document is an OpenAPI document in JSON, with the base URL as its only server.
	Document []byte
	// Warnings say what was left out, and why.
	Warnings []string
}

// Refusal is an export of which no tools can be made as the target is set up.
type Refusal struct{ reasons []string }

// Error implements error: all reasons, one to a line.
func (r *Refusal) Error() string { return strings.Join(r.reasons, "\n") }

// Reasons say what is wrong each, and the way out.
func (r *Refusal) Reasons() []string { return r.reasons }

func (r *Refusal) add(format string, args ...any) {
	if reason := fmt.Sprintf(format, args...); len(r.reasons) < maxReasons && !slices.Contains(r.reasons, reason) {
		r.reasons = append(r.reasons, reason)
	}
}

// Select leaves in an export what filters select, and names it by overrides. The base URL
// is where the stage is called. Its error is a *Refusal.
func Select(export []byte, base string, filters []Filter, overrides []Override) (*Selection, error) {
	r := &Refusal{}
	check(r, filters, overrides)
	doc := readExport(r, export)
	if len(r.reasons) > 0 {
		return nil, r
	}
	s := selector{doc: doc, refusal: r, overrides: overrides, names: map[string]string{}}
	s.choose(filters)
	s.named()
	if len(r.reasons) > 0 {
		return nil, r
	}
	out, err := s.document(base)
	if err != nil {
		r.add("the export cannot be written again: %v", err)
		return nil, r
	}
	return &Selection{Document: out, Warnings: s.warnings}, nil
}

// methods are those that a filter and an override may name.
func methods() []string {
	return []string{"GET", "DELETE", "HEAD", "OPTIONS", "PATCH", "PUT", "POST"}
}

// check holds what the model's shapes do not.
func check(r *Refusal, filters []Filter, overrides []Override) {
	if len(filters) == 0 {
		r.add("toolFilters selects nothing; name at least one path and its methods")
	}
	for i, f := range filters {
		at := fmt.Sprintf("toolFilters[%d]", i)
		path := strings.TrimSuffix(f.Path, "/*")
		if f.Path != "/*" && !strings.HasPrefix(path, "/") || strings.Contains(path, "*") {
			r.add("%s.filterPath is %q; write the path of a resource, such as /pets/{petId}, or one that ends in /*", at, f.Path)
		}
		if len(f.Methods) == 0 {
			r.add("%s.methods is empty; name at least one of %s", at, strings.Join(methods(), ", "))
		}
		for _, m := range f.Methods {
			checkMethod(r, at+".methods", m)
		}
	}
	for i, o := range overrides {
		at := fmt.Sprintf("toolOverrides[%d]", i)
		if o.Name == "" {
			r.add("%s.name is empty; give the tool a name", at)
		}
		if !strings.HasPrefix(o.Path, "/") || strings.Contains(o.Path, "*") {
			r.add("%s.path is %q; write the path of one resource, such as /pets/{petId}", at, o.Path)
		}
		checkMethod(r, at+".method", o.Method)
		if slices.ContainsFunc(overrides[:i], func(b Override) bool { return b.Path == o.Path && b.Method == o.Method }) {
			r.add("%s names %s %s a second time; leave one of the two", at, o.Method, o.Path)
		}
	}
}

func checkMethod(r *Refusal, at, method string) {
	if !slices.Contains(methods(), method) {
		r.add("%s has %q; use one of %s", at, method, strings.Join(methods(), ", "))
	}
}

// export is what is looked at of the document; the rest stays as it is.
type export struct {
	members map[string]json.RawMessage
	paths   map[string]map[string]json.RawMessage
	// iam and keys are the names of security schemes of each kind.
	iam, keys map[string]bool
	security  []map[string]json.RawMessage
}

// operation is what is looked at of an operation.
type operation struct {
	OperationID string                        `json:"operationId"`
	Security    *[]map[string]json.RawMessage `json:"security"`
	// The extension of an operation, where it is exported without a security scheme.
	Auth struct {
		Type string `json:"type"`
	} `json:"x-amazon-apigateway-auth"`
}

func readExport(r *Refusal, text []byte) *export {
	const remedy = "the stage is exported as oas30 in JSON; see that the endpoint speaks API Gateway's GetExport"
	if len(text) > MaxExport {
		r.add("the export has %d bytes, and may have %d; deploy the resources that are tools as an API of their own", len(text), MaxExport)
		return nil
	}
	e := &export{iam: map[string]bool{}, keys: map[string]bool{}}
	var top struct {
		OpenAPI    string                                `json:"openapi"`
		Swagger    string                                `json:"swagger"`
		Paths      map[string]map[string]json.RawMessage `json:"paths"`
		Security   []map[string]json.RawMessage          `json:"security"`
		Components struct {
			SecuritySchemes map[string]scheme `json:"securitySchemes"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &e.members); err != nil || e.members == nil {
		r.add("the export is no JSON object: %s", remedy)
		return nil
	}
	if err := json.Unmarshal(text, &top); err != nil {
		r.add("the export is no OpenAPI document, its members are of other types: %s", remedy)
		return nil
	}
	if !strings.HasPrefix(top.OpenAPI, "3.") {
		is := "no OpenAPI document"
		if top.Swagger != "" {
			is = "one of Swagger " + top.Swagger
		}
		r.add("the export is %s, and must be one of OpenAPI 3.0: %s", is, remedy)
		return nil
	}
	for name, s := range top.Components.SecuritySchemes {
		switch {
		case strings.EqualFold(s.AuthType, "awsSigv4"):
			e.iam[name] = true
		case s.Type == "apiKey" && strings.EqualFold(s.Name, "x-api-key"):
			e.keys[name] = true
		}
	}
	e.paths, e.security = top.Paths, top.Security
	return e
}

// scheme is a security scheme as API Gateway exports it.
type scheme struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	AuthType string `json:"x-amazon-apigateway-authtype"`
}

// encode is JSON without escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
