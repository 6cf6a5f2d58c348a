// Package converse is the dialect of Amazon Bedrock's own Converse API, for those
// who have Bedrock answer: requests signed with the operator's credentials, and
// answers framed as event streams.
//
// Callers who speak this API themselves are not translated at all: what they sent
// is handed on as it is (llm.Model.Relay).
package converse

import (
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/llm/chat"
)

// Path is the escaped path of an operation on a model.
func Path(model, operation string) string { return "/model/" + escape(model) + "/" + operation }

// escape writes a model's id as AWS's SDKs do: signatures are made of it.
func escape(id string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(id) {
		c := id[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}

// ask is the body of Converse, ConverseStream and CountTokens.
type ask struct {
	Messages  []message                  `json:"messages"`
	System    []block                    `json:"system,omitempty"`
	Inference *inference                 `json:"inferenceConfig,omitempty"`
	Tools     *toolConfig                `json:"toolConfig,omitempty"`
	Extra     map[string]json.RawMessage `json:"additionalModelRequestFields,omitempty"`
	Output    *outputConfig              `json:"outputConfig,omitempty"`
}

type inference struct {
	MaxTokens   *int     `json:"maxTokens,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"topP,omitempty"`
	Stop        []string `json:"stopSequences,omitempty"`
}

type toolConfig struct {
	Tools  []tool `json:"tools"`
	Choice any    `json:"toolChoice,omitempty"`
}

type tool struct {
	Spec       *toolSpec   `json:"toolSpec,omitempty"`
	CachePoint *cachePoint `json:"cachePoint,omitempty"`
}

type toolSpec struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	InputSchema struct {
		JSON json.RawMessage `json:"json"`
	} `json:"inputSchema"`
	Strict bool `json:"strict,omitempty"`
}

type outputConfig struct {
	TextFormat struct {
		Type      string `json:"type"`
		Structure struct {
			JSONSchema struct {
				Schema      string `json:"schema"`
				Name        string `json:"name,omitempty"`
				Description string `json:"description,omitempty"`
			} `json:"jsonSchema"`
		} `json:"structure"`
	} `json:"textFormat"`
}

type cachePoint struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitempty"`
}

type message struct {
	Role    chat.Role `json:"role"`
	Content []block   `json:"content"`
}

type block struct {
	Text       *string         `json:"text,omitempty"`
	JSON       json.RawMessage `json:"json,omitempty"`
	Image      *media          `json:"image,omitempty"`
	Document   *media          `json:"document,omitempty"`
	ToolUse    *toolUse        `json:"toolUse,omitempty"`
	ToolResult *toolResult     `json:"toolResult,omitempty"`
	Reasoning  *reasoning      `json:"reasoningContent,omitempty"`
	CachePoint *cachePoint     `json:"cachePoint,omitempty"`
}

type media struct {
	Format string `json:"format"`
	Name   string `json:"name,omitempty"`
	Source struct {
		Bytes []byte `json:"bytes"`
	} `json:"source"`
}

type toolUse struct {
	ID    string          `json:"toolUseId"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

type toolResult struct {
	ID      string  `json:"toolUseId"`
	Content []block `json:"content"`
	Status  string  `json:"status,omitempty"`
}

type reasoning struct {
	Text *struct {
		Text      string `json:"text"`
		Signature string `json:"signature,omitempty"`
	} `json:"reasoningText,omitempty"`
	Redacted []byte `json:"redactedContent,omitempty"`
}

// EncodeRequest writes the body of Converse or ConverseStream.
func EncodeRequest(req *chat.Request) ([]byte, error) { return json.Marshal(encode(req)) }

// EncodeCount writes the body of CountTokens.
func EncodeCount(req *chat.Request) ([]byte, error) {
	a := encode(req)
	a.Inference, a.Output = nil, nil
	return json.Marshal(map[string]any{"input": map[string]any{"converse": a}})
}

// DecodeCount reads the answer of CountTokens.
func DecodeCount(body []byte) (int, error) {
	var got struct {
		InputTokens *int `json:"inputTokens"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.InputTokens == nil {
		return 0, chat.BadAnswer("it counts no tokens")
	}
	return *got.InputTokens, nil
}

func encode(req *chat.Request) ask {
	out := ask{System: encodeBlocks(req.System), Extra: req.Extra}
	if req.MaxTokens != nil || req.Temperature != nil || req.TopP != nil || req.Stop != nil {
		out.Inference = &inference{req.MaxTokens, req.Temperature, req.TopP, req.Stop}
	}
	for _, m := range req.Messages {
		out.Messages = append(out.Messages, message{m.Role, encodeBlocks(m.Content)})
	}
	if len(req.Tools) > 0 && req.Choice.Mode != chat.NoTool { // Converse has no word for no tool
		out.Tools = &toolConfig{Choice: encodeChoice(req.Choice)}
		for _, t := range req.Tools {
			if t.CachePoint != "" {
				out.Tools.Tools = append(out.Tools.Tools, tool{CachePoint: point(t.CachePoint)})
				continue
			}
			spec := &toolSpec{Name: t.Name, Description: t.Description, Strict: t.Strict}
			spec.InputSchema.JSON = t.Schema
			out.Tools.Tools = append(out.Tools.Tools, tool{Spec: spec})
		}
	}
	if s := req.Schema; s != nil {
		out.Output = &outputConfig{}
		f := &out.Output.TextFormat
		f.Type = "json_schema"
		f.Structure.JSONSchema.Schema, f.Structure.JSONSchema.Name, f.Structure.JSONSchema.Description = string(s.Schema), s.Name, s.Description
	}
	return out
}

func encodeChoice(c chat.Choice) any {
	type none struct{}
	switch c.Mode {
	case chat.Auto:
		return map[string]any{"auto": none{}}
	case chat.AnyTool:
		return map[string]any{"any": none{}}
	case chat.OneTool:
		return map[string]any{"tool": map[string]string{"name": c.Name}}
	}
	return nil
}

func point(ttl string) *cachePoint {
	if ttl == "default" {
		ttl = ""
	}
	return &cachePoint{Type: "default", TTL: ttl}
}

func encodeBlocks(in []chat.Block) []block {
	out := make([]block, 0, len(in))
	for i := range in {
		out = append(out, encodeBlock(&in[i]))
	}
	return out
}

func encodeBlock(b *chat.Block) block {
	switch {
	case b.CachePoint != "":
		return block{CachePoint: point(b.CachePoint)}
	case b.ToolUse != nil:
		return block{ToolUse: &toolUse{b.ToolUse.ID, b.ToolUse.Name, b.ToolUse.Input}}
	case b.ToolResult != nil:
		r := &toolResult{ID: b.ToolResult.ID, Content: encodeBlocks(b.ToolResult.Content), Status: "success"}
		if b.ToolResult.Failed {
			r.Status = "error"
		}
		return block{ToolResult: r}
	case b.Thinking != nil:
		r := &reasoning{Redacted: b.Thinking.Redacted}
		if r.Redacted == nil {
			r.Text = &struct {
				Text      string `json:"text"`
				Signature string `json:"signature,omitempty"`
			}{b.Thinking.Text, b.Thinking.Signature}
		}
		return block{Reasoning: r}
	case b.JSON != nil:
		return block{JSON: b.JSON}
	case b.Image != nil:
		return block{Image: encodeMedia(b.Image)}
	case b.Document != nil:
		return block{Document: encodeMedia(b.Document)}
	}
	return block{Text: &b.Text}
}

func encodeMedia(m *chat.Media) *media {
	out := &media{Format: chat.Format(m.Type), Name: m.Name}
	out.Source.Bytes = m.Data
	return out
}
