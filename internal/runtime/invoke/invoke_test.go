package invoke_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/telemetry"
)

const sessionHeader = "X-Amzn-Bedrock-Agentcore-Runtime-Session-Id"

// kit has one runtime that is READY; listed are the headers it is handed.
type kit struct {
	*runtimetest.Kit
	*testing.T
	id string
}

func newKit(t *testing.T, listed ...string) *kit {
	t.Helper()
	return newKitOf(t, types.ServerProtocolHttp, listed...)
}

// newKitOf has a runtime of a protocol.
func newKitOf(t *testing.T, protocol types.ServerProtocol, listed ...string) *kit {
	t.Helper()
	return newKitWith(t, func(in *control.CreateAgentRuntimeInput) {
		if protocol != types.ServerProtocolHttp {
			in.ProtocolConfiguration = &types.ProtocolConfiguration{ServerProtocol: protocol}
		}
		if listed != nil {
			in.RequestHeaderConfiguration = &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: listed}
		}
	})
}

// newKitWith has a runtime that is otherwise than most.
func newKitWith(t *testing.T, change func(*control.CreateAgentRuntimeInput)) *kit {
	t.Helper()
	k := &kit{Kit: runtimetest.New(t, runtimetest.Options{}), T: t}
	k.Put("agent.zip", runtimetest.Zip(t, "main.py", "x"))
	in := &control.CreateAgentRuntimeInput{
		AgentRuntimeName: aws.String("agent"), RoleArn: aws.String(runtimetest.Role), NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
		AgentRuntimeArtifact: &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
			Code:    &types.CodeMemberS3{Value: types.S3Location{Bucket: aws.String(runtimetest.Bucket), Prefix: aws.String("agent.zip")}},
			Runtime: types.AgentManagedRuntimeTypePython312, EntryPoint: []string{"main.py"},
		}},
	}
	change(in)
	out, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	k.id = *out.AgentRuntimeId
	for {
		got, err := k.Control.GetAgentRuntime(t.Context(), &control.GetAgentRuntimeInput{AgentRuntimeId: &k.id})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status == types.AgentRuntimeStatusReady {
			return k
		}
		select {
		case <-k.Store.Changed("document/runtime"):
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (k *kit) arn() string {
	return "arn:aws:bedrock-agentcore:" + runtimetest.Region + ":" + runtimetest.Account + ":runtime/" + k.id
}

// agent lets guests serve h on every path but /ping.
func (k *kit) agent(h http.HandlerFunc) {
	k.Engine.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ping" {
			h(w, r)
		}
	})
}

// call is one invocation as raw HTTP.
type call struct {
	method  string // empty is POST
	agent   string // ARN or id; empty is the kit's ARN
	path    string // below /invocations
	query   string
	header  http.Header
	body    io.Reader
	unknown bool // of a length nobody says, unsigned
	plain   bool // no session id
}

func (k *kit) send(c call) *http.Response {
	k.Helper()
	if c.agent == "" {
		c.agent = k.arn()
	}
	if c.body == nil {
		c.body = http.NoBody
	}
	hash := "UNSIGNED-PAYLOAD"
	if !c.unknown {
		b, err := io.ReadAll(c.body)
		if err != nil {
			k.Fatal(err)
		}
		sum := sha256.Sum256(b)
		hash, c.body = hex.EncodeToString(sum[:]), bytes.NewReader(b)
	}
	if c.method == "" {
		c.method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(k.Context(), c.method, k.URL+"/runtimes/"+url.QueryEscape(c.agent)+"/invocations"+c.path+c.query, c.body)
	if err != nil {
		k.Fatal(err)
	}
	if c.header != nil {
		r.Header = c.header
	}
	if !c.plain && r.Header.Get(sessionHeader) == "" {
		r.Header.Set(sessionHeader, runtimetest.SessionID("one"))
	}
	r.Header.Set("X-Amz-Content-Sha256", hash)
	creds := aws.Credentials{AccessKeyID: runtimetest.KeyID, SecretAccessKey: runtimetest.Secret}
	if err := v4.NewSigner().SignHTTP(k.Context(), creds, r, hash, "bedrock-agentcore", runtimetest.Region, time.Now()); err != nil {
		k.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { _ = resp.Body.Close() }) // most are read to the end
	return resp
}

func (k *kit) text(resp *http.Response) string {
	k.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		k.Error(err)
	}
	return string(b)
}

// refused wants a refusal and returns its text.
func (k *kit) refused(resp *http.Response, status int, code string) string {
	k.Helper()
	var e struct {
		Type    string `json:"__type"`
		Message string
	}
	body := k.text(resp)
	if err := json.Unmarshal([]byte(body), &e); err != nil || resp.StatusCode != status || e.Type != code || resp.Header.Get("X-Amzn-Errortype") != code {
		k.Errorf("%d %s, want %d %s", resp.StatusCode, body, status, code)
	}
	return e.Message
}

func (k *kit) logs() string {
	k.Helper()
	return strings.Join(k.Logs("/aws/bedrock-agentcore/runtimes/"+k.id+"-DEFAULT"), "\n")
}

// TestRequestAsTheAgentSeesIt: runtime.md 10, nothing more.
func TestRequestAsTheAgentSeesIt(t *testing.T) {
	k := newKit(t, "X-Tenant", "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Color", "X-Twice")
	var seen *http.Request
	k.agent(func(w http.ResponseWriter, r *http.Request) { seen = r.Clone(t.Context()) })
	resp := k.send(call{body: strings.NewReader(`{"prompt":"hi"}`), header: http.Header{
		"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}, "User-Agent": {"boto3"}, "X-Tenant": {"acme"},
		"X-Twice": {"a", "b"}, "X-Amzn-Bedrock-Agentcore-Runtime-Custom-Color": {"red"}, "X-Amzn-Bedrock-Agentcore-Runtime-Custom-Other": {"no"},
		"X-Other": {"no"}, "Cookie": {"no"}, "X-Forwarded-For": {"no"}, "Accept-Language": {"no"},
		"Mcp-Session-Id": {"m"}, "Mcp-Protocol-Version": {"v"}, "Mcp-Method": {"me"}, "Mcp-Name": {"na"}, "Baggage": {"b=1"},
		"X-Amzn-Trace-Id": {"Root=1-5"}, "Traceparent": {"00-1-2-01"}, "Tracestate": {"t=1"}, "X-Amzn-Bedrock-Agentcore-Runtime-User-Id": {"alice"},
	}})
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, k.text(resp))
	}
	if seen.Method != http.MethodPost || seen.RequestURI != "/invocations" || seen.Host != "localhost:8080" || seen.ContentLength != 15 {
		t.Errorf("%s %s, host %s, length %d", seen.Method, seen.RequestURI, seen.Host, seen.ContentLength)
	}
	request := resp.Header.Get("X-Amzn-Requestid")
	want := http.Header{
		"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}, "Content-Length": {"15"}, "X-Tenant": {"acme"}, "X-Twice": {"a", "b"},
		"X-Amzn-Bedrock-Agentcore-Runtime-Custom-Color": {"red"}, "Mcp-Session-Id": {"m"}, "Mcp-Protocol-Version": {"v"}, "Mcp-Method": {"me"},
		"Mcp-Name": {"na"}, "Baggage": {"b=1"}, "X-Amzn-Trace-Id": {"Root=1-5"}, "Traceparent": {"00-1-2-01"}, "Tracestate": {"t=1"},
		sessionHeader: {runtimetest.SessionID("one")}, "X-Amzn-Bedrock-Agentcore-Runtime-Request-Id": {request},
	}
	for _, name := range []string{"Workloadaccesstoken", "X-Amz-Bedrock-Agentcore-Identity-Wat", "X-Amzn-Bedrock-Agentcore-Runtime-Workload-Accesstoken"} {
		want.Set(name, seen.Header.Get("WorkloadAccessToken")) // TestUserOfASigned reads it
	}
	if got, want := fmt.Sprint(seen.Header), fmt.Sprint(want); got != want {
		t.Errorf("headers\n%s, want\n%s", got, want)
	}
}

// TestTraceIsBegun where the caller sends none.
func TestTraceIsBegun(t *testing.T) {
	k := newKit(t)
	var seen http.Header
	k.agent(func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
	resp := k.send(call{})
	id, parent := seen.Get("X-Amzn-Trace-Id"), seen.Get("Traceparent")
	x := regexp.MustCompile(`^Root=1-([0-9a-f]{8})-([0-9a-f]{24});Parent=([0-9a-f]{16});Sampled=1$`).FindStringSubmatch(id)
	if x == nil || parent != "00-"+x[1]+x[2]+"-"+x[3]+"-01" {
		t.Errorf("trace %q and %q", id, parent)
	}
	if got := resp.Header.Get("X-Amzn-Trace-Id"); got != id {
		t.Errorf("the caller is told %q", got)
	}
	// One form alone is left alone.
	k.send(call{header: http.Header{"Traceparent": {"00-1-2-00"}}})
	if seen.Get("X-Amzn-Trace-Id") != "" || seen.Get("Traceparent") != "00-1-2-00" {
		t.Errorf("headers %v", seen)
	}
}

func TestHeaderTooLong(t *testing.T) {
	k := newKit(t, "X-Tenant")
	k.agent(func(http.ResponseWriter, *http.Request) {})
	if resp := k.send(call{header: http.Header{"X-Tenant": {strings.Repeat("a", 4096)}}}); resp.StatusCode != http.StatusOK {
		t.Errorf("4096 bytes: %d", resp.StatusCode)
	}
	resp := k.send(call{header: http.Header{"X-Tenant": {strings.Repeat("a", 4097)}}})
	if text := k.refused(resp, 400, "ValidationException"); !strings.Contains(text, "'X-Tenant' has 4097 bytes") {
		t.Error(text)
	}
}

func TestAnswers(t *testing.T) {
	k := newKit(t)
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for name, value := range map[string]string{"Content-Type": "text/event-stream", "Mcp-Session-Id": "m", "Mcp-Protocol-Version": "v", "X-Amzn-Trace-Id": "t",
			"Traceparent": "tp", "Tracestate": "ts", "Baggage": "b", "Set-Cookie": "no", "X-Secret": "no", "Server": "uvicorn", sessionHeader: "forged"} {
			h.Set(name, value)
		}
		_, _ = io.WriteString(w, "data: x\n\n")
	})
	resp := k.send(call{})
	if got := k.text(resp); resp.StatusCode != 200 || got != "data: x\n\n" {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
	want := map[string]string{"Content-Type": "text/event-stream", "Mcp-Session-Id": "m", "Mcp-Protocol-Version": "v", "X-Amzn-Trace-Id": "t",
		"Traceparent": "tp", "Tracestate": "ts", "Baggage": "b", "Set-Cookie": "", "X-Secret": "", "Server": "", sessionHeader: runtimetest.SessionID("one")}
	for name, value := range want {
		if got := resp.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if resp.Header.Get("X-Amzn-Requestid") == "" {
		t.Error("no request id")
	}
}

func TestStatuses(t *testing.T) {
	k := newKit(t)
	for _, status := range []int{200, 201, 202, 204, 206, 299} {
		k.agent(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) })
		k.restart()
		if resp := k.send(call{}); resp.StatusCode != status || k.text(resp) != "" {
			t.Errorf("%d became %d", status, resp.StatusCode)
		}
	}
	for _, status := range []int{301, 304, 400, 404, 422, 500, 503, 599} {
		k.agent(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "the agent's own words %d", status) // 304 has none
		})
		k.restart()
		text := k.refused(k.send(call{}), 424, "RuntimeClientError")
		if want := fmt.Sprintf("Received error (%d) from runtime. Please check your CloudWatch logs for more information.", status); text != want {
			t.Errorf("%q, want %q", text, want)
		}
		if status != http.StatusNotModified {
			k.logged(fmt.Sprintf("the agent's own words %d", status))
		}
	}
}

// restart ends the session, so that the next has the engine's new handler.
func (k *kit) restart() {
	k.Helper()
	for _, s := range k.Sessions.List(func(session.Key) bool { return true }) {
		if err := k.Sessions.Stop(k.Context(), s.Key); err != nil {
			k.Fatal(err)
		}
	}
}

func TestBodies(t *testing.T) {
	k := newKit(t)
	var encoding []string
	var length int64
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		encoding, length = r.TransferEncoding, r.ContentLength
		b, err := io.ReadAll(r.Body)
		if err == nil {
			_, _ = w.Write(b) // a caller that has left
		}
	})
	if got := k.text(k.send(call{})); got != "" || length != 0 || encoding != nil {
		t.Errorf("empty: %q, length %d, %v", got, length, encoding)
	}
	big := strings.Repeat("0123456789abcdef", 200<<10) // over the memory limit of a body
	if got := k.text(k.send(call{body: strings.NewReader(big)})); got != big || length != int64(len(big)) || encoding != nil {
		t.Errorf("big: %d bytes, length %d, %v", len(got), length, encoding)
	}
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, big)
		_ = w.Close() // a pipe's never fails
	}()
	if got := k.text(k.send(call{body: r, unknown: true})); got != big || length != -1 || !slices.Equal(encoding, []string{"chunked"}) {
		t.Errorf("unknown length: %d bytes, length %d, %v", len(got), length, encoding)
	}
	k.refused(k.send(call{body: io.LimitReader(zeros{}, 100_000_001), unknown: true}), http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException")
	if logs := k.logs(); logs != "" {
		t.Errorf("a caller's fault is in the agent's log:\n%s", logs)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestSessionIDs(t *testing.T) {
	k := newKit(t)
	var seen string
	k.agent(func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Get(sessionHeader) })
	resp := k.send(call{plain: true})
	if got := resp.Header.Get(sessionHeader); got == "" || got != seen || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(got) {
		t.Errorf("made session id %q, the agent saw %q", got, seen)
	}
	for _, id := range []string{strings.Repeat("a", 32), strings.Repeat("a", 257)} {
		text := k.refused(k.send(call{header: http.Header{sessionHeader: {id}}}), 400, "ValidationException")
		if !strings.Contains(text, "runtimeSessionId") {
			t.Errorf("%d characters: %s", len(id), text)
		}
	}
	for _, id := range []string{strings.Repeat("a", 33), strings.Repeat("a", 256)} {
		if resp := k.send(call{header: http.Header{sessionHeader: {id}}}); resp.StatusCode != 200 || seen != id {
			t.Errorf("%d characters: %d", len(id), resp.StatusCode)
		}
	}
}

func TestNames(t *testing.T) {
	k := newKit(t)
	foreign := strings.Replace(k.arn(), runtimetest.Account, "999999999999", 1)
	tests := []struct {
		name, agent, query string
		status             int
		code, text         string
	}{
		{"ARN", k.arn(), "", 200, "", ""},
		{"ARN and DEFAULT", k.arn(), "?qualifier=DEFAULT", 200, "", ""},
		{"unknown qualifier", k.arn(), "?qualifier=prod", 404, "ResourceNotFoundException", "No endpoint or agent found with qualifier 'prod' for agent '" + k.arn() + "'"},
		{"qualifier in another case", k.arn(), "?qualifier=default", 404, "ResourceNotFoundException", "qualifier 'default'"},
		{"no endpoint's name", k.arn(), "?qualifier=a-b", 404, "ResourceNotFoundException", "qualifier 'a-b'"},
		{"bare id and account", k.id, "?accountId=" + runtimetest.Account, 200, "", ""},
		{"bare id alone", k.id, "", 400, "ValidationException", "accountID is required"},
		{"bare id of another account", k.id, "?accountId=999999999999", 404, "ResourceNotFoundException", "No endpoint or agent found"},
		{"malformed account", k.id, "?accountId=12", 400, "ValidationException", "accountId"},
		{"unknown agent", strings.Replace(k.arn(), "agent-", "other-", 1), "", 404, "ResourceNotFoundException", "No endpoint or agent found with qualifier 'DEFAULT'"},
		{"another account", foreign, "", 403, "AccessDeniedException", foreign},
		{"another region", strings.Replace(k.arn(), "us-west-2", "eu-west-1", 1), "", 404, "ResourceNotFoundException", "No endpoint or agent found"},
		{"another service", strings.Replace(k.arn(), "bedrock-agentcore", "lambda", 1), "", 400, "ValidationException", "is not the ARN of an agent runtime"},
		{"no partition", strings.Replace(k.arn(), ":aws:", "::", 1), "", 400, "ValidationException", "is not the ARN of an agent runtime"},
		{"no id", strings.TrimSuffix(k.arn(), k.id), "", 400, "ValidationException", "is not the ARN of an agent runtime"},
		{"another kind", strings.Replace(k.arn(), "runtime/", "memory/", 1), "", 400, "ValidationException", "is not the ARN of an agent runtime"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &kit{k.Kit, t, k.id}
			resp := k.send(call{agent: tt.agent, query: tt.query})
			if tt.status == 200 {
				if resp.StatusCode != 200 {
					t.Errorf("%d %s", resp.StatusCode, k.text(resp))
				}
				return
			}
			if text := k.refused(resp, tt.status, tt.code); !strings.Contains(text, tt.text) {
				t.Errorf("%q, want %q", text, tt.text)
			}
		})
	}
	if n := k.Engine.Starts(); n != 1 {
		t.Errorf("%d sandboxes, want the one of three names", n)
	}
}

// TestBrokenAgents speak HTTP badly, or stop speaking.
func TestBrokenAgents(t *testing.T) {
	const closed = "The agent closed the connection before it answered. Please check your CloudWatch logs for more information."
	tests := []struct {
		name, answer, log string
	}{
		{"nothing", "", "broke off before it answered: EOF"},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-", "broke off before it answered: "},
		{"garbage", "\x00\xff SSH-2.0-OpenSSH\r\n\r\n", "broke off before it answered: "},
		{"huge headers", "HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "broke off before it answered: "},
	}
	k := newKit(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &kit{k.Kit, t, k.id}
			k.Engine.Conn = speak(tt.answer)
			k.restart()
			if text := k.refused(k.send(call{}), 424, "RuntimeClientError"); text != closed {
				t.Error(text)
			}
			k.logged("outcrop: the agent " + tt.log)
		})
	}
	// Broken in the middle, there is no status left to tell it by: the
	// connection breaks, which no client takes for an end.
	for name, answer := range map[string]string{
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
	} {
		t.Run("in the middle of "+name, func(t *testing.T) {
			k := &kit{k.Kit, t, k.id}
			k.Engine.Conn = speak(answer)
			k.restart()
			resp := k.send(call{})
			b, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 200 || string(b) != "hello" || err == nil {
				t.Errorf("%d %q, %v; want the beginning and an error", resp.StatusCode, b, err)
			}
			k.logged("outcrop: the agent's answer broke off: unexpected EOF")
		})
	}
}

// speak answers /ping well and everything else with text, and hangs up.
func speak(text string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		answer := text
		if r.URL.Path == "/ping" {
			answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(c, answer) // a caller that has heard enough
	}
}

// TestEndlessErrorBody: what an agent says about its failure is bounded.
func TestEndlessErrorBody(t *testing.T) {
	k := newKit(t)
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("e", 1024)); err != nil {
				return
			}
		}
	})
	k.refused(k.send(call{}), 424, "RuntimeClientError")
	if n := strings.Count(k.logs(), "e"); n < 8<<10 || n > 9<<10 {
		t.Errorf("%d of it are in the log", n)
	}
}

// TestDeadGuestIsReplaced: the first request after a crash gets a new sandbox.
func TestDeadGuestIsReplaced(t *testing.T) {
	k := newKit(t)
	for range 5 {
		if got := k.text(k.send(call{body: strings.NewReader("hi")})); got != "hi" {
			t.Errorf("answer %q", got)
		}
		k.Engine.Crash(1)
	}
	if n := k.Engine.Starts(); n != 5 {
		t.Errorf("%d starts, want 5", n)
	}
	k.logged("outcrop: session ended: its process exited with status 1")
}

// TestUserID: a caller who names a user needs more rights; the root key has them.
func TestUserID(t *testing.T) {
	k := newKit(t)
	var seen http.Header
	k.agent(func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
	resp := k.send(call{header: http.Header{"X-Amzn-Bedrock-Agentcore-Runtime-User-Id": {"alice"}}})
	if resp.StatusCode != 200 || seen.Get("X-Amzn-Bedrock-Agentcore-Runtime-User-Id") != "" {
		t.Errorf("%d; the agent sees %v", resp.StatusCode, seen)
	}
	if err := k.Telemetry.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, _, err := k.Telemetry.Records(t.Context(), telemetry.AuditQuery{Scope: runtimetest.Scope(), Event: "InvokeAgentRuntime"})
	if err != nil || len(records) == 0 {
		t.Fatal(records, err)
	}
	if got := records[0].Resources; len(got) != 3 {
		t.Errorf("requirements were checked on %v, want the agent, its endpoint, and the agent for the user", got)
	}
}

// TestPackedAnswer: an agent that packs what nobody asked it to pack is read all the
// same, piece by piece, and its log is text.
func TestPackedAnswer(t *testing.T) {
	k := newKit(t)
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		how, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/plain")
		switch string(how) {
		case "brotli":
			w.Header().Set("Content-Encoding", "br")
			return
		case "fail":
			w.WriteHeader(http.StatusInternalServerError)
		}
		z := gzip.NewWriter(w)
		if string(how) == "stream" {
			_, _ = io.WriteString(z, "first")
			_ = errors.Join(z.Flush(), http.NewResponseController(w).Flush())
			<-r.Context().Done() // its caller has read the first piece
			return
		}
		_, _ = io.WriteString(z, "said plainly")
		if string(how) != "cut" {
			_ = z.Close()
		}
	})
	resp := k.send(call{body: strings.NewReader("all")})
	if got := k.text(resp); resp.StatusCode != 200 || got != "said plainly" || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("%d %q, %v", resp.StatusCode, got, resp.Header)
	}
	resp = k.send(call{body: strings.NewReader("stream")})
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Errorf("%q, %v", first, err)
	}
	_ = resp.Body.Close() // enough heard
	resp = k.send(call{body: strings.NewReader("cut")})
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("an answer that broke off is %q", got)
	}
	if text := k.refused(k.send(call{body: strings.NewReader("brotli")}), 424, "RuntimeClientError"); !strings.Contains(text, "The agent answered with Content-Encoding 'br'") {
		t.Errorf("refused with %q", text)
	}
	k.refused(k.send(call{body: strings.NewReader("fail")}), 424, "RuntimeClientError")
	k.logged("the agent answered 500 Internal Server Error: said plainly")
	k.logged("the agent's answer broke off: ")
}

// TestUnexecutable: whose agent cannot be executed is told what and why, and nothing of
// the sandbox's own name.
func TestUnexecutable(t *testing.T) {
	k := newKit(t)
	k.Engine.Fail = fmt.Errorf("start sandbox 0123456789abcdef: %w", &sandbox.CommandError{Reason: "/nope: not found in the guest"})
	if text, want := k.refused(k.send(call{}), 424, "RuntimeClientError"), "The agent cannot be started: /nope: not found in the guest"; text != want {
		t.Errorf("refused with %q, want %q", text, want)
	}
	k.logged("outcrop: session ended: it cannot be started: /nope: not found in the guest")
}
