package converse_test

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/converse"
)

// FuzzDecodeStream: whatever stands where Bedrock would, its stream ends with usage or
// an error.
func FuzzDecodeStream(f *testing.F) {
	var b bytes.Buffer
	for _, e := range [][2]string{{"messageStart", `{}`}, {"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"a"}}`}, {"metadata", `{"usage":{"inputTokens":1}}`}} {
		m := eventstream.Message{Payload: []byte(e[1])}
		m.Headers.Set(":message-type", eventstream.StringValue("event"))
		m.Headers.Set(":event-type", eventstream.StringValue(e[0]))
		if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:20])
	f.Fuzz(func(t *testing.T, in []byte) {
		finished, failed := false, false
		for e, err := range converse.DecodeStream(bytes.NewReader(in)) {
			failed = failed || err != nil
			finished = finished || e.Kind == chat.Finished
		}
		if !failed && !finished {
			t.Fatal("it ends without usage or error")
		}
	})
}

// FuzzEmbed: whatever InvokeModel answers, there are as many vectors as texts, or there is an error.
func FuzzEmbed(f *testing.F) {
	f.Add([]byte(`{"embedding":[1,2],"inputTextTokenCount":3}`))
	f.Add([]byte(`{"embeddings":[[1],[2]]}`))
	f.Add([]byte(`{"embeddings":{"float":[[1],[2]]}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, model := range []string{"amazon.titan-embed-text-v2:0", "cohere.embed-v4:0"} {
			vectors, _, err := converse.Embed(model, []string{"a", "b"}, 0, true, func([]byte) ([]byte, error) { return in, nil })
			if err == nil && len(vectors) != 2 {
				t.Fatalf("%v", vectors)
			}
		}
	})
}
