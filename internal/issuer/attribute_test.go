package issuer

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// schemaKit is a kit whose pool has attributes of its own.
func schemaKit(t *testing.T) *kit {
	k := newKit(t)
	var err error
	k.pool, err = k.UpdatePool(t.Context(), testScope, k.pool.ID, func(s *Settings) error {
		s.Schema = map[string]Attribute{"custom:team": {}, "custom:tenant": {Fixed: true}, "dev:custom:rank": {}}
		return nil
	})
	k.must(err)
	return k
}

// TestSchema: users have the standard attributes and those of the pool's schema. Any
// other would make their id token say what an authorizer asks: client_id, scope.
func TestSchema(t *testing.T) {
	k := schemaKit(t)
	session := func(name string) secret.String {
		_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: name, Password: secret.NewString("Temp-0rary")})
		k.must(err)
		u, err := k.Authenticate(t.Context(), k.pool, name, secret.NewString("Temp-0rary"))
		k.must(err)
		s, err := k.Challenge(t.Context(), k.pool, k.client, u)
		k.must(err)
		return s
	}
	bob := session("bob")
	for _, name := range []string{"client_id", "scope", "scp", "azp", "aud", "token_use", "tenant", "team", "custom:", "custom:rank", "dev:team", "cognito:groups", ""} {
		set := map[string]string{name: "x"}
		_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: "eve", Password: secret.NewString(testPassword), Attributes: set, SignedUp: true})
		k.refused("sign up with "+name, err, CodeInvalidParameter)
		k.refused("set "+name, k.SetAttributes(t.Context(), k.pool, "ada", set, nil), CodeInvalidParameter)
		_, err = k.AnswerNewPassword(t.Context(), k.pool, k.client, bob, "bob", secret.NewString("Bob-12345"), set)
		k.refused("answer with "+name, err, CodeInvalidParameter)
	}
	k.must(k.SetAttributes(t.Context(), k.pool, "ada", map[string]string{"custom:team": "a", "dev:custom:rank": "1", "nickname": "A"}, nil))

	// What was stored before attributes were held to the schema is no claim.
	u, err := k.change(t.Context(), k.pool, "ada", func(r *store.Resource[userSpec, userState]) error {
		r.Spec.Attributes["client_id"], r.Spec.Attributes["scope"] = "admin-app", "admin"
		return nil
	})
	k.must(err)
	k.user = u
	id := k.claims(k.signIn(k.client, ScopeUser).ID)
	if id["client_id"] != nil || id["scope"] != nil || id["custom:team"] != "a" || id["nickname"] != "A" || id["email"] != "ada@example.com" {
		t.Errorf("%v", id)
	}
	c := k.client
	c.Reads = []string{"email"}
	if id := k.claims(k.signIn(c, ScopeUser).ID); id["nickname"] != nil || id["email"] == nil {
		t.Errorf("of a client that reads email alone: %v", id)
	}
}

// TestSchemaBounds: values are of the kind and size that the schema says, whoever sets them.
func TestSchemaBounds(t *testing.T) {
	k := newKit(t)
	var err error
	k.pool, err = k.UpdatePool(t.Context(), testScope, k.pool.ID, func(s *Settings) error {
		s.Schema = map[string]Attribute{"custom:tier": {Least: new(int64(2)), Most: new(int64(5))}, "custom:level": {Number: true, Most: new(int64(9))}}
		return nil
	})
	k.must(err)
	set := func(name, value string) error {
		return k.SetAttributes(t.Context(), k.pool, "ada", map[string]string{name: value}, nil)
	}
	for name, values := range map[string][]string{"custom:tier": {"a", "platinum"}, "custom:level": {"10", "x", "1.5"}} {
		for _, value := range values {
			k.refused(name+" "+value, set(name, value), CodeInvalidParameter)
			_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: "eve", Password: secret.NewString(testPassword), Attributes: map[string]string{name: value}, SignedUp: true})
			k.refused("sign up with "+name+" "+value, err, CodeInvalidParameter)
		}
	}
	k.must(set("custom:tier", "größe"))
	k.must(set("custom:level", "-3"))
	k.must(set("custom:tier", "")) // which takes it away
	u, err := k.User(t.Context(), k.pool, "ada")
	k.must(err)
	if tier, there := u.Attributes["custom:tier"]; there || u.Attributes["custom:level"] != "-3" {
		t.Errorf("tier %q, %v", tier, u.Attributes)
	}
}

// TestProof: an address that changes is no longer proven, by whichever call, unless
// an administrator says so with it.
func TestProof(t *testing.T) {
	k := newKit(t)
	_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: "bob", Password: secret.NewString("Temp-0rary"), Attributes: map[string]string{
		"email": "bob@example.com", "email_verified": "true", "phone_number": "+1", "phone_number_verified": "true"}})
	k.must(err)
	u, err := k.Authenticate(t.Context(), k.pool, "bob", secret.NewString("Temp-0rary"))
	k.must(err)
	session, err := k.Challenge(t.Context(), k.pool, k.client, u)
	k.must(err)
	u, err = k.AnswerNewPassword(t.Context(), k.pool, k.client, session, "bob", secret.NewString("Bob-12345"),
		map[string]string{"email": "ceo@example.com", "phone_number": "+1"})
	k.must(err)
	if a := u.Attributes; a["email"] != "ceo@example.com" || a["email_verified"] != "" || a["phone_number_verified"] != "true" {
		t.Errorf("after a challenge: %v", a)
	}
	for _, c := range []struct {
		set    map[string]string
		remove []string
		want   string
	}{
		{map[string]string{"email": "ada@example.com"}, nil, "true"},
		{map[string]string{"email": "a@example.com"}, nil, ""},
		{map[string]string{"email": "b@example.com", "email_verified": "true"}, nil, "true"},
		{nil, []string{"email"}, ""},
	} {
		k.must(k.SetAttributes(t.Context(), k.pool, "ada", c.set, c.remove))
		u, err := k.User(t.Context(), k.pool, "ada")
		k.must(err)
		if got := u.Attributes["email_verified"]; got != c.want {
			t.Errorf("after %v and without %v: %q, want %q", c.set, c.remove, got, c.want)
		}
	}
}

// TestSubAsName: nobody is called by another's sub, to be found in their place.
func TestSubAsName(t *testing.T) {
	k := newKit(t)
	for _, name := range []string{k.user.Sub, strings.ToUpper(k.user.Sub)} {
		_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: name, Password: secret.NewString(testPassword), SignedUp: true})
		k.refused("a user by the name of a sub", err, CodeInvalidParameter)
	}
	// One from before names like that were refused.
	_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: "eve"})
	k.must(err)
	_, err = k.change(t.Context(), k.pool, "eve", func(r *store.Resource[userSpec, userState]) error {
		r.Name, r.Spec.Username = k.user.Sub, k.user.Sub
		return nil
	})
	k.must(err)
	found, err := k.User(t.Context(), k.pool, k.user.Sub)
	k.must(err)
	if found.Username != "Ada" {
		t.Errorf("by Ada's sub there is %s", found.Username)
	}

	in, err := k.CreatePool(t.Context(), testScope, Settings{Name: "mail", SignInBy: []string{"email"}})
	k.must(err)
	ada, err := k.CreateUser(t.Context(), in, NewUser{Name: "ada@example.com"})
	k.must(err)
	_, err = k.CreateUser(t.Context(), in, NewUser{Name: "eve@example.com"})
	k.must(err)
	for _, address := range []string{ada.Sub, "eve", "+4912345"} {
		k.refused(address, k.SetAttributes(t.Context(), in, "eve@example.com", map[string]string{"email": address}, nil), CodeInvalidParameter)
	}
}

// TestForms: standard attributes have the forms that OpenID Connect and Cognito give them,
// whoever sets them; one that is set to nothing goes.
func TestForms(t *testing.T) {
	k := newKit(t)
	for name, values := range map[string]struct{ good, bad []string }{
		"email":        {[]string{"a@b", "ada.l+x@mail.example.com", "ä@é.example", ""}, []string{"ada", "@example.com", "ada@", "a@b@c", "a b@example.com", "a@example.com\n"}},
		"phone_number": {[]string{"+1", "+14325551212", "+123456789012345", ""}, []string{"14325551212", "+", "+0123", "+1 432", "+1(432)5551212", "+1234567890123456"}},
		"birthdate":    {[]string{"1815-12-10", "0000-12-10", "2000-02-29", ""}, []string{"10/12/1815", "1815-12-1", "1815-13-01", "2001-02-29", "1815-12-10T00:00:00Z"}},
		"updated_at":   {[]string{"0", "1795363200", ""}, []string{"yesterday", "-1", "1.5"}},
	} {
		for _, value := range values.good {
			k.must(k.SetAttributes(t.Context(), k.pool, "ada", map[string]string{name: value}, nil))
		}
		for _, value := range values.bad {
			k.refused(name+" "+value, k.SetAttributes(t.Context(), k.pool, "ada", map[string]string{name: value}, nil), CodeInvalidParameter)
			_, err := k.CreateUser(t.Context(), k.pool, NewUser{Name: "bob", Attributes: map[string]string{name: value}})
			k.refused("a new user's "+name+" "+value, err, CodeInvalidParameter)
		}
	}
	err := k.SetAttributes(t.Context(), k.pool, "ada", map[string]string{"email": "ada"}, nil)
	if got := fault.From(err).Message; got != "Invalid email address format." {
		t.Error(got)
	}
	err = k.SetAttributes(t.Context(), k.pool, "ada", map[string]string{"phone_number": "432"}, nil)
	if got := fault.From(err).Message; got != "Invalid phone number format." {
		t.Error(got)
	}
}
