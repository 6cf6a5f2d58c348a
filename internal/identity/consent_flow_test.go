package identity_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	dt "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/identity"
)

// TestConsentOfAnother: Mallory sends her link to Ann, who consents. Ann's application
// sees that it is Ann, and then nobody gets her token: Mallory knows the agent's name
// for the session alone, and the session is over.
func TestConsentOfAnother(t *testing.T) {
	const over = "Invalid or expired session"
	for name, other := range map[string]dt.UserIdentifier{
		"another user": byID("bob"), "of the same name, by an issuer": &dt.UserIdentifierMemberUserToken{Value: "a.b.c"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFederation(t) // for ann, by her id
			f.ask(nil)
			f.back(f.begin(), "")
			handle := f.handle
			f.handle = f.session
			f.refused(f.complete(f.data, byID("ann")), "AccessDeniedException", over)
			f.handle = handle
			for _, who := range []dt.UserIdentifier{other, byID("ann")} {
				f.refused(f.complete(f.data, who), "AccessDeniedException", over)
			}
			if got := f.poll(); got != "FAILED" || f.vendor.count() != 0 || f.rows() != 0 {
				t.Errorf("got %q, %d requests, %d tokens", got, f.vendor.count(), f.rows())
			}
		})
	}
}

// TestClaimsOfUsers: policies can ask about the token that a caller shows of a user, on
// each of the resources: to deny, and to allow. What nobody has signed is never more than
// allowed to be looked at.
func TestClaimsOfUsers(t *testing.T) {
	f := newFederation(t)
	const base = "arn:aws:bedrock-agentcore:us-west-2:111122223333:"
	const directory, desk, vault, svc = base + "workload-identity-directory/default", base + "workload-identity-directory/default/workload-identity/desk",
		base + "token-vault/default", base + "token-vault/default/oauth2credentialprovider/svc"
	f.allow = []auth.Requirement{{Action: "bedrock-agentcore:*", Resource: "*"}}
	made := func(user string) error {
		_, err := f.as(userID).GetWorkloadAccessTokenForJWT(t.Context(), &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: aws.String("desk"), UserToken: &user})
		return err
	}
	out, err := f.data.GetWorkloadAccessTokenForJWT(t.Context(), &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: aws.String("desk"), UserToken: aws.String("a.b.c")})
	if err != nil {
		t.Fatal(err)
	}
	f.token = out.WorkloadAccessToken
	annes, bobs := said(ann()), said(bob())
	f.ask(nil)
	f.back(f.begin(), "")
	ended := func(user string) error {
		return f.complete(f.as(userID), &dt.UserIdentifierMemberUserToken{Value: user})
	}
	for _, tt := range []struct {
		action string
		call   func(user string) error
		on     []string
	}{
		{"GetWorkloadAccessTokenForJWT", made, []string{directory, desk}},
		{"CompleteResourceTokenAuth", ended, []string{directory, desk, vault, svc}},
	} {
		for _, arn := range tt.on {
			f.deny = map[string]any{"Effect": "Deny", "Action": "*", "Resource": arn, "Condition": map[string]any{"StringEquals": map[string]any{
				"bedrock-agentcore:InboundJwtClaim/sub": "ann", "bedrock-agentcore:InboundJwtClaim/iss": "https://issuer",
			}}}
			f.refused(tt.call(annes), "AccessDeniedException", "bedrock-agentcore:"+tt.action+" on resource: "+arn+" with an explicit deny")
			f.deny["Condition"] = map[string]any{"StringNotEquals": map[string]any{"bedrock-agentcore:InboundJwtClaim/iss": "https://another"}}
			f.refused(tt.call(annes), "AccessDeniedException", "bedrock-agentcore:"+tt.action+" on resource: "+arn+" with an explicit deny")
		}
	}
	f.deny["Condition"] = map[string]any{"StringEquals": map[string]any{"bedrock-agentcore:InboundJwtClaim/sub": "ann"}}
	if err := made(bobs); err != nil {
		t.Errorf("another user: %v", err)
	}
	f.allow, f.deny = nil, map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": map[string]any{"StringEquals": map[string]any{
		"bedrock-agentcore:InboundJwtClaim/sub": "ann", "bedrock-agentcore:InboundJwtClaim/iss": "https://issuer",
	}}}
	for action, call := range map[string]func(string) error{"GetWorkloadAccessTokenForJWT": made, "CompleteResourceTokenAuth": ended} {
		for _, other := range []string{bobs, "a.b.c"} { // of which the second says nothing, though it is hers
			f.refused(call(other), "AccessDeniedException", "bedrock-agentcore:"+action+" on resource: "+directory+" because no identity-based policy allows")
		}
		f.refused(call(annes+"AA"), "UnauthorizedException", "")
		if err := call(annes); err != nil {
			t.Error(err)
		}
	}
}

// TestTrusted: tokens of issuers that the operator does not trust stand for nobody.
func TestTrusted(t *testing.T) {
	const good = "https://issuer/.well-known/openid-configuration"
	trusted := ""
	k := newKit(t, users{"a.b.c": ann()}, func(c *identity.Config) {
		c.Trusted = func(_ context.Context, issuer, at string) (bool, error) { return issuer == trusted && at == good, nil }
	})
	k.workloadToken("desk", "")
	made := func() error {
		_, err := k.data.GetWorkloadAccessTokenForJWT(t.Context(), &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: aws.String("desk"), UserToken: aws.String("a.b.c")})
		return err
	}
	k.refused(made(), "UnauthorizedException", "issuer is not trusted")
	trusted = "https://issuer"
	if err := made(); err != nil {
		t.Error(err)
	}
}
