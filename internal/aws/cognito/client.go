package cognito

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
)

// CreateUserPoolClient makes an app client. Its secret is in the answer, and later
// in those of DescribeUserPoolClient.
func (s *Service) CreateUserPoolClient(ctx context.Context, in *model.CreateUserPoolClientRequest) (*model.CreateUserPoolClientResponse, error) {
	set, err := copied[model.UserPoolClientType](in)
	if err != nil {
		return nil, err
	}
	settings, err := clientSettings(set)
	if err != nil {
		return nil, err
	}
	confidential := wire.True(in.GenerateSecret) || in.ClientSecret != nil
	c, err := s.pools.CreateClient(ctx, scopeOf(ctx), *in.UserPoolId, settings, confidential, hidden(in.ClientSecret))
	if err != nil {
		return nil, err
	}
	out, err := s.client(ctx, c)
	return &model.CreateUserPoolClientResponse{UserPoolClient: out}, err
}

// UpdateUserPoolClient replaces a client's settings; what is not given gets its
// default again, as at Cognito.
func (s *Service) UpdateUserPoolClient(ctx context.Context, in *model.UpdateUserPoolClientRequest) (*model.UpdateUserPoolClientResponse, error) {
	set, err := copied[model.UserPoolClientType](in)
	if err != nil {
		return nil, err
	}
	if in.ClientName == nil {
		was, err := s.pools.ClientOf(ctx, scopeOf(ctx), *in.UserPoolId, *in.ClientId)
		if err != nil {
			return nil, err
		}
		set.ClientName = &was.Name
	}
	settings, err := clientSettings(set)
	if err != nil {
		return nil, err
	}
	c, err := s.pools.UpdateClient(ctx, scopeOf(ctx), *in.UserPoolId, *in.ClientId, settings)
	if err != nil {
		return nil, err
	}
	out, err := s.client(ctx, c)
	return &model.UpdateUserPoolClientResponse{UserPoolClient: out}, err
}

// clientSettings takes out of the members what has an effect, and keeps the rest.
func clientSettings(set *model.UserPoolClientType) (issuer.ClientSettings, error) {
	set.ClientSecret = nil // it is sealed apart
	fill(&set.RefreshTokenValidity, 30)
	fill(&set.AllowedOAuthFlowsUserPoolClient, false)
	fill(&set.EnableTokenRevocation, true)
	fill(&set.EnablePropagateAdditionalUserContextData, false)
	fill(&set.AuthSessionValidity, 3)
	if set.TokenValidityUnits == nil {
		set.TokenValidityUnits = &model.TokenValidityUnitsType{}
	}
	if len(set.ExplicitAuthFlows) == 0 {
		// The flows of a client that names none (API reference, ExplicitAuthFlows).
		set.ExplicitAuthFlows = []string{"ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH"}
	}
	if err := checkClient(set); err != nil {
		return issuer.ClientSettings{}, err
	}
	out := issuer.ClientSettings{
		Reads: set.ReadAttributes, Writes: set.WriteAttributes,
		Name: wire.Text(set.ClientName), Flows: set.ExplicitAuthFlows, OAuth: *set.AllowedOAuthFlowsUserPoolClient, Grants: set.AllowedOAuthFlows,
		Scopes: set.AllowedOAuthScopes, Callbacks: set.CallbackURLs, Logouts: set.LogoutURLs,
		Session:    time.Duration(*set.AuthSessionValidity) * time.Minute,
		TellsUsers: wire.Text(set.PreventUserExistenceErrors) == "LEGACY", NoRevocation: !*set.EnableTokenRevocation,
	}
	if r := set.RefreshTokenRotation; r != nil && wire.Text(r.Feature) == "ENABLED" {
		out.Rotates = true
		if r.RetryGracePeriodSeconds != nil {
			out.Grace = time.Duration(*r.RetryGracePeriodSeconds) * time.Second
		}
	}
	units := set.TokenValidityUnits
	day := 24 * time.Hour
	var err error
	if out.Access, err = life("AccessTokenValidity", set.AccessTokenValidity, units.AccessToken, time.Hour, 5*time.Minute, day); err != nil {
		return out, err
	}
	if out.ID, err = life("IdTokenValidity", set.IdTokenValidity, units.IdToken, time.Hour, 5*time.Minute, day); err != nil {
		return out, err
	}
	if out.Refresh, err = life("RefreshTokenValidity", set.RefreshTokenValidity, units.RefreshToken, day, time.Hour, 3650*day); err != nil {
		return out, err
	}
	out.Extra, err = json.Marshal(set)
	return out, err
}

// checkClient refuses members that are not there, or contradict each other (API reference,
// CreateUserPoolClient).
func checkClient(set *model.UserPoolClientType) error {
	for _, p := range set.SupportedIdentityProviders {
		if p != "COGNITO" {
			return issuer.Invalid("The provider %s does not exist for User Pool %s.", p, wire.Text(set.UserPoolId))
		}
	}
	newer := 0
	for _, flow := range set.ExplicitAuthFlows {
		if strings.HasPrefix(flow, "ALLOW_") {
			newer++
		}
	}
	if newer > 0 && newer < len(set.ExplicitAuthFlows) {
		return issuer.Invalid("ExplicitAuthFlows: values with the prefix ALLOW_ cannot be used along with those without it (ADMIN_NO_SRP_AUTH, CUSTOM_AUTH_FLOW_ONLY, USER_PASSWORD_AUTH)")
	}
	if to := set.DefaultRedirectURI; to != nil && !slices.Contains(set.CallbackURLs, *to) {
		return issuer.Invalid("DefaultRedirectURI must be one of CallbackURLs; '%s' is not", fault.Clip(*to, 100))
	}
	return nil
}

// life is how long a token is good: a number of the unit given, or of its own.
func life(member string, n *int32, unit *string, own, least, most time.Duration) (time.Duration, error) {
	if n == nil || *n == 0 {
		return 0, nil
	}
	d := own
	switch wire.Text(unit) {
	case "seconds":
		d = time.Second
	case "minutes":
		d = time.Minute
	case "hours":
		d = time.Hour
	case "days":
		d = 24 * time.Hour
	}
	d *= time.Duration(*n)
	if d < least || d > most {
		return 0, issuer.Invalid("Invalid range for token validity: %s must be from %s to %s", member, least, most)
	}
	return d, nil
}

// client is a client as the API shows it, with its secret.
func (s *Service) client(ctx context.Context, c issuer.Client) (*model.UserPoolClientType, error) {
	out := &model.UserPoolClientType{}
	if len(c.Extra) > 0 {
		if err := json.Unmarshal(c.Extra, out); err != nil {
			return nil, fmt.Errorf("read members of client %s: %w", c.ID, err)
		}
	}
	key, err := s.pools.Secret(ctx, c)
	if err != nil {
		return nil, err
	}
	out.UserPoolId, out.ClientId, out.ClientName = &c.PoolID, &c.ID, &c.Name
	out.ClientSecret = wire.Optional(key.Reveal())
	out.CreationDate, out.LastModifiedDate = &c.Created, &c.Updated
	return out, nil
}

// DescribeUserPoolClient returns a client, with its secret.
func (s *Service) DescribeUserPoolClient(ctx context.Context, in *model.DescribeUserPoolClientRequest) (*model.DescribeUserPoolClientResponse, error) {
	c, err := s.pools.ClientOf(ctx, scopeOf(ctx), *in.UserPoolId, *in.ClientId)
	if err != nil {
		return nil, err
	}
	out, err := s.client(ctx, c)
	return &model.DescribeUserPoolClientResponse{UserPoolClient: out}, err
}

// DeleteUserPoolClient deletes a client.
func (s *Service) DeleteUserPoolClient(ctx context.Context, in *model.DeleteUserPoolClientRequest) (*model.Nothing, error) {
	return &model.Nothing{}, s.pools.DeleteClient(ctx, scopeOf(ctx), *in.UserPoolId, *in.ClientId)
}

// ListUserPoolClients lists a pool's clients.
func (s *Service) ListUserPoolClients(ctx context.Context, in *model.ListUserPoolClientsRequest) (*model.ListUserPoolClientsResponse, error) {
	list, err := s.pools.ListClients(ctx, scopeOf(ctx), *in.UserPoolId, page(in.MaxResults, in.NextToken, mostListed))
	if err != nil {
		return nil, worded(err)
	}
	out := &model.ListUserPoolClientsResponse{UserPoolClients: []model.UserPoolClientDescription{}, NextToken: wire.Optional(list.Next)}
	for _, c := range list.Items {
		out.UserPoolClients = append(out.UserPoolClients, model.UserPoolClientDescription{ClientId: &c.ID, ClientName: &c.Name, UserPoolId: &c.PoolID})
	}
	return out, nil
}

// CreateResourceServer makes an API with scopes of its own.
func (s *Service) CreateResourceServer(ctx context.Context, in *model.CreateResourceServerRequest) (*model.CreateResourceServerResponse, error) {
	server := resourceServer(in.Identifier, in.Name, in.Scopes)
	if err := s.pools.CreateServer(ctx, scopeOf(ctx), *in.UserPoolId, server); err != nil {
		return nil, err
	}
	return &model.CreateResourceServerResponse{ResourceServer: showServer(*in.UserPoolId, server)}, nil
}

// UpdateResourceServer replaces its name and scopes.
func (s *Service) UpdateResourceServer(ctx context.Context, in *model.UpdateResourceServerRequest) (*model.UpdateResourceServerResponse, error) {
	server := resourceServer(in.Identifier, in.Name, in.Scopes)
	if err := s.pools.UpdateServer(ctx, scopeOf(ctx), *in.UserPoolId, server); err != nil {
		return nil, err
	}
	return &model.UpdateResourceServerResponse{ResourceServer: showServer(*in.UserPoolId, server)}, nil
}

// DescribeResourceServer returns one.
func (s *Service) DescribeResourceServer(ctx context.Context, in *model.DescribeResourceServerRequest) (*model.DescribeResourceServerResponse, error) {
	server, err := s.pools.Server(ctx, scopeOf(ctx), *in.UserPoolId, *in.Identifier)
	if err != nil {
		return nil, err
	}
	return &model.DescribeResourceServerResponse{ResourceServer: showServer(*in.UserPoolId, server)}, nil
}

// DeleteResourceServer deletes one.
func (s *Service) DeleteResourceServer(ctx context.Context, in *model.DeleteResourceServerRequest) (*model.Nothing, error) {
	return &model.Nothing{}, s.pools.DeleteServer(ctx, scopeOf(ctx), *in.UserPoolId, *in.Identifier)
}

// ListResourceServers lists those of a pool.
func (s *Service) ListResourceServers(ctx context.Context, in *model.ListResourceServersRequest) (*model.ListResourceServersResponse, error) {
	list, err := s.pools.ListServers(ctx, scopeOf(ctx), *in.UserPoolId, page(in.MaxResults, in.NextToken, mostListed))
	if err != nil {
		return nil, worded(err)
	}
	out := &model.ListResourceServersResponse{ResourceServers: []model.ResourceServerType{}, NextToken: wire.Optional(list.Next)}
	for _, server := range list.Items {
		out.ResourceServers = append(out.ResourceServers, *showServer(*in.UserPoolId, server))
	}
	return out, nil
}

func resourceServer(identifier, name *string, scopes []model.ResourceServerScopeType) issuer.ResourceServer {
	out := issuer.ResourceServer{Identifier: wire.Text(identifier), Name: wire.Text(name)}
	for _, sc := range scopes {
		out.Scopes = append(out.Scopes, issuer.ServerScope{Name: wire.Text(sc.ScopeName), Description: wire.Text(sc.ScopeDescription)})
	}
	return out
}

func showServer(poolID string, s issuer.ResourceServer) *model.ResourceServerType {
	out := &model.ResourceServerType{UserPoolId: &poolID, Identifier: &s.Identifier, Name: &s.Name}
	for _, sc := range s.Scopes {
		out.Scopes = append(out.Scopes, model.ResourceServerScopeType{ScopeName: &sc.Name, ScopeDescription: &sc.Description})
	}
	return out
}
