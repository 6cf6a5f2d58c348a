package anthropic

import (
	"encoding/base64"
	"encoding/json"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// known are the members of a request that ParseRequest reads; ignored are those that
// mean nothing to other providers, and without which the answer is as good.
var (
	known   = [...]string{"model", "max_tokens", "system", "messages", "tools", "tool_choice", "temperature", "top_p", "stop_sequences", "stream", "anthropic_version"}
	ignored = [...]string{"anthropic_beta", "metadata", "service_tier", "thinking", "top_k"}
)

// ParseRequest reads the body of Messages for a provider that speaks something
// else. Errors are fault.Errors that name what cannot be given to one.
func ParseRequest(body []byte) (*chat.Request, error) {
	if err := chat.Members(body, known[:], ignored[:]); err != nil {
		return nil, err
	}
	var a ask
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fault.Malformed("The body is not a request of Anthropic's Messages API: %s", chat.Clip(err.Error()))
	}
	if len(a.Messages) == 0 {
		return nil, fault.Validation("messages must have at least one member")
	}
	out := &chat.Request{MaxTokens: a.MaxTokens, Temperature: a.Temperature, TopP: a.TopP, Stop: a.Stop}
	var err error
	if out.System, err = parseBlocks(a.System, "system"); err != nil {
		return nil, err
	}
	for _, m := range a.Messages {
		content, err := parseBlocks(m.Content, "messages")
		if err != nil {
			return nil, err
		}
		out.Messages = append(out.Messages, chat.Message{Role: chat.Role(m.Role), Content: content})
	}
	for _, t := range a.Tools {
		if t.Type != "" && t.Type != "custom" {
			return nil, fault.Validation("The tool '%s' is of type '%s', which Anthropic alone has", chat.Clip(t.Name), chat.Clip(t.Type))
		}
		out.Tools = append(out.Tools, chat.Tool{Name: t.Name, Description: t.Description, Schema: t.Schema, Strict: t.Strict})
	}
	if c := a.ToolChoice; c != nil {
		out.Choice = chat.Choice{Name: c.Name, Mode: map[string]chat.Mode{"auto": chat.Auto, "any": chat.AnyTool, "tool": chat.OneTool, "none": chat.NoTool}[c.Type]}
	}
	return out, nil
}

func parseBlocks(in blocks, where string) ([]chat.Block, error) {
	var out []chat.Block
	for i := range in {
		b, err := parseBlock(&in[i], where)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

func parseBlock(b *block, where string) (chat.Block, error) {
	var out chat.Block
	switch b.Type {
	case "text":
		if b.Text != nil {
			out.Text = *b.Text
		}
	case "image", "document":
		m, err := parseSource(b, where)
		if err != nil {
			return out, err
		}
		if b.Type == "image" {
			out.Image = m
		} else {
			out.Document = m
		}
	case "tool_use":
		out.ToolUse = &chat.ToolUse{ID: b.ID, Name: b.Name, Input: b.Input}
		if b.Input == nil {
			out.ToolUse.Input = json.RawMessage("{}")
		}
	case "tool_result":
		content, err := parseBlocks(b.Content, where)
		out.ToolResult = &chat.ToolResult{ID: b.ToolUseID, Content: content, Failed: b.IsError}
		return out, err
	case "thinking":
		out.Thinking = &chat.Thinking{}
		if b.Thinking != nil {
			out.Thinking.Text = *b.Thinking
		}
		if b.Signature != nil {
			out.Thinking.Signature = *b.Signature
		}
	case "redacted_thinking":
		out.Thinking = &chat.Thinking{Redacted: []byte(b.Data)}
	default:
		return out, fault.Validation("%s has a block of type '%s', which cannot be given to this model's provider", where, chat.Clip(b.Type))
	}
	return out, nil
}

func parseSource(b *block, where string) (*chat.Media, error) {
	s := b.Source
	switch {
	case s != nil && s.Type == "base64":
		data, err := base64.StdEncoding.DecodeString(s.Data)
		if err != nil {
			return nil, fault.Malformed("The data of a block of type '%s' in %s is not base64", b.Type, where)
		}
		return &chat.Media{Type: s.MediaType, Name: b.Title, Data: data}, nil
	case s != nil && s.Type == "text":
		return &chat.Media{Type: "text/plain", Name: b.Title, Data: []byte(s.Data)}, nil
	}
	return nil, fault.Validation("A block of type '%s' in %s must have a source of type base64 or text", b.Type, where)
}

// EncodeResponse writes a whole answer. id and model are what it says of itself.
func EncodeResponse(r *chat.Response, id, model string) ([]byte, error) {
	content, err := encodeBlocks(r.Content)
	if err != nil {
		return nil, err
	}
	if content == nil {
		content = blocks{}
	}
	return json.Marshal(answer{ID: "msg_" + id, Type: "message", Role: "assistant", Model: model, Content: content,
		StopReason: new(stopWord(r.Stop)), Usage: usageOf(r.Usage)})
}

func usageOf(u chat.Usage) usage {
	return usage{Input: u.Input, Output: u.Output, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite}
}

func stopWord(s chat.StopReason) string {
	if s == chat.ContentFiltered {
		return "refusal"
	}
	return string(s)
}

// Writer makes the events of an answer that streams, as InvokeModelWithResponseStream
// gives them: JSON alone, without the frame of server-sent events.
type Writer struct {
	id, model string
	begun     bool
	held      *chat.Event // a block whose kind the first delta tells
	stop      chat.StopReason
}

// NewWriter returns the writer of one answer.
func NewWriter(id, model string) *Writer { return &Writer{id: id, model: model} }

// Write returns the events that e makes, which may be none.
func (w *Writer) Write(e chat.Event) ([][]byte, error) {
	var out []event
	if !w.begun {
		w.begun = true
		out = append(out, event{Type: "message_start", Message: &answer{ID: "msg_" + w.id, Type: "message", Role: "assistant", Model: w.model, Content: blocks{}}})
	}
	at := &e.Index
	if w.held != nil {
		out = append(out, event{Type: "content_block_start", Index: &w.held.Index, ContentBlock: opening(e)})
		w.held = nil
	}
	switch e.Kind {
	case chat.BlockStart:
		if e.ToolUse == nil {
			w.held = &e
			break
		}
		out = append(out, event{Type: "content_block_start", Index: at, ContentBlock: &block{
			Type: "tool_use", ID: e.ToolUse.ID, Name: e.ToolUse.Name, Input: json.RawMessage("{}")}})
	case chat.TextDelta:
		out = append(out, event{Type: "content_block_delta", Index: at, Delta: &delta{Type: "text_delta", Text: &e.Text}})
	case chat.InputDelta:
		out = append(out, event{Type: "content_block_delta", Index: at, Delta: &delta{Type: "input_json_delta", PartialJSON: &e.Text}})
	case chat.ThinkingDelta:
		out = append(out, event{Type: "content_block_delta", Index: at, Delta: &delta{Type: "thinking_delta", Thinking: &e.Text}})
	case chat.SignatureDelta:
		out = append(out, event{Type: "content_block_delta", Index: at, Delta: &delta{Type: "signature_delta", Signature: &e.Text}})
	case chat.BlockStop:
		out = append(out, event{Type: "content_block_stop", Index: at})
	case chat.Stopped:
		w.stop = e.Stop
	case chat.Finished:
		u := usageOf(e.Usage)
		out = append(out,
			event{Type: "message_delta", Delta: &delta{StopReason: new(stopWord(w.stop))}, Usage: &newUsage{Input: &u.Input, Output: &u.Output, CacheRead: &u.CacheRead, CacheWrite: &u.CacheWrite}},
			event{Type: "message_stop"})
	}
	lines := make([][]byte, 0, len(out))
	for _, one := range out {
		line, err := json.Marshal(one)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// opening is the block that a first delta adds to.
func opening(e chat.Event) *block {
	switch e.Kind {
	case chat.ThinkingDelta, chat.SignatureDelta:
		return &block{Type: "thinking", Thinking: new("")}
	case chat.RedactedDelta:
		return &block{Type: "redacted_thinking", Data: string(e.Redacted)}
	}
	return &block{Type: "text", Text: new("")}
}
