package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// withServer is an account whose newest server is a fake one.
func withServer(t *testing.T) (*account, *fake) {
	t.Helper()
	u, f := newUser(t), newFake(t)
	u.knows(f.url, u.data())
	return u, f
}

// agentFolder is a folder that needs no package.
func agentFolder(t *testing.T, u *account, name string) string {
	t.Helper()
	dir := filepath.Join(u.home, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.py"), []byte("print('hi')\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDeployRefusesWords that no server takes before it packs anything, and shows no value.
func TestDeployRefusesWords(t *testing.T) {
	u, f := withServer(t)
	u.environ = append(u.environ, "LONG="+strings.Repeat("x", 5001))
	dir := agentFolder(t, u, "hello")
	for name, args := range map[string][]string{
		"long-description": {"--description", strings.Repeat("x", 4097)}, "long-value": {"--env", "LONG"}, "long-name": {"--env", strings.Repeat("N", 101) + "=x"}, "spaced-name": {"--env", "A B=x"},
	} {
		u.golden("deploy/"+name, u.run(append([]string{"deploy", dir}, args...)...))
	}
	many := []string{"deploy", dir}
	for i := range 51 {
		many = append(many, "--env", fmt.Sprintf("N%d=x", i))
	}
	u.golden("deploy/many-variables", u.run(many...))
	if len(f.calls) > 0 {
		t.Errorf("called %v", f.calls)
	}
	if r := u.run("deploy", dir, "--description", strings.Repeat("ä", 4096), "--env", "A.b-c="+strings.Repeat("ä", 5000)); r.code != 0 {
		t.Errorf("%s", r)
	}
}

func TestDeployCreates(t *testing.T) {
	u, f := withServer(t)
	u.environ = append(u.environ, "FROM_HERE=there")
	dir := agentFolder(t, u, "my-agent")
	u.golden("deploy/creates", u.run("deploy", dir, "--env", "A=b=c", "--env", "FROM_HERE", "--description", "mine"))
	r := f.runtimes["my_agent-0123456789"]
	if r == nil {
		t.Fatalf("made %v", f.runtimes)
	}
	env, _ := json.Marshal(r["environmentVariables"])
	if string(env) != `{"A":"b=c","FROM_HERE":"there"}` || r["description"] != "mine" || r["roleArn"] != "arn:aws:iam::123456789012:role/outcrop-default" {
		t.Errorf("runtime %v", r)
	}
	code, _ := json.Marshal(r["agentRuntimeArtifact"])
	if !strings.Contains(string(code), `"entryPoint":["main.py"]`) || !strings.Contains(string(code), `"bucket":"outcrop-deploy-123456789012-us-east-1"`) ||
		!strings.Contains(string(code), `"runtime":"PYTHON_3_1`) {
		t.Errorf("artifact %s", code)
	}
	if len(f.objects) != 1 {
		t.Errorf("objects %v", f.objects)
	}
}

func TestDeployUpdatesAndKeepsWhatItIsNotTold(t *testing.T) {
	u, f := withServer(t)
	dir := agentFolder(t, u, "hello")
	id := f.add("hello")
	f.buckets["outcrop-deploy-123456789012-us-east-1"] = true
	before := map[string]any{
		"description": "old", "roleArn": "arn:aws:iam::123456789012:role/mine", "environmentVariables": map[string]any{"A": "1", "B": "2"},
		"lifecycleConfiguration": map[string]any{"idleRuntimeSessionTimeout": 120, "maxLifetime": 3600},
		// Members that the SDK does not know, and the server does.
		"hooksConfiguration":     map[string]any{"build": map[string]any{"warmup": map[string]any{"action": map[string]any{"httpPost": map[string]any{"path": "/warm"}}}}},
		"resourceConfigurations": []any{map[string]any{"minimumMemoryInMiB": 256.0}},
	}
	maps.Copy(f.runtimes[id], before)
	u.golden("deploy/updates", u.run("deploy", dir, "--env", "B=3", "--runtime", "PYTHON_3_11"))
	r := f.runtimes[id]
	env, _ := json.Marshal(r["environmentVariables"])
	life, _ := json.Marshal(r["lifecycleConfiguration"])
	if string(env) != `{"A":"1","B":"3"}` || r["description"] != "old" || r["roleArn"] != before["roleArn"] || !strings.Contains(string(life), "120") {
		t.Errorf("after the update: %v", r)
	}
	for _, name := range beyondSDK() {
		if !reflect.DeepEqual(r[name], before[name]) {
			t.Errorf("%s is %v after the update, want %v", name, r[name], before[name])
		}
	}
	if got := u.run("deploy", dir, "--clear-env", "--json", "--runtime", "PYTHON_3_12"); got.code != 0 || !json.Valid([]byte(got.stdout)) {
		t.Errorf("%s", got)
	}
	if f.runtimes[id]["environmentVariables"] != nil {
		t.Errorf("--clear-env leaves %v", f.runtimes[id]["environmentVariables"])
	}
}

func TestDeployMeetsAnotherDeployment(t *testing.T) {
	u, f := withServer(t)
	f.conflict = func() { f.add("hello") }
	r := u.run("deploy", agentFolder(t, u, "hello"))
	if r.code != 0 || !strings.Contains(r.stderr, "updating hello") || f.runtimes["hello-0123456789"]["agentRuntimeVersion"] != "2" {
		t.Errorf("%s\n%v", r, f.runtimes)
	}
}

func TestDeployFailures(t *testing.T) {
	tests := map[string]struct {
		prepare func(*account, *fake)
		args    []string
	}{
		"failed":         {func(_ *account, f *fake) { f.fails = "the zip has no main.py" }, nil},
		"absent-runtime": {nil, []string{"--runtime", "PYTHON_3_14"}},
		"no-sandbox": {func(_ *account, f *fake) {
			f.server = strings.Replace(goodServer, `"available":true`, `"available":false,"reason":"user namespaces are off","fix":"sudo sysctl -w user.max_user_namespaces=10000"`, 1)
		}, []string{"--runtime", "PYTHON_3_12"}},
		"no-interpreter": {func(_ *account, f *fake) {
			f.server = `{"account":"123456789012","architecture":"arm64","interpreters":[],"sandbox":{"available":true}}`
		}, nil},
		"no-entry": {func(u *account, _ *fake) { _ = os.Remove(filepath.Join(u.home, "hello", "main.py")) }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			dir := agentFolder(t, u, "hello")
			if test.prepare != nil {
				test.prepare(u, f)
			}
			u.golden("deploy/"+name, u.run(append([]string{"deploy", dir}, test.args...)...))
		})
	}
}

func TestDeployLeavesNoFileBehind(t *testing.T) {
	u, _ := withServer(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if r := u.run("deploy", agentFolder(t, u, "hello"), "--wait=false"); r.code != 0 {
		t.Fatalf("%s", r)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// answer writes a body of a type in the pieces given, each flushed.
func answer(contentType string, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"))
		for _, piece := range pieces {
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func TestInvokePrints(t *testing.T) {
	tests := map[string]struct {
		answer   http.HandlerFunc
		args     []string
		terminal bool
	}{
		"stream":          {answer: answer("text/event-stream", "data: \"Hello\"\n\n", "data: \", you\"\n\n")},
		"stream-terminal": {answer: answer("text/event-stream; charset=utf-8", "data: \"\\u001b[2JHello\"\n\n", "data: {\"done\": true}\n\n"), terminal: true},
		"stream-raw":      {answer: answer("text/event-stream", "data: \"Hello\"\n\n"), args: []string{"--raw"}},
		"stream-json":     {answer: answer("text/event-stream", "data: \"Hello\"\n\n", "data: {\"n\":1}\n\ndata: x\n\n"), args: []string{"--json"}},
		"json":            {answer: answer("application/json", `{"a":[1,2]}`)},
		"json-terminal":   {answer: answer("application/json", `{"a":`, `[1,2]}`), terminal: true},
		"json-broken":     {answer: answer("application/json", `{"a":`), terminal: true},
		"json-json":       {answer: answer("application/json", `{"a":[1,2]}`), args: []string{"--json"}},
		"text-terminal":   {answer: answer("text/plain", "no line end"), terminal: true},
		"bytes-json":      {answer: answer("application/octet-stream", "\xff\x00"), args: []string{"--json"}},
		"agent-error":     {answer: answer("text/event-stream", "data: \"so \"\n\n", "data: {\"error\":\"boom\",\"error_type\":\"ValueError\"}\n\n")},
		// What agents of other protocols have their callers refused with.
		"mcp-error": {answer: inProtocol(http.StatusOK, "ServiceQuotaExceededException", "There is no room for another session.", "application/json",
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32003,"message":"Rate limit exceeded - Too many requests"}}`)},
		"a2a-error": {answer: inProtocol(http.StatusFailedDependency, "RuntimeClientError", "Received error (500) from runtime. Please check your CloudWatch logs for more information.",
			"application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32055,"message":"Runtime client error - Please check your CloudWatch logs for more information"}}`)},
		"agui-error": {answer: inProtocol(http.StatusOK, "RuntimeClientError", "The agent closed the connection before it answered. Please check your CloudWatch logs for more information.",
			"text/event-stream", "data: {\"type\":\"RUN_ERROR\",\"code\":\"AGENT_ERROR\",\"message\":\"Agent code failed during execution\"}\n\n")},
		// What such an agent refuses itself, with a status of its own.
		"agent-refuses":      {answer: refusedByAgent},
		"agent-refuses-json": {answer: refusedByAgent, args: []string{"--json", "--qualifier", "prod"}},
		"at-endpoint":        {answer: answer("text/plain", "hello\n"), args: []string{"--qualifier", "prod", "-s", "a session's id, with more than 33 characters"}},
		"no-qualifier": {args: []string{"--qualifier", "nope"}, answer: func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusNotFound, "ResourceNotFoundException", "No endpoint or agent found with qualifier 'nope'")
		}},
		"424": {answer: func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusFailedDependency, "RuntimeClientError", "Received error (500) from runtime. Please check your CloudWatch logs for more information.")
		}},
		"500": {answer: func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 500, "InternalServerException", "An internal error occurred. Please retry later.")
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			f.add("hello")
			f.invoke, u.terminal = test.answer, test.terminal
			u.golden("invoke/"+name, u.run(append([]string{"invoke", "hello", "hi"}, test.args...)...))
		})
	}
}

// inProtocol refuses in an agent's protocol.
func inProtocol(status int, code, message, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{"X-Amzn-Errortype": code, "X-Amzn-Errormessage": message, "Content-Type": kind} {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// refusedByAgent is what an MCP server says to a message that is none.
func refusedByAgent(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "0123456789012345678901234567890123")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"Validation error"}}`)
}

// TestInvokeBounds refuses a payload that the server refuses, before it is sent.
func TestInvokeBounds(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	sent := false
	f.invoke = func(w http.ResponseWriter, r *http.Request) {
		sent = true
		answer("application/json", "{}")(w, r)
	}
	file := filepath.Join(u.home, "request")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 100_000_001); err != nil { // takes no room
		t.Fatal(err)
	}
	if r := u.run("invoke", "hello", "@"+file); r.code != 2 || sent || !strings.Contains(r.stderr, "longer than 100000000 bytes") {
		t.Errorf("sent %v: %s", sent, r)
	}
}

func TestInvokeSends(t *testing.T) {
	const session = "0123456789012345678901234567890123"
	u, f := withServer(t)
	id := f.add("hello")
	file := filepath.Join(u.home, "request")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.stdin = "from stdin"
	var got string
	f.invoke = func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%s %s %s %s", r.URL.Query().Get("qualifier"), r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"), r.Header.Get("Content-Type"), body)
		answer("application/json", "{}")(w, r)
	}
	for want, args := range map[string][]string{
		"{}":               {"hello"},
		`{"prompt": "x"}`:  {"hello", `{"prompt": "x"}`},
		`{"prompt":"a b"}`: {"hello", "a b"},
		"[1]":              {id, "[1]"},
		"from stdin":       {"arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/" + id, "-"},
		"from a file":      {"hello", "@" + file},
	} {
		r := u.run(append([]string{"invoke", "-s", session, "--qualifier", "prod"}, args...)...)
		if wanted := "prod " + session + " application/json " + want; r.code != 0 || got != wanted {
			t.Errorf("%v sends %q, want %q\n%s", args, got, wanted, r)
		}
	}
	if r := u.run("invoke", "hello", "a b", "--content-type", "text/plain", "-s", session); r.code != 0 || !strings.HasSuffix(got, "text/plain a b") {
		t.Errorf("text is sent as %q\n%s", got, r)
	}
}

// TestInvokeForUser: whom the agent works for is named in the signed request, and
// again when the session goes on.
func TestInvokeForUser(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	var got string
	f.invoke = func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "x-amzn-bedrock-agentcore-runtime-user-id") {
			got = r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-User-Id")
		}
		answer("application/json", "{}")(w, r)
	}
	r := u.run("invoke", "hello", "hi", "--user-id", "ann b", "-s", aSession)
	if want := "outcrop invoke hello -s " + aSession + " --user-id 'ann b' PAYLOAD"; r.code != 0 || got != "ann b" || !strings.Contains(r.stderr, want) {
		t.Errorf("it worked for %q\n%s", got, r)
	}
	f.socket = echo(t, 1, 1000)
	f.before = func(r *http.Request) { got = r.Header.Get("X-Amzn-Bedrock-AgentCore-Runtime-User-Id") }
	u.stdin = "one\n"
	if r := u.run("invoke", "--ws", "hello", "--user-id", "bob"); r.code != 0 || got != "bob" {
		t.Errorf("its WebSocket is for %q\n%s", got, r)
	}
	for _, refused := range []struct{ id, token, why string }{
		{"ann", "x", "--user-id is for calls that are signed"}, {"", "", "it is empty"}, {"a\nb", "", "control characters"}, {" ann", "", "white space at its ends"},
	} {
		if r := u.run("invoke", "hello", "--user-id", refused.id, "--bearer-token="+refused.token); r.code != 2 || !strings.Contains(r.stderr, refused.why) {
			t.Errorf("user %q, token %q: %s", refused.id, refused.token, r)
		}
	}
}

// TestInvokeWithTokenAlone: who has a token and no key calls an agent by its ARN.
func TestInvokeWithTokenAlone(t *testing.T) {
	u, f := newUser(t), newFake(t)
	arn := "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/" + f.add("hello")
	f.invoke = answer("application/json", "{}")
	r := u.run("invoke", arn, "hi", "--endpoint", f.url, "-s", aSession, "--bearer-token", goodToken)
	if want := " --token-file FILE PAYLOAD"; r.code != 0 || r.stdout != "{}" || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, goodToken) {
		t.Errorf("with a token: %s", r)
	}
	for want, args := range map[string][]string{
		"Name it by its ARN":                {"hello", "--bearer-token", goodToken},
		"AWS_SECRET_ACCESS_KEY are not set": {arn},
	} {
		if r := u.run(append([]string{"invoke", "--endpoint", f.url}, args...)...); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: %s", args, r)
		}
	}
}

// TestInvokeStreams sees each piece before the next is sent, and Ctrl-C ends the
// request at the server too.
func TestInvokeStreams(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	seen, gone := make(chan string), make(chan struct{})
	f.invoke = func(w http.ResponseWriter, r *http.Request) {
		answer("text/event-stream", "data: \"one \"\n\n")(w, r)
		if got := <-seen; got != "one " {
			t.Errorf("saw %q", got)
		}
		answer("text/event-stream", "data: \"two\"\n\n")(w, r)
		<-r.Context().Done()
		close(gone)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	pieces := writerFunc(func(b []byte) (int, error) {
		if strings.HasPrefix(string(b), "one") {
			seen <- string(b)
		} else {
			interrupt()
		}
		return len(b), nil
	})
	p := u.program()
	p.Args, p.Stdout = []string{"invoke", "hello"}, pieces
	if code := p.Run(ctx); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the server was not told")
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

func TestLogs(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC).Format(time.RFC3339Nano)
	var asked []map[string]string
	f.logs = func(q map[string]string) string {
		asked = append(asked, q)
		if q["nextToken"] == "f/2" {
			return `{"events":[],"nextToken":"f/2"}`
		}
		return fmt.Sprintf(`{"events":[{"timestamp":%q,"stream":"s","message":"one\n"},{"timestamp":%q,"message":"\u001b[2Jtwo"}],"nextToken":"f/2"}`, at, at)
	}
	for name, args := range map[string][]string{"plain": nil, "timestamps": {"-t"}, "json": {"--json"}} {
		u.golden("logs/"+name, u.run(append([]string{"logs", "hello"}, args...)...))
	}
	u.terminal = true
	u.golden("logs/terminal", u.run("logs", "hello"))
	asked = nil
	if r := u.run("logs", "hello-0123456789", "--since", "10m", "-s", "abc", "--qualifier", "prod"); r.code != 0 {
		t.Errorf("%s", r)
	}
	first, second := asked[0], asked[1]
	since, err := time.Parse(time.RFC3339Nano, first["since"])
	if err != nil || time.Since(since).Round(time.Minute) != 10*time.Minute || first["last"] != "" || first["sessionId"] != "abc" || first["endpointName"] != "prod" {
		t.Errorf("asked first %v, %v", first, err)
	}
	if second["nextToken"] != "f/2" || second["waitSeconds"] != "" || len(asked) != 2 {
		t.Errorf("then asked %v", asked[1:])
	}
	u.golden("logs/unknown", u.run("logs", "nobody"))
	f.logs = func(map[string]string) string { return `{"events":[],"nextToken":"f/2"}` }
	u.golden("logs/nothing", u.run("logs", "hello", "-s", "short", "--qualifier", "nope", "--since", "10m"))
}

func TestLogsFollow(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	ctx, interrupt := context.WithCancel(t.Context())
	n := 0
	f.logs = func(q map[string]string) string {
		n++
		if wait := q["waitSeconds"]; (n == 1) != (wait == "") {
			t.Errorf("call %d waits %q", n, wait)
		}
		if n == 4 {
			interrupt()
		}
		return fmt.Sprintf(`{"events":[{"timestamp":"2026-01-02T03:04:05Z","message":"line %d"}],"nextToken":"f/%d"}`, n, n)
	}
	r := u.runContext(ctx, "logs", "hello", "-f")
	if r.code != exitInterrupted || !strings.HasPrefix(r.stdout, "line 1\nline 2\nline 3\n") {
		t.Errorf("%s", r)
	}
}

func TestLists(t *testing.T) {
	u, f := withServer(t)
	u.golden("ls/none", u.run("ls"))
	u.golden("sessions/none", u.run("sessions"))
	f.add("hello")
	f.add("another_agent")
	u.golden("ls/two", u.run("ls"))
	u.golden("ls/one", u.run("ls", "hello"))
	if r := u.run("ls", "hello", "--json"); r.code != 0 || !json.Valid([]byte(r.stdout)) || !strings.Contains(r.stdout, `"agentRuntimeName": "hello"`) {
		t.Errorf("%s", r)
	}
	if r := u.run("ls", "--json"); !json.Valid([]byte(r.stdout)) || strings.Count(r.stdout, `"agentRuntimeArn"`) != 2 {
		t.Errorf("%s", r)
	}
	now := time.Now().UTC()
	for i, status := range []string{"ACTIVE", "IDLE"} {
		f.sessions = append(f.sessions, fmt.Sprintf(`{"sessionId":"session-%d","agentRuntimeName":"hello","agentRuntimeArn":"arn:x","agentRuntimeVersion":"3",
			"endpointName":"DEFAULT","status":%q,"requests":7,"activeRequests":1,"startedAt":%q,"lastActiveAt":%q,"idleDeadline":%q}`, i, status,
			now.Add(-10*time.Minute).Format(time.RFC3339), now.Add(-3*time.Minute-time.Second).Format(time.RFC3339), now.Add(12*time.Minute+30*time.Second).Format(time.RFC3339)))
	}
	u.golden("sessions/two", u.run("sessions", "hello"))
	if r := u.run("sessions", "--json"); !json.Valid([]byte(r.stdout)) || strings.Count(r.stdout, `"sessionId"`) != 2 {
		t.Errorf("%s", r)
	}
}

func TestStopAndDelete(t *testing.T) {
	u, f := withServer(t)
	f.add("hello")
	u.golden("stop/stops", u.run("stop", "hello", "-s", "0123456789012345678901234567890123"))
	u.golden("delete/deletes", u.run("delete", "hello"))
	if len(f.runtimes) != 0 {
		t.Errorf("left: %v", f.runtimes)
	}
	u.golden("delete/unknown", u.run("delete", "hello"))
	f.add("hello")
	f.calls = nil
	u.golden("delete/not-waited-for", u.run("delete", "hello", "--wait=false"))
	if got := strings.Join(f.calls, ", "); got != "POST /runtimes/, DELETE /runtimes/hello-0123456789/" {
		t.Errorf("it called %s", got)
	}
}

// TestDeployImage: an image has no folder; of a tag nobody knows whether it has moved.
func TestDeployImage(t *testing.T) {
	u, f := withServer(t)
	u.golden("deploy/image", u.run("deploy", "--image", "registry.example:5000/team/my-agent:v1"))
	r := f.runtimes["my_agent-0123456789"]
	artifact, _ := json.Marshal(r["agentRuntimeArtifact"])
	if string(artifact) != `{"containerConfiguration":{"containerUri":"registry.example:5000/team/my-agent:v1"}}` || len(f.objects) != 0 {
		t.Errorf("artifact %s, objects %v", artifact, f.objects)
	}
	u.golden("deploy/image-again", u.run("deploy", "--image", "registry.example:5000/team/my-agent:v1"))
	digest := "registry.example/team/my-agent@sha256:" + strings.Repeat("0", 64)
	for _, want := range []string{`"changed": true`, `"changed": false`} {
		if got := u.run("deploy", "--image", digest, "--json"); got.code != 0 || !strings.Contains(got.stdout, want) || !strings.Contains(got.stdout, `"image": "`+digest+`"`) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	u.golden("deploy/image-shown", u.run("ls", "my_agent"))
}

func TestImageName(t *testing.T) {
	for reference, want := range map[string]string{
		"my-agent": "my_agent", "my-agent:v1": "my_agent", "a.example:5000/team/my.agent": "my_agent", "a/b@sha256:00": "b", "localhost:5000/x:1@sha256:00": "x",
	} {
		if got := imageName(reference); got != want {
			t.Errorf("imageName(%s) = %s, want %s", reference, got, want)
		}
	}
}
