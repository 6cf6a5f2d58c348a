package identity

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	dt "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestKeysOfKMS: a client proves itself to another project's issuer by a key of KMS,
// what it gets is in a vault under another one, and gone where that is.
func TestKeysOfKMS(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	issuer := issue(t)
	ctx, cp, dp := t.Context(), control.NewFromConfig(s.AWS()), data.NewFromConfig(s.AWS())
	cli := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(s.Run(t, nil, pinned.Program(t, "aws"), append(args, "--output", "text")...))
	}
	signer := cli("kms", "create-key", "--key-usage", "SIGN_VERIFY", "--key-spec", "ECC_NIST_P256", "--query", "KeyMetadata.Arn")
	der, err := base64.StdEncoding.DecodeString(cli("kms", "get-public-key", "--key-id", signer, "--query", "PublicKey"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	point, err := public.(*ecdsa.PublicKey).Bytes() // 4, X, Y
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{
		"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256", "grant_types": []string{"client_credentials"},
		"redirect_uris": []string{}, "response_types": []string{}, "scope": "api", "jwks": map[string]any{"keys": []any{map[string]string{
			"kty": "EC", "crv": "P-256", "use": "sig", "x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, issuer+"/reg", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	var client struct {
		ID string `json:"client_id"`
	}
	do(t, req, http.StatusCreated, &client)
	_, err = cp.CreateOauth2CredentialProvider(ctx, &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("svc"), CredentialProviderVendor: types.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: types.CustomOauth2ProviderConfigInput{
			OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: issuer + "/.well-known/openid-configuration"}, ClientId: &client.ID,
			ClientAuthenticationMethod: types.ClientAuthenticationMethodTypePrivateKeyJwt,
			PrivateKeyJwtConfig: &types.PrivateKeyJwtConfig{
				SigningAlgorithm: types.SigningAlgorithmEs256, PrivateKeySource: &types.PrivateKeySourceMemberKmsKeySource{Value: types.KmsKeySourceType{KmsKeyArn: &signer}},
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cp.CreateWorkloadIdentity(ctx, &control.CreateWorkloadIdentityInput{Name: aws.String("desk")}); err != nil {
		t.Fatal(err)
	}
	get := func() (string, error) {
		made, err := dp.GetWorkloadAccessToken(ctx, &data.GetWorkloadAccessTokenInput{WorkloadName: aws.String("desk")})
		if err != nil {
			t.Fatal(err)
		}
		out, err := dp.GetResourceOauth2Token(ctx, &data.GetResourceOauth2TokenInput{
			WorkloadIdentityToken: made.WorkloadAccessToken, ResourceCredentialProviderName: aws.String("svc"), Scopes: []string{"api"}, Oauth2Flow: dt.Oauth2FlowTypeM2m,
		})
		if err != nil {
			return "", err
		}
		return *out.AccessToken, nil
	}
	first, err := get()
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	same := func(when string) {
		t.Helper()
		if again, err := get(); err != nil || again != first {
			t.Errorf("%s there is another token: %v", when, err)
		}
	}
	vaultKey := cli("kms", "create-key", "--query", "KeyMetadata.Arn")
	_, err = cp.SetTokenVaultCMK(ctx, &control.SetTokenVaultCMKInput{KmsConfiguration: &types.KmsConfiguration{KeyType: types.KeyTypeCustomerManagedKey, KmsKeyArn: &signer}})
	if err == nil || !strings.Contains(err.Error(), "ValidationException: The key cannot be used") {
		t.Errorf("a vault under a key that signs: %v", err)
	}
	if _, err := cp.SetTokenVaultCMK(ctx, &control.SetTokenVaultCMKInput{KmsConfiguration: &types.KmsConfiguration{KeyType: types.KeyTypeCustomerManagedKey, KmsKeyArn: &vaultKey}}); err != nil {
		t.Fatal(err)
	}
	same("under a key of the customer's")
	s.Kill()
	s.Restart()
	same("after a restart")
	cli("kms", "disable-key", "--key-id", vaultKey)
	if _, err := get(); err == nil || !strings.Contains(err.Error(), "The key of the token vault cannot be used") {
		t.Errorf("under a key that is disabled: %v", err)
	}
	cli("kms", "enable-key", "--key-id", vaultKey)
	same("under a key that is enabled again")
	if _, err := cp.ResetTokenVaultKeyMaterial(ctx, &control.ResetTokenVaultKeyMaterialInput{TokenVaultId: aws.String("default")}); err == nil || !strings.Contains(err.Error(), "is still there") {
		t.Errorf("a vault was given up whose key is there: %v", err)
	}
}
