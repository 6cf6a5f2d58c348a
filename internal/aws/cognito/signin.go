package cognito

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
)

// The flows of the API, and the challenges of a temporary password and of SRP.
const (
	userPassword  = "USER_PASSWORD_AUTH"
	adminPassword = "ADMIN_USER_PASSWORD_AUTH"
	oldPassword   = "ADMIN_NO_SRP_AUTH" // its older name
	userSRP       = "USER_SRP_AUTH"
	refreshToken  = "REFRESH_TOKEN_AUTH"
	newPassword   = "NEW_PASSWORD_REQUIRED"
	verifier      = "PASSWORD_VERIFIER"

	userPrefix = "userAttributes."
)

// app is the client of a call without credentials, and its pool.
func (s *Service) app(ctx context.Context, id string) (issuer.Client, issuer.Pool, error) {
	c, err := s.pools.Client(ctx, id)
	if err != nil {
		return c, issuer.Pool{}, err
	}
	p, err := s.pools.Pool(ctx, c.PoolID)
	if err == nil {
		about(ctx, p, c.ID, "")
	}
	return c, p, err
}

// about says in the audit which pool, client and user a call is about. Of users it has
// the sub, and of names that are nobody's nothing: people type passwords there.
func about(ctx context.Context, p issuer.Pool, clientID, sub string) {
	call := pipeline.From(ctx)
	if !call.Scope.Valid() {
		call.Scope = p.Scope // whose call it is
	}
	call.About(p.ARN())
	if clientID != "" {
		call.About(p.ARN() + "/client/" + clientID)
	}
	if sub != "" {
		call.About(p.ARN() + "/user/" + sub)
	}
}

// outcome is what a step of a sign-in comes to: tokens or a challenge.
type outcome struct {
	tokens     *model.AuthenticationResultType
	challenge  *string
	session    *string
	parameters map[string]string
}

// InitiateAuth signs a user in.
func (s *Service) InitiateAuth(ctx context.Context, in *model.InitiateAuthRequest) (*model.InitiateAuthResponse, error) {
	c, p, err := s.app(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	flow := *in.AuthFlow
	if flow == adminPassword || flow == oldPassword {
		return nil, issuer.Invalid("Initiate Auth method not supported.")
	}
	o, err := s.signIn(ctx, p, c, flow, in.AuthParameters)
	if err != nil {
		return nil, err
	}
	return &model.InitiateAuthResponse{AuthenticationResult: o.tokens, ChallengeName: o.challenge, Session: o.session, ChallengeParameters: o.parameters}, nil
}

// AdminInitiateAuth does so for an administrator.
func (s *Service) AdminInitiateAuth(ctx context.Context, in *model.AdminInitiateAuthRequest) (*model.AdminInitiateAuthResponse, error) {
	p, c, err := s.administered(ctx, in.UserPoolId, in.ClientId)
	if err != nil {
		return nil, err
	}
	o, err := s.signIn(ctx, p, c, *in.AuthFlow, in.AuthParameters)
	if err != nil {
		return nil, err
	}
	return &model.AdminInitiateAuthResponse{AuthenticationResult: o.tokens, ChallengeName: o.challenge, Session: o.session, ChallengeParameters: o.parameters}, nil
}

func (s *Service) administered(ctx context.Context, poolID, clientID *string) (issuer.Pool, issuer.Client, error) {
	p, err := s.pool(ctx, poolID)
	if err != nil {
		return p, issuer.Client{}, err
	}
	c, err := s.pools.ClientOf(ctx, scopeOf(ctx), p.ID, wire.Text(clientID))
	if err == nil {
		about(ctx, p, c.ID, "")
	}
	return p, c, err
}

// signIn goes one flow.
func (s *Service) signIn(ctx context.Context, p issuer.Pool, c issuer.Client, flow string, parameters map[string]string) (outcome, error) {
	switch flow {
	case userPassword, adminPassword, oldPassword:
		allowed := c.Allows(flow) || flow == oldPassword && c.Allows(adminPassword) || flow == adminPassword && c.Allows(oldPassword)
		if !allowed {
			return outcome{}, issuer.Invalid("%s flow not enabled for this client", strings.TrimPrefix(flow, "ADMIN_"))
		}
		return s.byPassword(ctx, p, c, parameters)
	case refreshToken, "REFRESH_TOKEN":
		if !c.Allows(refreshToken) {
			return outcome{}, issuer.Invalid("Auth flow not enabled for this client")
		}
		return s.byRefreshToken(ctx, p, c, parameters)
	case userSRP:
		if !c.Allows(flow) {
			return outcome{}, issuer.Invalid("%s is not enabled for the client.", flow)
		}
		return s.bySRP(ctx, p, c, parameters)
	case "CUSTOM_AUTH":
		return outcome{}, issuer.Invalid("CUSTOM_AUTH is not available here, as pools call no functions; use USER_SRP_AUTH or USER_PASSWORD_AUTH")
	case "USER_AUTH":
		return outcome{}, issuer.Invalid("USER_AUTH is not available here, as a password is the only factor; use USER_SRP_AUTH or USER_PASSWORD_AUTH")
	}
	return outcome{}, issuer.Invalid("Unsupported AuthFlow %s", flow)
}

func (s *Service) byPassword(ctx context.Context, p issuer.Pool, c issuer.Client, parameters map[string]string) (outcome, error) {
	name, password := parameters["USERNAME"], parameters["PASSWORD"]
	switch {
	case name == "":
		return outcome{}, issuer.Invalid("Missing required parameter USERNAME")
	case password == "":
		return outcome{}, issuer.Invalid("Missing required parameter PASSWORD")
	}
	if err := s.pools.CheckSecretHash(ctx, c, name, parameters["SECRET_HASH"]); err != nil {
		return outcome{}, err
	}
	u, err := s.pools.Authenticate(ctx, p, name, secret.NewString(password))
	about(ctx, p, c.ID, u.Sub)
	if err != nil {
		if told, absent := issuer.Absent(err); absent && c.TellsUsers {
			return outcome{}, told
		}
		return outcome{}, err
	}
	return s.signedIn(ctx, p, c, u)
}

// signedIn is what comes of a password that is the user's.
func (s *Service) signedIn(ctx context.Context, p issuer.Pool, c issuer.Client, u issuer.User) (outcome, error) {
	if u.Status == issuer.MustChange {
		return s.challenge(ctx, p, c, u)
	}
	return s.tokens(ctx, p, c, u)
}

// challenge asks for a password of the user's own.
func (s *Service) challenge(ctx context.Context, p issuer.Pool, c issuer.Client, u issuer.User) (outcome, error) {
	session, err := s.pools.Challenge(ctx, p, c, u)
	if err != nil {
		return outcome{}, err
	}
	readable := maps.Clone(u.Attributes)
	maps.DeleteFunc(readable, func(name, _ string) bool { return !c.MayRead(name) })
	shown, err := json.Marshal(readable)
	if err != nil {
		return outcome{}, err
	}
	return outcome{challenge: new(newPassword), session: new(session.Reveal()), parameters: map[string]string{
		"USER_ID_FOR_SRP": p.SRPName(u), "requiredAttributes": "[]", "userAttributes": string(shown),
	}}, nil
}

func (s *Service) tokens(ctx context.Context, p issuer.Pool, c issuer.Client, u issuer.User) (outcome, error) {
	t, err := s.pools.Mint(ctx, p, c, u, issuer.SignIn{Issuer: issuer.Issuer(p.ID), Scopes: []string{issuer.ScopeUser}}, true)
	if err != nil {
		return outcome{}, err
	}
	return outcome{tokens: result(t), parameters: map[string]string{}}, nil
}

func result(t issuer.Tokens) *model.AuthenticationResultType {
	return &model.AuthenticationResultType{
		AccessToken: wire.Optional(t.Access.Reveal()), IdToken: wire.Optional(t.ID.Reveal()), RefreshToken: wire.Optional(t.Refresh.Reveal()),
		ExpiresIn: new(int32(t.Life.Seconds())), TokenType: new("Bearer"),
	}
}

func (s *Service) byRefreshToken(ctx context.Context, p issuer.Pool, c issuer.Client, parameters map[string]string) (outcome, error) {
	token := parameters["REFRESH_TOKEN"]
	if token == "" {
		return outcome{}, issuer.Invalid("Missing required parameter REFRESH_TOKEN")
	}
	key, err := s.pools.Secret(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	given := secret.NewString(parameters["SECRET_HASH"])
	proof := func(u issuer.User) error {
		// Of a user who signs in by e-mail address clients know that, or the sub.
		for _, name := range []string{u.Username, p.SRPName(u), u.Sub, parameters["USERNAME"]} {
			if c.Public() || given.Equal(secret.NewString(issuer.SecretHash(key, c.ID, name))) {
				return nil
			}
		}
		return issuer.NotAuthorized("Unable to verify secret hash for client %s", c.ID)
	}
	t, u, err := s.pools.Refresh(ctx, p, c, secret.NewString(token), nil, proof)
	about(ctx, p, c.ID, u.Sub)
	if err != nil {
		return outcome{}, err
	}
	return outcome{tokens: result(t), parameters: map[string]string{}}, nil
}

// GetTokensFromRefreshToken mints tokens again.
func (s *Service) GetTokensFromRefreshToken(ctx context.Context, in *model.GetTokensFromRefreshTokenRequest) (*model.GetTokensFromRefreshTokenResponse, error) {
	c, p, err := s.app(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	if err := s.proven(ctx, c, in.ClientSecret); err != nil {
		return nil, err
	}
	t, u, err := s.pools.Refresh(ctx, p, c, hidden(in.RefreshToken), nil, nil)
	about(ctx, p, c.ID, u.Sub)
	if err != nil {
		return nil, err
	}
	return &model.GetTokensFromRefreshTokenResponse{AuthenticationResult: result(t)}, nil
}

// proven refuses a caller that does not have the client's secret.
func (s *Service) proven(ctx context.Context, c issuer.Client, given *string) error {
	ok, err := s.pools.CheckSecret(ctx, c, hidden(given))
	if err == nil && !ok {
		err = issuer.NotAuthorized("Client %s has another secret", c.ID)
	}
	return err
}

// RevokeToken ends the sign-in that a refresh token comes from.
func (s *Service) RevokeToken(ctx context.Context, in *model.RevokeTokenRequest) (*model.RevokeTokenResponse, error) {
	c, p, err := s.app(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	if ok, err := s.pools.CheckSecret(ctx, c, hidden(in.ClientSecret)); err != nil || !ok {
		if err == nil {
			err = fault.BadRequest(issuer.CodeUnauthorized, "Invalid client secret")
		}
		return nil, err
	}
	switch {
	case c.NoRevocation:
		return nil, fault.BadRequest("UnsupportedOperationException", "Token revocation is not enabled for this client")
	case strings.Count(*in.Token, ".") == 2:
		return nil, fault.BadRequest(issuer.CodeUnsupportedToken, "Unsupported token type: only refresh tokens are revoked")
	}
	return &model.RevokeTokenResponse{}, s.pools.Revoke(ctx, p, c, hidden(in.Token))
}

// RespondToAuthChallenge answers a challenge.
func (s *Service) RespondToAuthChallenge(ctx context.Context, in *model.RespondToAuthChallengeRequest) (*model.RespondToAuthChallengeResponse, error) {
	c, p, err := s.app(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	o, err := s.answer(ctx, p, c, *in.ChallengeName, hidden(in.Session), in.ChallengeResponses)
	if err != nil {
		return nil, err
	}
	return &model.RespondToAuthChallengeResponse{AuthenticationResult: o.tokens, ChallengeName: o.challenge, Session: o.session, ChallengeParameters: o.parameters}, nil
}

// AdminRespondToAuthChallenge does so for an administrator.
func (s *Service) AdminRespondToAuthChallenge(ctx context.Context, in *model.AdminRespondToAuthChallengeRequest) (*model.AdminRespondToAuthChallengeResponse, error) {
	p, c, err := s.administered(ctx, in.UserPoolId, in.ClientId)
	if err != nil {
		return nil, err
	}
	o, err := s.answer(ctx, p, c, *in.ChallengeName, hidden(in.Session), in.ChallengeResponses)
	if err != nil {
		return nil, err
	}
	return &model.AdminRespondToAuthChallengeResponse{AuthenticationResult: o.tokens, ChallengeName: o.challenge, Session: o.session, ChallengeParameters: o.parameters}, nil
}

func (s *Service) answer(ctx context.Context, p issuer.Pool, c issuer.Client, challenge string, session secret.String, responses map[string]string) (outcome, error) {
	switch challenge {
	case newPassword:
	case verifier:
		return s.answerSRP(ctx, p, c, responses)
	case "DEVICE_SRP_AUTH", "DEVICE_PASSWORD_VERIFIER":
		return outcome{}, issuer.Invalid("%s is no challenge that is given here: devices are not remembered", challenge)
	default:
		return outcome{}, issuer.Invalid("%s is no challenge that is given here: a password is the only factor", challenge)
	}
	name := responses["USERNAME"]
	switch {
	case name == "":
		return outcome{}, issuer.Invalid("Missing required parameter USERNAME")
	case responses["NEW_PASSWORD"] == "":
		return outcome{}, issuer.Invalid("Missing required parameter NEW_PASSWORD")
	}
	if err := s.pools.CheckSecretHash(ctx, c, name, responses["SECRET_HASH"]); err != nil {
		return outcome{}, err
	}
	set := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(responses)) {
		if a, ok := strings.CutPrefix(key, userPrefix); ok {
			set[a] = responses[key]
		}
	}
	if err := ownAttributes(c, set, nil); err != nil {
		return outcome{}, err
	}
	u, err := s.pools.AnswerNewPassword(ctx, p, c, session, name, secret.NewString(responses["NEW_PASSWORD"]), set)
	about(ctx, p, c.ID, u.Sub)
	if err != nil {
		return outcome{}, err
	}
	return s.tokens(ctx, p, c, u)
}
