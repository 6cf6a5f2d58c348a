package cognito

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secret/secrettest"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

const account = "111122223333"

// kit is a front, with the context of an administrator's call and that of a stranger.
type kit struct {
	*testing.T
	*Service
	admin, stranger, other context.Context
	pool, client, sealed   *string
	secret                 string
}

func newKit(t *testing.T) *kit {
	t.Helper()
	dir := t.TempDir()
	k := &kit{T: t}
	box := secrettest.Box(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	k.must(err)
	t.Cleanup(func() { k.must(db.Close()) })
	k.Service = New(issuer.New(issuer.Config{Store: db, Box: box, Rand: rand.Reader, Now: time.Now, Log: slog.New(slog.DiscardHandler)}))
	as := func(id string) context.Context {
		return pipeline.WithCall(t.Context(), &pipeline.Call{
			Principal: auth.Principal{Account: id, ARN: auth.RootARN(id), Kind: auth.Root}, Scope: store.Scope{Account: id, Region: "eu-west-1"},
		})
	}
	k.admin, k.other, k.stranger = as(account), as("999988887777"), pipeline.WithCall(t.Context(), &pipeline.Call{})
	made, err := k.CreateUserPool(k.admin, &model.CreateUserPoolRequest{PoolName: new("people"), UserPoolTags: map[string]string{"team": "a"}})
	k.must(err)
	k.pool = made.UserPool.Id
	flows := []string{"ALLOW_USER_PASSWORD_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}
	c, err := k.CreateUserPoolClient(k.admin, &model.CreateUserPoolClientRequest{UserPoolId: k.pool, ClientName: new("app"), ExplicitAuthFlows: flows})
	k.must(err)
	k.client = c.UserPoolClient.ClientId
	c, err = k.CreateUserPoolClient(k.admin, &model.CreateUserPoolClientRequest{UserPoolId: k.pool, ClientName: new("sealed"), ExplicitAuthFlows: flows, GenerateSecret: new(true)})
	k.must(err)
	k.sealed, k.secret = c.UserPoolClient.ClientId, *c.UserPoolClient.ClientSecret
	_, err = k.AdminCreateUser(k.admin, &model.AdminCreateUserRequest{UserPoolId: k.pool, Username: new("ada")})
	k.must(err)
	_, err = k.AdminSetUserPassword(k.admin, &model.AdminSetUserPasswordRequest{UserPoolId: k.pool, Username: new("ada"), Password: new("Analytical-1"), Permanent: new(true)})
	k.must(err)
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

func (k *kit) refused(what string, err error, code string) {
	k.Helper()
	if !fault.Is(err, code) {
		k.Errorf("%s: %v, want %s", what, err, code)
	}
}

func (k *kit) signIn(client *string, flow string, parameters map[string]string) (*model.InitiateAuthResponse, error) {
	return k.InitiateAuth(k.stranger, &model.InitiateAuthRequest{ClientId: client, AuthFlow: &flow, AuthParameters: parameters})
}

// TestDefaults: what nobody said is what Cognito says.
func TestDefaults(t *testing.T) {
	k := newKit(t)
	got, err := k.DescribeUserPool(k.admin, &model.DescribeUserPoolRequest{UserPoolId: k.pool})
	k.must(err)
	p := got.UserPool
	policy := p.Policies.PasswordPolicy
	if *policy.MinimumLength != 8 || !*policy.RequireSymbols || *policy.TemporaryPasswordValidityDays != 7 || *p.MfaConfiguration != "OFF" ||
		*p.DeletionProtection != "INACTIVE" || *p.EmailConfiguration.EmailSendingAccount != "COGNITO_DEFAULT" || p.UserPoolTags["team"] != "a" || p.LambdaConfig != nil {
		text, err := json.Marshal(p)
		t.Errorf("%s %v", text, err)
	}
	if n := len(p.SchemaAttributes); n != 20 || *p.SchemaAttributes[0].Name != "sub" || *p.SchemaAttributes[0].Mutable {
		t.Errorf("%d attributes", n)
	}
	made, err := k.CreateUserPool(k.admin, &model.CreateUserPoolRequest{
		PoolName: new("weak"), Policies: &model.UserPoolPolicyType{PasswordPolicy: &model.PasswordPolicyType{MinimumLength: new(int32(6))}},
		Schema: []model.SchemaAttributeType{{Name: new("team"), AttributeDataType: new("String")}, {Name: new("email"), AttributeDataType: new("String"), Required: new(true)}},
	})
	k.must(err)
	if *made.UserPool.Policies.PasswordPolicy.RequireSymbols {
		t.Error("a policy that asks for no symbols does")
	}
	custom := slices.IndexFunc(made.UserPool.SchemaAttributes, func(a model.SchemaAttributeType) bool { return *a.Name == "custom:team" })
	email := slices.IndexFunc(made.UserPool.SchemaAttributes, func(a model.SchemaAttributeType) bool { return *a.Name == "email" })
	if custom < 0 || !*made.UserPool.SchemaAttributes[email].Required {
		t.Errorf("attributes: custom:team is %d", custom)
	}
}

// TestUpdate: what an update does not say has its default again, but for what cannot
// be changed.
func TestUpdate(t *testing.T) {
	k := newKit(t)
	_, err := k.UpdateUserPool(k.admin, &model.UpdateUserPoolRequest{UserPoolId: k.pool, DeletionProtection: new("ACTIVE")})
	k.must(err)
	got, err := k.DescribeUserPool(k.admin, &model.DescribeUserPoolRequest{UserPoolId: k.pool})
	k.must(err)
	if *got.UserPool.Name != "people" || got.UserPool.UserPoolTags["team"] != "a" || *got.UserPool.DeletionProtection != "ACTIVE" {
		t.Errorf("%+v", got.UserPool)
	}
	_, err = k.DeleteUserPool(k.admin, &model.DeleteUserPoolRequest{UserPoolId: k.pool})
	k.refused("a protected pool", err, issuer.CodeInvalidParameter)
	_, err = k.UpdateUserPoolClient(k.admin, &model.UpdateUserPoolClientRequest{UserPoolId: k.pool, ClientId: k.sealed, AccessTokenValidity: new(int32(10)),
		TokenValidityUnits: &model.TokenValidityUnitsType{AccessToken: new("minutes")}})
	k.must(err)
	c, err := k.DescribeUserPoolClient(k.admin, &model.DescribeUserPoolClientRequest{UserPoolId: k.pool, ClientId: k.sealed})
	k.must(err)
	if *c.UserPoolClient.ClientName != "sealed" || *c.UserPoolClient.ClientSecret != k.secret || *c.UserPoolClient.AccessTokenValidity != 10 {
		t.Errorf("%+v", c.UserPoolClient)
	}
}

// TestOtherAccount: an administrator of another account finds nothing here.
func TestOtherAccount(t *testing.T) {
	k := newKit(t)
	for name, call := range map[string]func(context.Context) error{
		"DescribeUserPool": func(c context.Context) error {
			_, err := k.DescribeUserPool(c, &model.DescribeUserPoolRequest{UserPoolId: k.pool})
			return err
		},
		"DescribeUserPoolClient": func(c context.Context) error {
			_, err := k.DescribeUserPoolClient(c, &model.DescribeUserPoolClientRequest{UserPoolId: k.pool, ClientId: k.sealed})
			return err
		},
		"ListUsers": func(c context.Context) error {
			_, err := k.ListUsers(c, &model.ListUsersRequest{UserPoolId: k.pool})
			return err
		},
		"AdminGetUser": func(c context.Context) error {
			_, err := k.AdminGetUser(c, &model.AdminGetUserRequest{UserPoolId: k.pool, Username: new("ada")})
			return err
		},
		"AdminSetUserPassword": func(c context.Context) error {
			_, err := k.AdminSetUserPassword(c, &model.AdminSetUserPasswordRequest{UserPoolId: k.pool, Username: new("ada"), Password: new("Analytical-1")})
			return err
		},
		"CreateUserPoolDomain": func(c context.Context) error {
			_, err := k.CreateUserPoolDomain(c, &model.CreateUserPoolDomainRequest{UserPoolId: k.pool, Domain: new("x" + account)})
			return err
		},
		"GetUserPoolMfaConfig": func(c context.Context) error {
			_, err := k.GetUserPoolMfaConfig(c, &model.GetUserPoolMfaConfigRequest{UserPoolId: k.pool})
			return err
		},
	} {
		k.refused(name+" of another account", call(k.other), issuer.CodeNotFound)
		k.must(call(k.admin))
	}
	mine := issuer.ARN(store.Scope{Account: account, Region: "eu-west-1"}, *k.pool)
	_, err := k.TagResource(k.other, &model.TagResourceRequest{ResourceArn: &mine, Tags: map[string]string{"a": "b"}})
	k.refused("tags of another account's", err, issuer.CodeInvalidParameter)
	d, err := k.DescribeUserPoolDomain(k.other, &model.DescribeUserPoolDomainRequest{Domain: new("x" + account)})
	k.must(err)
	if d.DomainDescription.UserPoolId != nil {
		t.Error("another account sees the domain")
	}
}

// TestFlows: each flow asks for what it needs, and is refused where the client does
// not have it.
func TestFlows(t *testing.T) {
	k := newKit(t)
	good := map[string]string{"USERNAME": "ada", "PASSWORD": "Analytical-1"}
	for name, c := range map[string]struct {
		client     *string
		flow       string
		parameters map[string]string
		code       string
	}{
		"no name":             {k.client, userPassword, map[string]string{"PASSWORD": "x"}, issuer.CodeInvalidParameter},
		"no password":         {k.client, userPassword, map[string]string{"USERNAME": "ada"}, issuer.CodeInvalidParameter},
		"no client":           {new("nobody"), userPassword, good, issuer.CodeNotFound},
		"an administrator's":  {k.client, adminPassword, good, issuer.CodeInvalidParameter},
		"SRP":                 {k.client, "USER_SRP_AUTH", good, issuer.CodeInvalidParameter},
		"no hash":             {k.sealed, userPassword, good, issuer.CodeNotAuthorized},
		"another hash":        {k.sealed, userPassword, map[string]string{"USERNAME": "ada", "PASSWORD": "Analytical-1", "SECRET_HASH": "x"}, issuer.CodeNotAuthorized},
		"no refresh token":    {k.client, refreshToken, nil, issuer.CodeInvalidParameter},
		"one that is nothing": {k.client, refreshToken, map[string]string{"REFRESH_TOKEN": "x"}, issuer.CodeNotAuthorized},
	} {
		_, err := k.signIn(c.client, c.flow, c.parameters)
		k.refused(name, err, c.code)
	}
	_, err := k.signIn(k.client, userPassword, good)
	k.must(err)
	hash := func(name string) string { return issuer.SecretHash(secret.NewString(k.secret), *k.sealed, name) }
	in, err := k.signIn(k.sealed, userPassword, map[string]string{"USERNAME": "ada", "PASSWORD": "Analytical-1", "SECRET_HASH": hash("ada")})
	k.must(err)
	again := map[string]string{"REFRESH_TOKEN": *in.AuthenticationResult.RefreshToken, "SECRET_HASH": hash("ada")}
	_, err = k.signIn(k.sealed, refreshToken, again)
	k.must(err)
	again["SECRET_HASH"] = hash("eve")
	_, err = k.signIn(k.sealed, refreshToken, again)
	k.refused("a refresh token with another hash", err, issuer.CodeNotAuthorized)
	_, err = k.signIn(k.client, refreshToken, again)
	k.refused("another client's refresh token", err, issuer.CodeNotAuthorized)
	call := pipeline.From(k.stranger)
	if call.Scope.Account != account {
		t.Errorf("the stranger's call is audited in %v", call.Scope)
	}
}

// TestOwnAttributes: nobody proves their own address.
func TestOwnAttributes(t *testing.T) {
	k := newKit(t)
	_, err := k.AdminUpdateUserAttributes(k.admin, &model.AdminUpdateUserAttributesRequest{UserPoolId: k.pool, Username: new("ada"), UserAttributes: []model.AttributeType{
		{Name: new("email"), Value: new("ada@example.com")}, {Name: new("email_verified"), Value: new("true")}}})
	k.must(err)
	in, err := k.signIn(k.client, userPassword, map[string]string{"USERNAME": "ada", "PASSWORD": "Analytical-1"})
	k.must(err)
	set := func(name, value string) error {
		_, err := k.UpdateUserAttributes(k.stranger, &model.UpdateUserAttributesRequest{
			AccessToken: in.AuthenticationResult.AccessToken, UserAttributes: []model.AttributeType{{Name: &name, Value: &value}},
		})
		return err
	}
	k.refused("email_verified", set("email_verified", "true"), issuer.CodeNotAuthorized)
	k.refused("sub", set("sub", "x"), issuer.CodeInvalidParameter)
	k.must(set("email", "eve@example.com"))
	u, err := k.AdminGetUser(k.admin, &model.AdminGetUserRequest{UserPoolId: k.pool, Username: new("ada")})
	k.must(err)
	if set := attributes(u.UserAttributes); set["email"] != "eve@example.com" || set["email_verified"] == "true" {
		t.Errorf("%v", set)
	}
	_, err = k.SignUp(k.stranger, &model.SignUpRequest{ClientId: k.client, Username: new("eve"), Password: new("Analytical-1"), UserAttributes: []model.AttributeType{
		{Name: new("email_verified"), Value: new("true")}}})
	k.refused("who signs up proven", err, issuer.CodeNotAuthorized)
}

// TestSchema: a pool's own attributes are those that it was made with, and go on
// after an update.
func TestSchema(t *testing.T) {
	k := newKit(t)
	made, err := k.CreateUserPool(k.admin, &model.CreateUserPoolRequest{PoolName: new("teams"), Schema: []model.SchemaAttributeType{
		{Name: new("team"), AttributeDataType: new("String"), Mutable: new(true)},
		{Name: new("rank"), AttributeDataType: new("String"), DeveloperOnlyAttribute: new(true), Mutable: new(true)},
	}})
	k.must(err)
	_, err = k.UpdateUserPool(k.admin, &model.UpdateUserPoolRequest{UserPoolId: made.UserPool.Id})
	k.must(err)
	create := func(attribute string) error {
		_, err := k.AdminCreateUser(k.admin, &model.AdminCreateUserRequest{UserPoolId: made.UserPool.Id, Username: new("of-" + attribute), UserAttributes: []model.AttributeType{
			{Name: &attribute, Value: new("x")}}})
		return err
	}
	for _, name := range []string{"custom:team", "dev:custom:rank", "nickname"} {
		k.must(create(name))
	}
	for _, name := range []string{"team", "custom:rank", "custom:other", "client_id"} {
		k.refused(name, create(name), issuer.CodeInvalidParameter)
	}
}

// TestAttributePermissions: users set and see what their client may write and read,
// and nobody changes what is not mutable.
func TestAttributePermissions(t *testing.T) {
	k := newKit(t)
	made, err := k.CreateUserPool(k.admin, &model.CreateUserPoolRequest{PoolName: new("teams"), Schema: []model.SchemaAttributeType{
		{Name: new("team"), AttributeDataType: new("String"), Mutable: new(true)}, {Name: new("tenant"), AttributeDataType: new("String"), Mutable: new(false)},
	}})
	k.must(err)
	pool := made.UserPool.Id
	client := func(read, write []string) (*string, error) {
		c, err := k.CreateUserPoolClient(k.admin, &model.CreateUserPoolClientRequest{UserPoolId: pool, ClientName: new("app"),
			ExplicitAuthFlows: []string{"ALLOW_USER_PASSWORD_AUTH"}, ReadAttributes: read, WriteAttributes: write})
		if err != nil {
			return nil, err
		}
		return c.UserPoolClient.ClientId, nil
	}
	plain, err := client(nil, nil)
	k.must(err)
	narrow, err := client([]string{"nickname"}, []string{"custom:team", "custom:tenant"})
	k.must(err)
	_, err = client([]string{"client_id"}, nil)
	k.refused("reads that are no attribute", err, issuer.CodeInvalidParameter)
	_, err = client(nil, []string{"custom:other"})
	k.refused("writes that are no attribute", err, issuer.CodeInvalidParameter)

	list := func(name, value string) []model.AttributeType {
		return []model.AttributeType{{Name: &name, Value: &value}}
	}
	_, err = k.AdminCreateUser(k.admin, &model.AdminCreateUserRequest{UserPoolId: pool, Username: new("ada"), TemporaryPassword: new("Temp-0rary"),
		UserAttributes: append(list("custom:tenant", "a"), list("custom:team", "a")...)})
	k.must(err)
	answer := func(client *string, name string) (*model.RespondToAuthChallengeResponse, error) {
		in, err := k.signIn(client, userPassword, map[string]string{"USERNAME": "ada", "PASSWORD": "Temp-0rary"})
		k.must(err)
		return k.RespondToAuthChallenge(k.stranger, &model.RespondToAuthChallengeRequest{ClientId: client, ChallengeName: new(newPassword), Session: in.Session,
			ChallengeResponses: map[string]string{"USERNAME": "ada", "NEW_PASSWORD": "Analytical-1", userPrefix + name: "b"}})
	}
	_, err = answer(plain, "custom:team")
	k.refused("an answer with what the client may not write", err, issuer.CodeNotAuthorized)
	_, err = answer(narrow, "custom:tenant")
	k.refused("an answer with what is not mutable", err, issuer.CodeInvalidParameter)
	_, err = answer(plain, "nickname")
	k.must(err)

	tokens := map[*string]*string{}
	for _, c := range []*string{plain, narrow} {
		in, err := k.signIn(c, userPassword, map[string]string{"USERNAME": "ada", "PASSWORD": "Analytical-1"})
		k.must(err)
		tokens[c] = in.AuthenticationResult.AccessToken
	}
	set := func(client *string, name, value string) error {
		_, err := k.UpdateUserAttributes(k.stranger, &model.UpdateUserAttributesRequest{AccessToken: tokens[client], UserAttributes: list(name, value)})
		return err
	}
	k.must(set(plain, "nickname", "A"))
	k.refused("an own attribute by a client without a list", set(plain, "custom:team", "b"), issuer.CodeNotAuthorized)
	k.refused("its removal", set(plain, "custom:team", ""), issuer.CodeNotAuthorized)
	k.refused("what is not in the list", set(narrow, "nickname", "B"), issuer.CodeNotAuthorized)
	k.must(set(narrow, "custom:team", "b"))
	k.refused("what is not mutable", set(narrow, "custom:tenant", "b"), issuer.CodeInvalidParameter)
	k.refused("its removal", set(narrow, "custom:tenant", ""), issuer.CodeInvalidParameter)
	_, err = k.AdminUpdateUserAttributes(k.admin, &model.AdminUpdateUserAttributesRequest{UserPoolId: pool, Username: new("ada"), UserAttributes: list("custom:tenant", "b")})
	k.refused("what is not mutable, by an administrator", err, issuer.CodeInvalidParameter)
	u, err := k.GetUser(k.stranger, &model.GetUserRequest{AccessToken: tokens[narrow]})
	k.must(err)
	if seen := attributes(u.UserAttributes); len(seen) != 2 || seen["nickname"] != "A" || seen["sub"] == "" {
		t.Errorf("a client that reads nicknames reads %v", seen)
	}

	up := func(client *string, name string) error {
		_, err := k.SignUp(k.stranger, &model.SignUpRequest{ClientId: client, Username: new("eve-" + name), Password: new("Analytical-1"), UserAttributes: list(name, "x")})
		return err
	}
	k.refused("a sign-up with an own attribute", up(plain, "custom:tenant"), issuer.CodeNotAuthorized)
	k.must(up(narrow, "custom:tenant"))
	k.must(up(plain, "nickname"))
}

func TestLife(t *testing.T) {
	for name, c := range map[string]struct {
		n    int32
		unit string
		want time.Duration
		ok   bool
	}{
		"hours by default": {2, "", 2 * time.Hour, true}, "minutes": {5, "minutes", 5 * time.Minute, true}, "seconds": {300, "seconds", 5 * time.Minute, true},
		"a day": {1, "days", 24 * time.Hour, true}, "too short": {299, "seconds", 0, false}, "too long": {25, "hours", 0, false}, "none": {0, "days", 0, true},
	} {
		got, err := life("AccessTokenValidity", &c.n, wire.Optional(c.unit), time.Hour, 5*time.Minute, 24*time.Hour)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// FuzzFilter reads filters of ListUsers: what is taken names one attribute that may be
// searched by.
func FuzzFilter(f *testing.F) {
	f.Add(`email ^= "ada@"`)
	f.Add(`"username"="a\"b"`)
	f.Add(`status = "Enabled`)
	f.Fuzz(func(t *testing.T, text string) {
		keep, err := parseFilter(text)
		if err != nil {
			if !fault.Is(err, issuer.CodeInvalidParameter) {
				t.Fatal(err)
			}
			return
		}
		keep(issuer.User{})
	})
}

// TestContradictions: members of a client that contradict each other are refused, when it is
// made and later.
func TestContradictions(t *testing.T) {
	k := newKit(t)
	back := []string{"https://app.example/cb", "https://app.example/other"}
	for name, c := range map[string]struct {
		flows     []string
		to        *string
		callbacks []string
		good      bool
	}{
		"older flows":                   {flows: []string{"ADMIN_NO_SRP_AUTH", "USER_PASSWORD_AUTH"}, good: true},
		"newer flows":                   {flows: []string{"ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}, good: true},
		"a newer flow after an older":   {flows: []string{"USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}},
		"an older flow after a newer":   {flows: []string{"ALLOW_USER_SRP_AUTH", "ADMIN_NO_SRP_AUTH"}},
		"a default of the callbacks":    {to: &back[1], callbacks: back, good: true},
		"a default of no callbacks":     {to: &back[1]},
		"a default that is no callback": {to: new("https://app.example/cb/"), callbacks: back},
	} {
		_, err := k.CreateUserPoolClient(k.admin, &model.CreateUserPoolClientRequest{
			UserPoolId: k.pool, ClientName: new("c"), ExplicitAuthFlows: c.flows, DefaultRedirectURI: c.to, CallbackURLs: c.callbacks})
		_, later := k.UpdateUserPoolClient(k.admin, &model.UpdateUserPoolClientRequest{
			UserPoolId: k.pool, ClientId: k.sealed, ExplicitAuthFlows: c.flows, DefaultRedirectURI: c.to, CallbackURLs: c.callbacks})
		if c.good {
			k.must(err)
			k.must(later)
			continue
		}
		k.refused(name, err, issuer.CodeInvalidParameter)
		k.refused(name+", later", later, issuer.CodeInvalidParameter)
	}
}
