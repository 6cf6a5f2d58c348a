package bedrockruntime_test

import (
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/converse"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

// BenchmarkConverseStream is what a chunk costs on its way from a provider's stream to
// the client's: read, translated, framed, flushed, and read again.
func BenchmarkConverseStream(b *testing.B) {
	const chunks = 500
	words := make([]string, chunks)
	for i := range words {
		words[i] = fmt.Sprintf(" word%d", i)
	}
	for kind, reply := range map[llm.Kind]llmtest.Reply{llm.OpenAI: llmtest.OpenAIText(words...), llm.Anthropic: llmtest.AnthropicText(words...)} {
		b.Run(string(kind), func(b *testing.B) {
			s := llmtest.Start(b, func(llmtest.Ask) llmtest.Reply { return reply })
			k := newKit(b, one(kind, s.URL))
			for b.Loop() {
				n := 0
				for _, err := range converse.Frames(k.stream(b, "/model/x/converse-stream", `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`)) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != chunks+4 {
					b.Fatalf("%d frames", n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/chunks, "µs/chunk")
		})
	}
}
