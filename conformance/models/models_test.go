// Package models has unmodified clients and agents call models of a real server, at
// whose other side stands a scripted provider.
package models

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

const greeting = "こんにちは!ありがとうございます😊"

// script is what the provider says, in the dialect it is asked in.
func script(a llmtest.Ask) llmtest.Reply {
	anthropic := a.Path == "/v1/messages"
	text, tool := llmtest.OpenAIText, llmtest.OpenAITool
	if anthropic {
		text, tool = llmtest.AnthropicText, llmtest.AnthropicTool
	}
	switch {
	case a.Path == "/v1/embeddings":
		return llmtest.Reply{Body: `{"data":[{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":3}}`}
	case a.Path == "/v1/messages/count_tokens":
		return llmtest.Reply{Body: `{"input_tokens":42}`}
	case strings.Contains(a.Body, "be missing"):
		return llmtest.Reply{Status: 404, Body: `{"error":{"message":"model not found, try pulling it first"}}`}
	case strings.Contains(a.Body, "break off"):
		r := text("half")
		r.Events, r.Break = r.Events[:1], true
		return r
	case strings.Contains(a.Body, "plain"):
		return llmtest.Reply{Body: `{"choices":[{"message":{"role":"assistant","content":"plainly"},"finish_reason":"stop"}]}`}
	case strings.Contains(a.Body, "こんにちは"):
		return text("こんにちは!", "ありがとうございます", "😊")
	case strings.Contains(a.Body, "21"):
		return text("It is", " 21", " degrees.")
	}
	return tool("call_9", "weather", `{"city":"Kyoto"}`)
}

// start runs a server whose models the scripted provider answers for.
func start(t *testing.T) (*server.Server, *llmtest.Server) {
	t.Helper()
	provider := llmtest.Start(t, script)
	cfg, err := json.Marshal(map[string]any{
		"providers": map[string]any{
			"claude": map[string]any{"type": "anthropic", "url": provider.URL, "apiKeyEnv": "SCRIPTED_KEY"},
			"local":  map[string]any{"type": "openai", "url": provider.URL + "/v1"},
		},
		"models": []any{
			map[string]any{"pattern": "anthropic.*", "provider": "claude", "model": "claude-haiku-4-5"},
			map[string]any{"pattern": "*", "provider": "local"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "models.json")
	if err := os.WriteFile(file, cfg, 0o600); err != nil {
		t.Fatal(err)
	}
	return server.Start(t, server.Options{Args: []string{"--models", file}, Env: []string{"SCRIPTED_KEY=sk-of-the-test"}}), provider
}

// TestBoto3 calls every operation, and reads the record of it.
func TestBoto3(t *testing.T) {
	s, provider := start(t)
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/calls.py")
	cmd.Env = s.Env()
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "told" {
		t.Fatalf("%v\n%s\nserver:\n%s", err, out, s.Log())
	}
	for _, a := range provider.Asked() {
		if a.Path == "/v1/messages" && (a.Header.Get("X-Api-Key") != "sk-of-the-test" || a.Members["model"] != "claude-haiku-4-5") {
			t.Errorf("asked %v %s", a.Header, a.Body)
		}
	}
	if strings.Contains(s.Log(), "sk-of-the-test") {
		t.Error("the key is in the log")
	}
}

// TestAudit: the AWS CLI and ours tell of a refused call.
func TestAudit(t *testing.T) {
	s, _ := start(t)
	aws := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), pinned.Program(t, "aws"), args...)
		cmd.Env = s.Env()
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := aws("bedrock-runtime", "converse", "--model-id", "qwen3:8b", "--messages", `[{"role":"user","content":[{"text":"be missing"}]}]`); err == nil ||
		!strings.Contains(out, "The provider 'local' of the model says: model not found, try pulling it first") {
		t.Errorf("%v %s", err, out)
	}
	out, err := aws("cloudtrail", "lookup-events", "--lookup-attributes", "AttributeKey=EventName,AttributeValue=Converse", "--query", "Events[0].[EventSource,Username,ReadOnly]", "--output", "text")
	if err != nil || strings.Join(strings.Fields(out), " ") != "bedrock.amazonaws.com root false" {
		t.Errorf("%v %q", err, out)
	}
	stdout, stderr, err := s.CLI(t.Context(), "audit", "--failed", "--event", "Converse")
	if err != nil || strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, "  404  ") || !strings.Contains(stdout, "root  bedrock-runtime:Converse  arn:aws:bedrock:") ||
		!strings.Contains(stdout, "ResourceNotFoundException: The provider 'local'") {
		t.Errorf("%v %s%s", err, stdout, stderr)
	}
}

// TestNoProvider: without a configuration everything else works, and the refusal says
// how to write one.
func TestNoProvider(t *testing.T) {
	s := server.Start(t, server.Options{})
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "aws"), "bedrock-runtime", "converse", "--model-id", "qwen3:8b", "--messages", `[{"role":"user","content":[{"text":"x"}]}]`)
	cmd.Env = s.Env()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "(ResourceNotFoundException)") || !strings.Contains(string(out), "outcrop serve --models FILE") {
		t.Errorf("%v %s", err, out)
	}
}

// role makes a role that agents may have, with a policy in its name.
func role(t *testing.T, s *server.Server, name, action string) (arn string) {
	t.Helper()
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), pinned.Program(t, "aws"), append([]string{"iam"}, args...)...)
		cmd.Env = s.Env()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("aws iam %v: %v %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	arn = run("create-role", "--role-name", name, "--query", "Role.Arn", "--output", "text", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	// As the starter toolkit writes it for the roles it makes.
	run("put-role-policy", "--role-name", name, "--policy-name", "models", "--policy-document", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["`+action+`"],
		"Resource":["arn:aws:bedrock:*::foundation-model/*","arn:aws:bedrock:`+s.Region+`:`+s.Account+`:*"]}]}`)
	return arn
}

// TestStrands: the agent of the article greets by the rights of its role, and is refused
// without them. One that was told of another endpoint goes there.
func TestStrands(t *testing.T) {
	s, provider := start(t)
	s.Python() // or skip
	const prompt = `{"prompt":"こんにちは!今日もいい日ですね!"}`
	ask := func(name string, args ...string) (all string) {
		t.Helper()
		args = append([]string{"deploy", "testdata/agent", "--entry", "AgentCore_Identity.py", "--name", name}, args...)
		if _, stderr, err := s.CLI(t.Context(), args...); err != nil {
			t.Fatalf("%v %s\n%s", err, stderr, s.Log())
		}
		// The agent takes seconds to start and has 30 s. Until the guest for its snapshot has
		// started, two start at once, which a busy machine may not do in that time.
		tried := regexp.MustCompile(`msg="(snapshot made|no snapshot: .*)" runtime=` + name + `-`)
		s.Until("a snapshot of "+name+" is made, or cannot be", func() bool { return tried.MatchString(s.Log()) })
		stdout, stderr, _ := s.CLI(t.Context(), "invoke", name, prompt)
		logs, _, _ := s.CLI(t.Context(), "logs", name)
		return stdout + stderr + logs
	}
	caller := role(t, s, "caller", "bedrock:InvokeModelWithResponseStream")
	if got := ask("greeter", "--role", caller); !strings.Contains(got, greeting) {
		t.Fatalf("it says\n%s", got)
	}
	if a := provider.Last(t); a.Path != "/v1/messages" || !strings.Contains(a.Body, "今日もいい日ですね") {
		t.Errorf("asked %s %s", a.Path, a.Body)
	}
	n := len(provider.Asked())
	got := ask("refused", "--role", role(t, s, "counter", "bedrock:CountTokens"))
	if !strings.Contains(got, "is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:"+s.Region+"::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0") {
		t.Errorf("it says\n%s", got)
	}
	got = ask("elsewhere", "--role", caller, "--env", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://127.0.0.1:9", "--env", "AWS_MAX_ATTEMPTS=1")
	if !strings.Contains(got, "http://127.0.0.1:9/model/") {
		t.Errorf("it went nowhere:\n%s", got)
	}
	if len(provider.Asked()) != n {
		t.Error("one of them came here")
	}
	audit, stderr, err := s.CLI(t.Context(), "audit", "--failed", "--event", "ConverseStream")
	if err != nil || !strings.Contains(audit, "assumed-role/counter/BedrockAgentCore-") || !strings.Contains(audit, "AccessDeniedException") {
		t.Errorf("%v %s%s", err, audit, stderr)
	}
}
