package apigateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// selector goes through the operations of an export.
type selector struct {
	doc       *export
	refusal   *Refusal
	overrides []Override
	warnings  []string
	// chosen are the operations that stay, by path and lower-case method.
	chosen map[string]map[string]json.RawMessage
	names  map[string]string
	// listed is what offered says, once it has said it.
	listed string
}

const (
	// anyMethod is how an export has a method ANY, which stands for all.
	anyMethod = "x-amazon-apigateway-any-method"
	// maxListed is how many operations a text lists.
	maxListed = 20
	// maxWarnings is how many warnings there are.
	maxWarnings = 100
)

// choose takes the operations that filters select and a gateway can call.
func (s *selector) choose(filters []Filter) {
	s.chosen = map[string]map[string]json.RawMessage{}
	matched := make([]bool, len(filters))
	for _, path := range slices.Sorted(maps.Keys(s.doc.paths)) {
		for i, f := range filters {
			if !f.covers(path) {
				continue
			}
			for _, method := range f.Methods {
				if s.take(path, method) {
					matched[i] = true
				}
			}
			if s.doc.paths[path][anyMethod] != nil {
				s.warn("%s is left out for its method ANY: only methods of their own are tools", path)
			}
		}
	}
	for i, f := range filters {
		if !matched[i] {
			s.warn("toolFilters[%d] selects nothing: the stage has no tool at %s with %s", i, f.Path, strings.Join(f.Methods, ", "))
		}
	}
	if len(s.chosen) == 0 {
		s.refusal.add("toolFilters select no operation that can be a tool; %s%s", s.offered(), s.because())
	}
}

// covers says whether a filter's path is a resource's, or one above it.
func (f Filter) covers(path string) bool {
	if prefix, wild := strings.CutSuffix(f.Path, "*"); wild {
		return strings.HasPrefix(path, prefix)
	}
	return path == f.Path
}

// take chooses an operation. It reports false where there is none, or none that a gateway
// can call.
func (s *selector) take(path, method string) bool {
	key := strings.ToLower(method)
	text := s.doc.paths[path][key]
	if text == nil {
		return false
	}
	if s.chosen[path][key] != nil {
		return true
	}
	if strings.Contains(path, "+}") {
		s.warn("%s %s is left out: a path that stands for all below it, such as {proxy+}, is no tool", method, path)
		return false
	}
	var op operation
	if err := json.Unmarshal(text, &op); err != nil {
		s.warn("%s %s is left out: it is no operation of OpenAPI", method, path)
		return false
	}
	if s.needsBoth(&op) {
		s.warn("%s %s is left out: it needs both AWS_IAM and an API key, and a target has one credential; let the method need one of them", method, path)
		return false
	}
	if s.chosen[path] == nil {
		s.chosen[path] = map[string]json.RawMessage{}
	}
	s.chosen[path][key] = text
	return true
}

// needsBoth says whether an operation takes a signature and an API key. API Gateway lists
// the two as if they were alternatives.
func (s *selector) needsBoth(op *operation) bool {
	security := s.doc.security
	if op.Security != nil {
		security = *op.Security
	}
	iam, key := strings.EqualFold(op.Auth.Type, "AWS_IAM"), false
	for _, one := range security {
		for name := range one {
			iam = iam || s.doc.iam[name]
			key = key || s.doc.keys[name]
		}
	}
	return iam && key
}

// named puts overrides on what is chosen, and holds that names differ.
func (s *selector) named() {
	if len(s.refusal.reasons) > 0 {
		return
	}
	for i, o := range s.overrides {
		if s.chosen[o.Path][strings.ToLower(o.Method)] == nil {
			s.refusal.add("toolOverrides[%d] names %s %s, which toolFilters do not select%s; %s", i, o.Method, o.Path, s.because(), s.offered())
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.chosen)) {
		for _, method := range slices.Sorted(maps.Keys(s.chosen[path])) {
			s.name(path, method)
		}
	}
}

func (s *selector) name(path, method string) {
	var members map[string]json.RawMessage
	var op operation
	text := s.chosen[path][method]
	if json.Unmarshal(text, &members) != nil || json.Unmarshal(text, &op) != nil {
		return // take has read it
	}
	what := strings.ToUpper(method) + " " + path
	for _, o := range s.overrides {
		if o.Path != path || !strings.EqualFold(o.Method, method) {
			continue
		}
		op.OperationID = o.Name
		if o.Description != "" {
			members["description"] = quote(o.Description)
		}
		members["operationId"] = quote(o.Name)
	}
	if op.OperationID == "" {
		s.warn("%s has no operationId, and is named by its method and path; give it a name in toolOverrides", what)
	} else if other, taken := s.names[op.OperationID]; taken {
		s.refusal.add("%s and %s have the same name %q; rename one of the two in toolOverrides", other, what, op.OperationID)
	}
	s.names[op.OperationID] = what
	// Who may call is the target's credential's matter.
	delete(members, "security")
	delete(members, "servers")
	text, err := encode(members)
	if err != nil {
		s.refusal.add("%s cannot be written again: %v", what, err)
		return
	}
	s.chosen[path][method] = text
}

// document is the export with what is chosen.
func (s *selector) document(base string) ([]byte, error) {
	paths := map[string]map[string]json.RawMessage{}
	for path, operations := range s.chosen {
		paths[path] = operations
		for _, shared := range []string{"parameters", "summary", "description"} {
			if v := s.doc.paths[path][shared]; v != nil {
				paths[path][shared] = v
			}
		}
	}
	out := maps.Clone(s.doc.members)
	delete(out, "security")
	var err error
	if out["paths"], err = encode(paths); err != nil {
		return nil, err
	}
	if out["servers"], err = encode([]map[string]string{{"url": base}}); err != nil {
		return nil, err
	}
	return encode(out)
}

func quote(text string) json.RawMessage {
	b, err := encode(text)
	if err != nil {
		return json.RawMessage(`""`) // a string is always written
	}
	return b
}

// warn says something once.
func (s *selector) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); len(s.warnings) < maxWarnings && !slices.Contains(s.warnings, text) {
		s.warnings = append(s.warnings, text)
	}
}

// offered lists what the stage has.
func (s *selector) offered() string {
	if s.listed == "" {
		s.listed = s.list()
	}
	return s.listed
}

func (s *selector) list() string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(s.doc.paths)) {
		for _, method := range methods() {
			if s.doc.paths[path][strings.ToLower(method)] != nil {
				out = append(out, method+" "+path)
			}
		}
		if s.doc.paths[path][anyMethod] != nil {
			out = append(out, "ANY "+path)
		}
	}
	switch {
	case len(out) == 0:
		return "the stage has no operations: deploy the API to it"
	case len(out) > maxListed:
		out = append(out[:maxListed], fmt.Sprintf("%d more", len(out)-maxListed))
	}
	return "the stage has " + strings.Join(out, ", ")
}

// because are the first warnings about what was left out.
func (s *selector) because() string {
	var out []string
	for _, w := range s.warnings {
		if strings.Contains(w, "is left out") && len(out) < 3 {
			out = append(out, w)
		}
	}
	if out == nil {
		return ""
	}
	return " (" + strings.Join(out, "; ") + ")"
}
