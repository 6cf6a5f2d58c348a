package identity_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	dt "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	fed "github.com/outcrop/outcrop/internal/federation"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/secret"
)

// callerTokens write down whom they are for, in place of a signature.
type callerTokens struct{ off bool }

func (c *callerTokens) Token(_ context.Context, r fed.Request) (fed.Token, error) {
	if c.off {
		return fed.Token{}, fault.New("OutboundWebIdentityFederationDisabledException", http.StatusForbidden, "It is off")
	}
	text, err := json.Marshal([]string{fed.Subject(r.Principal), r.Region, strings.Join(r.Audience, " "), r.Algorithm})
	return fed.Token{Text: secret.NewString(string(text)), Expires: time.Now().Add(r.Life)}, err
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// TestCallerToken proves a client by a token of whoever calls: with no secret and no id,
// for the one alone that it is of, and only where that one may have such tokens.
func TestCallerToken(t *testing.T) {
	tokens := &callerTokens{}
	k, v := newKit(t, users{"a.b.c": ann()}, func(c *identity.Config) { c.CallerTokens = tokens }), newVendor(t)
	byCaller := func(c *types.CustomOauth2ProviderConfigInput) {
		c.ClientId, c.ClientSecret, c.ClientAuthenticationMethod = nil, nil, types.ClientAuthenticationMethodTypeAwsIamIdTokenJwt
	}
	k.custom("svc", v, byCaller)
	got, err := k.control.GetOauth2CredentialProvider(t.Context(), &control.GetOauth2CredentialProviderInput{Name: aws.String("svc")})
	if err != nil || got.Oauth2ProviderConfigOutput.(*types.Oauth2ProviderConfigOutputMemberCustomOauth2ProviderConfig).Value.ClientAuthenticationMethod != types.ClientAuthenticationMethodTypeAwsIamIdTokenJwt || got.ClientSecretArn != nil {
		t.Errorf("%+v, %v", got, err)
	}
	token := k.workloadToken("desk", "")
	proof := func(who string) string {
		return `["arn:aws:iam::111122223333:` + who + `","us-west-2","` + v.URL + `/token","ES384"]`
	}
	if _, err := k.m2m(token, nil); err != nil {
		t.Fatal(err)
	}
	wantForm(t, v.last(t), map[string]string{"grant_type": "client_credentials", "client_id": "-", "client_assertion_type": assertionType, "client_assertion": proof("root"), "scope": "read write"})
	if v.basics[0] != ":" {
		t.Errorf("basic besides: %s", v.basics[0])
	}
	same, err := k.m2m(token, nil)
	if err != nil || *same.AccessToken != "at-1" || v.count() != 1 {
		t.Errorf("it is not kept: %v, %d", err, v.count())
	}

	// Another caller gets one of its own, if it may be known there.
	in := &data.GetResourceOauth2TokenInput{WorkloadIdentityToken: token, ResourceCredentialProviderName: aws.String("svc"), Oauth2Flow: dt.Oauth2FlowTypeM2m, Scopes: []string{"read", "write"}}
	k.allow = []auth.Requirement{{Action: "bedrock-agentcore:*", Resource: "*"}}
	_, err = k.as(userID).GetResourceOauth2Token(t.Context(), in)
	k.refused(err, "AccessDeniedException", "sts:GetWebIdentityToken")
	k.allow = append(k.allow, auth.Requirement{Action: "sts:GetWebIdentityToken", Resource: "*"})
	other, err := k.as(userID).GetResourceOauth2Token(t.Context(), in)
	if err != nil || *other.AccessToken != "at-2" {
		t.Fatalf("%+v, %v", other, err)
	}
	wantForm(t, v.last(t), map[string]string{"client_assertion": proof("user/u")})
	k.deny = map[string]any{
		"Effect": "Deny", "Action": "sts:GetWebIdentityToken", "Resource": "*", "Condition": map[string]any{"StringEquals": map[string]any{"sts:IdentityTokenAudience": v.URL + "/token"}},
	}
	_, err = k.as(userID).GetResourceOauth2Token(t.Context(), in)
	k.refused(err, "AccessDeniedException", "sts:GetWebIdentityToken") // and the one that is kept is not handed out

	// The caller as who exchanges a user's token.
	made, err := k.data.GetWorkloadAccessTokenForJWT(t.Context(), &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: aws.String("desk"), UserToken: aws.String("a.b.c")})
	if err != nil {
		t.Fatal(err)
	}
	k.custom("behalf", v, func(c *types.CustomOauth2ProviderConfigInput) {
		byCaller(c)
		c.OnBehalfOfTokenExchangeConfig = &types.OnBehalfOfTokenExchangeConfigType{
			GrantType:                    types.OnBehalfOfTokenExchangeGrantTypeTypeTokenExchange,
			TokenExchangeGrantTypeConfig: &types.TokenExchangeGrantTypeConfigType{ActorTokenContent: types.ActorTokenContentTypeAwsIamIdTokenJwt},
		}
	})
	behalf := func() error {
		_, err := k.token(dt.Oauth2FlowTypeOnBehalfOfTokenExchange, made.WorkloadAccessToken, func(in *data.GetResourceOauth2TokenInput) { in.ResourceCredentialProviderName = aws.String("behalf") })
		return err
	}
	if err := behalf(); err != nil {
		t.Fatal(err)
	}
	wantForm(t, v.last(t), map[string]string{
		"subject_token": "a.b.c", "actor_token": proof("root"), "actor_token_type": "urn:ietf:params:oauth:token-type:jwt", "client_assertion": proof("root"), "client_assertion_type": assertionType,
	})

	// Where the account signs no tokens, the refusal says so, and nothing is asked.
	tokens.off = true
	n := v.count()
	k.refused(behalf(), "ValidationException", "'behalf' needs a token of the caller (AWS_IAM_ID_TOKEN_JWT), which cannot be made: It is off")
	if v.count() != n {
		t.Error("a refused call went out")
	}
}

// TestCallerTokenOfConsent: who completes a consent proves the client to the service, and
// who refreshes what came of it. Without such tokens the user is not asked again.
func TestCallerTokenOfConsent(t *testing.T) {
	tokens := &callerTokens{}
	k, v := newKit(t, nil, func(c *identity.Config) { c.CallerTokens = tokens }), newVendor(t)
	callback := k.custom("svc", v, func(c *types.CustomOauth2ProviderConfigInput) {
		c.ClientSecret, c.ClientAuthenticationMethod = nil, types.ClientAuthenticationMethodTypeAwsIamIdTokenJwt
	})
	f := &federation{kit: k, vendor: v, callback: callback, token: k.workloadToken("desk", "ann", returnURL), browser: browser(t)}
	f.ask(nil)
	f.back(f.begin(), "")
	k.allow = []auth.Requirement{{Action: "*", Resource: "*"}}
	if err := f.complete(k.as(userID), byID("ann")); err != nil {
		t.Fatal(err)
	}
	proof := func(who string) map[string]string {
		return map[string]string{"client_id": "client", "client_assertion_type": assertionType, "client_assertion": `["arn:aws:iam::111122223333:` + who + `","us-west-2","` + v.URL + `/token","ES384"]`}
	}
	wantForm(t, v.last(t), proof("user/u"))
	if got := f.ask(nil); got != "at-1" {
		t.Fatalf("got %q", got)
	}
	k.skew = 3600*time.Second - 59*time.Second
	f.token = k.workloadToken("desk", "ann")
	tokens.off = true
	_, err := k.token(dt.Oauth2FlowTypeUserFederation, f.token, withReturn)
	k.refused(err, "ValidationException", "It is off")
	tokens.off = false
	if got := f.ask(nil); got != "at-2" {
		t.Fatalf("got %q", got)
	}
	wantForm(t, v.last(t), proof("root"))
}
