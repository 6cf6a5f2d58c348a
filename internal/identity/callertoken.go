package identity

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/federation"
	"github.com/outcrop/outcrop/internal/secret"
)

// CallerTokens signs tokens that say who calls. *federation.Issuer does.
type CallerTokens interface {
	Token(ctx context.Context, r federation.Request) (federation.Token, error)
}

// proofAlgorithm signs the tokens by which callers prove themselves: that which the
// starter toolkit lets roles have tokens of.
const proofAlgorithm = federation.ES384

// errNoProof is behind the refusal of a call whose caller gets no token.
var errNoProof = errors.New("the caller gets no token")

// proof is the token of STS's GetWebIdentityToken by which whoever calls is known to the
// service with a token endpoint (AgentCore guide, "Client authentication methods"). The
// caller must be allowed that operation.
func (s *Service) proof(ctx context.Context, p *oauthProvider, endpoint string) (secret.String, error) {
	if err := mayProve(ctx, endpoint); err != nil {
		return secret.String{}, err
	}
	call := pipeline.From(ctx)
	t, err := s.cfg.CallerTokens.Token(ctx, federation.Request{
		Principal: call.Principal, Region: call.Scope.Region, Audience: []string{endpoint}, Algorithm: proofAlgorithm,
	})
	if f, ok := errors.AsType[*fault.Error](err); ok {
		err = errors.Join(errNoProof, err)
		err = fault.Validation("Credential provider '%s' needs a token of the caller (AWS_IAM_ID_TOKEN_JWT), which cannot be made: %s", p.ID, f.Message).Because(err)
	}
	return t.Text, err
}

func mayProve(ctx context.Context, endpoint string) error {
	return pipeline.From(ctx).Authorize(auth.WithKeys(ctx, map[string][]string{
		"sts:identitytokenaudience": {endpoint}, "sts:signingalgorithm": {proofAlgorithm}, "sts:durationseconds": {"300"},
	}), auth.Requirement{Action: "sts:GetWebIdentityToken", Resource: "*"})
}

// prover is whose token proves a provider's client, empty where something else does.
// That one must be allowed to prove itself, also where a token is kept that another
// session of its role was given, whose tags and source identity are the same.
func (s *Service) prover(ctx context.Context, p *oauthProvider) (string, error) {
	if !p.Spec.byCaller() {
		return "", nil
	}
	at, err := s.server(ctx, p)
	if err == nil {
		err = mayProve(ctx, at.TokenEndpoint)
	}
	if err != nil {
		return "", err
	}
	return federation.Bearer(pipeline.From(ctx).Principal)
}
