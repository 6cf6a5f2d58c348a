// Package tool holds what all targets of gateways have in common: tools as MCP lists
// them, and the names under which a gateway shows them (spec/gateway.md 5, 8.3).
package tool

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Tool is what a target offers, in MCP's own words. Members that are raw are JSON values
// that pass through the gateway as they are.
type Tool struct {
	// Name is the target's own, without the prefix under which the gateway lists it.
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// InputSchema is a JSON Schema of type object.
	InputSchema  json.RawMessage `json:"inputSchema"`
	OutputSchema json.RawMessage `json:"outputSchema,omitempty"`
	Annotations  json.RawMessage `json:"annotations,omitempty"`
	Icons        json.RawMessage `json:"icons,omitempty"`
	Execution    json.RawMessage `json:"execution,omitempty"`
	Meta         json.RawMessage `json:"_meta,omitempty"`
	// More are members that a server lists and we do not know, by name. They pass.
	More map[string]json.RawMessage `json:"-"`
}

// plain is a Tool without methods.
type plain Tool

// UnmarshalJSON implements json.Unmarshaler.
func (t *Tool) UnmarshalJSON(text []byte) error {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	*t = Tool{}
	for name, to := range map[string]any{"name": &t.Name, "title": &t.Title, "description": &t.Description} {
		if value, ok := members[name]; ok {
			if err := json.Unmarshal(value, to); err != nil {
				return fmt.Errorf("read %s of tool: %w", name, err)
			}
		}
		delete(members, name)
	}
	for name, to := range map[string]*json.RawMessage{
		"inputSchema": &t.InputSchema, "outputSchema": &t.OutputSchema, "annotations": &t.Annotations, "icons": &t.Icons, "execution": &t.Execution, "_meta": &t.Meta,
	} {
		*to = members[name]
		delete(members, name)
	}
	// Many decoders take names without regard to case, and the last one: what a tool is
	// called must not hang on who reads it.
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool {
		return slices.ContainsFunc(known, func(own string) bool { return strings.EqualFold(name, own) })
	})
	if len(members) > 0 {
		t.More = members
	}
	return nil
}

// known are the members of a Tool.
var known = []string{"name", "title", "description", "inputSchema", "outputSchema", "annotations", "icons", "execution", "_meta"}

// MarshalJSON implements json.Marshaler.
func (t Tool) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(plain(t))
	if err != nil || len(t.More) == 0 {
		return b, err
	}
	more, err := json.Marshal(t.More)
	if err != nil {
		return nil, err
	}
	return append(append(b[:len(b)-1], ','), more[1:]...), nil
}

const (
	// Separator stands between a target's name and a tool's. No name of a target has an
	// underscore, so the first one ends it.
	Separator = "___"
	// Search is the tool that finds tools. It belongs to the gateway and has no prefix.
	Search = "x_amz_bedrock_agentcore_search"
	// MaxName is what the name of a tool may have with its prefix, in characters.
	MaxName = 256
	// MaxModelName is what models of Amazon Bedrock and Anthropic take of a name, in
	// characters: longer ones are listed, and the target's owner is warned.
	MaxModelName = 64
	// MaxPerTarget is how many tools a target may have.
	MaxPerTarget = 1000
)

// Prefixed is the name under which a gateway lists the tool of a target.
func Prefixed(target, name string) string { return target + Separator + name }

// Split undoes Prefixed. It reports false for a name without a prefix.
func Split(prefixed string) (target, name string, ok bool) {
	target, name, ok = strings.Cut(prefixed, Separator)
	return target, name, ok && target != "" && name != ""
}
