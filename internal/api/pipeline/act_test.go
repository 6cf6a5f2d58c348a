package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// TestAct: a call from inside goes the way of those from outside: policies decide, the
// input is validated, the audit tells; and an idempotency token of the call that led to it
// is not its own.
func TestAct(t *testing.T) {
	k := newKit(t)
	const gateway = "arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/g"
	svc := &agentcore.Service
	op := svc.Operation("GetResourceApiKey")
	k.serve["GetResourceApiKey"] = func(ctx context.Context, in any) (any, error) {
		if c := From(ctx); c.For != gateway {
			t.Errorf("it is for %s", c.For)
		}
		if _, ok := store.TokenFrom(ctx); ok {
			t.Error("it has another call's token")
		}
		From(ctx).Until = testTime.Add(time.Second)
		return &agentcore.GetResourceApiKeyResponse{ApiKey: new("k")}, nil
	}
	root := Actor{Principal: auth.Principal{Kind: auth.Root, Account: testAccount, ARN: auth.RootARN(testAccount)}, Scope: store.Scope{Account: testAccount, Region: testRegion}, For: gateway}
	in := &agentcore.GetResourceApiKeyRequest{WorkloadIdentityToken: new("t"), ResourceCredentialProviderName: new("p")}
	ctx := store.WithToken(t.Context(), store.Token{Scope: root.Scope, Operation: "x", Key: "0123456789012345678901234567890123"})

	out, until, err := k.Act(ctx, root, svc, op, in)
	if err != nil || *out.(*agentcore.GetResourceApiKeyResponse).ApiKey != "k" || !until.Equal(testTime.Add(time.Second)) {
		t.Fatalf("%v, %v, %v", out, until, err)
	}
	if r := k.audit.last(t); r.Event != "GetResourceApiKey" || r.SourceIP != actingService || r.UserAgent != actingService || r.Principal != root.Principal.ARN || k.audit.durable != 1 || len(r.Resources) != 3 {
		t.Errorf("%+v", r)
	}

	nobody := root
	nobody.Principal = auth.Principal{Kind: auth.User, Account: testAccount, ARN: "arn:aws:iam::" + testAccount + ":user/nobody"}
	_, _, err = k.Act(ctx, nobody, svc, op, in)
	if !fault.Is(err, "AccessDeniedException") || k.audit.last(t).ErrorCode != "AccessDeniedException" {
		t.Errorf("%v", err)
	}
	nobody.Requires = func([]auth.Requirement) []auth.Requirement {
		return []auth.Requirement{{Action: "bedrock-agentcore:Other", Resource: gateway}}
	}
	if _, _, err = k.Act(ctx, nobody, svc, op, in); !strings.Contains(fault.From(err).Message, "bedrock-agentcore:Other on resource: "+gateway) {
		t.Errorf("another action is required: %v", err)
	}
	_, _, err = k.Act(ctx, root, svc, op, &agentcore.GetResourceApiKeyRequest{WorkloadIdentityToken: new("t")})
	if !fault.Is(err, "ValidationException") {
		t.Errorf("%v", err)
	}
	k.audit.fail = errors.New("disk is full")
	if out, _, err = k.Act(ctx, root, svc, op, in); err == nil || out != nil {
		t.Errorf("a secret without a record: %v, %v", out, err)
	}
	k.serve["GetResourceApiKey"] = func(context.Context, any) (any, error) { panic("broken") }
	if _, _, err = k.Act(ctx, root, svc, op, in); fault.From(err).Status != 500 || !strings.Contains(k.log.String(), "broken") {
		t.Errorf("%v", err)
	}
}
