package openai

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// known are the members of a request that ParseRequest reads; ignored are those
// that mean nothing to other providers, and without which the answer is as good.
var (
	known = [...]string{"model", "messages", "tools", "tool_choice", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop",
		"stream", "stream_options", "response_format"}
	ignored = [...]string{"user", "metadata", "store", "seed", "parallel_tool_calls", "service_tier", "reasoning_effort", "frequency_penalty", "presence_penalty"}
)

// asked is ask as callers may write it.
type asked struct {
	ask
	Messages []struct {
		Role       string          `json:"role"`
		Content    json.RawMessage `json:"content"`
		ToolCalls  []toolCall      `json:"tool_calls"`
		ToolCallID string          `json:"tool_call_id"`
	} `json:"messages"`
	ToolChoice json.RawMessage `json:"tool_choice"`
	Stop       json.RawMessage `json:"stop"`
}

// ParseRequest reads the body of chat completions for a provider that speaks
// something else. Errors are fault.Errors that name what cannot be given to one.
func ParseRequest(body []byte) (*chat.Request, error) {
	if err := chat.Members(body, known[:], ignored[:]); err != nil {
		return nil, err
	}
	var a asked
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fault.Malformed("The body is not a request of chat completions: %s", chat.Clip(err.Error()))
	}
	if len(a.Messages) == 0 {
		return nil, fault.Validation("messages must have at least one member")
	}
	out := &chat.Request{MaxTokens: a.MaxTokens, Temperature: a.Temperature, TopP: a.TopP}
	if a.MaxCompletion != nil {
		out.MaxTokens = a.MaxCompletion
	}
	if err := a.parseMessages(out); err != nil {
		return nil, err
	}
	for _, t := range a.Tools {
		if t.Type != "function" {
			return nil, fault.Validation("A tool of type '%s' cannot be given to this model's provider", chat.Clip(t.Type))
		}
		out.Tools = append(out.Tools, chat.Tool{Name: t.Function.Name, Description: t.Function.Description, Schema: t.Function.Parameters, Strict: t.Function.Strict})
	}
	return out, a.parseRest(out)
}

// parseRest reads what may be written in several ways.
func (a *asked) parseRest(out *chat.Request) error {
	if len(a.Stop) > 0 && string(a.Stop) != "null" {
		var one string
		if json.Unmarshal(a.Stop, &one) == nil {
			out.Stop = []string{one}
		} else if json.Unmarshal(a.Stop, &out.Stop) != nil {
			return fault.Validation("stop must be a string or a list of strings")
		}
	}
	if len(a.ToolChoice) > 0 && string(a.ToolChoice) != "null" {
		var word string
		var named tool
		switch {
		case json.Unmarshal(a.ToolChoice, &word) == nil:
			out.Choice.Mode = map[string]chat.Mode{"auto": chat.Auto, "required": chat.AnyTool, "none": chat.NoTool}[word]
		case json.Unmarshal(a.ToolChoice, &named) == nil && named.Function.Name != "":
			out.Choice = chat.Choice{Mode: chat.OneTool, Name: named.Function.Name}
		default:
			return fault.Validation("tool_choice must be auto, required, none or a function")
		}
	}
	if f := a.ResponseFormat; f != nil && f.Type != "text" {
		if f.Type != "json_schema" || f.JSONSchema == nil {
			return fault.Validation("response_format of type '%s' cannot be given to this model's provider; use json_schema", chat.Clip(f.Type))
		}
		out.Schema = &chat.Schema{Name: f.JSONSchema.Name, Description: f.JSONSchema.Description, Schema: f.JSONSchema.Schema}
	}
	return nil
}

// parseMessages puts what the system says first, and results of tools into the
// user's messages.
func (a *asked) parseMessages(out *chat.Request) error {
	add := func(role chat.Role, content []chat.Block) {
		if n := len(out.Messages); n > 0 && out.Messages[n-1].Role == role {
			out.Messages[n-1].Content = append(out.Messages[n-1].Content, content...)
			return
		}
		out.Messages = append(out.Messages, chat.Message{Role: role, Content: content})
	}
	for _, m := range a.Messages {
		content, err := parseContent(m.Content)
		if err != nil {
			return err
		}
		switch m.Role {
		case "system", "developer":
			out.System = append(out.System, content...)
		case "user":
			add(chat.User, content)
		case "tool":
			add(chat.User, []chat.Block{{ToolResult: &chat.ToolResult{ID: m.ToolCallID, Content: content}}})
		case "assistant":
			for _, c := range m.ToolCalls {
				if !json.Valid([]byte(c.Function.Arguments)) {
					return fault.Validation("The arguments of the tool call '%s' are not JSON", chat.Clip(c.ID))
				}
				content = append(content, chat.Block{ToolUse: &chat.ToolUse{ID: c.ID, Name: c.Function.Name, Input: json.RawMessage(c.Function.Arguments)}})
			}
			add(chat.Assistant, content)
		default:
			return fault.Validation("A message has the role '%s'; it must be system, developer, user, assistant or tool", chat.Clip(m.Role))
		}
	}
	return nil
}

func parseContent(raw json.RawMessage) ([]chat.Block, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if text == "" {
			return nil, nil
		}
		return []chat.Block{{Text: text}}, nil
	}
	var parts []part
	if json.Unmarshal(raw, &parts) != nil {
		return nil, fault.Malformed("The content of a message must be a string or a list of parts")
	}
	var out []chat.Block
	for _, p := range parts {
		switch {
		case p.Type == "text" && p.Text != nil:
			out = append(out, chat.Block{Text: *p.Text})
		case p.Type == "image_url" && p.ImageURL != nil:
			m, err := parseDataURL(p.ImageURL.URL)
			if err != nil {
				return nil, err
			}
			out = append(out, chat.Block{Image: m})
		default:
			return nil, fault.Validation("A part of type '%s' cannot be given to this model's provider", chat.Clip(p.Type))
		}
	}
	return out, nil
}

// parseDataURL reads an image that is sent with its message: this server fetches
// none.
func parseDataURL(u string) (*chat.Media, error) {
	head, data, ok := strings.Cut(u, ",")
	kind, isData := strings.CutPrefix(head, "data:")
	kind, isBase64 := strings.CutSuffix(kind, ";base64")
	if !ok || !isData || !isBase64 {
		return nil, fault.Validation("image_url.url must be a data: URL in base64")
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, fault.Malformed("image_url.url is not base64")
	}
	return &chat.Media{Type: kind, Data: b}, nil
}

// EncodeResponse writes a whole answer. id and model are what it says of itself,
// created when it was made, in seconds since 1970.
func EncodeResponse(r *chat.Response, id, model string, created int64) ([]byte, error) {
	s := &said{Role: "assistant"}
	var text, thought strings.Builder
	for _, b := range r.Content {
		switch {
		case b.ToolUse != nil:
			s.ToolCalls = append(s.ToolCalls, toolCall{ID: b.ToolUse.ID, Type: "function", Function: function{b.ToolUse.Name, string(b.ToolUse.Input)}})
		case b.Thinking != nil:
			thought.WriteString(b.Thinking.Text)
		default:
			text.WriteString(b.Text)
		}
	}
	if text.Len() > 0 || s.ToolCalls == nil {
		s.Content = new(text.String())
	}
	if thought.Len() > 0 {
		s.ReasoningContent = new(thought.String())
	}
	return json.Marshal(answer{ID: "chatcmpl-" + id, Object: "chat.completion", Created: created, Model: model,
		Choices: []choice{{Message: s, FinishReason: new(finishWord(r.Stop))}}, Usage: usageOf(r.Usage)})
}

func finishWord(s chat.StopReason) string {
	switch s {
	case chat.MaxTokens, chat.ContextExceeded:
		return "length"
	case chat.StopToolUse:
		return "tool_calls"
	case chat.ContentFiltered:
		return "content_filter"
	}
	return "stop"
}

func usageOf(u chat.Usage) *usage {
	out := &usage{Prompt: u.Input + u.CacheRead + u.CacheWrite, Completion: u.Output, Total: u.Total()}
	if u.CacheRead > 0 {
		out.Details = &usageDetail{u.CacheRead}
	}
	return out
}

// Writer makes the chunks of an answer that streams, as
// InvokeModelWithResponseStream gives them: JSON alone.
type Writer struct {
	id, model string
	created   int64
	tools     int
	stop      chat.StopReason
	begun     bool
}

// NewWriter returns the writer of one answer; see EncodeResponse.
func NewWriter(id, model string, created int64) *Writer {
	return &Writer{id: id, model: model, created: created}
}

// Write returns the chunks that e makes, which may be none.
func (w *Writer) Write(e chat.Event) ([][]byte, error) {
	d := &said{}
	if !w.begun {
		d.Role = "assistant"
	}
	c := choice{Delta: d}
	var u *usage
	switch e.Kind {
	case chat.BlockStart:
		if e.ToolUse == nil {
			return nil, nil
		}
		w.tools++
		d.ToolCalls = []toolCall{{Index: new(w.tools - 1), ID: e.ToolUse.ID, Type: "function", Function: function{Name: e.ToolUse.Name}}}
	case chat.TextDelta:
		d.Content = &e.Text
	case chat.ThinkingDelta:
		d.ReasoningContent = &e.Text
	case chat.InputDelta:
		d.ToolCalls = []toolCall{{Index: new(w.tools - 1), Function: function{Arguments: e.Text}}}
	case chat.Stopped:
		w.stop = e.Stop
		return nil, nil
	case chat.Finished:
		c.FinishReason, u = new(finishWord(w.stop)), usageOf(e.Usage)
	default:
		return nil, nil
	}
	w.begun = true
	line, err := json.Marshal(answer{ID: "chatcmpl-" + w.id, Object: "chat.completion.chunk", Created: w.created, Model: w.model, Choices: []choice{c}, Usage: u})
	return [][]byte{line}, err
}
