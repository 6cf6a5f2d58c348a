package cognito

import (
	"fmt"
	"testing"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
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
