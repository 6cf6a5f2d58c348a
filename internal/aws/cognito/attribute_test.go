package cognito

import (
	"fmt"
	"testing"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
)

// TestAddCustomAttributes: a pool gets attributes later, and keeps all else.
func TestAddCustomAttributes(t *testing.T) {
	k := newKit(t)
	add := func(list ...model.SchemaAttributeType) error {
		_, err := k.AddCustomAttributes(k.admin, &model.AddCustomAttributesRequest{UserPoolId: k.pool, CustomAttributes: list})
		return err
	}
	text := func(name string) model.SchemaAttributeType {
		return model.SchemaAttributeType{Name: &name, AttributeDataType: new("String"), Mutable: new(true)}
	}
	before, err := k.DescribeUserPool(k.admin, &model.DescribeUserPoolRequest{UserPoolId: k.pool})
	k.must(err)
	k.must(add(text("team")))
	after, err := k.DescribeUserPool(k.admin, &model.DescribeUserPoolRequest{UserPoolId: k.pool})
	k.must(err)
	if a, b := before.UserPool, after.UserPool; len(b.SchemaAttributes) != len(a.SchemaAttributes)+1 || *b.Name != *a.Name || b.UserPoolTags["team"] != "a" ||
		*b.Policies.PasswordPolicy.MinimumLength != *a.Policies.PasswordPolicy.MinimumLength {
		t.Errorf("%+v", b)
	}
	_, err = k.AdminUpdateUserAttributes(k.admin, &model.AdminUpdateUserAttributesRequest{UserPoolId: k.pool, Username: new("ada"),
		UserAttributes: []model.AttributeType{{Name: new("custom:team"), Value: new("a")}}})
	k.must(err)
	k.refused("the same again", add(text("team")), issuer.CodeInvalidParameter)
	k.refused("two of a name", add(text("a"), text("a")), issuer.CodeInvalidParameter)
	k.refused("a standard one", add(text("email")), issuer.CodeInvalidParameter)
	k.refused("no type", add(model.SchemaAttributeType{Name: new("b")}), issuer.CodeInvalidParameter)
	must := text("c")
	must.Required = new(true)
	k.refused("a required one", add(must), issuer.CodeInvalidParameter)
	for i := range maxCustom - 1 {
		k.must(add(text(fmt.Sprint("n", i))))
	}
	k.refused("one too many", add(text("more")), issuer.CodeLimit)
	_, err = k.AddCustomAttributes(k.other, &model.AddCustomAttributesRequest{UserPoolId: k.pool, CustomAttributes: []model.SchemaAttributeType{text("x")}})
	k.refused("another account", err, issuer.CodeNotFound)
}

// TestDeleteUserAttributes: users remove of themselves what they may set by the client.
func TestDeleteUserAttributes(t *testing.T) {
	k := newKit(t)
	in, err := k.signIn(k.client, userPassword, map[string]string{"USERNAME": "ada", "PASSWORD": "Analytical-1"})
	k.must(err)
	token := in.AuthenticationResult.AccessToken
	_, err = k.UpdateUserAttributes(k.stranger, &model.UpdateUserAttributesRequest{AccessToken: token, UserAttributes: []model.AttributeType{{Name: new("nickname"), Value: new("A")}}})
	k.must(err)
	remove := func(name string) error {
		_, err := k.DeleteUserAttributes(k.stranger, &model.DeleteUserAttributesRequest{AccessToken: token, UserAttributeNames: []string{name}})
		return err
	}
	k.must(remove("nickname"))
	k.refused("sub", remove("sub"), issuer.CodeInvalidParameter)
	k.refused("what administrators say", remove("email_verified"), issuer.CodeNotAuthorized)
	u, err := k.GetUser(k.stranger, &model.GetUserRequest{AccessToken: token})
	k.must(err)
	if seen := attributes(u.UserAttributes); len(seen) != 1 {
		t.Errorf("left is %v", seen)
	}
}

// TestRequired: who signs up says what the pool requires; administrators may leave it to the
// user.
func TestRequired(t *testing.T) {
	k := newKit(t)
	made, err := k.CreateUserPool(k.admin, &model.CreateUserPoolRequest{PoolName: new("strict"), Schema: []model.SchemaAttributeType{
		{Name: new("email"), AttributeDataType: new("String"), Required: new(true)}, {Name: new("name"), AttributeDataType: new("String")},
	}})
	k.must(err)
	c, err := k.CreateUserPoolClient(k.admin, &model.CreateUserPoolClientRequest{UserPoolId: made.UserPool.Id, ClientName: new("app")})
	k.must(err)
	signUp := func(name string, attributes ...model.AttributeType) error {
		_, err := k.SignUp(k.stranger, &model.SignUpRequest{ClientId: c.UserPoolClient.ClientId, Username: &name, Password: new("Analytical-1"), UserAttributes: attributes})
		return err
	}
	err = signUp("bob", model.AttributeType{Name: new("name"), Value: new("Bob")})
	k.refused("without what is required", err, issuer.CodeInvalidParameter)
	if got, want := fault.From(err).Message, "Attributes did not conform to the schema: email: The attribute is required"; got != want {
		t.Error(got)
	}
	k.refused("with nothing for it", signUp("bob", model.AttributeType{Name: new("email"), Value: new("")}), issuer.CodeInvalidParameter)
	k.must(signUp("bob", model.AttributeType{Name: new("email"), Value: new("bob@example.com")}))
	_, err = k.AdminCreateUser(k.admin, &model.AdminCreateUserRequest{UserPoolId: made.UserPool.Id, Username: new("eve")})
	k.must(err)
}

// TestOpenRegistration: clients register themselves where the pool opens it to them, for the
// grant that such clients have.
func TestOpenRegistration(t *testing.T) {
	k := newKit(t)
	for name, c := range map[string]struct {
		set  *model.DcrConfigurationType
		want bool
	}{
		"nothing":            {nil, false},
		"on":                 {&model.DcrConfigurationType{OpenDcrEnabled: new(true)}, true},
		"with a token alone": {&model.DcrConfigurationType{EnableStatus: new("Enabled")}, false},
		"off":                {&model.DcrConfigurationType{EnableStatus: new("Disabled"), OpenDcrEnabled: new(true)}, false},
		"the code":           {&model.DcrConfigurationType{OpenDcrEnabled: new(true), OpenDcrGrantTypes: []string{"client_credentials", "code"}}, true},
		"another grant":      {&model.DcrConfigurationType{OpenDcrEnabled: new(true), OpenDcrGrantTypes: []string{"client_credentials"}}, false},
		"no grant":           {&model.DcrConfigurationType{OpenDcrEnabled: new(true), OpenDcrGrantTypes: []string{}}, false},
	} {
		made, err := k.CreateUserPool(k.admin, &model.CreateUserPoolRequest{PoolName: new("open"), DcrConfiguration: c.set})
		k.must(err)
		_, err = k.AddCustomAttributes(k.admin, &model.AddCustomAttributesRequest{UserPoolId: made.UserPool.Id, CustomAttributes: []model.SchemaAttributeType{{Name: new("x"), AttributeDataType: new("String")}}})
		k.must(err) // which keeps it
		p, err := k.pools.Pool(k.admin, *made.UserPool.Id)
		k.must(err)
		if p.Registration.Open != c.want {
			t.Errorf("%s: open: %t", name, p.Registration.Open)
		}
	}
}
