package client

import (
	"context"
	"fmt"

	"github.com/outcrop/outcrop/internal/secret"
)

// Pool is a user pool.
type Pool struct {
	ID   string `json:"Id"`
	Name string
	// Domain is its prefix below amazoncognito.com, or empty.
	Domain string
}

// Issuer is the pool's name as an issuer at the address by which the server is
// reached.
func (c *Client) Issuer(poolID string) string { return c.base.JoinPath(poolID).String() }

// cognito calls one operation of cognito-idp.
func (c *Client) cognito(ctx context.Context, operation string, in, out any) error {
	return c.json11(ctx, "cognito-idp", "AWSCognitoIdentityProviderService."+operation, in, out)
}

// CreatePool makes a user pool in which administrators make the users; register lets
// clients register themselves with it.
func (c *Client) CreatePool(ctx context.Context, name string, register bool) (Pool, error) {
	in := map[string]any{"PoolName": name, "AdminCreateUserConfig": map[string]any{"AllowAdminCreateUserOnly": true}}
	if register {
		in["DcrConfiguration"] = map[string]any{"EnableStatus": "Enabled", "OpenDcrEnabled": true}
	}
	var out struct{ UserPool Pool }
	err := c.cognito(ctx, "CreateUserPool", in, &out)
	return out.UserPool, err
}

// Pools lists the user pools of the region.
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	var all []Pool
	in := map[string]any{"MaxResults": 60}
	for {
		var out struct {
			UserPools []Pool
			NextToken string
		}
		if err := c.cognito(ctx, "ListUserPools", in, &out); err != nil {
			return nil, err
		}
		all = append(all, out.UserPools...)
		if out.NextToken == "" {
			return all, nil
		}
		in["NextToken"] = out.NextToken
	}
}

// PoolDomains lists the prefixes of the user pools' domains.
func (c *Client) PoolDomains(ctx context.Context) ([]string, error) {
	pools, err := c.Pools(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range pools {
		var found struct{ UserPool Pool }
		if err := c.cognito(ctx, "DescribeUserPool", map[string]any{"UserPoolId": p.ID}, &found); err != nil {
			return all, err
		}
		if d := found.UserPool.Domain; d != "" {
			all = append(all, d)
		}
	}
	return all, nil
}

// DeletePool deletes a user pool, and before that the name that it may have.
func (c *Client) DeletePool(ctx context.Context, id string) error {
	var found struct{ UserPool Pool }
	if err := c.cognito(ctx, "DescribeUserPool", map[string]any{"UserPoolId": id}, &found); err != nil {
		return err
	}
	if d := found.UserPool.Domain; d != "" {
		if err := c.cognito(ctx, "DeleteUserPoolDomain", map[string]any{"UserPoolId": id, "Domain": d}, &struct{}{}); err != nil {
			return err
		}
	}
	return c.cognito(ctx, "DeleteUserPool", map[string]any{"UserPoolId": id}, &struct{}{})
}

// AddUser makes a user with a password of their own, or one that they change when
// they first sign in.
func (c *Client) AddUser(ctx context.Context, poolID, name, email string, password secret.String, temporary bool) error {
	in := map[string]any{"UserPoolId": poolID, "Username": name, "MessageAction": "SUPPRESS"}
	if email != "" {
		in["UserAttributes"] = []map[string]string{{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}}
	}
	if temporary {
		in["TemporaryPassword"] = password.Reveal()
	}
	if err := c.cognito(ctx, "AdminCreateUser", in, &struct{}{}); err != nil || temporary {
		return err
	}
	err := c.cognito(ctx, "AdminSetUserPassword", map[string]any{
		"UserPoolId": poolID, "Username": name, "Password": password.Reveal(), "Permanent": true,
	}, &struct{}{})
	if err != nil { // a user whose password nobody knows is of no use
		_ = c.cognito(ctx, "AdminDeleteUser", map[string]any{"UserPoolId": poolID, "Username": name}, &struct{}{})
	}
	return err
}

// AddGroup makes a group of a pool unless it is there, and puts users into it.
func (c *Client) AddGroup(ctx context.Context, poolID, name string, users []string) error {
	in := map[string]any{"UserPoolId": poolID, "GroupName": name}
	if err := c.cognito(ctx, "CreateGroup", in, &struct{}{}); err != nil && !Is(err, "GroupExistsException") {
		return err
	}
	for _, user := range users {
		in["Username"] = user
		if err := c.cognito(ctx, "AdminAddUserToGroup", in, &struct{}{}); err != nil {
			return fmt.Errorf("put %s into %s: %w", user, name, err)
		}
	}
	return nil
}

// PoolClient is an app client of a pool.
type PoolClient struct {
	ID     string        `json:"clientId"`
	Secret secret.String `json:"-"`
}

// NewPoolClient says what client to make.
type NewPoolClient struct {
	Name string
	// Redirects are where users come back to; Machine signs in by itself, with Scopes;
	// without either users sign in by the API.
	Redirects, Scopes []string
	Machine, Secret   bool
}

// AddPoolClient makes an app client.
func (c *Client) AddPoolClient(ctx context.Context, poolID string, n NewPoolClient) (PoolClient, error) {
	in := map[string]any{"UserPoolId": poolID, "ClientName": n.Name, "GenerateSecret": n.Secret || n.Machine}
	switch {
	case n.Machine:
		in["AllowedOAuthFlows"] = []string{"client_credentials"}
	case len(n.Redirects) > 0:
		in["AllowedOAuthFlows"], in["CallbackURLs"] = []string{"code"}, n.Redirects
		if len(n.Scopes) == 0 {
			n.Scopes = []string{"openid", "email", "profile"}
		}
	default:
		in["ExplicitAuthFlows"] = []string{"ALLOW_USER_PASSWORD_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}
	}
	if in["AllowedOAuthFlows"] != nil {
		in["AllowedOAuthFlowsUserPoolClient"], in["AllowedOAuthScopes"] = true, n.Scopes
	}
	var out struct {
		UserPoolClient struct{ ClientId, ClientSecret string }
	}
	err := c.cognito(ctx, "CreateUserPoolClient", in, &out)
	return PoolClient{ID: out.UserPoolClient.ClientId, Secret: secret.NewString(out.UserPoolClient.ClientSecret)}, err
}

// AddScope makes a scope IDENTIFIER/NAME of a pool unless it is there.
func (c *Client) AddScope(ctx context.Context, poolID, identifier, name string) error {
	type scope struct{ ScopeName, ScopeDescription string }
	var found struct {
		ResourceServer struct{ Scopes []scope }
	}
	in := map[string]any{"UserPoolId": poolID, "Identifier": identifier, "Name": identifier}
	err := c.cognito(ctx, "DescribeResourceServer", map[string]any{"UserPoolId": poolID, "Identifier": identifier}, &found)
	switch {
	case Is(err, "ResourceNotFoundException"):
		in["Scopes"] = []scope{{name, name}}
		return c.cognito(ctx, "CreateResourceServer", in, &struct{}{})
	case err != nil:
		return err
	}
	for _, s := range found.ResourceServer.Scopes {
		if s.ScopeName == name {
			return nil
		}
	}
	in["Scopes"] = append(found.ResourceServer.Scopes, scope{name, name})
	return c.cognito(ctx, "UpdateResourceServer", in, &struct{}{})
}
