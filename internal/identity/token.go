package identity

import (
	"context"
	"errors"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/workload"
)

// GetWorkloadAccessToken makes a token of an agent that works for nobody.
func (s *Service) GetWorkloadAccessToken(ctx context.Context, in *agentcore.GetWorkloadAccessTokenRequest) (*agentcore.GetWorkloadAccessTokenResponse, error) {
	token, err := s.token(ctx, *in.WorkloadName, workload.Claims{})
	if err != nil {
		return nil, err
	}
	return &agentcore.GetWorkloadAccessTokenResponse{WorkloadAccessToken: &token}, nil
}

// GetWorkloadAccessTokenForUserId makes a token for a user whom the caller vouches for.
func (s *Service) GetWorkloadAccessTokenForUserId(ctx context.Context, in *agentcore.GetWorkloadAccessTokenForUserIdRequest) (*agentcore.GetWorkloadAccessTokenForUserIdResponse, error) {
	token, err := s.token(ctx, *in.WorkloadName, workload.Claims{User: workload.User{Kind: workload.ByID, Name: *in.UserId}})
	if err != nil {
		return nil, err
	}
	return &agentcore.GetWorkloadAccessTokenForUserIdResponse{WorkloadAccessToken: &token}, nil
}

// GetWorkloadAccessTokenForJWT makes a token for the user whom a verified token of an
// issuer speaks for. That one is kept inside, to be exchanged for others. What conditions
// of policies ask about it was decided by what it says, which is verified here.
func (s *Service) GetWorkloadAccessTokenForJWT(ctx context.Context, in *agentcore.GetWorkloadAccessTokenForJWTRequest) (*agentcore.GetWorkloadAccessTokenForJWTResponse, error) {
	// Before the token, whose issuer is asked for its keys.
	if _, err := s.unlinked(ctx, *in.WorkloadName); err != nil {
		return nil, err
	}
	user, err := s.verify(ctx, *in.UserToken)
	if err != nil {
		return nil, err
	}
	token, err := s.token(ctx, *in.WorkloadName, workload.Claims{
		User: workload.User{Kind: workload.ByJWT, Issuer: user.Issuer, Name: user.Subject}, JWT: secret.NewString(*in.UserToken), Expires: user.Expires,
	})
	if err != nil {
		return nil, err
	}
	return &agentcore.GetWorkloadAccessTokenForJWTResponse{WorkloadAccessToken: &token}, nil
}

// verify verifies the token of a user; its audience is the caller's business
// (spec/identity.md 4.2).
func (s *Service) verify(ctx context.Context, token string) (*jwt.Token, error) {
	if pipeline.From(ctx).For != "" {
		return s.verified(token)
	}
	var trust jwt.Trust
	var unknown error
	if s.cfg.Trusted != nil {
		trust = func(issuer string) (at string, ok bool) {
			if at, ok = jwt.DiscoveryURL(issuer); ok {
				ok, unknown = s.cfg.Trusted(ctx, issuer, at)
			}
			return at, ok
		}
	}
	t, err := s.cfg.Verifier.VerifyIssued(ctx, token, trust, jwt.Rules{MaxBytes: jwt.MaxUserToken})
	if unknown != nil {
		return nil, unknown
	}
	if bad, ok := errors.AsType[*jwt.Invalid](err); ok {
		return nil, bad.Fault()
	}
	if err == nil && t.Subject == "" {
		return nil, fault.Validation("The user token names no subject (sub), so that it stands for nobody")
	}
	return t, err
}

// verified reads the token that somebody was let in with where the server itself calls:
// by its own rules that resource has verified it, which may know keys that nobody finds by
// the issuer's name.
func (s *Service) verified(token string) (*jwt.Token, error) {
	t, err := jwt.Claimed(token)
	switch {
	case err != nil || t.Subject == "" || t.Issuer == "":
		return nil, fault.Validation("The user token names no issuer or no subject (iss, sub), so that it stands for nobody").Because(err)
	case !t.Expires.IsZero() && !s.cfg.Now().Before(t.Expires):
		return nil, unauthorized("The user token has expired")
	}
	return t, nil
}

// token makes a token of the workload with that name.
func (s *Service) token(ctx context.Context, name string, c workload.Claims) (string, error) {
	i, err := s.unlinked(ctx, name)
	if err != nil {
		return "", err
	}
	c.Scope, c.Workload, c.Host = i.Scope, i.Name, i.Host
	token, err := s.cfg.Tokens.Make(ctx, c)
	return token.Reveal(), err
}

// unlinked reads a workload of the caller's that has no runtime or gateway: those get
// tokens from the platform alone (spec/identity.md 4.3), which calls for them.
func (s *Service) unlinked(ctx context.Context, name string) (workload.Identity, error) {
	call := pipeline.From(ctx)
	i, err := s.workload(ctx, call.Scope, name)
	if err == nil && i.Host != call.For {
		err = fault.Denied("WorkloadIdentity is linked to a service and cannot retrieve an access token by the caller")
	}
	return i, err
}
