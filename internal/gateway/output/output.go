// Package output holds what tools answer to the outputSchema that they are listed with, as
// MCP wants it of servers: clients check results themselves, and fail in their own ways.
package output

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/outcrop/outcrop/internal/fault"
)

// Schema is the outputSchema of one tool, of an object. It is safe for concurrent use.
type Schema struct {
	resolved *jsonschema.Resolved // nil holds an answer to nothing but that it is an object
	weight   int
}

const (
	// maxWork bounds what a check costs, as the weight of a schema times the bytes of an
	// answer: both are a tenant's. What is beyond is not checked.
	maxWork = 64 << 20
	// maxReason bounds what is said of an answer, in bytes: it may be said in the answer's
	// own words.
	maxReason = 500
)

// Compile reads a schema. One that cannot be read, or refers to anything but its own parts,
// or to itself, is not held against answers.
func Compile(text json.RawMessage) *Schema {
	var root any
	var s jsonschema.Schema
	if json.Unmarshal(text, &root) != nil || json.Unmarshal(text, &s) != nil {
		return &Schema{}
	}
	weight, ok := (&scale{root: root, parts: map[string]int{}}).weigh(root)
	if !ok || !known(s.Schema) {
		return &Schema{}
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		return &Schema{}
	}
	return &Schema{resolved, weight}
}

// known reports whether the library knows a draft of JSON Schema.
func known(draft string) bool {
	r, err := (&jsonschema.Schema{Schema: draft}).Resolve(nil)
	return err == nil && r.Validate(map[string]any{}) == nil
}

// Unfit is what of an answer does not fit; it is empty of one that does.
func (s *Schema) Unfit(answer []byte) string {
	var v any
	if err := json.Unmarshal(answer, &v); err != nil {
		return "it is no JSON"
	}
	if _, ok := v.(map[string]any); !ok {
		return fmt.Sprintf("it is %s, and no object", kind(v))
	}
	if s.resolved == nil || len(answer) > maxWork/s.weight {
		return ""
	}
	if err := s.resolved.Validate(v); err != nil {
		return fault.Clip(strings.TrimPrefix(err.Error(), "validating root: "), maxReason)
	}
	return ""
}

// kind is what a value that is no object is, as a sentence has it.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case []any:
		return "an array"
	case bool:
		return "a boolean"
	}
	return "a number"
}

// scale weighs a schema: by how many of its parts look at a value at most.
type scale struct {
	root  any
	parts map[string]int // those that are referred to, 0 while they are weighed
}

// maxWeight bounds the weight of a schema.
const maxWeight = 10000

func (s *scale) weigh(node any) (weight int, ok bool) {
	weight = 1
	add := func(part any) bool {
		more, ok := s.weigh(part)
		weight += more
		return ok && weight <= maxWeight
	}
	switch node := node.(type) {
	case map[string]any:
		for name, part := range node {
			at, text := part.(string)
			switch {
			case text && name == "$ref":
				more, ok := s.refer(at)
				if weight += more; !ok || weight > maxWeight {
					return 0, false
				}
			case text && (name == "$dynamicRef" || name == "$recursiveRef"):
				return 0, false
			case !text && !add(part):
				return 0, false
			}
		}
	case []any:
		for _, part := range node {
			if !add(part) {
				return 0, false
			}
		}
	}
	return weight, true
}

// refer weighs the part of the schema that a reference leads to.
func (s *scale) refer(ref string) (weight int, ok bool) {
	if weight, seen := s.parts[ref]; seen {
		return weight, weight > 0
	}
	path, own := strings.CutPrefix(ref, "#/")
	if !own {
		return 0, false
	}
	part := s.root
	for name := range strings.SplitSeq(path, "/") {
		members, ok := part.(map[string]any)
		if !ok {
			return 0, false
		}
		part = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	s.parts[ref] = 0
	if weight, ok = s.weigh(part); ok {
		s.parts[ref] = weight
	}
	return weight, ok
}
