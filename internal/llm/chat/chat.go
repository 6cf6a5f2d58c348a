// Package chat is a conversation with a model, in no provider's words: what is
// asked, what is answered and how it streams. The dialects of the providers
// (llm/openai, llm/anthropic, llm/converse) write and read it.
package chat

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
)

// Role says who speaks.
type Role string

// The roles of messages.
const (
	User      Role = "user"
	Assistant Role = "assistant"
	System    Role = "system"
)

// Request is one turn asked of a model.
type Request struct {
	// System are texts and cache points that come before all messages.
	System   []Block
	Messages []Message
	Tools    []Tool
	// Choice says how the model may use the tools; the zero value leaves it to the provider.
	Choice Choice

	// MaxTokens bounds the answer; nil is the provider's own bound, or that of the configuration.
	MaxTokens         *int
	Temperature, TopP *float64
	Stop              []string
	// Schema, if set, is the JSON schema that the answer's text must follow.
	Schema *Schema
	// Extra are members of the provider's own request that nothing here stands for.
	// They replace what a dialect would write under their names.
	Extra map[string]json.RawMessage
}

// Message is what one side said.
type Message struct {
	Role    Role
	Content []Block
}

// Block is a part of a message. One member is set; a block whose members are all
// nil is a text.
type Block struct {
	Text       string
	Image      *Media
	Document   *Media
	ToolUse    *ToolUse
	ToolResult *ToolResult
	Thinking   *Thinking
	// JSON is a structured part of a tool's result.
	JSON json.RawMessage
	// CachePoint asks the provider to keep what stands before it; its value is how long ("5m", "1h"), or "default".
	CachePoint string
}

// IsText reports whether the block is a text.
func (b *Block) IsText() bool {
	return b.Image == nil && b.Document == nil && b.ToolUse == nil && b.ToolResult == nil && b.Thinking == nil && b.JSON == nil && b.CachePoint == ""
}

// Media is an image or a document.
type Media struct {
	// Type is the media type, such as image/png.
	Type string
	Data []byte
	// Name is a document's.
	Name string
}

// ToolUse is the model's wish to call a tool.
type ToolUse struct {
	ID, Name string
	// Input is a JSON object.
	Input json.RawMessage
}

// ToolResult is what a tool gave.
type ToolResult struct {
	ID      string
	Content []Block
	Failed  bool
}

// Thinking is what the model thought before it answered.
type Thinking struct {
	Text, Signature string
	// Redacted is set in place of Text where only the provider can read it.
	Redacted []byte
}

// Tool describes one to the model.
type Tool struct {
	Name, Description string
	// Schema is the JSON schema of its input.
	Schema json.RawMessage
	Strict bool
	// CachePoint stands for no tool: see Block.CachePoint.
	CachePoint string
}

// Choice says how a model may use tools.
type Choice struct {
	Mode Mode
	// Name is the tool of OneTool.
	Name string
}

// Mode is the kind of a Choice.
type Mode int

// The ways to choose among tools.
const (
	Unsaid Mode = iota
	Auto
	AnyTool
	OneTool
	NoTool
)

// Schema is the form of an answer's text.
type Schema struct {
	Name, Description string
	Schema            json.RawMessage
}

// StopReason says why an answer ended, in the words of Converse.
type StopReason string

// The stop reasons.
const (
	EndTurn         StopReason = "end_turn"
	StopToolUse     StopReason = "tool_use"
	MaxTokens       StopReason = "max_tokens"
	StopSequence    StopReason = "stop_sequence"
	ContentFiltered StopReason = "content_filtered"
	ContextExceeded StopReason = "model_context_window_exceeded"
)

// Usage counts tokens. Input does not hold what came from a cache or went to it.
type Usage struct {
	Input, Output, CacheRead, CacheWrite int
}

// Total is everything counted.
func (u Usage) Total() int { return u.Input + u.Output + u.CacheRead + u.CacheWrite }

// Response is a whole answer.
type Response struct {
	Content []Block
	Stop    StopReason
	Usage   Usage
	// Latency is the time from the call to the last byte of the answer.
	Latency time.Duration
}

// Kind says what an Event tells.
type Kind int

// The kinds of events, in the order of a stream: BlockStart, deltas and BlockStop
// for each block, then one Stopped, then one Finished.
const (
	// BlockStart begins block Index; ToolUse is set where it is one, without input.
	BlockStart Kind = iota + 1
	// TextDelta, ThinkingDelta, SignatureDelta and InputDelta add Text to the block; the last is a
	// piece of a tool's input, of which no single one need be JSON.
	TextDelta
	ThinkingDelta
	SignatureDelta
	InputDelta
	// RedactedDelta adds Redacted to the block.
	RedactedDelta
	BlockStop
	// Stopped tells Stop.
	Stopped
	// Finished tells Usage, and is the last one.
	Finished
)

// Event is one step of an answer that streams.
type Event struct {
	Kind     Kind
	Index    int
	ToolUse  *ToolUse
	Text     string
	Redacted []byte
	Stop     StopReason
	Usage    Usage
	Latency  time.Duration
}

// Collect makes a Response of a stream.
func Collect(events func(yield func(Event, error) bool)) (*Response, error) {
	var out Response
	at := map[int]int{} // block's index in the stream -> in Content
	var inputs []*[]byte
	block := func(e Event) *Block {
		i, ok := at[e.Index]
		if !ok {
			i = len(out.Content)
			at[e.Index] = i
			out.Content = append(out.Content, Block{})
			inputs = append(inputs, new([]byte))
		}
		return &out.Content[i]
	}
	thinking := func(e Event) *Thinking {
		b := block(e)
		if b.Thinking == nil {
			b.Thinking = &Thinking{}
		}
		return b.Thinking
	}
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		switch e.Kind {
		case BlockStart:
			b := block(e)
			if e.ToolUse != nil {
				b.ToolUse = &ToolUse{ID: e.ToolUse.ID, Name: e.ToolUse.Name}
			}
		case TextDelta:
			block(e).Text += e.Text
		case ThinkingDelta:
			thinking(e).Text += e.Text
		case SignatureDelta:
			thinking(e).Signature += e.Text
		case RedactedDelta:
			t := thinking(e)
			t.Redacted = append(t.Redacted, e.Redacted...)
		case InputDelta:
			block(e)
			in := inputs[at[e.Index]]
			*in = append(*in, e.Text...)
		case Stopped:
			out.Stop = e.Stop
		case Finished:
			out.Usage, out.Latency = e.Usage, e.Latency
		}
	}
	return &out, out.finish(inputs)
}

// finish gives tool uses their inputs.
func (r *Response) finish(inputs []*[]byte) error {
	kept := r.Content[:0]
	for i, b := range r.Content {
		if b.ToolUse != nil {
			in := *inputs[i]
			if len(in) == 0 {
				in = []byte("{}")
			}
			if !json.Valid(in) {
				return BadAnswer("the input of tool %s is not JSON", b.ToolUse.Name)
			}
			b.ToolUse.Input = in
		}
		if b.IsText() && b.Text == "" {
			continue // began and said nothing
		}
		kept = append(kept, b)
	}
	r.Content = kept
	return nil
}

// BadAnswer says that a provider answered what no client could be given.
func BadAnswer(format string, args ...any) *fault.Error {
	return fault.New("ModelErrorException", 424, "The model's provider gave an answer that cannot be read: %s", fmt.Sprintf(format, args...))
}
