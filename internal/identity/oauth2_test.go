package identity_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

func (k *kit) create(name string, vendor types.CredentialProviderVendorType, in types.Oauth2ProviderConfigInput) (*control.CreateOauth2CredentialProviderOutput, error) {
	return k.control.CreateOauth2CredentialProvider(k.Context(), &control.CreateOauth2CredentialProviderInput{Name: &name, CredentialProviderVendor: vendor, Oauth2ProviderConfigInput: in})
}

// TestVendors: every vendor has its member, and where its server is is told.
func TestVendors(t *testing.T) {
	k := newKit(t, nil)
	id, password := aws.String("id"), aws.String("pw")
	included := func(issuer string) types.Oauth2ProviderConfigInput {
		c := types.IncludedOauth2ProviderConfigInput{ClientId: id, ClientSecret: password}
		if issuer != "" {
			c.Issuer = &issuer
		}
		return &types.Oauth2ProviderConfigInputMemberIncludedOauth2ProviderConfig{Value: c}
	}
	own := map[types.CredentialProviderVendorType]types.Oauth2ProviderConfigInput{
		"GoogleOauth2":     &types.Oauth2ProviderConfigInputMemberGoogleOauth2ProviderConfig{Value: types.GoogleOauth2ProviderConfigInput{ClientId: id, ClientSecret: password}},
		"GithubOauth2":     &types.Oauth2ProviderConfigInputMemberGithubOauth2ProviderConfig{Value: types.GithubOauth2ProviderConfigInput{ClientId: id, ClientSecret: password}},
		"SlackOauth2":      &types.Oauth2ProviderConfigInputMemberSlackOauth2ProviderConfig{Value: types.SlackOauth2ProviderConfigInput{ClientId: id, ClientSecret: password}},
		"SalesforceOauth2": &types.Oauth2ProviderConfigInputMemberSalesforceOauth2ProviderConfig{Value: types.SalesforceOauth2ProviderConfigInput{ClientId: id, ClientSecret: password}},
		"AtlassianOauth2":  &types.Oauth2ProviderConfigInputMemberAtlassianOauth2ProviderConfig{Value: types.AtlassianOauth2ProviderConfigInput{ClientId: id, ClientSecret: password}},
		"LinkedinOauth2":   &types.Oauth2ProviderConfigInputMemberLinkedinOauth2ProviderConfig{Value: types.LinkedinOauth2ProviderConfigInput{ClientId: id, ClientSecret: password}},
		"MicrosoftOauth2":  &types.Oauth2ProviderConfigInputMemberMicrosoftOauth2ProviderConfig{Value: types.MicrosoftOauth2ProviderConfigInput{ClientId: id, ClientSecret: password, TenantId: aws.String("t1")}},
	}
	perTenant := " OktaOauth2 OneLoginOauth2 PingOneOauth2 CyberArkOauth2 FusionAuthOauth2 Auth0Oauth2 CognitoOauth2 "
	for _, vendor := range types.CredentialProviderVendorType("").Values() {
		if vendor == types.CredentialProviderVendorTypeCustomOauth2 {
			continue
		}
		in := own[vendor]
		if in == nil {
			issuer := ""
			if strings.Contains(perTenant, " "+string(vendor)+" ") {
				_, err := k.create("x"+string(vendor), vendor, included(""))
				k.refused(err, "ValidationException", "has a server for each tenant")
				issuer = "https://tenant.example"
			}
			in = included(issuer)
		}
		out, err := k.create(string(vendor), vendor, in)
		if err != nil {
			t.Errorf("%s: %v", vendor, err)
			continue
		}
		got, err := k.control.GetOauth2CredentialProvider(t.Context(), &control.GetOauth2CredentialProviderInput{Name: aws.String(string(vendor))})
		if err != nil || got.CredentialProviderVendor != vendor || got.Status != types.StatusReady || *got.CallbackUrl != *out.CallbackUrl || !strings.HasPrefix(*got.CallbackUrl, k.url+"/identities/oauth2/callback/") {
			t.Errorf("%s: %+v, %v", vendor, got, err)
		}
		if vendor == "MicrosoftOauth2" {
			m := got.Oauth2ProviderConfigOutput.(*types.Oauth2ProviderConfigOutputMemberMicrosoftOauth2ProviderConfig).Value.OauthDiscovery.(*types.Oauth2DiscoveryMemberAuthorizationServerMetadata).Value
			if *m.TokenEndpoint != "https://login.microsoftonline.com/t1/oauth2/v2.0/token" {
				t.Errorf("%s", *m.TokenEndpoint)
			}
		}
	}
	_, err := k.create("wrong", "GithubOauth2", own["GoogleOauth2"])
	k.refused(err, "ValidationException", "needs githubOauth2ProviderConfig, not googleOauth2ProviderConfig")
	_, err = k.create("GoogleOauth2", "GoogleOauth2", own["GoogleOauth2"])
	k.refused(err, "ConflictException", "Credential provider with name: GoogleOauth2 already exists")
	var names int
	pages := control.NewListOauth2CredentialProvidersPaginator(k.control, &control.ListOauth2CredentialProvidersInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names += len(page.CredentialProviders)
	}
	if names != 24 {
		t.Errorf("listed %d", names)
	}
}

// TestCustomRules are those of spec/identity.md 2.5.
func TestCustomRules(t *testing.T) {
	k, v := newKit(t, nil), newVendor(t)
	key := func(c *types.CustomOauth2ProviderConfigInput) *types.PrivateKeyJwtConfig {
		c.ClientSecret, c.ClientAuthenticationMethod = nil, types.ClientAuthenticationMethodTypePrivateKeyJwt
		c.PrivateKeyJwtConfig = &types.PrivateKeyJwtConfig{
			SigningAlgorithm: types.SigningAlgorithmEs256, PrivateKeySource: &types.PrivateKeySourceMemberKmsKeySource{Value: types.KmsKeySourceType{KmsKeyArn: aws.String(keyARN)}},
		}
		return c.PrivateKeyJwtConfig
	}
	exchange := func(c *types.CustomOauth2ProviderConfigInput, grant types.OnBehalfOfTokenExchangeGrantTypeType, t *types.TokenExchangeGrantTypeConfigType) {
		c.OnBehalfOfTokenExchangeConfig = &types.OnBehalfOfTokenExchangeConfigType{GrantType: grant, TokenExchangeGrantTypeConfig: t}
	}
	for want, change := range map[string]func(*types.CustomOauth2ProviderConfigInput){
		"needs clientId and clientSecret": func(c *types.CustomOauth2ProviderConfigInput) {
			c.ClientSecret, c.ClientAuthenticationMethod = nil, types.ClientAuthenticationMethodTypeClientSecretBasic
		},
		"needs clientId and privateKeyJwtConfig": func(c *types.CustomOauth2ProviderConfigInput) {
			c.ClientAuthenticationMethod = types.ClientAuthenticationMethodTypePrivateKeyJwt
		},
		"without clientAuthenticationMethod PRIVATE_KEY_JWT": func(c *types.CustomOauth2ProviderConfigInput) { key(c); c.ClientAuthenticationMethod = "" },
		"'alg' is reserved": func(c *types.CustomOauth2ProviderConfigInput) {
			key(c).AdditionalHeaderClaims = map[string]string{"alg": "none"}
		},
		"'iss' is reserved": func(c *types.CustomOauth2ProviderConfigInput) {
			key(c).AdditionalPayloadClaims = map[string]string{"iss": "x"}
		},
		"incompatible with key spec": func(c *types.CustomOauth2ProviderConfigInput) { key(c).SigningAlgorithm = types.SigningAlgorithmRs256 },
		"of another account or region": func(c *types.CustomOauth2ProviderConfigInput) {
			key(c).PrivateKeySource = &types.PrivateKeySourceMemberKmsKeySource{Value: types.KmsKeySourceType{KmsKeyArn: aws.String(strings.Replace(keyARN, "us-west-2", "eu-west-1", 1))}}
		},
		"needs tokenExchangeGrantTypeConfig": func(c *types.CustomOauth2ProviderConfigInput) { exchange(c, "TOKEN_EXCHANGE", nil) },
		"is given with grantType": func(c *types.CustomOauth2ProviderConfigInput) {
			exchange(c, "JWT_AUTHORIZATION_GRANT", &types.TokenExchangeGrantTypeConfigType{ActorTokenContent: "NONE"})
		},
		"for M2M alone": func(c *types.CustomOauth2ProviderConfigInput) {
			exchange(c, "TOKEN_EXCHANGE", &types.TokenExchangeGrantTypeConfigType{ActorTokenContent: "NONE", ActorTokenScopes: []string{"a"}})
		},
		"no secret is used": func(c *types.CustomOauth2ProviderConfigInput) {
			c.ClientAuthenticationMethod = types.ClientAuthenticationMethodTypeAwsIamIdTokenJwt
		},
		"--allow-private": func(c *types.CustomOauth2ProviderConfigInput) {
			c.PrivateEndpoint = &types.PrivateEndpointMemberSelfManagedLatticeResource{Value: &types.SelfManagedLatticeResourceMemberResourceConfigurationIdentifier{Value: "rcfg-0123456789abcdef0"}}
		},
		"There is no secret 'mine'": func(c *types.CustomOauth2ProviderConfigInput) {
			c.ClientSecret, c.ClientSecretSource = nil, types.SecretSourceTypeExternal
			c.ClientSecretConfig = &types.SecretReference{SecretId: aws.String("mine"), JsonKey: aws.String("k")}
		},
		"discoveryUrl": func(c *types.CustomOauth2ProviderConfigInput) {
			c.OauthDiscovery = &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: "https://user:pw@x/.well-known/openid-configuration"}
		},
		"authorizationEndpoint": func(c *types.CustomOauth2ProviderConfigInput) {
			c.OauthDiscovery = &types.Oauth2DiscoveryMemberAuthorizationServerMetadata{Value: types.Oauth2AuthorizationServerMetadata{
				Issuer: aws.String("https://x"), AuthorizationEndpoint: aws.String("javascript:alert(1)"), TokenEndpoint: aws.String("https://x/token"),
			}}
		},
	} {
		c := types.CustomOauth2ProviderConfigInput{OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: v.discovery()}, ClientId: aws.String("client"), ClientSecret: aws.String("s")}
		change(&c)
		_, err := k.create("bad", types.CredentialProviderVendorTypeCustomOauth2, &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: c})
		k.refused(err, "ValidationException", want)
	}
	if len(k.secrets.values) != 0 {
		t.Errorf("refused providers left %v", k.secrets.values)
	}
}

// TestTokenVaultKey: tokens go from the server's key to the customer's and back, and
// with it where it is gone.
func TestTokenVaultKey(t *testing.T) {
	k, v := newKit(t, nil), newVendor(t)
	ctx := t.Context()
	k.custom("svc", v, nil)
	token := k.workloadToken("desk", "")
	read := func(want string) {
		t.Helper()
		out, err := k.m2m(token, nil)
		if err != nil || *out.AccessToken != want {
			t.Errorf("%+v, %v, want %s", out, err, want)
		}
	}
	set := func(kind types.KeyType, arn *string) error {
		out, err := k.control.SetTokenVaultCMK(ctx, &control.SetTokenVaultCMKInput{KmsConfiguration: &types.KmsConfiguration{KeyType: kind, KmsKeyArn: arn}})
		if err == nil && (out.KmsConfiguration.KeyType != kind || *out.TokenVaultId != "default" || out.LastModifiedDate == nil) {
			t.Errorf("%+v", out)
		}
		return err
	}
	got, err := k.control.GetTokenVault(ctx, &control.GetTokenVaultInput{})
	if err != nil || got.KmsConfiguration.KeyType != types.KeyTypeServiceManagedKey || got.KmsConfiguration.KmsKeyArn != nil {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = k.control.GetTokenVault(ctx, &control.GetTokenVaultInput{TokenVaultId: aws.String("other")})
	k.refused(err, "ResourceNotFoundException", "'other' not found")
	k.refused(set(types.KeyTypeCustomerManagedKey, nil), "ValidationException", "kmsKeyArn is required")
	k.refused(set(types.KeyTypeCustomerManagedKey, aws.String(strings.Replace(keyARN, "us-west-2", "eu-west-1", 1))), "ValidationException", "another account or region")
	reset := func() error {
		_, err := k.control.ResetTokenVaultKeyMaterial(ctx, &control.ResetTokenVaultKeyMaterialInput{TokenVaultId: aws.String("default")})
		return err
	}
	k.refused(reset(), "ValidationException", "never gone")

	read("at-1")
	if err := set(types.KeyTypeCustomerManagedKey, aws.String(keyARN)); err != nil {
		t.Fatal(err)
	}
	read("at-1")
	k.refused(reset(), "ValidationException", "still there")
	if err := set(types.KeyTypeServiceManagedKey, nil); err != nil {
		t.Fatal(err)
	}
	k.keys.gone[keyARN] = true
	read("at-1") // nothing is under it any more
	k.refused(set(types.KeyTypeCustomerManagedKey, aws.String(keyARN)), "ValidationException", "does not exist")
	k.keys.gone[keyARN] = false
	if err := set(types.KeyTypeCustomerManagedKey, aws.String(keyARN)); err != nil {
		t.Fatal(err)
	}
	k.keys.gone[keyARN] = true
	_, err = k.m2m(token, nil)
	k.refused(err, "ValidationException", "The key of the token vault cannot be used")
	if err := reset(); err != nil || k.rows() != 0 {
		t.Errorf("%v, %d", err, k.rows())
	}
	read("at-2")
	if _, err := k.control.GetOauth2CredentialProvider(ctx, &control.GetOauth2CredentialProviderInput{Name: aws.String("svc")}); err != nil {
		t.Errorf("a provider went with the key: %v", err)
	}
}
