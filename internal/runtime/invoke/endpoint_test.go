package invoke

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/sessionurl"
	"github.com/outcrop/outcrop/internal/store"
)

func testKey() session.Key {
	return session.Key{Scope: store.Scope{Account: "111122223333", Region: "us-west-2"}, Owner: "agent-AbCdEfGh12", Endpoint: "DEFAULT", ID: "session-0123456789-0123456789-01234"}
}

// TestLabel: URLs that clients keep are good after a restart and an update of the
// server; sessions that differ in any part, or where one begins, have others.
func TestLabel(t *testing.T) {
	key := testKey()
	seen := map[string]bool{label(key): true}
	if !seen["ajr74zcd44ryd6cmy6ruw5w6ki"] {
		t.Errorf("label %q", label(key))
	}
	for _, change := range []func(*session.Key){
		func(k *session.Key) { k.Scope.Account = "111122223334" }, func(k *session.Key) { k.Scope.Region = "us-west-1" },
		func(k *session.Key) { k.Owner = "agent-AbCdEfGh13" }, func(k *session.Key) { k.Endpoint = "prod" }, func(k *session.Key) { k.ID += "x" },
		func(k *session.Key) { k.Owner, k.Endpoint = k.Owner+"D", k.Endpoint[1:] },
	} {
		other := testKey()
		change(&other)
		if seen[label(other)] {
			t.Errorf("%+v has another one's label", other)
		}
		seen[label(other)] = true
	}
}

// portCall is a call for a port of testKey's session.
func portCall(method, path, query string, header http.Header) (*pipeline.Call, *agentcore.InvokeAgentRuntimeSessionEndpointRequest) {
	return &pipeline.Call{Method: method, Path: sessionurl.Path + label(testKey()) + "/8100" + path, Query: query, Header: header, RequestID: "r"},
		&agentcore.InvokeAgentRuntimeSessionEndpointRequest{SessionLabel: new(label(testKey())), Port: new(int32(8100)), Path: new("x")}
}

// FuzzPortRequest: whatever a caller asks for goes to that port or is refused, and
// what proves who calls stays here.
func FuzzPortRequest(f *testing.F) {
	f.Add("GET", "/", "", "Connection", "close")
	f.Add("POST", "/a%2Fb;c", "X-Amz-Signature=1&a=%zz&X-amz-date=2&b", "Connection", "X-Own, Authorization")
	f.Add("GET", "/", "0X-AmZ-SignAture=&X%2DAmz%2dSignature=1;b", "Connection", "close")
	f.Add("GET", "//evil.example/", "", "Upgrade", "websocket")
	f.Add("GET", "@evil.example/", "x", "Transfer-Encoding", "chunked")
	f.Add("\r\nX", "/\r\n", "\r\n", "X-Own", "\r\nHost: x")
	f.Fuzz(func(t *testing.T, method, path, query, name, value string) {
		header := http.Header{"Authorization": {"AWS4-HMAC-SHA256 proof"}, "X-Amz-Security-Token": {"proof"}, "Cookie": {"proof"}}
		header.Add(name, value)
		call, in := portCall(method, path, query, header)
		req, err := portRequest(t.Context(), call, in, testKey(), runtime.Detail{})
		if err != nil {
			if s := fault.From(err).Status; s >= 500 {
				t.Errorf("%q %q: %v", method, path, err)
			}
			return
		}
		if req.URL.Host != "localhost:8100" || req.Host != "localhost:8100" || req.URL.User != nil || !strings.HasPrefix(req.URL.EscapedPath(), "/") {
			t.Errorf("%q goes to %q, %v", path, req.Host, req.URL)
		}
		for _, name := range []string{"Authorization", "X-Amz-Security-Token", "Cookie", "Transfer-Encoding", "Te"} {
			if v := req.Header.Values(name); len(v) > 0 {
				t.Errorf("%s: %q is passed on", name, v)
			}
		}
		passed, _ := url.ParseQuery(req.URL.RawQuery) // what it cannot read is no proof
		for name := range passed {
			if strings.HasPrefix(strings.ToLower(name), "x-amz-") {
				t.Errorf("the query %q is passed on as %q", query, req.URL.RawQuery)
			}
		}
	})
}

// BenchmarkPortRequest is what a request to a port costs before it is sent.
func BenchmarkPortRequest(b *testing.B) {
	call, in := portCall("GET", "/items/7", "page=2", http.Header{"Accept": {"*/*"}, "User-Agent": {"bench"}, "Authorization": {"AWS4-HMAC-SHA256"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := portRequest(b.Context(), call, in, testKey(), runtime.Detail{}); err != nil {
			b.Fatal(err)
		}
	}
}
