package bedrockruntime_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	sdk "github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/converse"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

// frames is a stream of Bedrock's: pairs of event types and payloads; a type that
// begins with ! is an exception.
func frames(t testing.TB, pairs ...string) llmtest.Reply {
	t.Helper()
	var b bytes.Buffer
	enc := eventstream.NewEncoder()
	for i := 0; i < len(pairs); i += 2 {
		kind, header, name := "event", ":event-type", pairs[i]
		if rest, ok := strings.CutPrefix(name, "!"); ok {
			kind, header, name = "exception", ":exception-type", rest
		}
		m := eventstream.Message{Payload: []byte(pairs[i+1])}
		m.Headers.Set(":message-type", eventstream.StringValue(kind))
		m.Headers.Set(header, eventstream.StringValue(name))
		if err := enc.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
	}
	return llmtest.Reply{Raw: b.String(), ContentType: "application/vnd.amazon.eventstream"}
}

// TestRelay hands requests on to Bedrock as they are, signed by the operator, what
// no other provider has included.
func TestRelay(t *testing.T) {
	s := llmtest.Start(t, func(a llmtest.Ask) llmtest.Reply {
		if strings.HasSuffix(a.Path, "/count-tokens") {
			return llmtest.Reply{Body: `{"inputTokens":42}`}
		}
		return llmtest.Reply{Body: `{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},
			"metrics":{"latencyMs":7},"additionalModelResponseFields":{"stop_sequence":"END"},"newer":1}`}
	})
	c := newKit(t, one(llm.Bedrock, s.URL)).client("AKIDROOT")
	in := &sdk.ConverseInput{ModelId: aws.String(claude), Messages: say("hi"), AdditionalModelResponseFieldPaths: []string{"/stop_sequence"},
		ServiceTier: &types.ServiceTier{Type: types.ServiceTierTypePriority}}
	in.Messages[0].Content = append(in.Messages[0].Content, &types.ContentBlockMemberVideo{Value: types.VideoBlock{Format: types.VideoFormatMp4, Source: &types.VideoSourceMemberBytes{Value: []byte("x")}}})
	out, err := c.Converse(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var more map[string]string
	if err := out.AdditionalModelResponseFields.UnmarshalSmithyDocument(&more); err != nil || more["stop_sequence"] != "END" || *out.Metrics.LatencyMs != 7 {
		t.Errorf("%+v %v %v", out, more, err)
	}
	asked := s.Last(t)
	if asked.Path != "/model/global.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse" ||
		asked.Body != `{"messages":[{"role":"user","content":[{"text":"hi"},{"video":{"format":"mp4","source":{"bytes":"eA=="}}}]}],"additionalModelResponseFieldPaths":["/stop_sequence"],"serviceTier":{"type":"priority"}}` {
		t.Errorf("asked %s %s", asked.Path, asked.Body)
	}
	if auth := asked.Header.Get("Authorization"); !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKIDOPERATOR/") || !strings.Contains(auth, "/eu-west-1/bedrock/aws4_request") {
		t.Errorf("signed as %s", auth)
	}
	n, err := c.CountTokens(t.Context(), &sdk.CountTokensInput{ModelId: aws.String(claude), Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: say("x")}}})
	if err != nil || *n.InputTokens != 42 {
		t.Errorf("%v %v", n, err)
	}
}

// TestRelayStreams hands events on as they come, and what they end with.
func TestRelayStreams(t *testing.T) {
	const body = `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`
	for name, tt := range map[string]struct {
		path  string
		reply llmtest.Reply
		want  string
		code  string
	}{
		"whole": {"converse-stream", frames(t, "messageStart", `{"role":"assistant","p":"abc"}`, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Hello"}}`,
			"newerEvent", `{}`, "messageStop", `{"stopReason":"end_turn"}`, "metadata", `{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":7}}`),
			`messageStart{"role":"assistant"} contentBlockDelta{"delta":{"text":"Hello"},"contentBlockIndex":0} messageStop{"stopReason":"end_turn"} metadata{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":7}} `, ""},
		"exception": {"converse-stream", frames(t, "messageStart", `{"role":"assistant"}`, "!throttlingException", `{"message":"slower"}`), `messageStart{"role":"assistant"} `, "ThrottlingException"},
		"cut off":   {"converse-stream", llmtest.Reply{Raw: frames(t, "messageStart", `{"role":"assistant"}`, "messageStop", `{}`).Raw[:100], ContentType: "x"}, `messageStart{"role":"assistant"} `, "ModelStreamErrorException"},
		"chunks":    {"invoke-with-response-stream", frames(t, "chunk", `{"bytes":"eyJhIjoxfQ=="}`), `chunk{"bytes":"eyJhIjoxfQ=="} `, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return tt.reply })
			got := ""
			var failed error
			for f, err := range converse.Frames(newKit(t, one(llm.Bedrock, s.URL)).stream(t, "/model/x/"+tt.path, body)) {
				if failed = err; err == nil {
					got += f.Name + string(f.Payload) + " "
				}
			}
			if got != tt.want || tt.code == "" && failed != nil || tt.code != "" && !fault.Is(failed, tt.code) {
				t.Errorf("%s %v\nwant %s", got, failed, tt.want)
			}
		})
	}
}
