package llm_test

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

// frames is a stream as Bedrock sends it; pairs of event types and payloads.
func frames(t testing.TB, pairs ...string) llmtest.Reply {
	t.Helper()
	var b bytes.Buffer
	enc := eventstream.NewEncoder()
	for i := 0; i < len(pairs); i += 2 {
		m := eventstream.Message{Payload: []byte(pairs[i+1])}
		m.Headers.Set(":message-type", eventstream.StringValue("event"))
		m.Headers.Set(":event-type", eventstream.StringValue(pairs[i]))
		m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
		if err := enc.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
	}
	return llmtest.Reply{Raw: b.String(), ContentType: "application/vnd.amazon.eventstream"}
}

const bedrockEnd = `{"usage":{"inputTokens":11,"outputTokens":2,"totalTokens":13},"metrics":{"latencyMs":5}}`

func bedrockText(t testing.TB) llmtest.Reply {
	return frames(t, "messageStart", `{"role":"assistant"}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Hello"}}`, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":" there"}}`,
		"contentBlockStop", `{"contentBlockIndex":0}`, "messageStop", `{"stopReason":"end_turn"}`, "metadata", bedrockEnd)
}

func bedrockTool(t testing.TB) llmtest.Reply {
	return frames(t, "messageStart", `{"role":"assistant"}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"A tool knows."}}}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2lnbmVk"}}}`,
		"contentBlockStop", `{"contentBlockIndex":0}`,
		"contentBlockStart", `{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"tooluse_9","name":"weather"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"city\":"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":1,"delta":{"toolUse":{"input":"\"Kyoto\"}"}}}`,
		"contentBlockStop", `{"contentBlockIndex":1}`, "messageStop", `{"stopReason":"tool_use"}`, "metadata", bedrockEnd)
}
