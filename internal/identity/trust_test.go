package identity_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/outbound"
	"github.com/outcrop/outcrop/internal/store"
)

// bundles are by where they are.
type bundles map[string]string

func (b bundles) Object(_ context.Context, _ store.Scope, uri string, _ int64) ([]byte, error) {
	return []byte(b[uri]), nil
}

func (b bundles) Secret(_ context.Context, _ store.Scope, arn string) ([]byte, error) {
	if b[arn] == "" {
		return nil, fault.Validation("%s cannot be read: there is none", arn)
	}
	return []byte(b[arn]), nil
}

// TestAuthorities: a provider's server is trusted by the authorities that the provider
// names, which no other provider's is.
func TestAuthorities(t *testing.T) {
	v := newVendor(t)
	secure := httptest.NewTLSServer(v.Config.Handler)
	t.Cleanup(secure.Close)
	v.URL = secure.URL
	const arn = "arn:aws:secretsmanager:us-west-2:111122223333:secret:ca-abcdef"
	at := bundles{"s3://b/bad.pem": "nothing"}
	at["s3://b/ca.pem"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	at[arn] = at["s3://b/ca.pem"]
	var cfg identity.Config
	k := newKit(t, nil, func(c *identity.Config) {
		c.Bundles = at
		c.Trusting = func(bundle []byte) (*http.Client, error) {
			roots, err := outbound.Trusting(nil, bundle)
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
			t.Cleanup(client.CloseIdleConnections)
			return client, err
		}
		cfg = *c
	})
	service, ctx := identity.New(cfg), pipeline.WithCall(t.Context(), &pipeline.Call{Scope: scope, Principal: auth.Principal{Kind: auth.Root, Account: account}})
	config := func(c *agentcorecontrol.CertificateConfiguration) *agentcorecontrol.Oauth2ProviderConfigInput {
		in := &agentcorecontrol.CustomOauth2ProviderConfigInput{OauthDiscovery: &agentcorecontrol.Oauth2Discovery{DiscoveryUrl: new(v.discovery())}, ClientId: new("client"), ClientSecret: new("s3cret")}
		if c != nil {
			in.CertificateConfigurations = []agentcorecontrol.CertificateConfiguration{*c}
		}
		return &agentcorecontrol.Oauth2ProviderConfigInput{CustomOauth2ProviderConfig: in}
	}
	object := func(uri string, owner *string) *agentcorecontrol.CertificateConfiguration {
		return &agentcorecontrol.CertificateConfiguration{S3: &agentcorecontrol.S3CertificateConfiguration{Uri: &uri, BucketOwnerAccountId: owner}}
	}
	vault := func(arn string) *agentcorecontrol.CertificateConfiguration {
		return &agentcorecontrol.CertificateConfiguration{SecretsManager: &agentcorecontrol.SecretsManagerCertificateConfiguration{SecretArn: &arn}}
	}
	create := func(name string, c *agentcorecontrol.CertificateConfiguration) error {
		_, err := service.CreateOauth2CredentialProvider(ctx, &agentcorecontrol.CreateOauth2CredentialProviderRequest{Name: &name, CredentialProviderVendor: new("CustomOauth2"), Oauth2ProviderConfigInput: config(c)})
		return err
	}
	update := func(c *agentcorecontrol.CertificateConfiguration) {
		t.Helper()
		if _, err := service.UpdateOauth2CredentialProvider(ctx, &agentcorecontrol.UpdateOauth2CredentialProviderRequest{Name: new("svc"), CredentialProviderVendor: new("CustomOauth2"), Oauth2ProviderConfigInput: config(c)}); err != nil {
			t.Fatal(err)
		}
	}
	for want, c := range map[string]*agentcorecontrol.CertificateConfiguration{
		"the bundle has no PEM block of type CERTIFICATE": object("s3://b/bad.pem", nil),
		"is no s3://BUCKET/KEY":                           object("s3://b", nil),
		"is another account":                              object("s3://b/ca.pem", new("444455556666")),
		"there is none":                                   vault(strings.Replace(arn, "ca-", "xx-", 1)),
		"must have s3 or secretsManager":                  {},
	} {
		if err := create("bad", c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// Whoever makes a provider needs the right to read the bundle.
	user := pipeline.WithCall(t.Context(), &pipeline.Call{Scope: scope, Principal: auth.Principal{Kind: auth.User, Account: account}})
	for want, c := range map[string]*agentcorecontrol.CertificateConfiguration{"s3:GetObject": object("s3://b/ca.pem", nil), "secretsmanager:GetSecretValue": vault(arn)} {
		in := config(c)
		in.CustomOauth2ProviderConfig.ClientSecret, in.CustomOauth2ProviderConfig.ClientId = nil, nil
		_, err := service.CreateOauth2CredentialProvider(user, &agentcorecontrol.CreateOauth2CredentialProviderRequest{Name: new("bad"), CredentialProviderVendor: new("CustomOauth2"), Oauth2ProviderConfigInput: in})
		if !fault.Is(err, "AccessDeniedException") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// Policies that name the secret hold for who leaves out the letters at its end, too.
	if _, err := k.secrets.set(arn, at[arn])(nil); err != nil {
		t.Fatal(err)
	}
	_, err := service.CreateOauth2CredentialProvider(user, &agentcorecontrol.CreateOauth2CredentialProviderRequest{Name: new("bad"), CredentialProviderVendor: new("CustomOauth2"),
		Oauth2ProviderConfigInput: func() *agentcorecontrol.Oauth2ProviderConfigInput {
			in := config(vault(strings.TrimSuffix(arn, "-abcdef")))
			in.CustomOauth2ProviderConfig.ClientSecret, in.CustomOauth2ProviderConfig.ClientId = nil, nil
			return in
		}()})
	if err == nil || !strings.Contains(err.Error(), "on resource: "+arn) {
		t.Errorf("%v, want a refusal of %s", err, arn)
	}
	if err := create("svc", object("s3://b/ca.pem", nil)); err != nil {
		t.Fatal(err)
	}
	token := k.workloadToken("desk", "")
	if out, err := k.m2m(token, nil); err != nil || *out.AccessToken != "at-1" {
		t.Errorf("%+v, %v", out, err)
	}
	got, err := service.GetOauth2CredentialProvider(ctx, &agentcorecontrol.GetOauth2CredentialProviderRequest{Name: new("svc")})
	if err != nil || *got.Oauth2ProviderConfigOutput.CustomOauth2ProviderConfig.CertificateConfigurations[0].S3.Uri != "s3://b/ca.pem" {
		t.Errorf("%+v, %v", got, err)
	}
	fresh := func(in *data.GetResourceOauth2TokenInput) { in.ForceAuthentication = new(true) }
	update(nil)
	if _, err := k.m2m(token, fresh); err == nil {
		t.Error("what was left out is trusted still")
	}
	update(vault(arn))
	if _, err := k.m2m(token, fresh); err != nil {
		t.Error(err)
	}
}
