package anthropic

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// DefaultMaxTokens bounds an answer where neither the caller nor the configuration
// does: the API must be told, and the smallest of its models takes no more.
const DefaultMaxTokens = 4096

// EncodeRequest writes the body that asks model for an answer that streams. The
// error says what the dialect has no words for.
func EncodeRequest(req *chat.Request, model string) ([]byte, error) {
	out, err := encode(req)
	if err != nil {
		return nil, err
	}
	out.Model, out.Stream = model, true
	if out.MaxTokens == nil {
		out.MaxTokens = new(DefaultMaxTokens)
	}
	return chat.WithExtra(out, req.Extra)
}

// counted reports whether count_tokens knows a member of a request.
func counted(name string) bool {
	return name == "thinking" || name == "tool_choice" || name == "tools" || name == "system"
}

// EncodeCount writes the body of POST /v1/messages/count_tokens.
func EncodeCount(req *chat.Request, model string) ([]byte, error) {
	out, err := encode(req)
	if err != nil {
		return nil, err
	}
	counting := ask{Model: model, System: out.System, Messages: out.Messages, Tools: out.Tools, ToolChoice: out.ToolChoice}
	extra := map[string]json.RawMessage{}
	for name, value := range req.Extra {
		if counted(name) { // what else there is changes no count
			extra[name] = value
		}
	}
	return chat.WithExtra(counting, extra)
}

func encode(req *chat.Request) (ask, error) {
	out := ask{MaxTokens: req.MaxTokens, Temperature: req.Temperature, TopP: req.TopP, Stop: req.Stop}
	var err error
	if out.System, err = encodeBlocks(req.System); err != nil {
		return out, err
	}
	for _, m := range req.Messages {
		if m.Role == chat.System {
			return out, fault.Validation("A message with the role 'system' cannot be given to this model's provider; put it into 'system'")
		}
		content, err := encodeBlocks(signed(m.Content))
		if err != nil {
			return out, err
		}
		out.Messages = append(out.Messages, message{Role: string(m.Role), Content: content})
	}
	for _, t := range req.Tools {
		if t.CachePoint != "" {
			if n := len(out.Tools); n > 0 {
				out.Tools[n-1].Cache = cache(t.CachePoint)
			}
			continue
		}
		out.Tools = append(out.Tools, tool{Name: t.Name, Description: t.Description, Schema: t.Schema, Strict: t.Strict})
	}
	if len(out.Tools) > 0 {
		out.ToolChoice = encodeChoice(req.Choice)
	}
	if req.Schema != nil {
		out.OutputConfig = &outputConfig{outputFormat{Type: "json_schema", Schema: req.Schema.Schema}}
	}
	return out, nil
}

// signed leaves out thoughts that no signature proves to be Anthropic's: those of
// another provider, which took part before, are refused there.
func signed(in []chat.Block) []chat.Block {
	return slices.DeleteFunc(slices.Clone(in), func(b chat.Block) bool {
		return b.Thinking != nil && b.Thinking.Redacted == nil && b.Thinking.Signature == ""
	})
}

func cache(ttl string) *cacheControl {
	if ttl == "default" {
		ttl = ""
	}
	return &cacheControl{Type: "ephemeral", TTL: ttl}
}

func encodeChoice(c chat.Choice) *toolChoice {
	switch c.Mode {
	case chat.Auto:
		return &toolChoice{Type: "auto"}
	case chat.AnyTool:
		return &toolChoice{Type: "any"}
	case chat.NoTool:
		return &toolChoice{Type: "none"}
	case chat.OneTool:
		return &toolChoice{Type: "tool", Name: c.Name}
	}
	return nil
}

// encodeBlocks writes blocks; a cache point becomes a mark on the one before it.
func encodeBlocks(in []chat.Block) (blocks, error) {
	var out blocks
	for i := range in {
		b := &in[i]
		if b.CachePoint != "" {
			if n := len(out); n > 0 {
				out[n-1].Cache = cache(b.CachePoint)
			}
			continue
		}
		one, err := encodeBlock(b)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func encodeBlock(b *chat.Block) (block, error) {
	switch {
	case b.ToolUse != nil:
		return block{Type: "tool_use", ID: b.ToolUse.ID, Name: b.ToolUse.Name, Input: b.ToolUse.Input}, nil
	case b.ToolResult != nil:
		content, err := encodeBlocks(b.ToolResult.Content)
		return block{Type: "tool_result", ToolUseID: b.ToolResult.ID, Content: content, IsError: b.ToolResult.Failed}, err
	case b.Thinking != nil && b.Thinking.Redacted != nil:
		return block{Type: "redacted_thinking", Data: string(b.Thinking.Redacted)}, nil
	case b.Thinking != nil:
		out := block{Type: "thinking", Thinking: &b.Thinking.Text}
		if b.Thinking.Signature != "" {
			out.Signature = &b.Thinking.Signature
		}
		return out, nil
	case b.JSON != nil:
		return block{Type: "text", Text: new(string(b.JSON))}, nil
	case b.Image != nil:
		return block{Type: "image", Source: &source{Type: "base64", MediaType: b.Image.Type, Data: base64.StdEncoding.EncodeToString(b.Image.Data)}}, nil
	case b.Document != nil:
		return encodeDocument(b.Document)
	}
	return block{Type: "text", Text: &b.Text}, nil
}

func encodeDocument(d *chat.Media) (block, error) {
	switch {
	case strings.HasPrefix(d.Type, "text/"):
		return block{Type: "document", Title: d.Name, Source: &source{Type: "text", MediaType: "text/plain", Data: string(d.Data)}}, nil
	case d.Type == "application/pdf":
		return block{Type: "document", Title: d.Name, Source: &source{Type: "base64", MediaType: d.Type, Data: base64.StdEncoding.EncodeToString(d.Data)}}, nil
	}
	return block{}, fault.Validation("A document of type %s cannot be given to this model's provider, which takes PDF and text", d.Type)
}
