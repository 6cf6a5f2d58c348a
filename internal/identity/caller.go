package identity

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// caller is an agent that comes with its token.
type caller struct {
	workload.Claims
	identity workload.Identity
}

// open reads an agent's token and asks whether the caller may act as that agent. The
// rest of what an action requires is asked for before (spec/identity.md 10.2).
func (s *Service) open(ctx context.Context, action, token string) (caller, error) {
	call := pipeline.From(ctx)
	claims, err := s.cfg.Tokens.Open(ctx, token)
	switch {
	case errors.Is(err, workload.ErrToken):
		return caller{}, unauthorized("The workload access token is not valid").Because(err)
	case errors.Is(err, workload.ErrExpired):
		return caller{}, unauthorized("The workload access token has expired")
	case err != nil:
		return caller{}, err
	case claims.Scope != call.Scope:
		return caller{}, fault.Denied("The workload access token is of another account or region")
	}
	if claims.User, err = s.SameUser(ctx, claims.User); err != nil {
		return caller{}, err
	}
	arn := workload.ARN(claims.Scope, claims.Workload)
	if err := call.Authorize(ctx, auth.Requirement{Action: "bedrock-agentcore:" + action, Resource: arn}); err != nil {
		return caller{}, err
	}
	i, err := s.workload(ctx, claims.Scope, claims.Workload)
	if err == nil && i.Created.Truncate(1e9).After(claims.Issued) {
		err = unauthorized("The workload access token is of an identity that was deleted")
	}
	return caller{claims, i}, err
}

// SameUser is a user by the one name of their issuer.
func (s *Service) SameUser(ctx context.Context, u workload.User) (workload.User, error) {
	if u.Kind != workload.ByJWT || s.cfg.SameIssuer == nil {
		return u, nil
	}
	var err error
	u.Issuer, err = s.cfg.SameIssuer(ctx, u.Issuer)
	return u, err
}

func unauthorized(text string) *fault.Error {
	return fault.New("UnauthorizedException", http.StatusUnauthorized, "%s", text)
}

// mayRead asks of a strict server's caller what AWS asks: the right to read the secret
// itself (spec/identity.md 12.7). Of a gateway's role it is always asked, as the guide
// lists it (spec/gateway.md 4.3).
func (s *Service) mayRead(ctx context.Context, ref secretRef) error {
	if !s.cfg.Strict && pipeline.From(ctx).For == "" || ref.ARN == "" {
		return nil
	}
	return s.mayOpen(ctx, ref.ARN)
}

// mayOpen asks whether the caller may read the secret with an ARN, as Secrets Manager
// would: with the key of the account's own that it is sealed under, by way of that
// service (KMS guide, "How Secrets Manager uses KMS").
func (s *Service) mayOpen(ctx context.Context, arn string) error {
	call := pipeline.From(ctx)
	if err := call.Authorize(ctx, auth.Requirement{Action: "secretsmanager:GetSecretValue", Resource: arn}); err != nil {
		return err
	}
	key, err := s.cfg.Secrets.Key(ctx, call.Scope, arn)
	if err != nil || key == "" {
		return err
	}
	ctx = auth.WithKeys(ctx, map[string][]string{
		"kms:viaservice": {"secretsmanager." + call.Scope.Region + ".amazonaws.com"}, "kms:calleraccount": {call.Principal.Account},
		"kms:encryptioncontext:secretarn": {arn}, "kms:encryptioncontextkeys": {"SecretARN"},
		"kms:keyspec": {"SYMMETRIC_DEFAULT"}, "kms:keyusage": {"ENCRYPT_DECRYPT"}, // no other key seals
	})
	return call.Authorize(ctx, auth.Requirement{Action: "kms:Decrypt", Resource: key})
}

// GetResourceApiKey hands an agent the key of a provider.
func (s *Service) GetResourceApiKey(ctx context.Context, in *agentcore.GetResourceApiKeyRequest) (*agentcore.GetResourceApiKeyResponse, error) {
	c, err := s.open(ctx, "GetResourceApiKey", *in.WorkloadIdentityToken)
	if err != nil {
		return nil, err
	}
	var p apiKeyProvider
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		p, err = apiKeys.Get(r, c.Scope, *in.ResourceCredentialProviderName)
		return noProvider(err, *in.ResourceCredentialProviderName)
	})
	if err != nil {
		return nil, err
	}
	if err := s.mayRead(ctx, p.Spec.Secret); err != nil {
		return nil, err
	}
	key, err := s.reveal(ctx, c.Scope, p.ID, p.Spec.Secret)
	if err != nil {
		return nil, err
	}
	pipeline.From(ctx).Until = s.cfg.Now().Add(reuse)
	return &agentcore.GetResourceApiKeyResponse{ApiKey: new(key.Reveal())}, nil
}

// reuse is how long the server's own callers may use again what they were handed: so long
// after a change of a key, a provider or a policy they may act by what was before.
const reuse = 30 * time.Second
