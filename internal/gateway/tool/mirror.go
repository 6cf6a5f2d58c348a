package tool

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MirrorPrefix begins the headers that repeat arguments.
const MirrorPrefix = "Mcp-Param-"

// Mirror is an argument that is said in a header, too, since the tool's schema marks it
// with x-mcp-header (MCP 2026-07-28, streamable HTTP, custom headers from tool
// parameters).
type Mirror struct {
	// Name is the header's, behind MirrorPrefix.
	Name string
	path []string
	kind string // string, integer or boolean
}

// Mirrors are those of an input schema, or what is wrong with them.
func Mirrors(input json.RawMessage) ([]Mirror, error) {
	if !strings.Contains(string(input), `x-mcp-header`) {
		return nil, nil
	}
	return mirrors(input, nil, map[string]bool{})
}

// maxMirrorDepth is how deep an argument may lie that is repeated.
const maxMirrorDepth = 16

func mirrors(schema json.RawMessage, path []string, seen map[string]bool) ([]Mirror, error) {
	var s struct {
		Type       json.RawMessage            `json:"type"`
		Header     json.RawMessage            `json:"x-mcp-header"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return nil, nil // such as true: it marks nothing
	}
	var out []Mirror
	if s.Header != nil {
		m := Mirror{path: path}
		if json.Unmarshal(s.Header, &m.Name) != nil || !isToken(m.Name) {
			return nil, fmt.Errorf("x-mcp-header of %s is not the end of a header's name", strings.Join(path, "."))
		}
		if json.Unmarshal(s.Type, &m.kind) != nil || m.kind != "string" && m.kind != "integer" && m.kind != "boolean" || len(path) == 0 {
			return nil, fmt.Errorf("x-mcp-header of %s is not at a string, integer or boolean", strings.Join(path, "."))
		}
		if lower := strings.ToLower(m.Name); seen[lower] {
			return nil, fmt.Errorf("x-mcp-header %s is given twice", m.Name)
		} else {
			seen[lower] = true
		}
		out = append(out, m)
	}
	for key, property := range s.Properties {
		if len(path) == maxMirrorDepth {
			return nil, fmt.Errorf("it is nested more than %d deep", maxMirrorDepth)
		}
		below, err := mirrors(property, append(path[:len(path):len(path)], key), seen)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

// isToken tells whether a text can be part of a header's name (RFC 9110, 5.1).
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// Value is the argument as a header says it, before it is encoded. It reports false where
// there is none, or one of another type.
func (m Mirror) Value(arguments json.RawMessage) (string, bool) {
	for _, step := range m.path {
		var members map[string]json.RawMessage
		if json.Unmarshal(arguments, &members) != nil {
			return "", false
		}
		arguments = members[step]
	}
	var value any
	if json.Unmarshal(arguments, &value) != nil {
		return "", false
	}
	switch v := value.(type) {
	case string:
		return v, m.kind == "string"
	case bool:
		return strconv.FormatBool(v), m.kind == "boolean"
	case float64:
		return strconv.FormatInt(int64(v), 10), m.kind == "integer" && v == math.Trunc(v) && math.Abs(v) < 1<<53
	}
	return "", false
}
