// Package anthropic is the dialect of Anthropic's Messages API: both as it is sent
// to Anthropic and as InvokeModel takes it of its callers for Claude.
package anthropic

import "encoding/json"

// Version is the version of the API that is spoken, sent as a header.
const Version = "2023-06-01"

// ask is the body of POST /v1/messages, its members that mean something here.
type ask struct {
	Model        string        `json:"model,omitempty"`
	MaxTokens    *int          `json:"max_tokens,omitempty"`
	System       blocks        `json:"system,omitempty"`
	Messages     []message     `json:"messages"`
	Tools        []tool        `json:"tools,omitempty"`
	ToolChoice   *toolChoice   `json:"tool_choice,omitempty"`
	Temperature  *float64      `json:"temperature,omitempty"`
	TopP         *float64      `json:"top_p,omitempty"`
	Stop         []string      `json:"stop_sequences,omitempty"`
	Stream       bool          `json:"stream,omitempty"`
	OutputConfig *outputConfig `json:"output_config,omitempty"`
}

type outputConfig struct {
	Format outputFormat `json:"format"`
}

type outputFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

type message struct {
	Role    string `json:"role"`
	Content blocks `json:"content"`
}

// blocks are written as a list, and read of a string too.
type blocks []block

// UnmarshalJSON reads a list of blocks, or a string that stands for one text.
func (b *blocks) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*b = blocks{{Type: "text", Text: &text}}
		return nil
	}
	return json.Unmarshal(data, (*[]block)(b))
}

// block is a part of a message; Type says which members it has.
type block struct {
	Type string  `json:"type"`
	Text *string `json:"text,omitempty"`

	Source *source `json:"source,omitempty"` // image, document
	Title  string  `json:"title,omitempty"`

	ID    string          `json:"id,omitempty"` // tool_use
	Name  string          `json:"name,omitempty"`
	Input json.RawMessage `json:"input,omitempty"`

	ToolUseID string `json:"tool_use_id,omitempty"` // tool_result
	Content   blocks `json:"content,omitempty"`
	IsError   bool   `json:"is_error,omitempty"`

	Thinking  *string `json:"thinking,omitempty"`
	Signature *string `json:"signature,omitempty"`
	Data      string  `json:"data,omitempty"` // redacted_thinking

	Cache *cacheControl `json:"cache_control,omitempty"`
}

type source struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type,omitempty"`
	Data      string `json:"data,omitempty"`
}

type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitempty"`
}

type tool struct {
	Type        string          `json:"type,omitempty"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"input_schema,omitempty"`
	Strict      bool            `json:"strict,omitempty"`
	Cache       *cacheControl   `json:"cache_control,omitempty"`
}

type toolChoice struct {
	Type string `json:"type"`
	Name string `json:"name,omitempty"`
}

// answer is a whole answer.
type answer struct {
	ID           string  `json:"id"`
	Type         string  `json:"type"`
	Role         string  `json:"role"`
	Model        string  `json:"model"`
	Content      blocks  `json:"content"`
	StopReason   *string `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
	Usage        usage   `json:"usage"`
}

type usage struct {
	Input      int `json:"input_tokens"`
	Output     int `json:"output_tokens"`
	CacheRead  int `json:"cache_read_input_tokens"`
	CacheWrite int `json:"cache_creation_input_tokens"`
}

// event is one of a stream; Type says which members it has.
type event struct {
	Type         string    `json:"type"`
	Index        *int      `json:"index,omitempty"`
	Message      *answer   `json:"message,omitempty"`
	ContentBlock *block    `json:"content_block,omitempty"`
	Delta        *delta    `json:"delta,omitempty"`
	Usage        *newUsage `json:"usage,omitempty"`
	Error        *failure  `json:"error,omitempty"`
}

// newUsage are the counts that a message_delta changes.
type newUsage struct {
	Input      *int `json:"input_tokens,omitempty"`
	Output     *int `json:"output_tokens,omitempty"`
	CacheRead  *int `json:"cache_read_input_tokens,omitempty"`
	CacheWrite *int `json:"cache_creation_input_tokens,omitempty"`
}

type delta struct {
	Type         string  `json:"type,omitempty"`
	Text         *string `json:"text,omitempty"`
	PartialJSON  *string `json:"partial_json,omitempty"`
	Thinking     *string `json:"thinking,omitempty"`
	Signature    *string `json:"signature,omitempty"`
	StopReason   *string `json:"stop_reason,omitempty"`
	StopSequence *string `json:"stop_sequence,omitempty"`
}

type failure struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}
