package function

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// maxDepth bounds how deep a schema goes.
const maxDepth = 64

// maxReasons bounds what is said of a schema that is not fit.
const maxReasons = 20

// parse reads the tools of a schema: a list of definitions, as in a target's
// inlinePayload. What they say beyond AWS's few words of JSON Schema passes.
func parse(text []byte) ([]tool.Tool, *target.Unfit) {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
	var list []struct {
		Name         *string         `json:"name"`
		Description  *string         `json:"description"`
		InputSchema  json.RawMessage `json:"inputSchema"`
		OutputSchema json.RawMessage `json:"outputSchema"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, target.Unfitf("toolSchema is no JSON list of tool definitions: %s. Write [{\"name\", \"description\", \"inputSchema\"}, ...]", reason(err))
	}
	var bad []string
	problem := func(format string, args ...any) {
		if len(bad) < maxReasons {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	switch {
	case len(list) == 0:
		problem("toolSchema has no tools")
	case len(list) > tool.MaxPerTarget:
		problem("toolSchema has %d tools; a target may have %d", len(list), tool.MaxPerTarget)
	}
	out, seen := make([]tool.Tool, 0, len(list)), map[string]int{}
	for i, t := range list {
		at := fmt.Sprintf("toolSchema/%d", i)
		if t.Name == nil || *t.Name == "" {
			problem("%s: the tool has no name", at)
			continue
		}
		if j, twice := seen[*t.Name]; twice {
			problem("%s: the name '%s' is that of toolSchema/%d too", at, *t.Name, j)
		}
		seen[*t.Name] = i
		if t.Description == nil {
			problem("%s: the tool '%s' has no description, by which models choose", at, *t.Name)
			continue
		}
		if kind, err := typeOf(t.InputSchema); err != nil {
			problem("%s/inputSchema: %v", at, err)
		} else if kind != "object" {
			problem(`%s/inputSchema: the schema's type is %s; what a tool takes is an "object"`, at, quoted(kind))
		}
		output := compact(t.OutputSchema)
		if kind, err := typeOf(t.OutputSchema); len(t.OutputSchema) > 0 && err != nil {
			problem("%s/outputSchema: %v", at, err)
		} else if kind != "object" {
			output = nil // AWS takes it, and MCP's clients only know results that are objects
		}
		out = append(out, tool.Tool{Name: *t.Name, Description: *t.Description, InputSchema: compact(t.InputSchema), OutputSchema: output})
	}
	if len(bad) > 0 {
		return nil, &target.Unfit{Reasons: bad}
	}
	return out, nil
}

// typeOf is the type that a schema describes, nil for one that says none.
func typeOf(schema json.RawMessage) (any, error) {
	if len(schema) == 0 {
		return nil, errors.New(`there is no schema. Write {"type": "object", "properties": {...}}`)
	}
	if depth(schema) > maxDepth {
		return nil, fmt.Errorf("the schema is nested deeper than %d", maxDepth)
	}
	var s struct {
		Type any `json:"type"`
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, errors.New("the schema is no object")
	}
	return s.Type, nil
}

func quoted(v any) string {
	b, err := json.Marshal(v)
	if err != nil || len(b) > 40 {
		return "another"
	}
	return string(b)
}

// depth is how deep a JSON text is nested.
func depth(text []byte) (most int) {
	dec := json.NewDecoder(bytes.NewReader(text))
	for now := 0; ; {
		t, err := dec.Token()
		if err != nil {
			return most
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			now++
			most = max(most, now)
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	}
}

func compact(text json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if len(text) == 0 || json.Compact(&b, text) != nil {
		return nil
	}
	return b.Bytes()
}

// reason is what a decoder has against a text, without the text.
func reason(err error) string {
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if kind.Field == "" {
			return "it is of another type"
		}
		return "the type of " + kind.Field + " is wrong"
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%s at byte %d", strings.TrimPrefix(syntax.Error(), "json: "), syntax.Offset)
	}
	return "it is not well formed"
}
