package search

import (
	"encoding/json"
	"maps"
	"slices"
)

// The bounds of a schema.
const (
	// maxDepth is how deep parameters are looked for.
	maxDepth = 6
	// maxParameters is how many of a tool's parameters are looked at.
	maxParameters = 256
)

// schema is what of a JSON Schema tells people what a parameter is.
type schema struct {
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Properties  map[string]*schema `json:"properties"`
	Items       *schema            `json:"items"`
	AllOf       []*schema          `json:"allOf"`
	AnyOf       []*schema          `json:"anyOf"`
	OneOf       []*schema          `json:"oneOf"`
	Enum        []any              `json:"enum"`
}

// parameters are the names of a tool's parameters and what is said of them, in an
// order that does not change. What is no schema has none; members of other types than
// JSON Schema gives them are passed over.
func parameters(input json.RawMessage) (names, texts []string) {
	var root schema
	_ = json.Unmarshal(input, &root) // as much of it as is a schema
	left := maxParameters
	walk(&root, maxDepth, &left, func(name string, s *schema) {
		if name != "" {
			names = append(names, name)
		}
		for _, text := range []string{s.Title, s.Description} {
			if text != "" {
				texts = append(texts, text)
			}
		}
		for _, value := range s.Enum[:min(len(s.Enum), maxParameters)] {
			if text, ok := value.(string); ok {
				texts = append(texts, text)
			}
		}
	})
	return names, texts
}

// walk calls visit with each schema below one, which is the whole tool's where it has no
// name or belongs to the parameter before it.
func walk(s *schema, depth int, left *int, visit func(name string, s *schema)) {
	if s == nil || depth == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if *left--; *left < 0 {
			return
		}
		property := s.Properties[name]
		if property == nil {
			property = &schema{} // null, or true
		}
		visit(name, property)
		walk(property, depth-1, left, visit)
	}
	for _, part := range slices.Concat([]*schema{s.Items}, s.AllOf, s.AnyOf, s.OneOf) {
		if *left--; *left < 0 {
			return
		}
		if part != nil {
			visit("", part)
			walk(part, depth-1, left, visit)
		}
	}
}
