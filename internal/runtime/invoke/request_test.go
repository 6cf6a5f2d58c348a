package invoke

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/store"
)

// FuzzSessionKey: whatever stands in the path, the key is of the caller's own
// account and region, or the caller is told.
func FuzzSessionKey(f *testing.F) {
	scope := store.Scope{Account: "111122223333", Region: "us-west-2"}
	for _, arn := range []string{runtime.ARN(scope, "a-0123456789"), "a-0123456789", "arn:", "arn:::::", "arn:aws:bedrock-agentcore:::runtime/",
		"arn:aws:bedrock-agentcore:us-west-2:999999999999:runtime/a-0123456789", "arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/a/b:c",
		"arn::bedrock-agentcore:us-west-2:111122223333:runtime/", "arn:aws-cn:bedrock-agentcore:us-west-2:111122223333:runtime/a-0123456789"} {
		f.Add(arn, "", "")
		f.Add(arn, "111122223333", "prod")
	}
	f.Fuzz(func(t *testing.T, arn, account, qualifier string) {
		key, err := sessionKey(&pipeline.Call{Scope: scope}, arn, account, qualifier, "s")
		if err != nil {
			if e := fault.From(err); e.Status != http.StatusBadRequest && e.Status != http.StatusNotFound {
				t.Errorf("%v", err)
			}
			return
		}
		if key.Scope != scope || key.Endpoint == "" || key.ID != "s" {
			t.Errorf("%+v", key)
		}
		if rest, is := strings.CutPrefix(arn, "arn:"); is {
			partition, rest, _ := strings.Cut(rest, ":")
			if partition == "" || key.Owner == "" || runtime.ARN(scope, key.Owner) != "arn:aws:"+rest {
				t.Errorf("%q became %+v", arn, key)
			}
		}
	})
}

func BenchmarkAgentRequest(b *testing.B) {
	call := &pipeline.Call{RequestID: "r", ContentLength: 2, Header: http.Header{
		"Authorization": {"AWS4-HMAC-SHA256 ..."}, "X-Tenant": {"acme"}, "User-Agent": {"Boto3"}, "X-Amz-Date": {"20260101T000000Z"}}}
	payload := io.NopCloser(strings.NewReader("hi"))
	detail := runtime.Detail{Headers: map[string]bool{"x-tenant": true}}
	b.ReportAllocs()
	for b.Loop() {
		m := &message{method: http.MethodPost, body: &payload, length: 2, header: http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}}
		if _, _, err := agentRequest(context.Background(), call, m, "s", detail); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzMCPSession: a name that we gave leads back to where it was given, and any other
// is left alone.
func FuzzMCPSession(f *testing.F) {
	platform := strings.Repeat("p", minSession)
	f.Add(platform, "server-1")
	f.Add(platform+":mcp:", ":mcp:")
	f.Add("short", "x")
	f.Add(strings.Repeat("%3A", 20), "é")
	f.Fuzz(func(t *testing.T, platform, server string) {
		name := joinMCP(platform, server)
		p, s, ok := splitMCP(name)
		if want := len(platform) >= minSession && len(platform) <= maxSession && server != ""; ok != want || ok && (p != platform || s != server) {
			t.Errorf("%q and %q became %q, and that %q, %q, %v", platform, server, name, p, s, ok)
		}
		if p, s, ok := splitMCP(platform); ok && joinMCP(p, s) != platform {
			t.Errorf("%q became %q, %q", platform, p, s)
		}
	})
}
