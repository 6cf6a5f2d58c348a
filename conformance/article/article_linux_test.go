package article

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/conformance/netns"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/llm/llmtest"
)

// region is the article's; gateways of it have names below domain.
const (
	region = "us-east-1"
	domain = "bedrock-agentcore." + region + ".amazonaws.com"
)

// questions are what the article's reader types.
const questions = "今何時?\nUTCです。\nお天気を教えて。\n神戸\nquit\n"

// conversation is what an agent's model is asked with.
type conversation struct {
	Tools []struct {
		Name string
	}
	Messages []struct {
		Content []struct {
			Type, Text string
			Content    json.RawMessage
		}
	}
}

// script is the article's model: it asks what it needs to know, calls the tool that the
// gateway named, and tells what that said.
func script(a llmtest.Ask) llmtest.Reply {
	var c conversation
	if err := json.Unmarshal([]byte(a.Body), &c); err != nil || len(c.Messages) == 0 {
		return llmtest.Reply{Status: 400, Body: `{"error":{"message":"no conversation"}}`}
	}
	last := c.Messages[len(c.Messages)-1].Content
	said := last[len(last)-1]
	tool := func(function, arguments string) llmtest.Reply {
		for _, t := range c.Tools {
			if strings.HasSuffix(t.Name, "___"+function) {
				return llmtest.AnthropicTool("toolu_"+function, t.Name, arguments)
			}
		}
		return llmtest.AnthropicText("道具がありません: " + function)
	}
	switch {
	case said.Type == "tool_result":
		return llmtest.AnthropicText("道具の答え: ", read(said.Content))
	case strings.Contains(said.Text, "今何時"):
		return llmtest.AnthropicText("どちらのタイムゾーンの時刻をお知りになりたいでしょうか?")
	case strings.Contains(said.Text, "UTC"):
		return tool("get_time", `{"timezone":"UTC"}`)
	case strings.Contains(said.Text, "お天気"):
		return llmtest.AnthropicText("どちらの地域の天気をお知りになりたいでしょうか?")
	}
	return tool("get_weather", `{"location":"`+said.Text+`"}`)
}

// read is what the test function's answer says, without JSON's marks: a status, and a body
// that is itself JSON.
func read(result json.RawMessage) string {
	var parts []struct{ Text string }
	var answer struct{ Body string }
	var body map[string]string
	if err := json.Unmarshal(result, &parts); err != nil || len(parts) != 1 {
		return string(result)
	}
	if json.Unmarshal([]byte(parts[0].Text), &answer) != nil || json.Unmarshal([]byte(answer.Body), &body) != nil {
		return parts[0].Text
	}
	return fmt.Sprint(body)
}

// models is the file that says that the script answers for every model.
func models(t *testing.T) (file string) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"providers": map[string]any{"claude": map[string]any{"type": "anthropic", "url": llmtest.Start(t, script).URL, "apiKeyEnv": "SCRIPTED_KEY"}},
		"models":    []any{map[string]any{"pattern": "*", "provider": "claude", "model": "scripted"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "models.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// start runs a server where AWS would be: on port 443, with the names that
// docs/aws-hosts.md writes in the hosts file.
func start(t *testing.T) *server.Server {
	t.Helper()
	s := server.Start(t, server.Options{Args: []string{
		"--region", region, "--models", models(t), "--aws-hosts", "--tls-listen", "127.0.0.1:443", "--public-url", "https://localhost", "--gateway-domain", domain,
	}, Env: []string{"SCRIPTED_KEY=sk-of-the-test"}})
	nameAll(t, s, map[string]bool{})
	return s
}

// nameAll writes what outcrop env prints into the hosts file, but for what is named
// already.
func nameAll(t *testing.T, s *server.Server, named map[string]bool) {
	lines, stderr, err := s.CLI(t.Context(), "env", "--hosts-file")
	if err != nil || stderr != "" {
		t.Errorf("%v %s", err, stderr)
	}
	for line := range strings.Lines(lines) {
		host, ok := strings.CutPrefix(strings.TrimSpace(line), "127.0.0.1 ")
		if !ok || named[host] {
			continue
		}
		named[host] = true
		if err := name(host); err != nil {
			t.Error(err)
		}
	}
}

// nameWhatIsMade writes the names of user pools' domains and gateways into the hosts file
// while they come: they are random, and a hosts file has no wildcards. A person who
// follows the article would do the same.
func nameWhatIsMade(t *testing.T, s *server.Server, done <-chan struct{}) {
	named := map[string]bool{}
	for tick := time.NewTicker(300 * time.Millisecond); ; {
		select {
		case <-done:
			return
		case <-tick.C:
			nameAll(t, s, named)
		}
	}
}

// TestArticle runs the article's code as it is, and wants of it what the article prints.
func TestArticle(t *testing.T) {
	if !netns.Inside(t, "", func() []string {
		return []string{packagesVariable + "=" + pinned.Packages(t, "testdata/requirements.txt")}
	}) {
		return
	}
	s := start(t)
	done := make(chan struct{})
	var naming sync.WaitGroup
	naming.Go(func() { nameWhatIsMade(t, s, done) })
	defer naming.Wait()
	defer close(done)

	site, err := filepath.Abs("testdata/site")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/article.py")
	root := filepath.Join(s.DataDir, "ca", "ca.pem")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8", "PYTHONUTF8=1", "PYTHONPATH=" + site + ":" + os.Getenv(packagesVariable),
		"AWS_ACCESS_KEY_ID=" + s.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + s.SecretAccessKey, "AWS_DEFAULT_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CA_BUNDLE=" + root, "SSL_CERT_FILE=" + root,
	}
	cmd.Stdin = strings.NewReader(questions)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nserver:\n%s", err, out, s.Log())
	}
	check(t, string(out))
	t.Logf("the article prints\n%s", out)
	if t.Failed() {
		t.Logf("server:\n%s", s.Log())
	}
}

// check wants of what the code printed what the article shows, in its order.
func check(t *testing.T, printed string) {
	t.Helper()
	found := regexp.MustCompile(`以下のツールを検出しました: \['x_amz_bedrock_agentcore_search', '(TestGatewayTarget[0-9a-f]{8})___get_time', '(TestGatewayTarget[0-9a-f]{8})___get_weather'\]`).FindStringSubmatch(printed)
	if found == nil || found[1] != found[2] {
		t.Errorf("the tools are not the article's: %q", found)
		return
	}
	gateway := regexp.MustCompile(`Gateway URL: (https://testgateway[0-9a-f]{8}-[0-9a-z]{10}\.gateway\.bedrock-agentcore\.us-east-1\.amazonaws\.com/mcp)\n`).FindStringSubmatch(printed)
	if gateway == nil {
		t.Error("the gateway's URL is not like the article's")
	} else if _, err := url.Parse(gateway[1]); err != nil {
		t.Error(err)
	}
	rest := printed
	for _, want := range []string{
		"Starting EZ Auth setup: Creating Cognito resources...", "✓ Created User Pool: us-east-1_", "✓ Created domain: agentcore-", "✓ Domain is active",
		"✓ Created resource server: TestGateway", "✓ Created client: ", "✓ EZ Auth setup complete!", "✓ Successfully created execution role for Gateway",
		"✓ Created Gateway: arn:aws:bedrock-agentcore:us-east-1:", "✅Gateway is ready", "✓ Created Lambda execution role: arn:aws:iam::",
		":role/AgentCoreTestLambdaRole", "✓ Created Lambda function: arn:aws:lambda:us-east-1:", ":function:AgentCoreLambdaTestFunction", "✓ Attached permissions for role invocation",
		"✓ Added target successfully (ID: ", "✅Target is ready", "Attempting to connect to token endpoint: https://agentcore-", ".auth.us-east-1.amazoncognito.com/oauth2/token",
		"✓ Got test token successfully", "以下のツールを検出しました: ",
		"Thinking...", "どちらのタイムゾーンの時刻をお知りになりたいでしょうか?",
		"Thinking...", fmt.Sprintf("Tool #1: %s___get_time", found[1]), "道具の答え: map[time:2:30 PM timezone:UTC]",
		"Thinking...", "どちらの地域の天気をお知りになりたいでしょうか?",
		"Thinking...", fmt.Sprintf("Tool #2: %s___get_weather", found[1]), "道具の答え: map[conditions:Sunny location:神戸 temperature:72°F]",
		"Goodbye!",
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Errorf("it does not print %q after what came before", want)
			continue
		}
		rest = after
	}
}
