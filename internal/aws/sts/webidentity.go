package sts

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/store"
)

// Issuers verify tokens by the issuer that they name. *jwt.Verifier is one.
type Issuers interface {
	VerifyIssued(ctx context.Context, token string, trust jwt.Trust, rules jwt.Rules) (*jwt.Token, error)
}

// Providers are the OpenID Connect providers of the account. *principal.Directory has
// them.
type Providers interface {
	OIDCProviderOf(ctx context.Context, issuer string) (principal.OIDCProvider, bool, error)
}

// The codes of what is wrong with an identity token.
const (
	codeToken       = "InvalidIdentityToken"
	codeExpired     = "ExpiredTokenException"
	codeUnreachable = "IDPCommunicationError"
	codeRejected    = "IDPRejectedClaim"
)

// maxIdentityToken bounds a token, in bytes, and maxSubject a subject, in characters
// (the model's clientTokenType and webIdentitySubjectType).
const (
	maxIdentityToken = 20000
	maxSubject       = 255
)

func badToken(format string, args ...any) *fault.Error {
	return fault.New(codeToken, http.StatusBadRequest, format, args...)
}

// identities verify tokens of the account's providers. They implement
// principal.Verifier.
type identities struct{ cfg Config }

var _ principal.Verifier = identities{}

// provider finds whose token an issuer's is: of a user pool of this server, which is an
// issuer under several names, whoever is registered under any.
func (i identities) provider(ctx context.Context, issuer string) (principal.OIDCProvider, bool, error) {
	p, ok, err := i.cfg.Providers.OIDCProviderOf(ctx, issuer)
	if ok || err != nil || i.cfg.Names == nil {
		return p, ok, err
	}
	names, err := i.cfg.Names(ctx, issuer)
	for _, name := range names {
		if err != nil || ok {
			break
		}
		p, ok, err = i.cfg.Providers.OIDCProviderOf(ctx, name)
	}
	return p, ok, err
}

// Verify implements principal.Verifier. Nothing is asked of an issuer that the account
// does not know: whoever makes up a token has no request made.
func (i identities) Verify(ctx context.Context, token string) (w principal.WebIdentity, err error) {
	var p principal.OIDCProvider
	var unread error
	named, own := "", false
	trust := func(issuer string) (at string, ok bool) {
		if named = issuer; issuer == "" {
			return "", false
		}
		if _, own, unread = i.cfg.Tokens.Named(ctx, issuer); own || unread != nil {
			return "", false
		}
		if p, ok, unread = i.provider(ctx, issuer); !ok || unread != nil {
			return "", false
		}
		return jwt.DiscoveryURL(p.Issuer)
	}
	t, err := i.cfg.Issuers.VerifyIssued(ctx, token, trust, jwt.Rules{MaxBytes: maxIdentityToken})
	if unread != nil {
		return w, unread
	}
	if own { // IAM guide, "Getting started with outbound identity federation"
		return w, badToken("A token of GetWebIdentityToken is for services elsewhere: roles of the account that it is of are not assumed by it").Because(err)
	}
	if err != nil {
		return w, refusal(err, named)
	}
	w = principal.WebIdentity{Provider: p.ARN, Host: p.Host, Issuer: t.Issuer, Subject: t.Subject}
	switch audience := intended(t); {
	case t.Subject == "":
		return w, badToken("Missing a required claim: sub")
	case len(t.Subject) > maxSubject:
		return w, badToken("The subject (sub) of the token has more than %d characters", maxSubject)
	case len(audience) == 0:
		return w, badToken("Missing a required claim: aud")
	default:
		for _, a := range audience {
			if slices.Contains(p.ClientIDs, a) {
				w.Audience = append(w.Audience, a)
			}
		}
	}
	if len(w.Audience) == 0 {
		return w, badToken("Incorrect token audience")
	}
	if err := i.standing(ctx, t); err != nil {
		return w, err
	}
	if w.Methods, err = texts(t.Claims, "amr"); err != nil {
		return w, err
	}
	return w, session(t.Claims, &w)
}

// standing asks an issuer that this server is whether its token still holds.
func (i identities) standing(ctx context.Context, t *jwt.Token) error {
	if i.cfg.Standing == nil {
		return nil
	}
	err := i.cfg.Standing(ctx, t)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Status < http.StatusInternalServerError {
		err = fault.New(codeRejected, http.StatusForbidden, "The identity provider rejected the token: %s", f.Message).Because(err)
	}
	return err
}

// intended is whom a token is for: the client that it was issued to where it says so, as
// at AWS, and its audience otherwise.
func intended(t *jwt.Token) []string {
	if azp, _ := t.Claims["azp"].(string); azp != "" {
		return []string{azp}
	}
	return t.Audience
}

// refusal words why a token is not valid, in STS's words where they are known. What an
// issuer that is not reached says of the network stays in the log.
func refusal(err error, issuer string) error {
	bad, ok := errors.AsType[*jwt.Invalid](err)
	if !ok {
		return err
	}
	var f *fault.Error
	switch bad.Reason {
	case jwt.Expired:
		f = fault.New(codeExpired, http.StatusBadRequest, "Token expired. Get a new identity token from the identity provider and then retry the request.")
	case jwt.Unavailable:
		f = fault.New(codeUnreachable, http.StatusBadRequest, "The identity provider %s could not be asked for its keys; the server's log says why. Retry the request.", plain(issuer))
	case jwt.Untrusted:
		f = badToken("No OpenIDConnect provider found in your account for %s", plain(issuer))
	case jwt.Malformed:
		f = badToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	case jwt.NoExpiry:
		f = badToken("Missing a required claim: exp")
	default:
		f = badToken("%s", string(bad.Reason))
	}
	return f.Because(err)
}

// plain cuts what a token says of itself to what can be shown in a line.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxSubject {
		s = string(r[:maxSubject]) + "..."
	}
	return s
}

// AssumeRoleWithWebIdentity makes a session of a role for whom a token speaks. Nobody has
// signed the call: the audit has it as the token's.
func (s *Service) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityRequest) (*sts.AssumeRoleWithWebIdentityResponse, error) {
	if !s.unsigned.Allow(auth.RequestFrom(ctx).SourceIP) {
		return nil, fault.New("Throttling", http.StatusBadRequest, "Rate exceeded: %d calls of AssumeRoleWithWebIdentity a second from one address, and %d from all. Retry more slowly", unsignedRate, unsignedTotal)
	}
	call := pipeline.From(ctx)
	call.About(wire.Text(in.RoleArn))
	if !call.Scope.Valid() {
		call.Scope = store.Scope{Account: s.cfg.Sessions.Account().ID, Region: s.cfg.Region}
	}
	made, who, err := s.cfg.Sessions.AssumeRoleWithWebIdentity(ctx, identities{s.cfg}, wire.Text(in.WebIdentityToken), principal.Assumption{
		Role: wire.Text(in.RoleArn), Name: wire.Text(in.RoleSessionName), Limits: limits(in.DurationSeconds, in.Policy, in.PolicyArns, nil, nil),
	})
	audience := strings.Join(who.Audience, " ")
	if who.Subject != "" && call.Principal.Kind == auth.Nobody {
		call.Principal.ARN = who.Provider + ":" + plain(audience) + ":" + plain(who.Subject) // as CloudTrail's principalId
	}
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleWithWebIdentityResponse{
		Credentials: credentials(made), AssumedRoleUser: &sts.AssumedRoleUser{Arn: &made.ARN, AssumedRoleId: &made.ID}, PackedPolicySize: packed(made),
		SourceIdentity: wire.Optional(made.SourceIdentity), Provider: &who.Issuer, SubjectFromWebIdentityToken: &who.Subject, Audience: &audience,
	}, nil
}
