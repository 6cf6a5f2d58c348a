package identity_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/identity"
)

// workloadToken makes a workload identity and a token for a user by id; an empty one
// is nobody.
func (k *kit) workloadToken(name, user string, returns ...string) *string {
	k.Helper()
	ctx := k.Context()
	_, err := k.control.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{Name: &name, AllowedResourceOauth2ReturnUrls: returns})
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		k.Fatal(err)
	}
	if user == "" {
		out, err := k.data.GetWorkloadAccessToken(ctx, &data.GetWorkloadAccessTokenInput{WorkloadName: &name})
		if err != nil {
			k.Fatal(err)
		}
		return out.WorkloadAccessToken
	}
	out, err := k.data.GetWorkloadAccessTokenForUserId(ctx, &data.GetWorkloadAccessTokenForUserIdInput{WorkloadName: &name, UserId: &user})
	if err != nil {
		k.Fatal(err)
	}
	return out.WorkloadAccessToken
}

func TestAPIKeyProvider(t *testing.T) {
	k := newKit(t, nil)
	ctx, name := t.Context(), aws.String("maps")
	made, err := k.control.CreateApiKeyCredentialProvider(ctx, &control.CreateApiKeyCredentialProviderInput{Name: name, ApiKey: aws.String("k-1"), Tags: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:bedrock-agentcore:us-west-2:111122223333:token-vault/default/apikeycredentialprovider/maps"; *made.CredentialProviderArn != want {
		t.Errorf("%s, want %s", *made.CredentialProviderArn, want)
	}
	if !strings.HasPrefix(*made.ApiKeySecretArn.SecretArn, "arn:aws:secretsmanager:us-west-2:111122223333:secret:bedrock-agentcore-identity!default/apikey/maps-") || made.ApiKeySecretJsonKey != nil {
		t.Errorf("%+v", made)
	}
	_, err = k.control.CreateApiKeyCredentialProvider(ctx, &control.CreateApiKeyCredentialProviderInput{Name: name, ApiKey: aws.String("k-2")})
	k.refused(err, "ConflictException", "Credential provider with name: maps already exists")
	_, err = k.control.CreateApiKeyCredentialProvider(ctx, &control.CreateApiKeyCredentialProviderInput{Name: aws.String("empty")})
	k.refused(err, "ValidationException", "apiKey is required")
	tags, err := k.control.ListTagsForResource(ctx, &control.ListTagsForResourceInput{ResourceArn: made.CredentialProviderArn})
	if err != nil || tags.Tags["a"] != "b" {
		t.Errorf("%+v, %v", tags, err)
	}

	token := k.workloadToken("desk", "")
	read := func(want string) {
		t.Helper()
		got, err := k.data.GetResourceApiKey(ctx, &data.GetResourceApiKeyInput{WorkloadIdentityToken: token, ResourceCredentialProviderName: name})
		if err != nil || *got.ApiKey != want {
			t.Errorf("%+v, %v, want %s", got, err, want)
		}
	}
	read("k-1")
	if _, err := k.control.UpdateApiKeyCredentialProvider(ctx, &control.UpdateApiKeyCredentialProviderInput{Name: name, ApiKey: aws.String("k-3")}); err != nil {
		t.Fatal(err)
	}
	read("k-3")
	own := secretPrefix(scope) + "mine-abcdef"
	k.secrets.values[own] = `{"key":"k-4"}`
	ref := &types.SecretReference{SecretId: aws.String("mine-abcdef"), JsonKey: aws.String("key")}
	up, err := k.control.UpdateApiKeyCredentialProvider(ctx, &control.UpdateApiKeyCredentialProviderInput{Name: name, ApiKeySecretSource: types.SecretSourceTypeExternal, ApiKeySecretConfig: ref})
	if err != nil || *up.ApiKeySecretArn.SecretArn != own || *up.ApiKeySecretJsonKey != "key" || len(k.secrets.values) != 1 {
		t.Errorf("%+v, %v; %v", up, err, k.secrets.values)
	}
	read("k-4")
	got, err := k.control.GetApiKeyCredentialProvider(ctx, &control.GetApiKeyCredentialProviderInput{Name: name})
	if err != nil || got.ApiKeySecretSource != types.SecretSourceTypeExternal || got.CreatedTime == nil {
		t.Errorf("%+v, %v", got, err)
	}
	list, err := k.control.ListApiKeyCredentialProviders(ctx, &control.ListApiKeyCredentialProvidersInput{})
	if err != nil || len(list.CredentialProviders) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := k.control.DeleteApiKeyCredentialProvider(ctx, &control.DeleteApiKeyCredentialProviderInput{Name: name}); err != nil {
		t.Fatal(err)
	}
	if k.secrets.values[own] == "" {
		t.Error("a secret of the account's own went with the provider")
	}
	_, err = k.data.GetResourceApiKey(ctx, &data.GetResourceApiKeyInput{WorkloadIdentityToken: token, ResourceCredentialProviderName: name})
	k.refused(err, "ResourceNotFoundException", "maps not found")
}

func TestAPIKeyRefusals(t *testing.T) {
	k := newKit(t, nil)
	ctx, name := t.Context(), aws.String("maps")
	for i := range 50 {
		if _, err := k.control.CreateApiKeyCredentialProvider(ctx, &control.CreateApiKeyCredentialProviderInput{Name: aws.String(fmt.Sprint("maps", i)), ApiKey: aws.String("k")}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := k.control.CreateApiKeyCredentialProvider(ctx, &control.CreateApiKeyCredentialProviderInput{Name: name, ApiKey: aws.String("k")})
	k.refused(err, "ServiceQuotaExceededException", "Region us-west-2 has as many API key credential providers as it may have: 50 of 50. Delete some first; the limit cannot be raised")
	if len(k.secrets.values) != 50 {
		t.Errorf("%d secrets", len(k.secrets.values))
	}

	name = aws.String("maps0")
	token := k.workloadToken("desk", "")
	ask := func(c *data.Client, token string) error {
		_, err := c.GetResourceApiKey(ctx, &data.GetResourceApiKeyInput{WorkloadIdentityToken: &token, ResourceCredentialProviderName: name})
		return err
	}
	k.refused(ask(k.data, "forged"), "UnauthorizedException", "not valid")
	k.refused(ask(k.as(otherID), *token), "AccessDeniedException", "another account")
	k.skew = 2 * 3600e9
	k.refused(ask(k.data, *token), "UnauthorizedException", "expired")
	k.skew = 0

	// Every one of the four resources must be allowed (spec/identity.md 10.2).
	const base = "arn:aws:bedrock-agentcore:us-west-2:111122223333:"
	all := []string{
		base + "workload-identity-directory/default", base + "workload-identity-directory/default/workload-identity/desk",
		base + "token-vault/default", base + "token-vault/default/apikeycredentialprovider/maps0",
	}
	for i, without := range append(all, "") {
		k.allow = nil
		for _, arn := range all {
			if arn != without {
				k.allow = append(k.allow, auth.Requirement{Action: "bedrock-agentcore:GetResourceApiKey", Resource: arn})
			}
		}
		err := ask(k.as(userID), *token)
		if i < len(all) {
			k.refused(err, "AccessDeniedException", "is not authorized to perform: bedrock-agentcore:GetResourceApiKey on resource: "+without+" because")
		} else if err != nil {
			t.Error(err)
		}
	}
	if _, err := k.control.DeleteWorkloadIdentity(ctx, &control.DeleteWorkloadIdentityInput{Name: aws.String("desk")}); err != nil {
		t.Fatal(err)
	}
	k.refused(ask(k.data, *token), "ResourceNotFoundException", "desk")
	resp, err := http.Get(k.url + "/identities/api-key")
	if err != nil || resp.StatusCode < 400 {
		t.Errorf("%v, %v", resp, err)
	}
}

// TestSecretUnderCustomersKey: who has the service read a secret needs the key that it
// is sealed under as well, as with Secrets Manager itself.
func TestSecretUnderCustomersKey(t *testing.T) {
	k := newKit(t, nil, func(c *identity.Config) { c.Strict = true })
	own := secretPrefix(scope) + "mine-abcdef"
	k.secrets.values[own], k.secrets.keys[own] = `{"key":"k-1"}`, keyARN
	all := []auth.Requirement{
		{Action: "bedrock-agentcore:*", Resource: "*"}, {Action: "secretsmanager:GetSecretValue", Resource: own}, {Action: "kms:Decrypt", Resource: keyARN},
	}
	in := control.CreateApiKeyCredentialProviderInput{
		Name: aws.String("maps"), ApiKeySecretSource: types.SecretSourceTypeExternal, ApiKeySecretConfig: &types.SecretReference{SecretId: &own, JsonKey: aws.String("key")},
	}
	create := func() error {
		_, err := k.controlAs(userID).CreateApiKeyCredentialProvider(t.Context(), &in)
		return err
	}
	token := k.workloadToken("desk", "")
	read := func() error {
		_, err := k.as(userID).GetResourceApiKey(t.Context(), &data.GetResourceApiKeyInput{WorkloadIdentityToken: token, ResourceCredentialProviderName: in.Name})
		return err
	}
	for _, step := range []func() error{create, read} {
		k.allow = all[:1]
		k.refused(step(), "AccessDeniedException", "secretsmanager:GetSecretValue on resource: "+own)
		k.allow = all[:2]
		k.refused(step(), "AccessDeniedException", "kms:Decrypt on resource: "+keyARN)
		k.allow = all
		if err := step(); err != nil {
			t.Error(err)
		}
	}
}

// TestUpdateMakesSecret: a provider whose secret was the account's own gets one of the
// service's by an update, for which its caller needs what a new provider would.
func TestUpdateMakesSecret(t *testing.T) {
	k := newKit(t, nil)
	own := secretPrefix(scope) + "mine-abcdef"
	k.secrets.values[own] = `{"key":"k-1"}`
	name := aws.String("maps")
	_, err := k.control.CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{
		Name: name, ApiKeySecretSource: types.SecretSourceTypeExternal, ApiKeySecretConfig: &types.SecretReference{SecretId: &own, JsonKey: aws.String("key")},
	})
	if err != nil {
		t.Fatal(err)
	}
	update := func() error {
		_, err := k.controlAs(userID).UpdateApiKeyCredentialProvider(t.Context(), &control.UpdateApiKeyCredentialProviderInput{Name: name, ApiKey: aws.String("k-2")})
		return err
	}
	k.allow = []auth.Requirement{{Action: "bedrock-agentcore:*", Resource: "*"}}
	made := secretPrefix(scope) + "bedrock-agentcore-identity!default/apikey/maps"
	k.refused(update(), "AccessDeniedException", "secretsmanager:CreateSecret on resource: "+made)
	if len(k.secrets.values) != 1 {
		t.Errorf("it was made: %d secrets", len(k.secrets.values))
	}
	k.allow = append(k.allow, auth.Requirement{Action: "secretsmanager:CreateSecret", Resource: made})
	if err := update(); err != nil {
		t.Error(err)
	}
}
