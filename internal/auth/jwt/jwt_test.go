package jwt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
)

// reason is why a token was not valid, or "" where it was.
func reason(t testing.TB, err error) jwt.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	var bad *jwt.Invalid
	if !errors.As(err, &bad) {
		t.Errorf("%v is not an *Invalid", err)
		return ""
	}
	if f := bad.Fault(); f.Status != 401 || f.Message != string(bad.Reason) {
		t.Errorf("%v is shown as %v", err, f)
	}
	return bad.Reason
}

// TestAlgorithms: each accepted one verifies with the key it fits.
func TestAlgorithms(t *testing.T) {
	b, k := newBench(t, jwt.Config{}), keysOnce()
	for _, tt := range []struct {
		id   string
		key  any
		algs []jose.SignatureAlgorithm
	}{
		{"rsa", k.rsa, []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}},
		{"p256", k.p256, []jose.SignatureAlgorithm{jose.ES256}},
		{"p384", k.p384, []jose.SignatureAlgorithm{jose.ES384}},
		{"p521", k.p521, []jose.SignatureAlgorithm{jose.ES512}},
		{"ed", k.ed, []jose.SignatureAlgorithm{jose.EdDSA}},
	} {
		for _, alg := range tt.algs {
			for _, header := range []map[string]any{kid(tt.id), nil} {
				if err := b.verify(t.Context(), sign(t, tt.key, alg, header, claims(time.Now(), nil))); err != nil {
					t.Errorf("%s with %s and %v: %v", alg, tt.id, header, err)
				}
			}
		}
	}
	if n := b.web.count(jwksURI); n != 1 {
		t.Errorf("keys were fetched %d times", n)
	}
}

func TestToken(t *testing.T) {
	b, now := newBench(t, jwt.Config{}), time.Now()
	text := sign(t, keysOnce().rsa, jose.RS256, kid("rsa"), claims(now, map[string]any{"aud": []string{"a", "b"}, "scp": []string{"x"}, "azp": "other", "n": 1.5}))
	for range 2 { // verified, and remembered
		got, err := b.Verify(t.Context(), discovery, text, jwt.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Issuer != issuerName || got.Subject != "alice" || got.ClientID != "app" || !slices.Equal(got.Audience, []string{"a", "b"}) ||
			!slices.Equal(got.Scopes, []string{"read", "write", "x"}) || got.Expires.Unix() != now.Add(time.Hour).Unix() || got.Claims["n"] != 1.5 || got.Raw.Reveal() != text {
			t.Errorf("%+v", got)
		}
		shown, _ := json.Marshal(got)
		for _, s := range []string{fmt.Sprintf("%v %+v %#v %s", got, *got, *got, got.Raw), string(shown)} {
			if strings.Contains(s, text) || strings.Contains(s, text[len(text)-20:]) {
				t.Errorf("the token is shown: %s", s)
			}
		}
	}
}

// TestTime: exp is required; exp, nbf and iat may be a minute off.
func TestTime(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := newBench(t, jwt.Config{Now: func() time.Time { return now }})
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, tt := range map[string]struct {
		change map[string]any
		want   jwt.Reason
	}{
		"as it is":          {nil, ""},
		"no exp":            {map[string]any{"exp": nil}, jwt.NoExpiry},
		"exp long ago":      {map[string]any{"exp": at(-time.Hour)}, jwt.Expired},
		"exp 60 s ago":      {map[string]any{"exp": at(-60 * time.Second)}, jwt.Expired},
		"exp 59 s ago":      {map[string]any{"exp": at(-59 * time.Second)}, ""},
		"exp in parts":      {map[string]any{"exp": float64(at(0)) + 0.5}, ""},
		"exp as text":       {map[string]any{"exp": "9999999999"}, jwt.Malformed},
		"exp beyond time":   {map[string]any{"exp": 1e300}, jwt.Malformed},
		"exp below zero":    {map[string]any{"exp": -1}, jwt.Malformed},
		"exp true":          {map[string]any{"exp": true}, jwt.Malformed},
		"exp of 0":          {map[string]any{"exp": 0}, jwt.Expired},
		"nbf in 61 s":       {map[string]any{"nbf": at(61 * time.Second)}, jwt.NotYet},
		"nbf in 60 s":       {map[string]any{"nbf": at(60 * time.Second)}, ""},
		"iat in 61 s":       {map[string]any{"iat": at(61 * time.Second)}, jwt.NotYet},
		"iat in 60 s":       {map[string]any{"iat": at(60 * time.Second)}, ""},
		"no nbf, no iat":    {map[string]any{"nbf": nil, "iat": nil}, ""},
		"no subject":        {map[string]any{"sub": nil}, ""},
		"subject a number":  {map[string]any{"sub": 5}, jwt.NoText},
		"issuer a list":     {map[string]any{"iss": []string{issuerName}}, jwt.Malformed},
		"another issuer":    {map[string]any{"iss": "https://evil.example"}, jwt.WrongIssuer},
		"issuer with slash": {map[string]any{"iss": issuerName + "/"}, jwt.WrongIssuer},
		"no issuer":         {map[string]any{"iss": nil}, jwt.WrongIssuer},
	} {
		if got := reason(t, b.verify(t.Context(), sign(t, keysOnce().p256, jose.ES256, kid("p256"), claims(now, tt.change)))); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	// A token that was verified expires all the same.
	text := sign(t, keysOnce().p256, jose.ES256, kid("p256"), claims(now, nil))
	if err := b.verify(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour + 60*time.Second)
	if got := reason(t, b.verify(t.Context(), text)); got != jwt.Expired {
		t.Errorf("later: %q", got)
	}
}

func TestRules(t *testing.T) {
	b, now := newBench(t, jwt.Config{}), time.Now()
	const client, audience, scope = "Claim 'client_id' value mismatch with configuration.", "Claim 'aud' value mismatch with configuration", "Claim 'scope' value mismatch with configuration."
	const tier, listed = "Claim 'tier' value mismatch with configuration (customClaims).", "Claim 'groups' value mismatch with configuration (customClaims)."
	text := func(name, value string) []jwt.ClaimRule {
		return []jwt.ClaimRule{{Name: name, Type: jwt.TypeString, Operator: jwt.Equals, Value: value}}
	}
	contains := func(value string) []jwt.ClaimRule {
		return []jwt.ClaimRule{{Name: "groups", Type: jwt.TypeStringArray, Operator: jwt.Contains, Value: value}}
	}
	anyOf := func(values ...string) []jwt.ClaimRule {
		return []jwt.ClaimRule{{Name: "groups", Type: jwt.TypeStringArray, Operator: jwt.ContainsAny, Values: values}}
	}
	groups := map[string]any{"groups": []any{"admins", 5, "users"}, "tier": "gold"}
	for name, tt := range map[string]struct {
		change map[string]any
		rules  jwt.Rules
		want   string
	}{
		"nothing asked":             {nil, jwt.Rules{}, ""},
		"audience":                  {nil, jwt.Rules{AllowedAudience: []string{"x", "agents"}}, ""},
		"audience, in a list":       {map[string]any{"aud": []string{"a", "agents"}}, jwt.Rules{AllowedAudience: []string{"agents"}}, ""},
		"another audience":          {nil, jwt.Rules{AllowedAudience: []string{"agent"}}, audience},
		"no audience":               {map[string]any{"aud": nil}, jwt.Rules{AllowedAudience: []string{"agents"}}, audience},
		"audience in capitals":      {nil, jwt.Rules{AllowedAudience: []string{"Agents"}}, audience},
		"audience an object":        {map[string]any{"aud": map[string]any{"agents": "agents"}}, jwt.Rules{AllowedAudience: []string{"agents"}}, audience},
		"audience of many in one":   {map[string]any{"aud": "a agents"}, jwt.Rules{AllowedAudience: []string{"agents"}}, audience},
		"empty audience":            {map[string]any{"aud": ""}, jwt.Rules{AllowedAudience: []string{"agents"}}, audience},
		"client":                    {nil, jwt.Rules{AllowedClients: []string{"app"}}, ""},
		"another client":            {nil, jwt.Rules{AllowedClients: []string{"apps"}}, client},
		"azp":                       {map[string]any{"client_id": nil, "azp": "app"}, jwt.Rules{AllowedClients: []string{"app"}}, client},
		"azp, lenient":              {map[string]any{"client_id": nil, "azp": "app"}, jwt.Rules{AllowedClients: []string{"app"}, Lenient: true}, ""},
		"appid, lenient":            {map[string]any{"client_id": nil, "appid": "app"}, jwt.Rules{AllowedClients: []string{"app"}, Lenient: true}, ""},
		"azp behind another client": {map[string]any{"client_id": "evil", "azp": "app"}, jwt.Rules{AllowedClients: []string{"app"}, Lenient: true}, client},
		"client a list":             {map[string]any{"client_id": []string{"app"}}, jwt.Rules{AllowedClients: []string{"app"}}, client},
		"no client, empty allowed":  {map[string]any{"client_id": nil}, jwt.Rules{AllowedClients: []string{""}}, client},
		"client of an id token":     {map[string]any{"token_use": "id"}, jwt.Rules{AllowedClients: []string{"app"}}, client},
		"azp of an id token":        {map[string]any{"token_use": "id", "azp": "app"}, jwt.Rules{AllowedClients: []string{"app"}, Lenient: true}, client},
		"scope of an id token":      {map[string]any{"token_use": "id", "scp": "write"}, jwt.Rules{AllowedScopes: []string{"write"}}, scope},
		"audience of an id token":   {map[string]any{"token_use": "id"}, jwt.Rules{AllowedAudience: []string{"agents"}}, ""},
		"client, access token":      {map[string]any{"token_use": "access"}, jwt.Rules{AllowedClients: []string{"app"}}, ""},
		"scope":                     {nil, jwt.Rules{AllowedScopes: []string{"write", "x"}}, ""},
		"scp":                       {map[string]any{"scope": nil, "scp": "a b"}, jwt.Rules{AllowedScopes: []string{"b"}}, ""},
		"scp, a list":               {map[string]any{"scope": nil, "scp": []string{"a", "b"}}, jwt.Rules{AllowedScopes: []string{"b"}}, ""},
		"another scope":             {nil, jwt.Rules{AllowedScopes: []string{"writ"}}, scope},
		"no scope":                  {map[string]any{"scope": nil}, jwt.Rules{AllowedScopes: []string{"read"}}, scope},
		"claim equals":              {groups, jwt.Rules{CustomClaims: text("tier", "gold")}, ""},
		"claim differs":             {groups, jwt.Rules{CustomClaims: text("tier", "silver")}, tier},
		"claim missing":             {nil, jwt.Rules{CustomClaims: text("tier", "gold")}, tier},
		"claim not text":            {map[string]any{"tier": []string{"gold"}}, jwt.Rules{CustomClaims: text("tier", "gold")}, tier},
		"list contains":             {groups, jwt.Rules{CustomClaims: contains("users")}, ""},
		"list lacks":                {groups, jwt.Rules{CustomClaims: contains("user")}, listed},
		"no list":                   {map[string]any{"groups": "users"}, jwt.Rules{CustomClaims: contains("users")}, listed},
		"list contains any":         {groups, jwt.Rules{CustomClaims: anyOf("x", "admins")}, ""},
		"list contains none":        {groups, jwt.Rules{CustomClaims: anyOf("x", "y")}, listed},
		"a second claim differs":    {groups, jwt.Rules{CustomClaims: append(text("tier", "gold"), contains("x")...)}, listed},
		"a rule that cannot be met": {groups, jwt.Rules{CustomClaims: []jwt.ClaimRule{{Name: "tier", Type: jwt.TypeString, Operator: jwt.Contains, Value: "gold"}}}, tier},
		"one claim, twice":          {groups, jwt.Rules{CustomClaims: append(contains("x"), contains("y")...)}, listed},
		"an empty rule":             {groups, jwt.Rules{CustomClaims: []jwt.ClaimRule{{}}}, "Claim '' value mismatch with configuration (customClaims)."},
		"all of it": {groups, jwt.Rules{AllowedAudience: []string{"x"}, AllowedClients: []string{"x"}, AllowedScopes: []string{"x"}, CustomClaims: text("tier", "x")},
			client + " " + audience + ". " + scope + " " + tier},
		"one good, one bad": {nil, jwt.Rules{AllowedAudience: []string{"agents"}, AllowedClients: []string{"x"}}, client},
	} {
		_, err := b.Verify(t.Context(), discovery, sign(t, keysOnce().p256, jose.ES256, kid("p256"), claims(now, tt.change)), tt.rules)
		var no *jwt.Forbidden
		switch {
		case tt.want == "" && err != nil, tt.want != "" && !errors.As(err, &no):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		case tt.want != "":
			if f := no.Fault(); f.Message != tt.want || f.Status != 403 || !fault.Is(f, "AccessDeniedException") {
				t.Errorf("%s: %v, want %q", name, f, tt.want)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		rule jwt.ClaimRule
		ok   bool
	}{
		{jwt.ClaimRule{Name: "a", Type: "STRING", Operator: "EQUALS", Value: "x"}, true},
		{jwt.ClaimRule{Name: "a", Type: "STRING_ARRAY", Operator: "CONTAINS", Value: "x"}, true},
		{jwt.ClaimRule{Name: "a", Type: "STRING_ARRAY", Operator: "CONTAINS_ANY", Values: []string{"x"}}, true},
		{jwt.ClaimRule{Type: "STRING", Operator: "EQUALS", Value: "x"}, false},
		{jwt.ClaimRule{Name: "a", Type: "STRING", Operator: "CONTAINS", Value: "x"}, false},
		{jwt.ClaimRule{Name: "a", Type: "STRING", Operator: "EQUALS", Values: []string{"x"}}, false},
		{jwt.ClaimRule{Name: "a", Type: "STRING_ARRAY", Operator: "EQUALS", Value: "x"}, false},
		{jwt.ClaimRule{Name: "a", Type: "STRING_ARRAY", Operator: "CONTAINS_ANY", Value: "x"}, false},
		{jwt.ClaimRule{Name: "a", Type: "NUMBER", Operator: "EQUALS", Value: "x"}, false},
	} {
		if err := tt.rule.Validate(); tt.ok != (err == nil) {
			t.Errorf("%+v: %v", tt.rule, err)
		}
	}
}

func TestCheckDiscoveryURL(t *testing.T) {
	for text, ok := range map[string]bool{
		discovery: true, "https://a.example/.well-known/oauth-authorization-server": true, "http://localhost:9/p/.well-known/openid-configuration": true,
		"": false, "https://a.example": false, "https://a.example/.well-known/openid-configuration?x=y": false, "https://u@a.example/.well-known/openid-configuration": false,
		"https://a.example/.well-known/openid-configuration#f": false, "file:///.well-known/openid-configuration": false, "https:///.well-known/openid-configuration": false,
		"/.well-known/openid-configuration": false, "https://a.example/.well-known/openid-configuration/x": false, "https://a.example/.well-known/jwks.json": false,
	} {
		if err := jwt.CheckDiscoveryURL(text); ok != (err == nil) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestFromHeader(t *testing.T) {
	for value, want := range map[string]string{"Bearer a.b.c": "a.b.c", "bearer  a": "a", "BEARER a b": "a b", "": "-", "Bearer": "-", "Bearera": "-", "Basic a": "-", "AWS4-HMAC-SHA256 Credential=x": "-"} {
		got, ok := jwt.FromHeader(http.Header{"Authorization": {value}})
		if ok != (want != "-") || ok && got != want {
			t.Errorf("%q: %q, %t", value, got, ok)
		}
	}
	for _, h := range []http.Header{nil, {"Authorization": {"Bearer a", "Bearer b"}}} {
		if _, ok := jwt.FromHeader(h); ok {
			t.Errorf("%v has a token", h)
		}
	}
}

// TestVerifyIssued: the token names its issuer, and trust decides.
func TestVerifyIssued(t *testing.T) {
	b, now := newBench(t, jwt.Config{}), time.Now()
	mine := sign(t, keysOnce().p256, jose.ES256, kid("p256"), claims(now, nil))
	got, err := b.VerifyIssued(t.Context(), mine, nil, jwt.Rules{})
	if err != nil || got.Subject != "alice" {
		t.Fatalf("%+v, %v", got, err)
	}
	only := func(name string) jwt.Trust {
		return func(issuer string) (string, bool) { return discovery, issuer == name }
	}
	if _, err := b.VerifyIssued(t.Context(), mine, only(issuerName), jwt.Rules{}); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct {
		iss   any
		trust jwt.Trust
		want  jwt.Reason
	}{
		"not trusted":         {issuerName, only("https://other.example"), jwt.Untrusted},
		"no issuer":           {nil, nil, jwt.Untrusted},
		"no URL":              {"idp", nil, jwt.Untrusted},
		"a file":              {"file:///etc", nil, jwt.Untrusted},
		"with a query":        {"https://idp.example/?", nil, jwt.Untrusted},
		"not there":           {"https://gone.example", nil, jwt.Unavailable},
		"of another document": {issuerName + "/", nil, jwt.WrongIssuer}, // the same document
	} {
		_, err := b.VerifyIssued(t.Context(), sign(t, keysOnce().p256, jose.ES256, kid("p256"), claims(now, map[string]any{"iss": tt.iss})), tt.trust, jwt.Rules{})
		if got := reason(t, err); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestLocal: an issuer of this server is asked for without HTTP, and each time.
func TestLocal(t *testing.T) {
	k, now := keysOnce(), time.Now()
	keys := keySet(public("1", &k.p256.PublicKey))
	broken := errors.New("broken")
	b := newBench(t, jwt.Config{Local: func(_ context.Context, at string) (jwt.Local, bool, error) {
		if keys == "" {
			return jwt.Local{}, false, broken
		}
		return jwt.Local{Issuer: "https://first.example", Also: []string{issuerName}, Keys: []byte(keys)}, at == discovery, nil
	}})
	first := sign(t, k.p256, jose.ES256, kid("1"), claims(now, nil))
	second := sign(t, k.ed, jose.EdDSA, kid("2"), claims(now, nil))
	if err := b.verify(t.Context(), first); err != nil {
		t.Error(err)
	}
	if got := reason(t, b.verify(t.Context(), second)); got != jwt.UnknownKey {
		t.Errorf("a key of the future: %q", got)
	}
	keys = keySet(public("2", k.ed.Public()))
	if err := b.verify(t.Context(), second); err != nil {
		t.Error(err)
	}
	if got := reason(t, b.verify(t.Context(), first)); got != jwt.UnknownKey {
		t.Errorf("a key of the past, though it was verified before: %q", got)
	}
	if name, err := b.Issuer(t.Context(), discovery); name != "https://first.example" {
		t.Errorf("%s, %v", name, err)
	}
	for name, want := range map[string]jwt.Reason{"https://first.example": "", "https://other.example": jwt.WrongIssuer} {
		if got := reason(t, b.verify(t.Context(), sign(t, k.ed, jose.EdDSA, kid("2"), claims(now, map[string]any{"iss": name})))); got != want {
			t.Errorf("iss %s: %q, want %q", name, got, want)
		}
	}
	keys = "{}"
	if got := reason(t, b.verify(t.Context(), second)); got != jwt.Unavailable {
		t.Errorf("no keys: %q", got)
	}
	keys = ""
	if err := b.verify(t.Context(), second); !errors.Is(err, broken) || errors.As(err, new(*jwt.Invalid)) {
		t.Errorf("an error of ours: %v", err)
	}
	if n := len(b.web.asked); n > 0 {
		t.Errorf("%d URLs were asked for", n)
	}
}
