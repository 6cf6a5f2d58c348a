package invoke_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// TestAgentCard: it is the agent's own, with the URL at which its caller is.
func TestAgentCard(t *testing.T) {
	k := newKitOf(t, types.ServerProtocolA2a)
	card, seen := `{"name":"a","url":"http://localhost:9000/","skills":[{"id":"s"}]}`, ""
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Method + " " + r.Host + r.URL.Path + " " + r.Header.Get(sessionHeader)
		_, _ = io.WriteString(w, card)
	})
	out, err := k.Data.GetAgentCard(t.Context(), &bedrockagentcore.GetAgentCardInput{AgentRuntimeArn: aws.String(k.arn())})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"a","url":"` + k.URL + "/runtimes/" + url.QueryEscape(k.arn()) + `/invocations","skills":[{"id":"s"}]}`
	var got map[string]any
	if err := out.AgentCard.UnmarshalSmithyDocument(&got); err != nil || !same(t, got, want) {
		t.Errorf("%v, %v; want %s", got, err, want)
	}
	if *out.StatusCode != 200 || seen != "GET localhost:9000/.well-known/agent-card.json "+*out.RuntimeSessionId {
		t.Errorf("status %d, session %s; the agent saw %s", *out.StatusCode, *out.RuntimeSessionId, seen)
	}
	for name, text := range map[string]string{"no JSON": "<html>", "a list": "[]", "large": `{"a":"` + strings.Repeat("x", 1<<20) + `"}`} {
		card = text
		resp := k.send(call{method: http.MethodGet, path: "/.well-known/agent-card.json"})
		if got := k.refused(resp, 424, "RuntimeClientError"); !strings.Contains(got, "The agent's card") {
			t.Errorf("%s: %s", name, got)
		}
	}
	other := newKit(t)
	resp := other.send(call{method: http.MethodGet, path: "/.well-known/agent-card.json"})
	if text := other.refused(resp, 400, "ValidationException"); !strings.Contains(text, "speaks HTTP; only agents that speak A2A have a card") || other.Engine.Starts() != 0 {
		t.Errorf("%s, %d sandboxes", text, other.Engine.Starts())
	}
}

// same compares a document with JSON.
func same(t *testing.T, got map[string]any, want string) bool {
	t.Helper()
	var w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	g, err := document.NewLazyDocument(got).MarshalSmithyDocument()
	if err != nil {
		t.Fatal(err)
	}
	var again any
	if err := json.Unmarshal(g, &again); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(again)
	b, _ := json.Marshal(w)
	return string(a) == string(b)
}

// TestPathsOfA2A: what is below the invocations' URL is below the agent's root.
func TestPathsOfA2A(t *testing.T) {
	k := newKitOf(t, types.ServerProtocolA2a, "A2A-Version")
	k.agent(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, strings.Join([]string{r.Method, r.RequestURI, r.Header.Get("A2a-Version"), r.Header.Get("Content-Type"), string(body)}, "|"))
	})
	header := func() http.Header {
		return http.Header{"A2a-Version": {"1.0"}, "Content-Type": {"application/json"}}
	}
	for _, tt := range []struct {
		call
		want string
	}{
		{call{path: "/", body: strings.NewReader("{}")}, "POST|/|1.0|application/json|{}"},
		{call{path: "/message:send", body: strings.NewReader("{}")}, "POST|/message:send|1.0|application/json|{}"},
		{call{method: http.MethodGet, path: "/tasks/a%20b", query: "?historyLength=3&qualifier=DEFAULT&X-Amzn-Other=1"}, "GET|/tasks/a%20b?historyLength=3|1.0||"},
		{call{method: http.MethodDelete, path: "/tasks/1/pushNotificationConfigs/2"}, "DELETE|/tasks/1/pushNotificationConfigs/2|1.0||"},
		{call{method: http.MethodGet, path: "/.well-known/agent.json"}, "GET|/.well-known/agent.json|1.0||"},
		{call{method: http.MethodGet, path: "/tasks/a%2F..%2Fb%3Fc"}, "GET|/tasks/a%2F..%2Fb%3Fc|1.0||"},
		{call{method: http.MethodGet, path: "/ping/"}, "GET|/ping/|1.0||"},
	} {
		tt.header = header()
		if tt.method == http.MethodGet || tt.method == http.MethodDelete {
			tt.header.Del("Content-Type")
		}
		resp := k.send(tt.call)
		if got := k.text(resp); resp.StatusCode != 200 || got != tt.want {
			t.Errorf("%s %s: %d %s, want %s", tt.method, tt.path, resp.StatusCode, got, tt.want)
		}
	}
	k.refused(k.send(call{method: http.MethodGet, path: "/.well-known/oauth-protected-resource"}), 404, "ResourceNotFoundException")
	other := newKitOf(t, types.ServerProtocolMcp)
	other.refused(other.send(call{path: "/tasks", body: strings.NewReader("{}")}), 404, "UnknownOperationException")
	if n := other.Engine.Starts(); n != 0 {
		t.Errorf("%d sandboxes", n)
	}
}
