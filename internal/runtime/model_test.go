package runtime

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/telemetry"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it); got:\n%s", name, got)
	}
}

func TestLifecycle(t *testing.T) {
	n := func(v int32) *int32 { return &v }
	tests := []struct {
		name       string
		idle, life *int32
		wantIdle   int32
		wantLife   int32
		refused    bool
	}{
		{"nothing given", nil, nil, 900, 28800, false},
		{"only max", nil, n(3600), 900, 3600, false},
		{"only a short max", nil, n(120), 120, 120, false},
		{"only idle", n(60), nil, 60, 28800, false},
		{"only a long idle", n(28801), nil, 28801, 28800, true},
		{"both", n(60), n(60), 60, 60, false},
		{"the model's largest", n(1209600), n(1209600), 1209600, 1209600, false},
		{"idle above max", n(61), n(60), 61, 60, true},
	}
	for _, tt := range tests {
		l := &agentcorecontrol.LifecycleConfiguration{IdleRuntimeSessionTimeout: tt.idle, MaxLifetime: tt.life}
		if idle, life := lifecycle(l); idle != tt.wantIdle || life != tt.wantLife {
			t.Errorf("%s: %d, %d; want %d, %d", tt.name, idle, life, tt.wantIdle, tt.wantLife)
		}
		err := (&Service{}).check(&agentcorecontrol.UpdateAgentRuntimeRequest{LifecycleConfiguration: l})
		if tt.refused != (err != nil) {
			t.Errorf("%s: check = %v", tt.name, err)
		}
		if f := fault.From(err); err != nil && f.Message != "idleRuntimeSessionTimeout must be less than or equal to maxLifetime" {
			t.Errorf("%s: %q", tt.name, f.Message)
		}
	}
	if idle, life := lifecycle(nil); idle != 900 || life != 28800 {
		t.Errorf("absent: %d, %d", idle, life)
	}
}

// TestHeaders holds the allow-list's rules; the golden file has every
// restricted name of spec/runtime.md 2.6 and what each refusal says.
func TestHeaders(t *testing.T) {
	var b strings.Builder
	lists := [][]string{
		{"X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant"}, {"x-amzn-bedrock-agentcore-runtime-custom-tenant"}, {"X-Tenant", "Tenant_Id"},
		{"X-Tenant", "x-tenant"}, {"Authorization"}, {"authorization"}, {"X-Amz-Date"}, {"x-amz-anything"}, {"X-Amzn-Trace-Id"},
		{"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"}, {"X-Amzn-Bedrock-AgentCore-Runtime-Customer"}, {"Access-Control-Anything"}, {"X-Fine", "COOKIE"},
	}
	for _, list := range lists {
		verdict := "allowed"
		if err := checkHeaders(list, false); err != nil {
			verdict = fault.From(err).Message
		}
		fmt.Fprintf(&b, "%-60s %s\n", strings.Join(list, ", "), verdict)
	}
	b.WriteString("\nrestricted:\n")
	for _, name := range strings.Fields(restrictedHeaders) {
		for _, form := range []string{name, strings.ToUpper(name)} {
			err := checkHeaders([]string{form}, false)
			if !fault.Is(err, "ValidationException") {
				t.Errorf("%s is allowed", form)
			}
		}
		fmt.Fprintln(&b, name)
	}
	golden(t, "headers.txt", b.String())
}

// TestRestrictedHeadersAreAllThere: the names as the specification writes them.
func TestRestrictedHeadersAreAllThere(t *testing.T) {
	const spec = `Proxy-Authorization, WWW-Authenticate, Accept, Accept-Charset, Accept-Encoding, Accept-Language, Content-Type, Content-Length,
	Content-Encoding, Content-Language, Content-Location, Content-Range, Cache-Control, ETag, Expires, If-Match, If-Modified-Since, If-None-Match,
	If-Range, If-Unmodified-Since, Last-Modified, Pragma, Vary, Connection, Keep-Alive, Proxy-Connection, Upgrade, Host, User-Agent, Referer, From,
	Range, Accept-Ranges, Transfer-Encoding, TE, Trailer, Server, Date, Location, Retry-After, Set-Cookie, Cookie, Content-Security-Policy,
	Content-Security-Policy-Report-Only, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection, Referrer-Policy,
	Permissions-Policy, Cross-Origin-Embedder-Policy, Cross-Origin-Opener-Policy, Cross-Origin-Resource-Policy, Access-Control-Allow-Origin,
	Access-Control-Allow-Methods, Access-Control-Allow-Headers, Access-Control-Allow-Credentials, Access-Control-Expose-Headers,
	Access-Control-Max-Age, Access-Control-Request-Method, Access-Control-Request-Headers, Origin, Accept-CH, Accept-CH-Lifetime, DPR, Width,
	Viewport-Width, Downlink, ECT, RTT, Save-Data, Clear-Site-Data, Feature-Policy, Expect-CT, Public-Key-Pins, Public-Key-Pins-Report-Only, Via,
	Forwarded, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-IP, X-Requested-With, X-CSRF-Token, True-Client-IP, X-Client-IP,
	X-Cluster-Client-IP, X-Originating-IP, X-Source-IP, X-Original-URL, X-Original-Host, X-Rewrite-URL, CF-Ray, CF-Connecting-IP, X-Amz-Cf-Id,
	X-Cache, X-Served-By, Link, Sec-WebSocket-Key, Sec-WebSocket-Accept, Sec-WebSocket-Version, Sec-WebSocket-Protocol, Sec-WebSocket-Extensions`
	for _, name := range strings.FieldsFunc(spec, func(r rune) bool { return strings.ContainsRune(", \n\t", r) }) {
		if err := checkHeaders([]string{name}, false); !fault.Is(err, "ValidationException") {
			t.Errorf("%s is allowed", name)
		}
	}
}

func TestEnvironmentNames(t *testing.T) {
	for name, ok := range map[string]bool{"A": true, "a.b-c": true, "with space": true, "A=B": false, "=": false, "A\x00": false} {
		if err := (&Service{}).check(&agentcorecontrol.UpdateAgentRuntimeRequest{EnvironmentVariables: map[string]string{name: "v"}}); (err == nil) != ok {
			t.Errorf("name %q: %v", name, err)
		}
	}
	err := (&Service{}).check(&agentcorecontrol.UpdateAgentRuntimeRequest{EnvironmentVariables: map[string]string{"A": "v\x00"}})
	if f := fault.From(err); err == nil || f.Fields[0].Name != "environmentVariables" || strings.Contains(f.Message, "v\x00") {
		t.Errorf("NUL in a value: %v", err)
	}
}

// TestEnvironmentOrder: the platform's defaults, then its own, then the user's,
// of which only AWS_REGION does not win.
func TestEnvironmentOrder(t *testing.T) {
	key := session.Key{Scope: store.Scope{Account: "111122223333", Region: "us-west-2"}, Owner: "hello-0123456789", Endpoint: "DEFAULT", ID: "s"}
	got := merge([]string{"PATH=/bin", "PYTHONUNBUFFERED=1"}, platformEnv(runtimeDoc{Name: "hello"}, key), guestEnv("http://192.0.0.1:8642"),
		userEnv(map[string]string{
			"PATH": "/mine", "AWS_REGION": "mars", "AWS_DEFAULT_REGION": "moon", "B": "2", "A": "1=1", "EMPTY": "",
			"AWS_ENDPOINT_URL": "https://user.example",
		}))
	golden(t, "environment.txt", strings.Join(got, "\n")+"\n")
}

// TestA2AEnvironment: the SDK of A2A learns its URL and a port that is not its own.
func TestA2AEnvironment(t *testing.T) {
	const arn = "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/hello-0123456789"
	const here = "AGENTCORE_RUNTIME_URL=http://192.0.0.1:8642/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A111122223333%3Aruntime%2Fhello-0123456789/invocations/"
	a2a := &agentcorecontrol.ProtocolConfiguration{ServerProtocol: new(agentcorecontrol.ServerProtocolA2A)}
	moved := &agentcorecontrol.ProtocolConfiguration{ServerProtocol: new(agentcorecontrol.ServerProtocolA2A), Port: new(int32(9100))}
	for _, tt := range []struct {
		configured *agentcorecontrol.ProtocolConfiguration
		api, want  string
	}{
		{nil, "http://192.0.0.1:8642", ""},
		{a2a, "http://192.0.0.1:8642", here},
		{moved, "http://192.0.0.1:8642", "A2A_PORT=9100 " + here},
		{a2a, "", ""},
	} {
		if got := strings.Join(serverOf(tt.configured).env(tt.api, arn), " "); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := newID("a_b")
		name, random, ok := strings.Cut(id, "-")
		if !ok || name != "a_b" || len(random) != 10 || strings.Trim(random, idAlphabet) != "" {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d of 100 ids differ", len(seen))
	}
}

func TestSettled(t *testing.T) {
	moving := []string{"CREATING", "DELETING", "UPDATING"}
	var got []string
	for _, s := range []string{"CREATING", "CREATE_FAILED", "UPDATING", "UPDATE_FAILED", "READY", "DELETING", "DELETE_FAILED"} {
		if !settled(s) {
			got = append(got, s)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, moving) {
		t.Errorf("not settled: %v", got)
	}
}

func TestStartFault(t *testing.T) {
	texts := map[string]error{
		"Runtime initialization time exceeded. Please make sure that initialization completes in 30s.": StartFault(
			&session.StartError{Err: session.ErrNotReady, Limit: 30 * time.Second}),
		"Runtime exited with status 3 before it was ready. Please check your CloudWatch logs for more information.": StartFault(
			&session.StartError{Err: session.ErrExited, Exit: sandbox.Status{Cause: sandbox.Exited, Code: 3}}),
		"Runtime exited with status 137 before it was ready: it used more memory than it may (1.5 GiB). Please check your CloudWatch logs for more information.": StartFault(
			&session.StartError{Err: session.ErrExited, Exit: sandbox.Status{Cause: sandbox.OutOfMemory, Code: 137, Limit: 3 << 29}}),
	}
	for _, want := range slices.Sorted(maps.Keys(texts)) {
		if f := fault.From(texts[want]); f.Code != "RuntimeClientError" || f.Status != 424 || f.Message != want {
			t.Errorf("%+v, want %q", f, want)
		}
	}
}

func TestLogNames(t *testing.T) {
	if got := LogGroup("hello-0123456789", "DEFAULT"); got != "/aws/bedrock-agentcore/runtimes/hello-0123456789-DEFAULT" {
		t.Error(got)
	}
	// In UTC, whatever the clock's zone.
	at := time.Date(2026, 1, 2, 0, 30, 0, 0, time.FixedZone("", 3600))
	if got := LogStream(at, "s-1"); got != "2026/01/01/[runtime-logs]s-1" {
		t.Error(got)
	}
}

// lines keeps what is appended.
type lines []string

func (l *lines) Append(group telemetry.Group, stream string, _ time.Time, message string) {
	*l = append(*l, group.Name+" "+stream+" "+message)
}

// TestSessionNote: one line in the stream of a session that no process runs.
func TestSessionNote(t *testing.T) {
	var got lines
	now := func() time.Time { return time.Date(2026, 1, 2, 0, 30, 0, 0, time.UTC) }
	SessionNote(&got, now)(session.Key{Owner: "hello-0123456789", Endpoint: "DEFAULT", ID: "s-1"}, "session ended: it was pruned")
	const want = "/aws/bedrock-agentcore/runtimes/hello-0123456789-DEFAULT 2026/01/02/[runtime-logs]s-1 outcrop: session ended: it was pruned"
	if len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
}
