package llm_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/chat"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it):\n%s\nwant:\n%s", path, got, want)
	}
}

// models are those of a provider of one kind at a scripted server.
func models(t testing.TB, kind llm.Kind, url string) *llm.Models {
	t.Helper()
	p := llm.Provider{Type: kind, URL: url, APIKeyEnv: "KEY", TimeoutSeconds: new(5)}
	if kind == llm.Bedrock {
		p.APIKeyEnv, p.Region = "", "us-east-1"
	}
	cfg := llm.Config{Providers: map[string]llm.Provider{"scripted": p}, Models: []llm.Mapping{
		{Pattern: "bare-*", Provider: "scripted"},
		{Pattern: "*", Provider: "scripted", Model: "the-model", MaxTokens: new(1000)},
	}}
	m, err := llm.New(cfg, llm.Options{
		Getenv: func(string) string { return "sk-secret" }, Now: func() time.Time { return time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC) },
		AWS: func(string) aws.CredentialsProvider {
			return credentials.NewStaticCredentialsProvider("AKID", "secret", "")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func find(t testing.TB, m *llm.Models, id string) *llm.Model {
	t.Helper()
	found, err := m.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// everything is a request with all that there is.
func everything() *chat.Request {
	return &chat.Request{
		System: []chat.Block{{Text: "Be brief."}, {CachePoint: "default"}},
		Messages: []chat.Message{
			{Role: chat.User, Content: []chat.Block{
				{Text: "What is on it, and how warm is it there?"},
				{Image: &chat.Media{Type: "image/png", Data: []byte("\x89PNG")}},
				{Document: &chat.Media{Type: "text/markdown", Name: "notes", Data: []byte("# Kyoto")}},
				{Document: &chat.Media{Type: "application/pdf", Name: "map", Data: []byte("%PDF")}},
			}},
			{Role: chat.Assistant, Content: []chat.Block{
				{Thinking: &chat.Thinking{Text: "A tool knows.", Signature: "c2ln"}},
				{Thinking: &chat.Thinking{Redacted: []byte("b64")}},
				{Thinking: &chat.Thinking{Text: "Another's thought."}},
				{Text: "I look."},
				{ToolUse: &chat.ToolUse{ID: "call_1", Name: "weather", Input: json.RawMessage(`{"city":"Kyoto"}`)}},
				{ToolUse: &chat.ToolUse{ID: "call_2", Name: "weather", Input: json.RawMessage(`{"city":"Atlantis"}`)}},
			}},
			{Role: chat.User, Content: []chat.Block{
				{ToolResult: &chat.ToolResult{ID: "call_1", Content: []chat.Block{{JSON: json.RawMessage(`{"celsius":21}`)}, {Image: &chat.Media{Type: "image/png", Data: []byte("sky")}}}}},
				{ToolResult: &chat.ToolResult{ID: "call_2", Content: []chat.Block{{Text: "no such place"}}, Failed: true}},
				{Text: "And now?"}, {CachePoint: "1h"},
			}},
		},
		Tools:     []chat.Tool{{Name: "weather", Description: "how warm it is", Schema: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}}}`)}, {CachePoint: "default"}},
		Choice:    chat.Choice{Mode: chat.OneTool, Name: "weather"},
		MaxTokens: new(512), Temperature: new(0.3), TopP: new(0.9), Stop: []string{"END"},
		Schema: &chat.Schema{Name: "weather", Schema: json.RawMessage(`{"type":"object"}`)},
		Extra:  map[string]json.RawMessage{"top_k": json.RawMessage("40")},
	}
}

func indented(t *testing.T, body string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// TestDialects shows what each kind of provider is asked, and what comes of its
// answer.
func TestDialects(t *testing.T) {
	for _, tt := range []struct {
		kind    llm.Kind
		path    string
		replies map[string]llmtest.Reply
	}{
		{llm.OpenAI, "/chat/completions", map[string]llmtest.Reply{
			"text": llmtest.OpenAIText("Hello", " there"), "tool": llmtest.OpenAITool("call_9", "weather", `{"city":"Kyoto"}`)}},
		{llm.Anthropic, "/v1/messages", map[string]llmtest.Reply{
			"text": llmtest.AnthropicText("Hello", " there"), "tool": llmtest.AnthropicTool("toolu_9", "weather", `{"city":"Kyoto"}`)}},
		{llm.Bedrock, "/model/the-model/converse-stream", map[string]llmtest.Reply{
			"text": bedrockText(t), "tool": bedrockTool(t)}},
	} {
		for name, reply := range tt.replies {
			t.Run(string(tt.kind)+"-"+name, func(t *testing.T) {
				s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return reply })
				m := find(t, models(t, tt.kind, s.URL), "global.anthropic.claude-x")
				events, err := m.Stream(t.Context(), everything())
				if err != nil {
					t.Fatal(err)
				}
				var out strings.Builder
				for e, err := range events {
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintln(&out, describe(e))
				}
				asked := s.Last(t)
				if asked.Path != tt.path {
					t.Errorf("asked at %s, want %s", asked.Path, tt.path)
				}
				golden(t, string(tt.kind)+"-request", indented(t, asked.Body))
				golden(t, string(tt.kind)+"-"+name, out.String())
			})
		}
	}
}

func describe(e chat.Event) string {
	names := map[chat.Kind]string{chat.BlockStart: "start", chat.TextDelta: "text", chat.ThinkingDelta: "thinking", chat.SignatureDelta: "signature",
		chat.InputDelta: "input", chat.RedactedDelta: "redacted", chat.BlockStop: "stop", chat.Stopped: "stopped", chat.Finished: "finished"}
	out := fmt.Sprintf("%s %d %q", names[e.Kind], e.Index, e.Text)
	if e.ToolUse != nil {
		out += fmt.Sprintf(" tool %s %s", e.ToolUse.ID, e.ToolUse.Name)
	}
	switch e.Kind {
	case chat.Stopped:
		out = "stopped " + string(e.Stop)
	case chat.Finished:
		out = fmt.Sprintf("finished %+v", e.Usage)
	}
	return out
}

// TestCredentials are sent as each kind of provider wants them.
func TestCredentials(t *testing.T) {
	for kind, want := range map[llm.Kind][2]string{
		llm.OpenAI: {"Authorization", "Bearer sk-secret"}, llm.Anthropic: {"X-Api-Key", "sk-secret"},
		llm.Bedrock: {"Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20261102/us-east-1/bedrock/aws4_request, SignedHeaders="},
	} {
		s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply {
			return llmtest.Reply{Status: 401, Body: `{"error":{"message":"bad key sk-secret"}}`}
		})
		_, err := find(t, models(t, kind, s.URL), "x").Answer(t.Context(), everything())
		if !fault.Is(err, "AccessDeniedException") || strings.Contains(err.Error(), "sk-secret") {
			t.Errorf("%s: a refused key is told as %v", kind, err)
		}
		if got := s.Last(t).Header.Get(want[0]); !strings.HasPrefix(got, want[1]) {
			t.Errorf("%s: %s is %q", kind, want[0], got)
		}
	}
}

// TestFailures: what goes wrong at a provider, in Bedrock's words.
func TestFailures(t *testing.T) {
	short := llmtest.OpenAIText("half").Events[:1]
	for name, tt := range map[string]struct {
		reply llmtest.Reply
		want  string
	}{
		"bad request": {llmtest.Reply{Status: 400, Body: `{"error":{"message":"too many images"}}`}, "ValidationException: The provider 'scripted' of the model says: too many images"},
		"too long": {llmtest.Reply{Status: 400, Body: `{"error":{"message":"This model's maximum context length is 8192 tokens."}}`},
			"ValidationException: Input is too long for requested model. The provider 'scripted' of the model says: This model's maximum context length is 8192 tokens."},
		"too large":      {llmtest.Reply{Status: 413, Body: `{"detail":"too large"}`}, "ValidationException: The provider 'scripted' of the model says: too large"},
		"no such model":  {llmtest.Reply{Status: 404, Body: `{"error":"model 'x' not found, try pulling it first"}`}, "ResourceNotFoundException: The provider 'scripted' of the model says: model 'x' not found, try pulling it first"},
		"too often":      {llmtest.Reply{Status: 429, Body: `{"message":"slow down"}`}, "ThrottlingException: The provider 'scripted' of the model says: slow down"},
		"overloaded":     {llmtest.Reply{Status: 529, Body: `{"error":{"type":"overloaded_error","message":"Overloaded"}}`}, "ServiceUnavailableException: The provider 'scripted' of the model says: Overloaded"},
		"loading":        {llmtest.Reply{Status: 503, Body: `{"error":{"message":"Loading model"}}`}, "ModelNotReadyException: The provider 'scripted' of the model says: Loading model"},
		"broken":         {llmtest.Reply{Status: 500, Body: `<html>nginx</html>`}, "ModelErrorException: The provider 'scripted' of the model says: it gives no reason"},
		"its own limit":  {llmtest.Reply{Status: 504, Body: `upstream timed out`}, "ModelTimeoutException: The provider 'scripted' of the model says: upstream timed out"},
		"redirect":       {llmtest.Reply{Status: 302, Header: map[string][]string{"Location": {"http://elsewhere.example"}}}, "ModelErrorException: The provider 'scripted' of the model failed: it answers with a redirect"},
		"cut off":        {llmtest.Reply{Events: short, Break: true}, "ModelErrorException: The provider 'scripted' of the model failed: its answer broke off"},
		"half":           {llmtest.Reply{Events: short}, "ModelErrorException: The model's provider gave an answer that cannot be read: it ended before it was whole"},
		"no JSON":        {llmtest.Reply{Events: []string{"data: nothing\n\n"}}, "ModelErrorException: The model's provider gave an answer that cannot be read: a chunk of it is not the JSON"},
		"told in stream": {llmtest.Reply{Events: append(short, `{"error":{"message":"rate limit","code":429}}`)}, "ThrottlingException: The provider 'scripted' of the model says: rate limit"},
		"Bedrock's own": {llmtest.Reply{Status: 400, Header: map[string][]string{"X-Amzn-Errortype": {"ThrottlingException:http://x"}}, Body: `{"message":"Too many tokens"}`},
			"ThrottlingException: The provider 'scripted' of the model says: Too many tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return tt.reply })
			_, err := find(t, models(t, llm.OpenAI, s.URL), "x").Answer(t.Context(), everything())
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if n := len(s.Asked()); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestNobodyThere: a provider that does not listen is not the caller's fault.
func TestNobodyThere(t *testing.T) {
	m := find(t, models(t, llm.OpenAI, "http://127.0.0.1:1"), "x")
	if _, err := m.Answer(t.Context(), everything()); !fault.Is(err, "ServiceUnavailableException") {
		t.Error(err)
	}
}

// TestSlow: neither an answer that does not begin nor one that does not go on is
// waited for longer than the configuration says.
func TestSlow(t *testing.T) {
	for name, reply := range map[string]llmtest.Reply{
		"does not begin": {Hold: make(chan struct{}), Body: "{}"},
		"does not go on": {Events: llmtest.OpenAIText("a").Events, Hold: make(chan struct{})},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply { return reply })
			cfg := llm.Config{Providers: map[string]llm.Provider{"p": {Type: llm.OpenAI, URL: s.URL, TimeoutSeconds: new(1)}}, Models: []llm.Mapping{{Pattern: "*", Provider: "p"}}}
			all, err := llm.New(cfg, llm.Options{Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(all.Close)
			_, err = find(t, all, "x").Answer(t.Context(), everything())
			if !fault.Is(err, "ModelTimeoutException") {
				t.Error(err)
			}
			<-s.Gone
		})
	}
}

// TestCallerGoes: the end of a caller, or of its interest, ends the request to the
// provider.
func TestCallerGoes(t *testing.T) {
	for _, leave := range []bool{true, false} {
		s := llmtest.Start(t, func(llmtest.Ask) llmtest.Reply {
			r := llmtest.OpenAIText("a", "b")
			r.Hold = make(chan struct{})
			return r
		})
		ctx, cancel := context.WithCancel(t.Context())
		events, err := find(t, models(t, llm.OpenAI, s.URL), "x").Stream(ctx, everything())
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for e, err := range events {
			if last = err; err != nil {
				break
			}
			if e.Kind == chat.TextDelta {
				if leave {
					break
				}
				cancel()
			}
		}
		<-s.Gone
		if !leave && !errors.Is(last, context.Canceled) {
			t.Errorf("a stream whose caller has gone ends with %v", last)
		}
		cancel()
	}
}

// TestEmbed gives each text its vector.
func TestEmbed(t *testing.T) {
	s := llmtest.Start(t, func(a llmtest.Ask) llmtest.Reply {
		return llmtest.Reply{Body: `{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":5}}`}
	})
	vectors, tokens, err := find(t, models(t, llm.OpenAI, s.URL), "x").Embed(t.Context(), []string{"a", "b"}, 2)
	if err != nil || tokens != 5 || fmt.Sprint(vectors) != "[[1 2] [3 4]]" {
		t.Errorf("%v %d %v", vectors, tokens, err)
	}
	if a := s.Last(t); a.Path != "/embeddings" || a.Members["dimensions"] != 2.0 {
		t.Errorf("%+v", a)
	}
	if _, _, err := find(t, models(t, llm.OpenAI, s.URL), "x").Embed(t.Context(), []string{"a", "b", "c"}, 0); !fault.Is(err, "ModelErrorException") {
		t.Errorf("a text without an embedding: %v", err)
	}
	s = llmtest.Start(t, func(llmtest.Ask) llmtest.Reply {
		return llmtest.Reply{Body: `{"embedding":[1,2],"inputTextTokenCount":3}`}
	})
	cfg := llm.Config{Providers: map[string]llm.Provider{"p": {Type: llm.Bedrock, URL: s.URL, Region: "us-east-1", APIKeyEnv: "KEY"}}, Models: []llm.Mapping{{Pattern: "*", Provider: "p"}}}
	all, err := llm.New(cfg, llm.Options{Getenv: func(string) string { return "k" }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.Close)
	vectors, tokens, err = find(t, all, "amazon.titan-embed-text-v2:0").Embed(t.Context(), []string{"a", "b"}, 0)
	if err != nil || tokens != 6 || len(vectors) != 2 || s.Last(t).Path != "/model/amazon.titan-embed-text-v2%3A0/invoke" {
		t.Errorf("%v %d %v %s", vectors, tokens, err, s.Last(t).Path)
	}
}

// TestCount asks those who can count.
func TestCount(t *testing.T) {
	s := llmtest.Start(t, func(a llmtest.Ask) llmtest.Reply {
		return llmtest.Reply{Body: `{"input_tokens":42,"inputTokens":43}`}
	})
	for kind, want := range map[llm.Kind]int{llm.Anthropic: 42, llm.Bedrock: 43} {
		if n, err := find(t, models(t, kind, s.URL), "x").CountTokens(t.Context(), everything()); err != nil || n != want {
			t.Errorf("%s: %d %v", kind, n, err)
		}
		golden(t, string(kind)+"-count", indented(t, s.Last(t).Body))
	}
	if _, err := find(t, models(t, llm.OpenAI, s.URL), "x").CountTokens(t.Context(), everything()); !fault.Is(err, "ValidationException") {
		t.Errorf("a guess: %v", err)
	}
}
