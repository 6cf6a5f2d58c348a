package pipeline

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/store"
)

// TestReplay answers a repeated token without the handler, refuses it for
// another request, and keeps the tokens of operations and regions apart.
func TestReplay(t *testing.T) {
	k := newKit(t)
	made := 0
	k.serve["CreateAgentRuntime"] = func(ctx context.Context, _ any) (any, error) {
		return store.Reply(ctx, k.cfg.Store, func(store.Tx) (*agentcorecontrol.CreateAgentRuntimeResponse, error) {
			made++
			return &agentcorecontrol.CreateAgentRuntimeResponse{AgentRuntimeId: str(fmt.Sprintf("hello-%d", made)), CreatedAt: &testTime}, nil
		})
	}
	const token = "0123456789-0123456789-0123456789-0"
	create := func(members string) (int, string) {
		w := k.call(t, "bedrock-agentcore", "PUT", "/runtimes/", fmt.Sprintf(goodRuntime, members))
		return w.Code, w.Body.String()
	}
	code, first := create(`,"clientToken":"` + token + `"`)
	if code != 202 || made != 1 {
		t.Fatalf("%d %s", code, first)
	}
	// The order of members and what nobody knows make no difference.
	for _, members := range []string{`,"clientToken":"` + token + `"`, `,"unknown":1,"description":null,"clientToken":"` + token + `"`} {
		if code, again := create(members); code != 202 || again != first || made != 1 || k.served != 1 {
			t.Errorf("%d %s, made %d, want %s", code, again, made, first)
		}
	}
	code, other := create(`,"description":"another","clientToken":"` + token + `"`)
	if code != 400 || !strings.Contains(other, `"reason":"IdempotentParameterMismatchException"`) || made != 1 {
		t.Errorf("%d %s", code, other)
	}
	if rec := k.audit.last(t); rec.ErrorCode != "ValidationException" {
		t.Errorf("%+v", rec)
	}
	if code, second := create(`,"clientToken":"` + token + `-2"`); code != 202 || second == first || made != 2 {
		t.Errorf("%d %s", code, second)
	}
	if code, third := create(""); code != 202 || made != 3 {
		t.Errorf("without a token: %d %s", code, third)
	}
}

// TestReplayByARN: a request is the same whether its resource is named by id or by ARN, and
// the handler sees what was sent.
func TestReplayByARN(t *testing.T) {
	k := newKit(t)
	var seen string
	k.serve["CreateGatewayTarget"] = func(ctx context.Context, in any) (any, error) {
		seen = *in.(*agentcorecontrol.CreateGatewayTargetRequest).GatewayIdentifier
		return store.Reply(ctx, k.cfg.Store, func(store.Tx) (*agentcorecontrol.CreateGatewayTargetResponse, error) {
			return &agentcorecontrol.CreateGatewayTargetResponse{TargetId: str("T")}, nil
		})
	}
	create := func(gateway, token string) (int, string) {
		w := k.call(t, "bedrock-agentcore", "POST", "/gateways/"+url.PathEscape(gateway)+"/targets/",
			`{"clientToken":"0123456789-0123456789-0123456789-`+token+`","targetConfiguration":{"mcp":{"mcpServer":{"endpoint":"https://example.com/mcp"}}}}`)
		return w.Code, w.Body.String()
	}
	const id, arn = "tools-0123456789", "arn:aws:bedrock-agentcore:" + testRegion + ":" + testAccount + ":gateway/"
	for token, names := range [][2]string{{id, arn + id}, {arn + id, id}} {
		for _, name := range names {
			if code, body := create(name, fmt.Sprint(token)); code != 202 {
				t.Errorf("%s: %d %s", name, code, body)
			}
		}
		if k.served != token+1 || seen != names[0] {
			t.Errorf("%d were served, the last of %s", k.served, seen)
		}
		if code, body := create(arn+"other-0123456789", fmt.Sprint(token)); code != 400 || !strings.Contains(body, "IdempotentParameterMismatchException") {
			t.Errorf("another gateway: %d %s", code, body)
		}
	}
}

// TestReplayIsAuthorized asks for permission before it looks for a reply.
func TestReplayIsAuthorized(t *testing.T) {
	k := newKit(t)
	k.serve["CreateAgentRuntime"] = func(ctx context.Context, _ any) (any, error) {
		return store.Reply(ctx, k.cfg.Store, func(store.Tx) (*agentcorecontrol.CreateAgentRuntimeResponse, error) {
			return &agentcorecontrol.CreateAgentRuntimeResponse{AgentRuntimeId: str("hello")}, nil
		})
	}
	body := fmt.Sprintf(goodRuntime, `,"clientToken":"0123456789-0123456789-0123456789-0"`)
	if w := k.call(t, "bedrock-agentcore", "PUT", "/runtimes/", body); w.Code != 202 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r := newRequest("PUT", "/runtimes/", body)
	r.Header.Set("Content-Type", "application/json")
	if w := k.do(signAs(t, r, "AKIDNOBODY", "bedrock-agentcore", body)); w.Code != 403 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestSessionIsNoToken lets an invocation happen each time: its session id has
// the trait of a token only so that SDKs fill it in.
func TestSessionIsNoToken(t *testing.T) {
	k := newKit(t)
	k.serve["InvokeAgentRuntime"] = func(ctx context.Context, _ any) (any, error) {
		if token, ok := store.TokenFrom(ctx); ok {
			t.Errorf("the invocation has the token %v", token)
		}
		return &agentcore.InvokeAgentRuntimeResponse{}, nil
	}
	for range 2 {
		r := newRequest("POST", invokePath, "{}")
		r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", strings.Repeat("s", 40))
		k.do(sign(t, r, "bedrock-agentcore", "{}"))
	}
	if k.served != 2 {
		t.Errorf("%d of 2 reached the handler", k.served)
	}
}

// TestTokenOfEveryOperation writes the canonical form of each input that has a
// token: two of its members must not have one name.
func TestTokenOfEveryOperation(t *testing.T) {
	n := 0
	for _, svc := range allServices() {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.Input < 0 {
				continue
			}
			seen := map[string]bool{}
			for _, m := range svc.Shape(op.Input).Members {
				if m.Token && m.Name == "clientToken" {
					n++
				}
				if seen[m.Wire] {
					t.Errorf("%s.%s: two members are called %s on the wire", svc.Name, op.Name, m.Wire)
				}
				seen[m.Wire] = true
			}
		}
	}
	t.Logf("%d operations have a token", n)
}
