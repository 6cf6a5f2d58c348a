package anthropic_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/llm/anthropic"
	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

// The provider's own order of blocks is handed on.
func FuzzDecodeStream(f *testing.F) {
	llmtest.FuzzDecode(f, anthropic.DecodeStream, false, llmtest.AnthropicText("a", "b"), llmtest.AnthropicTool("id", "tool", `{"a":1}`))
}

func FuzzParseRequest(f *testing.F) {
	llmtest.FuzzParse(f, anthropic.ParseRequest, func(r *chat.Request) ([]byte, error) { return anthropic.EncodeRequest(r, "m") })
}
