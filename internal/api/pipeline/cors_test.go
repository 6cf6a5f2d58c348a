package pipeline

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPreflight: browsers are told what pages may send to the data plane, and nothing
// of anything else.
func TestPreflight(t *testing.T) {
	k := newKit(t)
	const agent = "/runtimes/hello-0123456789/invocations"
	for _, tt := range []struct {
		name, host, target, origin, method, headers string
		methods                                     string // allowed; empty is none of it
		names                                       string
	}{
		{"invocation", "", agent + "?qualifier=DEFAULT", "https://page.example", "POST", "authorization,content-type,mcp-session-id", "DELETE, GET, POST", "authorization,content-type,mcp-session-id"},
		{"of AWS's host", "bedrock-agentcore.us-west-2.amazonaws.com", agent, "https://page.example", "GET", "", "DELETE, GET, POST", ""},
		{"card", "", agent + "/.well-known/agent-card.json", "null", "GET", "", "GET", ""},
		{"below", "", agent + "/tasks/1", "https://page.example", "DELETE", "a, b", "DELETE, GET, POST", "a, b"},
		{"a gateway", "", "/gw/g-0123456789/mcp", "http://localhost:6274", "POST", "authorization,content-type,mcp-protocol-version", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", "authorization,content-type,mcp-protocol-version"},
		{"a target of a gateway", "", "/gw/g-0123456789/t/x", "https://page.example", "PATCH", "", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", ""},
		{"no list", "", agent, "https://page.example", "POST", "a\tb", "DELETE, GET, POST", ""},
		{"a long list", "", agent, "https://page.example", "POST", strings.Repeat("a", 5000), "DELETE, GET, POST", ""},
		{"a method that is not there", "", agent, "https://page.example", "PATCH", "", "", ""},
		{"no method", "", agent, "https://page.example", "", "", "", ""},
		{"no origin", "", agent, "", "POST", "", "", ""},
		{"control plane", "", "/runtimes/hello-0123456789/", "https://page.example", "GET", "", "", ""},
		{"ports", "", "/_outcrop/sessions/ajr74zcd44ryd6cmy6ruw5w6ki/8100/x", "https://page.example", "POST", "", "", ""},
		{"nowhere", "", "/no/such/path", "https://page.example", "GET", "", "", ""},
		{"dots", "", "/runtimes/../runtimes/x/invocations", "https://page.example", "POST", "", "", ""},
		{"S3", "s3.us-west-2.amazonaws.com", "/runtimes/x/invocations", "https://page.example", "GET", "", "", ""},
		{"user pools", "", "/", "http://localhost:5173", "POST", "cache-control,content-type,X-Amz-Target", "POST", "cache-control,content-type,X-Amz-Target"},
		{"of AWS's name", "cognito-idp.us-west-2.amazonaws.com", "/", "https://page.example", "POST", "x-amz-target", "POST", "x-amz-target"},
		{"no target", "", "/", "https://page.example", "POST", "content-type,x-amz-targets", "", ""},
		{"read", "", "/", "https://page.example", "GET", "x-amz-target", "", ""},
		{"another path", "", "/x", "https://page.example", "POST", "x-amz-target", "", ""},
		{"KMS", "kms.us-west-2.amazonaws.com", "/", "https://page.example", "POST", "x-amz-target", "", ""},
		{"bucket", "b.s3.us-west-2.amazonaws.com", agent, "https://page.example", "POST", "", "", ""},
	} {
		r := httptest.NewRequest(http.MethodOptions, tt.target, nil)
		if tt.host != "" {
			r.Host = tt.host
		}
		for name, value := range map[string]string{"Origin": tt.origin, "Access-Control-Request-Method": tt.method, "Access-Control-Request-Headers": tt.headers} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		before := len(k.audit.records)
		w := k.do(r)
		h := w.Header()
		if tt.methods == "" {
			if w.Code < 400 || h.Get("Access-Control-Allow-Origin")+h.Get("Access-Control-Allow-Methods") != "" {
				t.Errorf("%s: %d %v", tt.name, w.Code, h)
			}
			continue
		}
		if w.Code != 200 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != tt.methods ||
			h.Get("Access-Control-Allow-Headers") != tt.names || h.Get("Access-Control-Max-Age") != "172800" || h.Get("Access-Control-Allow-Credentials") != "" || w.Body.Len() != 0 ||
			len(k.audit.records) != before {
			t.Errorf("%s: %d %v", tt.name, w.Code, h)
		}
	}
}

// TestCrossOriginPools: a page reads what user pools answer, and of other services that
// are called by the same header nothing.
func TestCrossOriginPools(t *testing.T) {
	k := newKit(t)
	for target, want := range map[string]string{
		"AWSCognitoIdentityProviderService.InitiateAuth": "*", "AWSCognitoIdentityProviderService.ListUserPools": "*", "AWSCognitoIdentityProviderService.ForgotPassword": "*",
		"AWSCognitoIdentityProviderService.Fly": "", "AmazonEC2ContainerRegistry_V20150921.ListImages": "", "TrentService.ListKeys": "",
	} {
		r := newRequest("POST", "/", "{}")
		r.Header.Set("Origin", "https://page.example")
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		if w := k.do(r); w.Header().Get("Access-Control-Allow-Origin") != want || w.Code < 400 {
			t.Errorf("%s: %d %v", target, w.Code, w.Header())
		}
	}
}

// TestCrossOrigin: a page reads the data plane's answers and refusals.
func TestCrossOrigin(t *testing.T) {
	k := newKit(t)
	for _, tt := range []struct {
		method, target, body string
		signed, shared       bool
	}{
		{"POST", "/runtimes/hello/invocations?accountId=111122223333", "{}", true, true},
		{"POST", "/runtimes/hello/invocations?accountId=1", "{}", true, true},
		{"POST", "/runtimes/hello/invocations", "{}", false, true},
		{"POST", "/runtimes/", "", true, false},
		{"GET", "/nothing", "", true, false},
	} {
		for _, origin := range []string{"https://page.example", ""} {
			r := newRequest(tt.method, tt.target, tt.body)
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			if tt.signed {
				r = sign(t, r, "bedrock-agentcore", tt.body)
			}
			h := k.do(r).Header()
			want := ""
			if tt.shared && origin != "" {
				want = "*"
			}
			if got := h.Get("Access-Control-Allow-Origin"); got != want || (h.Get("Access-Control-Expose-Headers") != "") != (want != "") {
				t.Errorf("%s %s from %q: %q, %v", tt.method, tt.target, origin, got, h)
			}
		}
	}
}
