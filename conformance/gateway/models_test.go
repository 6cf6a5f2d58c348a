package gateway

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/conformance/leak"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

// wholly are the answers of the scripted provider that do not stream, by path.
func wholly(path string) string {
	switch path {
	case "/v1/messages":
		return `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello."}],"stop_reason":"end_turn","usage":{"input_tokens":11,"output_tokens":3}}`
	case "/v1/messages/count_tokens":
		return `{"input_tokens":42}`
	case "/v1/embeddings":
		return `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}`
	case "/v1/responses":
		return `{"id":"resp_1","object":"response","created_at":1,"model":"m","status":"completed","parallel_tool_calls":false,"tool_choice":"auto","tools":[],
			"output":[{"id":"m_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello.","annotations":[]}]}],
			"usage":{"input_tokens":11,"output_tokens":3,"total_tokens":14}}`
	}
	return `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hello."}}],
		"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}`
}

// script is what the provider says, in the dialect that it is asked in.
func script() func(llmtest.Ask) llmtest.Reply {
	var mu sync.Mutex
	again := map[string]bool{} // who was told to come again
	return func(a llmtest.Ask) llmtest.Reply {
		claude := strings.HasPrefix(a.Path, "/v1/messages")
		text, tool := llmtest.OpenAIText, llmtest.OpenAITool
		refused := func(status int, kind, message string, header map[string][]string) llmtest.Reply {
			return llmtest.Reply{Status: status, Header: header, Body: `{"type":"error","error":{"type":"` + kind + `","message":"` + message + `","code":"c1","param":null}}`}
		}
		if claude {
			text, tool = llmtest.AnthropicText, llmtest.AnthropicTool
		}
		streams := a.Members["stream"] == true
		switch {
		case strings.Contains(a.Body, "be refused"):
			return refused(400, "invalid_request_error", "not so", nil)
		case strings.Contains(a.Body, "too much"):
			return refused(429, "rate_limit_error", "slow down", map[string][]string{"Retry-After": {"7"}})
		case strings.Contains(a.Body, "once more"):
			mu.Lock()
			defer mu.Unlock()
			if !again[a.Path] {
				again[a.Path] = true
				return refused(429, "rate_limit_error", "slow down", map[string][]string{"Retry-After": {"1"}, "Retry-After-Ms": {"5"}})
			}
		case strings.Contains(a.Body, `"break"`):
			return llmtest.Reply{Break: true}
		case strings.Contains(a.Body, "fail later") && claude:
			r := text("half")
			r.Events = append(r.Events[:2], `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
			return r
		case strings.Contains(a.Body, "fail later"):
			r := text("half")
			r.Events = append(r.Events[:1], `{"error":{"message":"Overloaded","type":"server_error"}}`)
			return r
		case strings.Contains(a.Body, `"tools"`) && streams:
			return tool("call_9", "weather", `{"city":"Kyoto"}`)
		case strings.Contains(a.Body, `"tools"`):
			return llmtest.Reply{Body: `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,
				"tool_calls":[{"id":"call_9","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Kyoto\"}"}}]}}]}`}
		case streams:
			return text("Hel", "lo.")
		}
		return llmtest.Reply{Body: wholly(a.Path)}
	}
}

// TestModels: the clients of OpenAI and of Anthropic call models through a gateway, and
// raise what they are to raise.
func TestModels(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	provider := llmtest.Start(t, script())
	got := s.Run(t, []string{"OPENAI_API_KEY=", "ANTHROPIC_API_KEY="}, pinned.Program(t, "python"), "testdata/models.py", provider.URL)
	want, err := os.ReadFile("testdata/models.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	keys := leak.Secrets{"the key of gpts": "key-of-gpts", "the key of claudes": "key-of-claudes", "the account's key": s.SecretAccessKey}
	for _, a := range provider.Asked() {
		key, named := a.Header.Get("Authorization"), "Bearer key-of-gpts"
		if strings.HasPrefix(a.Path, "/v1/messages") {
			key, named = a.Header.Get("X-Api-Key")+a.Header.Get("Authorization"), "key-of-claudes"
		}
		if key != named {
			t.Errorf("%s was asked with %q", a.Path, key)
		}
		// The client did not ask for it; the limit counts by it.
		if a.Members["model"] == "gpt-metered" && !strings.Contains(a.Body, `"include_usage":true`) {
			t.Errorf("tokens are counted of %s", a.Body)
		}
	}
	leak.Check(t, s.DataDir, keys, map[string]string{"the server's log": s.Log()}, "credentials.json")
}
