package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// configuration is what a target says of one tool.
type configuration struct {
	at          string // its field
	description string
	values      map[string]json.RawMessage
	overrides   []override
}

// override is what a target says of one parameter.
type override struct {
	at          string
	path        []string
	description string
	visible     *bool
}

// The bounds of configurations.
const (
	maxConfigurations = 50
	maxOverrides      = 100
	maxDepth          = 16
)

// readConfigurations reads those of a target by the names of their tools. The error is a
// *problem.
func readConfigurations(of *agentcorecontrol.ConnectorTargetConfiguration) (map[string]configuration, error) {
	out := map[string]configuration{}
	if n := len(of.Configurations); n > maxConfigurations {
		return nil, &problem{configsField, fmt.Sprintf("it has %d entries; it may have at most %d", n, maxConfigurations)}
	}
	for i, c := range of.Configurations {
		one := configuration{at: fmt.Sprintf("%s.%d.member", configsField, i+1), description: wire.Text(c.Description)}
		name := wire.Text(c.Name)
		if _, twice := out[name]; twice {
			return nil, &problem{one.at + ".name", "the tool '" + clip(name) + "' is configured twice"}
		}
		if len(c.ParameterValues) > 0 && string(c.ParameterValues) != "null" {
			if err := json.Unmarshal(c.ParameterValues, &one.values); err != nil {
				return nil, &problem{one.at + ".parameterValues", "it is not a JSON object of parameters and their values"}
			}
		}
		if n := len(c.ParameterOverrides); n > maxOverrides {
			return nil, &problem{one.at + ".parameterOverrides", fmt.Sprintf("it has %d entries; it may have at most %d", n, maxOverrides)}
		}
		for j, o := range c.ParameterOverrides {
			at := fmt.Sprintf("%s.parameterOverrides.%d.member", one.at, j+1)
			path, err := readPath(wire.Text(o.Path))
			if err != nil {
				return nil, &problem{at + ".path", err.Error()}
			}
			one.overrides = append(one.overrides, override{at, path, wire.Text(o.Description), o.Visible})
		}
		out[name] = one
	}
	return out, nil
}

// readPath reads a JSON Pointer, /filters/domainFilter, or the JSONPath that AWS's SDK
// writes, $.filters.domainFilter.
func readPath(text string) ([]string, error) {
	var path []string
	rest, jsonPath := strings.CutPrefix(text, "$.")
	switch {
	case jsonPath:
		path = strings.Split(rest, ".")
	case strings.HasPrefix(text, "/"):
		for _, step := range strings.Split(text[1:], "/") {
			path = append(path, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
	}
	if len(path) == 0 || len(path) > maxDepth || slices.Contains(path, "") {
		return nil, fmt.Errorf("'%s' is no JSON Pointer to a parameter, such as /maxResults", clip(text))
	}
	return path, nil
}

// rules are what calls of a tool are held to.
type rules struct {
	// Fixed are the values of parameters that callers neither see nor set, Defaults those
	// of parameters that they may.
	Fixed    map[string]json.RawMessage `json:"fixed,omitempty"`
	Defaults map[string]json.RawMessage `json:"defaults,omitempty"`
	// Hidden are parameters that callers neither see nor set, by their paths.
	Hidden [][]string `json:"hidden,omitempty"`
}

// shaped is tools as a target shows them.
type shaped struct {
	tools []tool.Tool
	rules map[string]rules
}

// shape leaves out the tools that are not enabled and changes the others as the target
// says. The error is a *problem.
func shape(of *agentcorecontrol.ConnectorTargetConfiguration, tools []tool.Tool) (shaped, error) {
	configs, err := readConfigurations(of)
	if err != nil {
		return shaped{}, err
	}
	var names []string
	for _, t := range tools {
		names = append(names, t.Name)
	}
	known := func(at, name string) error {
		if slices.Contains(names, name) {
			return nil
		}
		return &problem{at, fmt.Sprintf("the connector has no tool '%s'. It has %s", clip(name), clip(strings.Join(names, ", ")))}
	}
	for i, name := range of.Enabled {
		if err := known(fmt.Sprintf("%s.enabled.%d.member", field, i+1), name); err != nil {
			return shaped{}, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if err := known(configs[name].at+".name", name); err != nil {
			return shaped{}, err
		}
	}
	out := shaped{rules: map[string]rules{}}
	for _, t := range tools {
		if len(of.Enabled) > 0 && !slices.Contains(of.Enabled, t.Name) {
			continue
		}
		r := rules{}
		if c, ok := configs[t.Name]; ok {
			if r, err = c.change(&t); err != nil {
				return shaped{}, err
			}
		}
		out.tools, out.rules[t.Name] = append(out.tools, t), r
	}
	return out, nil
}

// change changes a tool, and returns what its calls are held to.
func (c *configuration) change(t *tool.Tool) (rules, error) {
	if c.description != "" {
		t.Description = c.description
	}
	schema := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(t.InputSchema))
	dec.UseNumber()
	if err := dec.Decode(&schema); err != nil {
		return rules{}, &problem{c.at, "the tool's inputSchema is no JSON object"}
	}
	r := rules{Fixed: map[string]json.RawMessage{}, Defaults: map[string]json.RawMessage{}}
	maps.Copy(r.Fixed, c.values)
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		parameter, ok := property(schema, name)
		if !ok {
			return rules{}, &problem{c.at + ".parameterValues", fmt.Sprintf("the tool %s has no parameter '%s'. It has %s", t.Name, clip(name), parameters(schema))}
		}
		if !fits(parameter, c.values[name]) {
			return rules{}, &problem{c.at + ".parameterValues." + name, fmt.Sprintf("the value is not of the type %v that the tool %s wants", parameter["type"], t.Name)}
		}
	}
	for _, o := range c.overrides {
		if err := o.change(schema, &r); err != nil {
			return rules{}, err
		}
	}
	for name := range r.Fixed {
		remove(schema, name)
	}
	out, err := json.Marshal(schema)
	if err != nil {
		return rules{}, err
	}
	t.InputSchema = out
	return r, nil
}

// change changes a parameter of a schema.
func (o *override) change(schema map[string]any, r *rules) error {
	owner, last := schema, o.path[len(o.path)-1]
	var parameter map[string]any
	for i, step := range o.path {
		p, ok := property(owner, step)
		if !ok {
			return &problem{o.at + ".path", fmt.Sprintf("there is no parameter '%s'; beside it there are %s", clip(strings.Join(o.path[:i+1], ".")), parameters(owner))}
		}
		if parameter = p; i < len(o.path)-1 {
			owner = p
		}
	}
	if o.description != "" {
		parameter["description"] = o.description
	}
	top := len(o.path) == 1
	value, fixed := r.Fixed[o.path[0]]
	switch {
	case o.visible == nil:
	case *o.visible && fixed && top:
		// What is set and shown is what holds where callers say nothing.
		delete(r.Fixed, last)
		r.Defaults[last], parameter["default"] = value, value
		optional(schema, last)
	case !*o.visible && !fixed:
		if required(owner, last) {
			return &problem{o.at + ".visible", fmt.Sprintf("the parameter '%s' is required and cannot be hidden unless parameterValues has a value for it", clip(strings.Join(o.path, ".")))}
		}
		remove(owner, last)
		r.Hidden = append(r.Hidden, o.path)
	}
	return nil
}

// property is the schema of a parameter, which is an object that can be changed.
func property(schema map[string]any, name string) (map[string]any, bool) {
	all, _ := schema["properties"].(map[string]any)
	p, there := all[name]
	if of, ok := p.(map[string]any); ok {
		return of, true
	}
	if _, whatever := p.(bool); there && whatever {
		of := map[string]any{}
		all[name] = of
		return of, true
	}
	return nil, false
}

func parameters(schema map[string]any) string {
	all, _ := schema["properties"].(map[string]any)
	if len(all) == 0 {
		return "none"
	}
	return clip(strings.Join(slices.Sorted(maps.Keys(all)), ", "))
}

func required(schema map[string]any, name string) bool {
	list, _ := schema["required"].([]any)
	return slices.Contains(list, any(name))
}

func optional(schema map[string]any, name string) {
	if list, ok := schema["required"].([]any); ok {
		if list = slices.DeleteFunc(list, func(v any) bool { return v == name }); len(list) == 0 {
			delete(schema, "required")
		} else {
			schema["required"] = list
		}
	}
}

func remove(schema map[string]any, name string) {
	all, _ := schema["properties"].(map[string]any)
	delete(all, name)
	optional(schema, name)
}

// fits holds a value against the type of a parameter. What else a schema says is the
// server's to judge when it is called.
func fits(parameter map[string]any, value json.RawMessage) bool {
	var types []any
	switch t := parameter["type"].(type) {
	case string:
		types = []any{t}
	case []any:
		types = t
	default:
		return true
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return false
	}
	return slices.ContainsFunc(types, func(t any) bool {
		switch v := v.(type) {
		case string:
			return t == "string"
		case bool:
			return t == "boolean"
		case nil:
			return t == "null"
		case []any:
			return t == "array"
		case map[string]any:
			return t == "object"
		case json.Number:
			_, err := v.Int64()
			return t == "number" || t == "integer" && err == nil
		}
		return false
	})
}

// apply puts a target's own values among the arguments of a call, and refuses those that
// are not the caller's to set.
func (r *rules) apply(arguments json.RawMessage) (json.RawMessage, error) {
	if len(r.Fixed)+len(r.Defaults)+len(r.Hidden) == 0 {
		return arguments, nil
	}
	given := map[string]json.RawMessage{}
	if len(arguments) > 0 && string(arguments) != "null" {
		if err := json.Unmarshal(arguments, &given); err != nil {
			return nil, fmt.Errorf("the arguments are no JSON object")
		}
	}
	for _, path := range r.Hidden {
		if has(given, path) {
			return nil, notTheirs(strings.Join(path, "."))
		}
	}
	for name := range r.Fixed {
		if has(given, []string{name}) {
			return nil, notTheirs(name)
		}
	}
	maps.Copy(given, r.Fixed)
	for name, value := range r.Defaults {
		if _, theirs := given[name]; !theirs {
			given[name] = value
		}
	}
	return json.Marshal(given)
}

func notTheirs(name string) error {
	return fmt.Errorf("the argument %s is not the caller's to set; leave it out", clip(name))
}

// has reports whether a parameter is given, by whatever case: many decoders take names
// without regard to that, and the last one.
func has(given map[string]json.RawMessage, path []string) bool {
	for name, value := range given {
		if !strings.EqualFold(name, path[0]) {
			continue
		}
		var below map[string]json.RawMessage
		if len(path) == 1 || json.Unmarshal(value, &below) == nil && has(below, path[1:]) {
			return true
		}
	}
	return false
}
