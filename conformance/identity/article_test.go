package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/leak"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// greeting is what the model of the article says.
const greeting = "こんにちは!ありがとうございます😊\n\nこちらこそ、素敵なご挨拶をいただきました。"

// model is a provider of models that says one thing: it is what `serve --models` names.
func model(t *testing.T) (config string) {
	t.Helper()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, choice := range []map[string]any{
			{"index": 0, "delta": map[string]any{"role": "assistant", "content": greeting}, "finish_reason": nil},
			{"index": 0, "delta": map[string]any{}, "finish_reason": "stop"},
		} {
			event, err := json.Marshal(map[string]any{"id": "1", "object": "chat.completion.chunk", "model": "scripted", "choices": []any{choice}})
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "data: %s\n\n", event)
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	}))
	t.Cleanup(provider.Close)
	config = filepath.Join(t.TempDir(), "models.json")
	text := `{"providers":{"scripted":{"type":"openai","url":"` + provider.URL + `/v1"}},"models":[{"pattern":"*","provider":"scripted","model":"scripted"}]}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// reader is somebody who follows the article at a shell.
type reader struct {
	*server.Server
	dir, python string
	env         []string
}

// bash runs a script in the reader's project, with what was exported before.
func (r *reader) bash(t *testing.T, script string) (string, error) {
	t.Helper()
	return r.run(t, "bash", "-c", script)
}

// answer runs a command on a terminal, and answers its questions.
func (r *reader) answer(t *testing.T, answers [][2]string, command ...string) (string, error) {
	t.Helper()
	asked, err := json.Marshal(answers)
	if err != nil {
		t.Fatal(err)
	}
	driver, err := filepath.Abs("testdata/answer.py")
	if err != nil {
		t.Fatal(err)
	}
	return r.run(t, r.python, append([]string{driver, string(asked)}, command...)...)
}

func (r *reader) run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// newReader has the article's two files beside what an empty machine has.
func newReader(t *testing.T) *reader {
	t.Helper()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("there is no jq on PATH")
	}
	if _, err := exec.LookPath("zip"); err != nil {
		t.Skip("there is no zip on PATH, which the toolkit wants")
	}
	agentcore := pinned.Program(t, "agentcore")
	r := &reader{dir: t.TempDir(), python: pinned.Program(t, "python")}
	r.Server = server.Start(t, server.Options{Args: []string{"--region", "us-west-2", "--aws-hosts", "--proxy-listen", "127.0.0.1:0", "--models", model(t)}})
	for _, file := range []string{"testdata/setup_cognito.sh", "testdata/article/AgentCore_Identity.py", "testdata/article/requirements.txt"} {
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(r.dir, filepath.Base(file)), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r.env = append(r.Env("--aws-hosts"), "PATH="+filepath.Dir(agentcore)+":"+os.Getenv("PATH"), "TERM=xterm", "PROMPT_TOOLKIT_NO_CPR=1", "COLUMNS=400", "PYTHONUTF8=1",
		"REGION=us-west-2", "USERNAME=testuser", "PASSWORD=YourPassword123!")
	return r
}

// export adds what a script exports to what the reader's shell has.
func (r *reader) export(t *testing.T, script string, names ...string) map[string]string {
	t.Helper()
	out, err := r.bash(t, script+"\nfor name in "+strings.Join(names, " ")+`; do echo "EXPORTED $name=${!name}"; done`)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := map[string]string{}
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "EXPORTED "); ok {
			name, value, _ := strings.Cut(strings.TrimSpace(rest), "=")
			got[name] = value
			r.env = append(r.env, name+"="+value)
		}
	}
	for _, name := range names {
		if got[name] == "" || got[name] == "null" {
			t.Fatalf("%s is %q: %s", name, got[name], out)
		}
	}
	return got
}

// configure gives the article's answers to `agentcore configure`.
func (r *reader) configure(t *testing.T, audience, headers string, env map[string]string) {
	t.Helper()
	// The field has the number of the reader's own Python; the server's is typed over it.
	version := slices.Index([]string{"PYTHON_3_10", "PYTHON_3_11", "PYTHON_3_12", "PYTHON_3_13"}, string(r.Python()))
	if version < 0 {
		t.Skipf("the toolkit offers no %s, which is this server's", r.Python())
	}
	python := "\x7f\x7f" + strconv.Itoa(version+1)
	out, err := r.answer(t, [][2]string{
		{"Agent name", ""}, {"Path or Press Enter", ""}, {`Choice \[1\]`, ""}, {`PYTHON_3_13\s+Choice \[`, python}, {"Execution role", ""}, {"S3 URI", ""},
		{`Configure OAuth authorizer instead\?`, "yes"},
		{"Enter OAuth discovery URL", "https://cognito-idp.us-west-2.amazonaws.com/" + env["POOL_ID"] + "/.well-known/openid-configuration"},
		{"Enter allowed OAuth client IDs", env["CLIENT_ID"]}, {"Enter allowed OAuth audience", audience},
		{"Enter allowed OAuth allowed scopes", ""}, {"Enter allowed OAuth custom claims", ""},
		{`Configure request header allowlist\?`, "yes"}, {"Enter allowed request headers", headers},
	}, "agentcore", "configure", "--entrypoint", "AgentCore_Identity.py", "--disable-memory")
	if err != nil || !strings.Contains(out, "OAuth authorizer configuration created") || !strings.Contains(out, "Configuration Success") {
		t.Fatalf("agentcore configure: %v\n%s", err, out)
	}
}

// question is the article's, with the header by which the agent knows its user.
const question = `agentcore invoke '{"prompt": "こんにちは!今日もいい日ですね!"}' \
  --agent AgentCore_Identity \
  --bearer-token "$TOKEN" \
  --headers "X-Amzn-Bedrock-AgentCore-Runtime-Custom-User-Id: yakumo_0905"`

const userHeader = "Authorization,X-Amzn-Bedrock-AgentCore-Runtime-Custom-User-Id"

// wants runs a script, and wants it to end so and to say all of these.
func (r *reader) wants(t *testing.T, script string, ok bool, parts ...string) {
	t.Helper()
	out, err := r.bash(t, script)
	if (err == nil) != ok {
		t.Errorf("%s: %v\n%s", script, err, out)
		return
	}
	// The toolkit breaks lines at the terminal's width.
	said := strings.Join(strings.Fields(out), " ")
	for _, part := range parts {
		if !strings.Contains(said, strings.Join(strings.Fields(part), " ")) {
			t.Errorf("%s does not say %q:\n%s", script, part, out)
		}
	}
}

// ready waits until what was launched answers: on a busy machine launch's own patience,
// of two minutes, is not enough.
func (r *reader) ready(t *testing.T) {
	t.Helper()
	c := control.NewFromConfig(r.AWS())
	r.Until("the runtime and its endpoint are ready", func() bool {
		list, err := c.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{})
		if err != nil || len(list.AgentRuntimes) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		runtime := list.AgentRuntimes[0]
		endpoint, err := c.GetAgentRuntimeEndpoint(t.Context(), &control.GetAgentRuntimeEndpointInput{AgentRuntimeId: runtime.AgentRuntimeId, EndpointName: aws.String("DEFAULT")})
		if err != nil {
			t.Fatal(err)
		}
		return runtime.Status == types.AgentRuntimeStatusReady && endpoint.Status == types.AgentRuntimeEndpointStatusReady
	})
}

// TestArticle follows an article on inbound authentication from its first command to
// its last: a pool by its script, the starter toolkit's configure, launch and invoke,
// and the three errors that it prints, for which readers search. Before the
// last of them nothing that opens a door may stand anywhere in the clear.
func TestArticle(t *testing.T) {
	r := newReader(t)
	env := r.export(t, "source setup_cognito.sh", "POOL_ID", "CLIENT_ID", "BEARER_TOKEN")
	r.configure(t, "", userHeader, env)
	// Transaction search and the delivery of traces are not served: launch says so, and goes on.
	r.wants(t, "agentcore launch", true, "Role created: arn:aws:iam::"+r.Account+":role/AmazonBedrockAgentCoreSDKRuntime-us-west-2-",
		"Created S3 bucket: bedrock-agentcore-codebuild-sources-", "Deployment completed successfully", "Agent launch will continue without Transaction Search")
	r.ready(t)
	env["TOKEN"] = r.export(t, `export TOKEN=$(
  aws cognito-idp initiate-auth \
    --client-id "$CLIENT_ID" \
    --auth-flow USER_PASSWORD_AUTH \
    --auth-parameters USERNAME=$USERNAME,PASSWORD=$PASSWORD \
    --region us-west-2 \
  | jq -r '.AuthenticationResult.AccessToken'
)`, "TOKEN")["TOKEN"]
	r.wants(t, question, true, "Using bearer token for OAuth authentication",
		"Using custom headers: X-Amzn-Bedrock-AgentCore-Runtime-Custom-User-Id", "Response: "+greeting)
	if t.Failed() {
		t.Fatalf("the server's log:\n%s", r.Log())
	}
	t.Run("no token", func(t *testing.T) {
		r.wants(t, `agentcore invoke '{"prompt": "こんにちは!今日もいい日ですね!"}'`, false, "Warning: OAuth is configured but no bearer token provided",
			"Invocation failed: An error occurred (AccessDeniedException) when calling the InvokeAgentRuntime operation: Authorization method mismatch. "+
				"The agent is configured for a different authorization method than what was used in your request. Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)")
	})
	t.Run("a header that is not allowed", func(t *testing.T) {
		r.configure(t, "", "X-Amzn-Bedrock-AgentCore-Runtime-User-Id", env)
		r.wants(t, "agentcore launch", false, "An error occurred (ValidationException) when calling the UpdateAgentRuntime operation: "+
			"Value '[X-Amzn-Bedrock-AgentCore-Runtime-User-Id]' failed to satisfy constraint")
	})
	leak.Check(t, r.DataDir, leak.Secrets{
		"the user's password": "YourPassword123!", "the first token": env["BEARER_TOKEN"], "the token": env["TOKEN"], "the account's key": r.SecretAccessKey,
	}, map[string]string{"the server's log": r.Log()}, "credentials.json")
	// Last, since the token becomes a part of the configuration by it.
	t.Run("an audience that no token has", func(t *testing.T) {
		r.configure(t, env["TOKEN"], userHeader, env)
		r.wants(t, "agentcore launch", true, "Deployment completed successfully")
		r.ready(t)
		const forbidden = "Forbidden for url: https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/"
		r.wants(t, question, false, "403 "+forbidden)
		// Before 0.3 the toolkit left the words to requests, and those are the article's.
		r.wants(t, `python - <<'END'
import os, re, urllib.parse, requests
arn = re.search(r"agent_arn: (\S+)", open(".bedrock_agentcore.yaml").read())[1]
url = "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/" + urllib.parse.quote(arn, safe="") + "/invocations"
requests.post(url, params={"qualifier": "DEFAULT"}, json={"prompt": "hi"}, headers={"Authorization": "Bearer " + os.environ["TOKEN"]}).raise_for_status()
END`, false, "403 Client Error: "+forbidden)
	})
}
