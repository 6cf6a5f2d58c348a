package cognito

import (
	"encoding/json"
	"testing"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/store"
)

// TestOlderDocuments: pools and clients that were stored before attributes were bound
// read as those that are made now.
func TestOlderDocuments(t *testing.T) {
	k := newKit(t)
	schema := []model.SchemaAttributeType{
		{Name: new("team"), AttributeDataType: new("String"), Mutable: new(true)}, {Name: new("tenant"), AttributeDataType: new("String")},
		{Name: new("rank"), AttributeDataType: new("String"), DeveloperOnlyAttribute: new(true), Mutable: new(true)},
		{Name: new("email"), AttributeDataType: new("String"), Mutable: new(false)}, {Name: new("name"), AttributeDataType: new("String")},
	}
	for name, given := range map[string][]model.SchemaAttributeType{"with a schema": schema, "without": nil} {
		made, err := k.CreateUserPool(k.admin, &model.CreateUserPoolRequest{PoolName: new("older"), Schema: given})
		k.must(err)
		pool := made.UserPool.Id
		lists, none := []string{"nickname"}, []string(nil)
		var ids []*string
		for _, list := range [][]string{lists, none} {
			c, err := k.CreateUserPoolClient(k.admin, &model.CreateUserPoolClientRequest{UserPoolId: pool, ClientName: new("app"), ReadAttributes: list, WriteAttributes: list})
			k.must(err)
			ids = append(ids, c.UserPoolClient.ClientId)
		}
		read := func() string {
			t.Helper()
			p, err := k.pools.Pool(t.Context(), *pool)
			k.must(err)
			out := []any{p.Schema}
			for _, id := range ids {
				c, err := k.pools.Client(t.Context(), *id)
				k.must(err)
				out = append(out, c.Reads, c.Writes, c.MayWrite("nickname"), c.MayWrite("custom:team"), c.MayRead("email"))
			}
			text, err := json.Marshal(out)
			k.must(err)
			return string(text)
		}
		want := read()
		k.older(*pool, ids...)
		if got := read(); got != want {
			t.Errorf("%s: they read as %s, want %s", name, got, want)
		}
		_, err = k.AdminCreateUser(k.admin, &model.AdminCreateUserRequest{UserPoolId: pool, Username: new("x"), UserAttributes: []model.AttributeType{{Name: new("custom:team"), Value: new("a")}}})
		if (err == nil) != (given != nil) {
			t.Errorf("%s: a user with an own attribute: %v", name, err)
		}
		_, err = k.UpdateUserPool(k.admin, &model.UpdateUserPoolRequest{UserPoolId: pool})
		k.must(err)
		if got := read(); got != want {
			t.Errorf("%s: after an update they read as %s, want %s", name, got, want)
		}
	}
}

// older takes out of stored documents what an earlier version did not write.
func (k *kit) older(pool string, clients ...*string) {
	k.Helper()
	scope := store.Scope{Account: account, Region: "eu-west-1"}
	_, err := k.pools.UpdatePool(k.Context(), scope, pool, func(s *issuer.Settings) error {
		s.Schema = nil
		return nil
	})
	k.must(err)
	for _, id := range clients {
		c, err := k.pools.Client(k.Context(), *id)
		k.must(err)
		s := c.ClientSettings
		s.Reads, s.Writes = nil, nil
		_, err = k.pools.UpdateClient(k.Context(), scope, pool, *id, s)
		k.must(err)
	}
}
