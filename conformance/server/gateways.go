package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/go-jose/go-jose/v4"
)

// Gateway is one that is READY.
type Gateway struct {
	ID, URL string
	s       *Server
}

// Control is one client of the control plane for all, so that its connections are few.
func (s *Server) Control() *control.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.control == nil {
		s.control = control.NewFromConfig(s.AWS())
	}
	return s.control
}

// Gateway makes one of the server's own role. in needs no RoleArn.
func (s *Server) Gateway(in *control.CreateGatewayInput) *Gateway {
	s.t.Helper()
	in.RoleArn = aws.String("arn:aws:iam::" + s.Account + ":role/outcrop-default")
	api, ctx := s.Control(), s.t.Context()
	made, err := api.CreateGateway(ctx, in)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Until("gateway "+*in.Name+" is READY", func() bool {
		out, err := api.GetGateway(ctx, &control.GetGatewayInput{GatewayIdentifier: made.GatewayId})
		return err == nil && out.Status == types.GatewayStatusReady
	})
	return &Gateway{ID: *made.GatewayId, URL: *made.GatewayUrl, s: s}
}

// Settled makes a target and waits until it is worked out, whatever became of it.
func (g *Gateway) Settled(ctx context.Context, name string, is types.TargetConfiguration, shows ...types.CredentialProviderConfiguration) (*control.GetGatewayTargetOutput, error) {
	api := g.s.Control()
	made, err := api.CreateGatewayTarget(ctx, &control.CreateGatewayTargetInput{
		GatewayIdentifier: &g.ID, Name: &name, TargetConfiguration: is, CredentialProviderConfigurations: shows,
	})
	if err != nil {
		return nil, err
	}
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		out, err := api.GetGatewayTarget(ctx, &control.GetGatewayTargetInput{GatewayIdentifier: &g.ID, TargetId: made.TargetId})
		if err != nil || out.Status != types.TargetStatusCreating {
			return out, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return out, fmt.Errorf("target %s is still %s: %w", name, out.Status, ctx.Err())
		}
	}
}

// Target makes one that has to become READY.
func (g *Gateway) Target(name string, is types.TargetConfiguration, shows ...types.CredentialProviderConfiguration) {
	g.s.t.Helper()
	out, err := g.Settled(g.s.t.Context(), name, is, shows...)
	if err != nil {
		g.s.t.Fatal(err)
	}
	if out.Status != types.TargetStatusReady {
		g.s.t.Fatalf("target %s is %s: %s", name, out.Status, strings.Join(out.StatusReasons, "; "))
	}
}

// McpServer is the configuration of a target that is an MCP server.
func McpServer(endpoint string) types.TargetConfiguration {
	return &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberMcpServer{Value: types.McpServerTargetConfiguration{Endpoint: &endpoint}}}
}

// OpenAPI is that of one with a document.
func OpenAPI(document string) types.TargetConfiguration {
	return &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberOpenApiSchema{Value: &types.ApiSchemaConfigurationMemberInlinePayload{Value: document}}}
}

// Issuer publishes a key at its URL, and signs tokens with it.
type Issuer struct {
	URL    string
	signer jose.Signer
	keys   jose.JSONWebKeySet
}

// NewIssuer makes one whose handler will be served at a URL.
func NewIssuer(at string) (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	return &Issuer{at, signer, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256"}}}}, err
}

// ServeHTTP answers with the discovery document, or with the key.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var says any = map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	if r.URL.Path == "/keys" {
		says = i.keys
	}
	_ = json.NewEncoder(w).Encode(says)
}

// Token is of a user, for a client, and lives for an hour.
func (i *Issuer) Token(user, client string) (string, error) {
	claims, err := json.Marshal(map[string]any{"iss": i.URL, "sub": user, "client_id": client, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()})
	if err != nil {
		return "", err
	}
	signed, err := i.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// Authorizer has a gateway let in those with a token for the client.
func (i *Issuer) Authorizer(client string) types.AuthorizerConfiguration {
	return &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: aws.String(i.URL + "/.well-known/openid-configuration"), AllowedClients: []string{client},
	}}
}
