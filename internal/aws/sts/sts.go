// Package sts is the front of AWS STS: who the caller is, and the temporary
// credentials of sessions (package principal). That a caller may have them is decided
// before, by the operation's requirements and the role's trust policy; of those who
// come with an identity token and no credentials, by the token and that policy alone.
package sts

import (
	"context"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/throttle"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/federation"
	"github.com/outcrop/outcrop/internal/principal"
)

// Sessions makes sessions. *principal.Directory is one.
type Sessions interface {
	Account() principal.Account
	AssumeRole(ctx context.Context, caller auth.Principal, in principal.Assumption) (principal.Temporary, error)
	SessionToken(ctx context.Context, caller auth.Principal, duration time.Duration) (principal.Temporary, error)
	FederationToken(ctx context.Context, caller auth.Principal, name string, in principal.Limits) (principal.Temporary, error)
	AssumeRoleWithWebIdentity(ctx context.Context, v principal.Verifier, token string, in principal.Assumption) (principal.Temporary, principal.WebIdentity, error)
}

// Tokens signs tokens for the account's principals. *federation.Issuer does.
type Tokens interface {
	Token(ctx context.Context, r federation.Request) (federation.Token, error)
	// Named tells whether an issuer is the account.
	Named(ctx context.Context, issuer string) (jose.JSONWebKeySet, bool, error)
}

// Config is what a Service is made of. All but Names, Standing and Now are
// required.
type Config struct {
	Tokens    Tokens
	Sessions  Sessions
	Providers Providers
	Issuers   Issuers
	// Names returns all names of an issuer that this server is, none of another's. Nil
	// is none.
	Names func(ctx context.Context, issuer string) ([]string, error)
	// Standing refuses a verified token of an issuer that this server is, whose user or
	// sign-in is over. Nil refuses none.
	Standing func(ctx context.Context, t *jwt.Token) error
	// Region is where calls without a signature are, which name none.
	Region string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// unsignedRate is how many calls without a signature are answered in a second to one
// address: AWS's quota of an account in a region. unsignedTotal is how many to all.
const (
	unsignedRate  = 600
	unsignedTotal = 4 * unsignedRate
)

// Service implements the generated interface.
type Service struct {
	cfg      Config
	unsigned *throttle.Sources
}

var (
	_ sts.Identity = (*Service)(nil)
	_ Sessions     = (*principal.Directory)(nil)
	_ Providers    = (*principal.Directory)(nil)
	_ Issuers      = (*jwt.Verifier)(nil)
	_ Tokens       = (*federation.Issuer)(nil)
)

// New returns the front.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg, unsigned: throttle.NewSources(throttle.Rate{Second: unsignedRate, Burst: unsignedRate}, throttle.Rate{Second: unsignedTotal, Burst: unsignedTotal}, cfg.Now)}
}

// GetCallerIdentity answers with what the signature has proven.
func (*Service) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityRequest) (*sts.GetCallerIdentityResponse, error) {
	p := pipeline.From(ctx).Principal
	return &sts.GetCallerIdentityResponse{Account: &p.Account, Arn: &p.ARN, UserId: &p.UserID}, nil
}

// GetAccessKeyInfo returns the account of an access key, which its form tells: there
// is one account, and AWS does not say either whether the key exists.
func (s *Service) GetAccessKeyInfo(context.Context, *sts.GetAccessKeyInfoRequest) (*sts.GetAccessKeyInfoResponse, error) {
	id := s.cfg.Sessions.Account().ID
	return &sts.GetAccessKeyInfoResponse{Account: &id}, nil
}

// AssumeRole makes a session of a role.
func (s *Service) AssumeRole(ctx context.Context, in *sts.AssumeRoleRequest) (*sts.AssumeRoleResponse, error) {
	call := pipeline.From(ctx)
	if needs := inherited(call.Principal.Session, in); len(needs) > 0 {
		if err := call.Authorize(ctx, needs...); err != nil {
			return nil, err
		}
	}
	made, err := s.cfg.Sessions.AssumeRole(ctx, call.Principal, principal.Assumption{
		Role: wire.Text(in.RoleArn), Name: wire.Text(in.RoleSessionName), SourceIdentity: wire.Text(in.SourceIdentity),
		Limits: limits(in.DurationSeconds, in.Policy, in.PolicyArns, in.Tags, in.TransitiveTagKeys),
	})
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleResponse{
		Credentials: credentials(made), AssumedRoleUser: &sts.AssumedRoleUser{Arn: &made.ARN, AssumedRoleId: &made.ID},
		PackedPolicySize: packed(made), SourceIdentity: wire.Optional(made.SourceIdentity),
	}, nil
}

// inherited is what a chained session needs for what it takes along from the one before,
// as if the call had said it itself.
func inherited(from *auth.Session, in *sts.AssumeRoleRequest) (out []auth.Requirement) {
	if from == nil {
		return nil
	}
	role := wire.Text(in.RoleArn)
	if len(from.Transitive) > 0 && len(in.Tags) == 0 {
		out = append(out, auth.Requirement{Action: "sts:TagSession", Resource: role})
	}
	if from.SourceIdentity != "" && in.SourceIdentity == nil {
		out = append(out, auth.Requirement{Action: "sts:SetSourceIdentity", Resource: role})
	}
	return out
}

// GetSessionToken makes a session of the caller.
func (s *Service) GetSessionToken(ctx context.Context, in *sts.GetSessionTokenRequest) (*sts.GetSessionTokenResponse, error) {
	made, err := s.cfg.Sessions.SessionToken(ctx, pipeline.From(ctx).Principal, seconds(in.DurationSeconds))
	if err != nil {
		return nil, err
	}
	return &sts.GetSessionTokenResponse{Credentials: credentials(made)}, nil
}

// GetFederationToken makes a session for somebody whom the caller vouches for.
func (s *Service) GetFederationToken(ctx context.Context, in *sts.GetFederationTokenRequest) (*sts.GetFederationTokenResponse, error) {
	made, err := s.cfg.Sessions.FederationToken(ctx, pipeline.From(ctx).Principal, wire.Text(in.Name),
		limits(in.DurationSeconds, in.Policy, in.PolicyArns, in.Tags, nil))
	if err != nil {
		return nil, err
	}
	return &sts.GetFederationTokenResponse{
		Credentials: credentials(made), FederatedUser: &sts.FederatedUser{Arn: &made.ARN, FederatedUserId: &made.ID}, PackedPolicySize: packed(made),
	}, nil
}

func limits(duration *int32, policy *string, arns []sts.PolicyDescriptorType, tags []sts.Tag, transitive []string) principal.Limits {
	out := principal.Limits{Duration: seconds(duration), Policy: wire.Text(policy), Transitive: transitive}
	for _, a := range arns {
		out.PolicyARNs = append(out.PolicyARNs, wire.Text(a.Arn))
	}
	for _, t := range tags {
		out.Tags = append(out.Tags, principal.Tag{Key: wire.Text(t.Key), Value: wire.Text(t.Value)})
	}
	return out
}

func credentials(t principal.Temporary) *sts.Credentials {
	key, token, expires := t.Secret.Reveal(), t.SessionToken.Reveal(), t.Expires
	return &sts.Credentials{AccessKeyId: &t.AccessKeyID, SecretAccessKey: &key, SessionToken: &token, Expiration: &expires}
}

// packed is absent for a session without policies and tags, as at AWS.
func packed(t principal.Temporary) *int32 {
	if t.Packed == 0 {
		return nil
	}
	n := int32(t.Packed) // a percentage
	return &n
}

func seconds(n *int32) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}
