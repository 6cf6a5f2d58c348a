package openai_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
	"github.com/outcrop/outcrop/internal/llm/openai"
)

// The dialect does not say where blocks end: the decoder does.
func FuzzDecodeStream(f *testing.F) {
	llmtest.FuzzDecode(f, openai.DecodeStream, true, llmtest.OpenAIText("a", "b"), llmtest.OpenAITool("id", "tool", `{"a":1}`))
}

func FuzzParseRequest(f *testing.F) {
	llmtest.FuzzParse(f, openai.ParseRequest, func(r *chat.Request) ([]byte, error) { return openai.EncodeRequest(r, "m", true) })
}

// FuzzDecodeEmbedding: whatever a provider answers, each text has a vector, or there is an error.
func FuzzDecodeEmbedding(f *testing.F) {
	f.Add([]byte(`{"data":[{"index":1,"embedding":[3,4e-1]},{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":5}}`))
	f.Add([]byte(`{"data":[{"index":-1,"embedding":null},{"index":1e99}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		vectors, _, err := openai.DecodeEmbedding(in, 2)
		if err == nil && (len(vectors) != 2 || len(vectors[0]) == 0 || len(vectors[1]) == 0) {
			t.Fatalf("%v", vectors)
		}
	})
}
