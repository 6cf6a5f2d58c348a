package bedrockruntime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/converse"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

func say(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

func tools() *types.ToolConfiguration {
	schema := document.NewLazyDocument(map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}})
	return &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: aws.String("weather"), Description: aws.String("how warm it is"), InputSchema: &types.ToolInputSchemaMemberJson{Value: schema}}}}}
}

// kinds are providers that are translated for.
var kinds = map[llm.Kind]struct{ text, tool llmtest.Reply }{
	llm.OpenAI:    {llmtest.OpenAIText("Hel", "lo"), llmtest.OpenAITool("call_9", "weather", `{"city":"Kyoto"}`)},
	llm.Anthropic: {llmtest.AnthropicText("Hel", "lo"), llmtest.AnthropicTool("call_9", "weather", `{"city":"Kyoto"}`)},
}

// TestConverse goes once round with a tool, whatever the provider speaks.
func TestConverse(t *testing.T) {
	for kind, replies := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := llmtest.Start(t, func(a llmtest.Ask) llmtest.Reply {
				if strings.Contains(a.Body, "21 degrees") {
					return replies.text
				}
				return replies.tool
			})
			c := newKit(t, one(kind, s.URL)).client("AKIDROOT")
			in := &sdk.ConverseInput{ModelId: aws.String(claude), Messages: say("How warm is Kyoto?"), ToolConfig: tools(),
				InferenceConfig: &types.InferenceConfiguration{Temperature: aws.Float32(0.3), MaxTokens: aws.Int32(100)}}
			out, err := c.Converse(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			said := out.Output.(*types.ConverseOutputMemberMessage).Value
			use := said.Content[len(said.Content)-1].(*types.ContentBlockMemberToolUse).Value
			var asked struct {
				City string `document:"city"`
			}
			if err := use.Input.UnmarshalSmithyDocument(&asked); err != nil || asked.City != "Kyoto" || out.StopReason != types.StopReasonToolUse || *use.ToolUseId != "call_9" {
				t.Fatalf("%+v %+v %v", out.StopReason, asked, err)
			}
			if !strings.Contains(s.Last(t).Body, `"temperature":0.3,`) {
				t.Errorf("0.3 is sent as %s", s.Last(t).Body)
			}
			in.Messages = append(in.Messages, said, types.Message{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberToolResult{
				Value: types.ToolResultBlock{ToolUseId: use.ToolUseId, Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: "21 degrees"}}}}}})
			if out, err = c.Converse(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			said = out.Output.(*types.ConverseOutputMemberMessage).Value
			if text := said.Content[0].(*types.ContentBlockMemberText).Value; text != "Hello" || out.StopReason != types.StopReasonEndTurn || *out.Usage.OutputTokens != 2 {
				t.Errorf("%q %v %+v", text, out.StopReason, *out.Usage)
			}
		})
	}
}

// told is a stream in words.
func told(t *testing.T, out *sdk.ConverseStreamOutput) (string, error) {
	t.Helper()
	var b strings.Builder
	stream := out.GetStream()
	defer stream.Close()
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.ConverseStreamOutputMemberMessageStart:
			fmt.Fprintln(&b, "message", e.Value.Role)
		case *types.ConverseStreamOutputMemberContentBlockStart:
			u := e.Value.Start.(*types.ContentBlockStartMemberToolUse).Value
			fmt.Fprintln(&b, "start", *e.Value.ContentBlockIndex, *u.ToolUseId, *u.Name)
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			switch d := e.Value.Delta.(type) {
			case *types.ContentBlockDeltaMemberText:
				fmt.Fprintln(&b, "text", *e.Value.ContentBlockIndex, d.Value)
			case *types.ContentBlockDeltaMemberToolUse:
				fmt.Fprintln(&b, "input", *e.Value.ContentBlockIndex, *d.Value.Input)
			case *types.ContentBlockDeltaMemberReasoningContent:
				fmt.Fprintf(&b, "reasoning %d %+v\n", *e.Value.ContentBlockIndex, d.Value)
			}
		case *types.ConverseStreamOutputMemberContentBlockStop:
			fmt.Fprintln(&b, "stop", *e.Value.ContentBlockIndex)
		case *types.ConverseStreamOutputMemberMessageStop:
			fmt.Fprintln(&b, "stopped", e.Value.StopReason)
		case *types.ConverseStreamOutputMemberMetadata:
			fmt.Fprintln(&b, "usage", *e.Value.Usage.InputTokens, *e.Value.Usage.OutputTokens, *e.Value.Usage.TotalTokens)
		}
	}
	return b.String(), stream.Err()
}

// TestConverseStream streams text and a tool's input as they come.
func TestConverseStream(t *testing.T) {
	const tool = "start %[1]d call_9 weather\ninput %[1]d {\"city\":\ninput %[1]d \"Kyoto\"}\nstop %[1]d\nstopped tool_use\nusage "
	want := map[llm.Kind]string{
		llm.OpenAI: "message assistant\n" + fmt.Sprintf(tool, 0) + "21 7 28\n",
		llm.Anthropic: "message assistant\nreasoning 0 &{Value:A tool knows. noSmithyDocumentSerde:{}}\nreasoning 0 &{Value:c2lnbmVk noSmithyDocumentSerde:{}}\nstop 0\n" +
			fmt.Sprintf(tool, 1) + "11 7 21\n",
	}
	for kind, replies := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := llmtest.Start(t, func(a llmtest.Ask) llmtest.Reply { return replies.tool })
			c := newKit(t, one(kind, s.URL)).client("AKIDROOT")
			out, err := c.ConverseStream(t.Context(), &sdk.ConverseStreamInput{ModelId: aws.String(claude), Messages: say("How warm is Kyoto?"), ToolConfig: tools()})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := told(t, out); err != nil || got != want[kind] {
				t.Errorf("%v\n%s\nwant\n%s", err, got, want[kind])
			}
		})
	}
}

// TestMidStream: an answer that breaks off ends with the modelled exception. AWS's
// client for Go reads on after one, and tells now and then of its own closed connection
// instead, so the frames are read as they come.
func TestMidStream(t *testing.T) {
	for kind, replies := range kinds {
		for name, tt := range map[string]struct {
			change func(*llmtest.Reply)
			want   string
		}{
			"cut off": {func(r *llmtest.Reply) { r.Events, r.Break = r.Events[:3], true }, "ModelStreamErrorException"},
			"half":    {func(r *llmtest.Reply) { r.Events = r.Events[:3] }, "ModelStreamErrorException"},
			"overload": {func(r *llmtest.Reply) {
				r.Events = append(r.Events[:3:3], `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded","code":503}}`)
			}, "ServiceUnavailableException"},
			"too often": {func(r *llmtest.Reply) {
				r.Events = append(r.Events[:3:3], `{"type":"error","error":{"type":"rate_limit_error","message":"slower","code":429}}`)
			}, "ThrottlingException"},
		} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				reply := replies.tool
				tt.change(&reply)
				s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return reply })
				body := newKit(t, one(kind, s.URL)).stream(t, "/model/"+claude+"/converse-stream", `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`)
				names := ""
				var err error
				for f, failed := range converse.Frames(body) {
					names, err = names+f.Name+" ", failed
				}
				if !fault.Is(err, tt.want) || !strings.HasPrefix(names, "messageStart contentBlock") {
					t.Errorf("%v after %s", err, names)
				}
			})
		}
	}
}

// TestClientGoes: a client that closes its stream ends the provider's.
func TestClientGoes(t *testing.T) {
	reply := llmtest.OpenAIText("a", "b")
	reply.Hold = make(chan struct{})
	s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return reply })
	ctx, cancel := context.WithCancel(t.Context())
	out, err := newKit(t, one(llm.OpenAI, s.URL)).client("AKIDROOT").ConverseStream(ctx, &sdk.ConverseStreamInput{ModelId: aws.String(claude), Messages: say("x")})
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	for e := range stream.Events() {
		if _, ok := e.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
			break
		}
	}
	cancel()
	_ = stream.Close()
	<-s.Gone
}

// TestRefused: what is refused, and in which words.
func TestRefused(t *testing.T) {
	s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return llmtest.OpenAIText("x") })
	plain := func(change func(*sdk.ConverseInput)) *sdk.ConverseInput {
		in := &sdk.ConverseInput{ModelId: aws.String(claude), Messages: say("x")}
		change(in)
		return in
	}
	for name, tt := range map[string]struct {
		cfg  llm.Config
		key  string
		in   *sdk.ConverseInput
		want string
	}{
		"no provider": {llm.Config{}, "AKIDROOT", plain(func(*sdk.ConverseInput) {}), "ResourceNotFoundException: No model provider is configured on this server, so the model '" + claude + "' cannot be called. Its operator can name one"},
		"not allowed": {one(llm.OpenAI, s.URL), "AKIDNOBODY", plain(func(*sdk.ConverseInput) {}),
			"AccessDeniedException: User: arn:aws:iam::111122223333:user/nobody is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0"},
		"guardrail": {one(llm.OpenAI, s.URL), "AKIDROOT", plain(func(in *sdk.ConverseInput) {
			in.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: aws.String("abc"), GuardrailVersion: aws.String("1")}
		}), "there are no guardrails here"},
		"video": {one(llm.OpenAI, s.URL), "AKIDROOT", plain(func(in *sdk.ConverseInput) {
			in.Messages[0].Content = []types.ContentBlock{&types.ContentBlockMemberVideo{Value: types.VideoBlock{Format: types.VideoFormatMp4, Source: &types.VideoSourceMemberBytes{Value: []byte("x")}}}}
		}), "ValidationException: messages[0].content[0].video is not available for this model: only Amazon Bedrock itself"},
		"S3": {one(llm.OpenAI, s.URL), "AKIDROOT", plain(func(in *sdk.ConverseInput) {
			in.Messages[0].Content = []types.ContentBlock{&types.ContentBlockMemberImage{Value: types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberS3Location{Value: types.S3Location{Uri: aws.String("s3://abc/x")}}}}}
		}), "messages[0].content[0].image.source.s3Location (send its bytes)"},
		"a sheet": {one(llm.OpenAI, s.URL), "AKIDROOT", plain(func(in *sdk.ConverseInput) {
			in.Messages[0].Content = []types.ContentBlock{&types.ContentBlockMemberDocument{Value: types.DocumentBlock{Name: aws.String("x"), Format: types.DocumentFormatXls, Source: &types.DocumentSourceMemberBytes{Value: []byte("x")}}}}
		}), "A document of type application/vnd.ms-excel cannot be given"},
		"nothing said": {one(llm.OpenAI, s.URL), "AKIDROOT", plain(func(in *sdk.ConverseInput) { in.Messages = nil }), "messages must have at least one member"},
		"own fields": {one(llm.OpenAI, s.URL), "AKIDROOT", plain(func(in *sdk.ConverseInput) {
			in.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"model": "another"})
		}), "additionalModelRequestFields must not have the member 'model'"},
		"a tier": {one(llm.OpenAI, s.URL), "AKIDROOT", plain(func(in *sdk.ConverseInput) { in.ServiceTier = &types.ServiceTier{Type: types.ServiceTierTypePriority} }), "serviceTier 'priority' is not available"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newKit(t, tt.cfg).client(tt.key).Converse(t.Context(), tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	if n := len(s.Asked()); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// TestResources: a Deny on a model holds however the model is called, and the
// refusal is on record.
func TestResources(t *testing.T) {
	k := newKit(t, one(llm.OpenAI, "http://127.0.0.1:1"))
	for _, id := range []string{claude, "arn:aws:bedrock:us-west-2:111122223333:inference-profile/" + claude, "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0"} {
		_, err := k.client("AKIDNOBODY").ConverseStream(t.Context(), &sdk.ConverseStreamInput{ModelId: aws.String(id), Messages: say("x")})
		if err == nil || !strings.Contains(err.Error(), "bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0") {
			t.Errorf("%s: %v", id, err)
		}
		last := k.audit.records[len(k.audit.records)-1]
		if last.Event != "ConverseStream" || last.ErrorCode != "AccessDeniedException" || last.Status != 403 || len(last.Resources) != 2 {
			t.Errorf("%+v", last)
		}
	}
}

const messagesBody = `{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["x-1"],"max_tokens":64,"system":"Be brief.","messages":[{"role":"user","content":"hi"}],"top_k":3}`

const completionsBody = `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}],"max_completion_tokens":64}`

// TestInvokeModel takes bodies in their maker's format, whoever answers.
func TestInvokeModel(t *testing.T) {
	for _, tt := range []struct {
		id, body string
		kind     llm.Kind
		reply    llmtest.Reply
		want     string // of the answer
		asked    string // of the provider
	}{
		{claude, messagesBody, llm.Anthropic, llmtest.Reply{Body: `{"type":"message","content":[{"type":"text","text":"Hello"}]}`}, `"text":"Hello"`, `"model":"the-model"`},
		{claude, messagesBody, llm.OpenAI, llmtest.OpenAIText("Hel", "lo"), `"type":"message","role":"assistant","model":"` + claude + `","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"`, `"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}],"max_tokens":64`},
		{"openai.gpt-oss-20b-1:0", completionsBody, llm.OpenAI, llmtest.Reply{Body: `{"choices":[{"message":{"content":"Hello"}}]}`}, `"content":"Hello"`, `"max_completion_tokens":64`},
		{"openai.gpt-oss-20b-1:0", completionsBody, llm.Anthropic, llmtest.AnthropicTool("t1", "weather", `{"city":"Kyoto"}`), `"reasoning_content":"A tool knows.","tool_calls":[{"id":"t1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Kyoto\"}"}}]},"finish_reason":"tool_calls"`, `"max_tokens":64,"system":[{"type":"text","text":"Be brief."}]`},
		{"amazon.titan-embed-text-v2:0", `{"inputText":"a","dimensions":2}`, llm.OpenAI, llmtest.Reply{Body: `{"data":[{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":3}}`}, `{"embedding":[1,2],"inputTextTokenCount":3}`, `"input":["a"],"dimensions":2`},
		{"cohere.embed-multilingual-v3", `{"texts":["a"],"input_type":"search_query"}`, llm.OpenAI, llmtest.Reply{Body: `{"data":[{"index":0,"embedding":[1,2]}]}`}, `"embeddings":[[1,2]]`, `"input":["a"]`},
		{"meta.anything", `{"prompt":"x"}`, llm.Bedrock, llmtest.Reply{Body: `{"generation":"Hello"}`}, `{"generation":"Hello"}`, `{"prompt":"x"}`},
	} {
		t.Run(tt.id+" at "+string(tt.kind), func(t *testing.T) {
			s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return tt.reply })
			out, err := newKit(t, one(tt.kind, s.URL)).client("AKIDROOT").InvokeModel(t.Context(), &sdk.InvokeModelInput{ModelId: aws.String(tt.id), Body: []byte(tt.body)})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(out.Body), tt.want) || *out.ContentType != "application/json" {
				t.Errorf("answer %s (%s)", out.Body, *out.ContentType)
			}
			asked := s.Last(t)
			if !strings.Contains(asked.Body, tt.asked) || strings.Contains(asked.Body, "anthropic_version") {
				t.Errorf("asked %s", asked.Body)
			}
			if tt.kind == llm.Anthropic && tt.id == claude && asked.Header.Get("Anthropic-Beta") != "x-1" {
				t.Errorf("headers %v", asked.Header)
			}
		})
	}
}

// TestInvokeModelStream gives the pieces of both formats.
func TestInvokeModelStream(t *testing.T) {
	for _, tt := range []struct {
		id, body string
		kind     llm.Kind
		reply    llmtest.Reply
	}{
		{claude, messagesBody, llm.Anthropic, llmtest.AnthropicText("Hel", "lo")},
		{claude, messagesBody, llm.OpenAI, llmtest.OpenAIText("Hel", "lo")},
		{"openai.gpt-oss-20b-1:0", completionsBody, llm.OpenAI, llmtest.OpenAIText("Hel", "lo")},
		{"openai.gpt-oss-20b-1:0", completionsBody, llm.Anthropic, llmtest.AnthropicText("Hel", "lo")},
	} {
		t.Run(tt.id+" at "+string(tt.kind), func(t *testing.T) {
			s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return tt.reply })
			out, err := newKit(t, one(tt.kind, s.URL)).client("AKIDROOT").InvokeModelWithResponseStream(t.Context(), &sdk.InvokeModelWithResponseStreamInput{ModelId: aws.String(tt.id), Body: []byte(tt.body)})
			if err != nil {
				t.Fatal(err)
			}
			text, ended := "", false
			stream := out.GetStream()
			for e := range stream.Events() {
				var chunk struct {
					Type    string
					Delta   struct{ Text string }
					Choices []struct {
						Delta        struct{ Content string }
						FinishReason *string `json:"finish_reason"`
					}
				}
				if err := json.Unmarshal(e.(*types.ResponseStreamMemberChunk).Value.Bytes, &chunk); err != nil {
					t.Fatal(err)
				}
				text += chunk.Delta.Text
				ended = ended || chunk.Type == "message_stop"
				for _, c := range chunk.Choices {
					text += c.Delta.Content
					ended = ended || c.FinishReason != nil
				}
			}
			if err := stream.Err(); err != nil || text != "Hello" || !ended {
				t.Errorf("%q %v %v", text, ended, err)
			}
		})
	}
}

// TestInvokeRefused names what works.
func TestInvokeRefused(t *testing.T) {
	s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return llmtest.OpenAIText("x") })
	for body, want := range map[string]string{
		`{"prompt":"x"}`:  "The member 'prompt' of the body cannot be given to this model's provider",
		`[]`:              "The body is not a JSON object",
		`{"messages":[]}`: "messages must have at least one member",
		`{"messages":[{"role":"user","content":[{"type":"server_tool_use"}]}]}`: "messages has a block of type 'server_tool_use'",
	} {
		_, err := newKit(t, one(llm.OpenAI, s.URL)).client("AKIDROOT").InvokeModel(t.Context(), &sdk.InvokeModelInput{ModelId: aws.String(claude), Body: []byte(body)})
		if err == nil || !strings.Contains(err.Error(), "ValidationException: "+want) {
			t.Errorf("%s: %v", body, err)
		}
	}
	_, err := newKit(t, one(llm.OpenAI, s.URL)).client("AKIDROOT").InvokeModel(t.Context(), &sdk.InvokeModelInput{ModelId: aws.String("meta.llama3"), Body: []byte("{}")})
	if err == nil || !strings.Contains(err.Error(), "known for anthropic.* (Messages), openai.* (chat completions), amazon.titan-embed-* and cohere.embed-*") {
		t.Error(err)
	}
	s = llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return llmtest.Reply{Body: "{}"} })
	_, err = newKit(t, one(llm.Anthropic, s.URL)).client("AKIDROOT").InvokeModel(t.Context(), &sdk.InvokeModelInput{ModelId: aws.String(claude), Body: []byte(`{"anthropic_beta":["a\nX-Api-Key: b"]}`)})
	if err == nil || !strings.Contains(err.Error(), "ValidationException: anthropic_beta must be names") || len(s.Asked()) != 0 {
		t.Error(err)
	}
}
