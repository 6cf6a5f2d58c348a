package sts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	model "github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/federation"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store/sqlite"
)

// kit is a front over an account that knows one issuer, and that issuer.
type kit struct {
	*testing.T
	*Service
	d        *principal.Directory
	tokens   *federation.Issuer
	key      *ecdsa.PrivateKey
	url, arn string
	asked    int
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{T: t}
	dir := t.TempDir()
	ring, _, err := secret.EnsureKeyFile(filepath.Join(dir, "key"))
	k.must(err)
	box, err := secret.NewBox(ring)
	k.must(err)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "outcrop.db"), sqlite.Options{})
	k.must(err)
	t.Cleanup(func() { k.must(db.Close()) })
	k.d, _, err = principal.Open(t.Context(), principal.Config{Store: db, Box: box, Rand: rand.Reader, Now: time.Now})
	k.must(err)
	k.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.must(err)
	mux := http.NewServeMux()
	mux.HandleFunc("/realm/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		k.asked++
		k.must(json.NewEncoder(w).Encode(map[string]string{"issuer": k.url, "jwks_uri": k.url + "/keys"}))
	})
	mux.HandleFunc("/realm/keys", func(w http.ResponseWriter, _ *http.Request) {
		k.must(json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}}))
	})
	idp := httptest.NewServer(mux)
	t.Cleanup(idp.Close)
	k.url = idp.URL + "/realm"
	verifier := jwt.New(jwt.Config{HTTP: idp.Client()})
	t.Cleanup(verifier.Close)
	k.tokens = federation.New(federation.Config{
		Store: db, Box: box, Rand: rand.Reader, Now: time.Now, Account: k.d.Account().ID, Identities: k.d, Log: slog.New(slog.DiscardHandler),
		Base: func() string { return "https://outcrop.example" },
	})
	k.Service = New(Config{
		Tokens: k.tokens, Sessions: k.d, Providers: k.d, Issuers: verifier, Region: "us-east-1",
		Names: func(_ context.Context, issuer string) ([]string, error) {
			if issuer == k.url+"/" { // an issuer under two names
				return []string{"https://other.example", k.url}, nil
			}
			return nil, nil
		},
	})
	p, err := k.d.CreateOIDCProvider(t.Context(), principal.NewOIDCProvider{URL: k.url, ClientIDs: []string{"app", "jobs"}})
	k.must(err)
	k.arn = p.ARN
	return k
}

func (k *kit) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// claims are those of a good token, with others over them; nil takes one away.
func (k *kit) claims(more map[string]any) map[string]any {
	out := map[string]any{"iss": k.url, "sub": "ann", "aud": "app", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(out, more)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

func (k *kit) sign(key *ecdsa.PrivateKey, claims map[string]any) string {
	k.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "one"}}, nil)
	k.must(err)
	body, err := json.Marshal(claims)
	k.must(err)
	signed, err := signer.Sign(body)
	k.must(err)
	text, err := signed.CompactSerialize()
	k.must(err)
	return text
}

// role makes a role that trusts the issuer for some actions, with a condition.
func (k *kit) role(name, actions, condition string) string {
	k.Helper()
	host := principal.IssuerHost(k.url)
	r, err := k.d.CreateRole(k.Context(), principal.NewRole{Name: name, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + k.arn +
		`"},"Action":[` + actions + `],"Condition":{` + strings.ReplaceAll(condition, "HOST", host) + `}}]}`})
	k.must(err)
	return r.ARN
}

func (k *kit) assume(role, token string) (*model.AssumeRoleWithWebIdentityResponse, *pipeline.Call, error) {
	call := &pipeline.Call{}
	ctx := auth.WithRequest(pipeline.WithCall(k.Context(), call), auth.Request{UserAgent: "test"})
	out, err := k.AssumeRoleWithWebIdentity(ctx, &model.AssumeRoleWithWebIdentityRequest{RoleArn: &role, RoleSessionName: new("session"), WebIdentityToken: &token})
	return out, call, err
}

const assumes = `"sts:AssumeRoleWithWebIdentity"`

func TestWebIdentity(t *testing.T) {
	k := newKit(t)
	role := k.role("app", assumes, `"StringEquals":{"HOST:aud":"app","HOST:sub":"ann"},"ForAnyValue:StringEquals":{"HOST:amr":"otp"}`)
	out, call, err := k.assume(role, k.sign(k.key, k.claims(map[string]any{"aud": []string{"else", "app"}, "amr": []string{"pwd", "otp"}})))
	k.must(err)
	if *out.Provider != k.url || *out.SubjectFromWebIdentityToken != "ann" || *out.Audience != "app" || !strings.HasSuffix(*out.AssumedRoleUser.Arn, ":assumed-role/app/session") {
		t.Errorf("%+v", out)
	}
	if call.Principal.ARN != k.arn+":app:ann" || call.Principal.Kind != auth.Nobody || call.Scope.Account != k.d.Account().ID || call.Scope.Region != "us-east-1" {
		t.Errorf("the audit has %+v", call)
	}
	key, err := k.d.Key(t.Context(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken)
	k.must(err)
	if key.Principal.Session.Provider != k.arn || key.Principal.Kind != auth.AssumedRole {
		t.Errorf("the session is %+v", key.Principal)
	}
	// An issuer under several names, as a user pool of this server is.
	otp := []string{"otp"}
	if _, _, err = k.assume(role, k.sign(k.key, k.claims(map[string]any{"iss": k.url + "/", "amr": otp}))); err == nil || !strings.Contains(err.Error(), "issuer") {
		t.Errorf("the issuer's document names another: %v", err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.must(err)
	no := func(name string, more map[string]any) string { return k.sign(k.key, k.claims(more)) + name }
	for name, tt := range map[string]struct{ role, token, code, text string }{
		"no token":            {role, "nothing", codeToken, "not a valid JWT"},
		"another's signature": {role, k.sign(other, k.claims(map[string]any{"amr": otp})), codeToken, "signature"},
		"expired":             {role, no("", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), codeExpired, "Token expired"},
		"not yet":             {role, no("", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), codeToken, "not valid yet"},
		"no end":              {role, no("", map[string]any{"exp": nil}), codeToken, "Missing a required claim: exp"},
		"nobody":              {role, no("", map[string]any{"sub": nil}), codeToken, "Missing a required claim: sub"},
		"a long name":         {role, no("", map[string]any{"sub": strings.Repeat("a", 256)}), codeToken, "more than 255"},
		"no audience":         {role, no("", map[string]any{"aud": nil}), codeToken, "Missing a required claim: aud"},
		"another audience":    {role, no("", map[string]any{"aud": "else"}), codeToken, "Incorrect token audience"},
		"another client":      {role, no("", map[string]any{"azp": "else"}), codeToken, "Incorrect token audience"},
		"another issuer":      {role, no("", map[string]any{"iss": "https://evil.example"}), codeToken, "No OpenIDConnect provider found in your account for https://evil.example"},
		"no issuer":           {role, no("", map[string]any{"iss": nil}), codeToken, "No OpenIDConnect provider"},
		"methods of numbers":  {role, no("", map[string]any{"amr": []int{1}}), codeToken, "amr"},
		"another subject":     {role, no("", map[string]any{"sub": "bob", "amr": otp}), principal.CodeDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		"another method":      {role, no("", map[string]any{"amr": "pwd"}), principal.CodeDenied, "Not authorized"},
		"another role":        {strings.Replace(role, "role/app", "role/none", 1), no("", map[string]any{"amr": otp}), principal.CodeDenied, "Not authorized"},
	} {
		_, call, err := k.assume(tt.role, tt.token)
		if f := fault.From(err); err == nil || f.Code != tt.code || !strings.Contains(f.Message, tt.text) || f.Status >= 500 {
			t.Errorf("%s: %v, want %s ... %s", name, err, tt.code, tt.text)
		}
		// Whom a token says that it is of is told of one that is the issuer's alone.
		if known := call.Principal.ARN != ""; known && name == "another's signature" || !known && tt.code == principal.CodeDenied {
			t.Errorf("%s: the audit has %q", name, call.Principal.ARN)
		}
	}
	k.must(k.d.DeleteOIDCProvider(t.Context(), k.arn))
	if _, _, err := k.assume(role, k.sign(k.key, k.claims(nil))); fault.From(err).Code != codeToken {
		t.Errorf("a provider that is deleted: %v", err)
	}
	if k.asked != 1 {
		t.Errorf("the issuer's document was asked for %d times", k.asked)
	}
}

// TestUnreachable: an issuer that does not answer lets nobody in, and the refusal says
// nothing of the network.
func TestUnreachable(t *testing.T) {
	k := newKit(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	p, err := k.d.CreateOIDCProvider(t.Context(), principal.NewOIDCProvider{URL: gone.URL, ClientIDs: []string{"app"}})
	k.must(err)
	k.arn = p.ARN
	_, _, err = k.assume(k.role("app", assumes, ""), k.sign(k.key, k.claims(map[string]any{"iss": gone.URL})))
	if f := fault.From(err); f.Code != codeUnreachable || strings.Contains(f.Message, "refused") || !strings.Contains(f.Message, gone.URL) {
		t.Errorf("%v", err)
	}
}

// TestSessionClaims reads what issuers say of sessions, in both forms, and asks the
// trust policy for each right that they take.
func TestSessionClaims(t *testing.T) {
	k := newKit(t)
	plain, tags := k.role("plain", assumes, ""), k.role("tags", assumes+`,"sts:TagSession"`, `"StringEquals":{"aws:RequestTag/Team":"red"}`)
	all := k.role("all", assumes+`,"sts:TagSession","sts:SetSourceIdentity"`, `"ForAllValues:StringEquals":{"sts:TransitiveTagKeys":["team"]}`)
	nested := map[string]any{claimTags: map[string]any{memberTags: map[string]any{"team": []string{"red"}, "job": "7"}, memberLasting: []string{"team"}}, claimIdentity: "ann@example.com"}
	flat := map[string]any{flatTags + "team": "red", flatTags + "job": []string{"7"}, flatTransitives: "team", claimIdentity: "ann@example.com"}
	for name, more := range map[string]map[string]any{"nested": nested, "flat": flat} {
		out, _, err := k.assume(all, k.sign(k.key, k.claims(more)))
		k.must(err)
		key, err := k.d.Key(t.Context(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken)
		k.must(err)
		s := key.Principal.Session
		if !maps.Equal(s.Tags, map[string]string{"team": "red", "job": "7"}) || !slices.Equal(s.Transitive, []string{"team"}) || s.SourceIdentity != "ann@example.com" || *out.SourceIdentity != s.SourceIdentity || *out.PackedPolicySize == 0 {
			t.Errorf("%s: %+v", name, s)
		}
		for role, right := range map[string]string{plain: "sts:TagSession", tags: "sts:SetSourceIdentity"} {
			if _, _, err := k.assume(role, k.sign(k.key, k.claims(more))); err == nil || !strings.Contains(err.Error(), right) {
				t.Errorf("%s without the right: %v, want %s", name, err, right)
			}
		}
	}
	if _, _, err := k.assume(tags, k.sign(k.key, k.claims(map[string]any{flatTags + "team": "blue"}))); fault.From(err).Code != principal.CodeDenied {
		t.Errorf("another tag: %v", err)
	}
	for _, bad := range []map[string]any{
		{claimTags: "x"}, {claimTags: []string{}}, {claimTags: map[string]any{memberTags: []string{}}}, {claimTags: map[string]any{memberTags: map[string]any{"a": 1}}},
		{claimTags: map[string]any{memberTags: map[string]any{"a": []string{"1", "2"}}}}, {claimTags: map[string]any{memberTags: map[string]any{"a": []string{}}}},
		{claimTags: map[string]any{memberLasting: 1}}, {claimIdentity: 1}, {flatTransitives: map[string]any{}}, {flatTags + "a": nil, "amr": map[string]any{}},
	} {
		if _, _, err := k.assume(all, k.sign(k.key, k.claims(bad))); fault.From(err).Code != codeToken {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for code, bad := range map[string]map[string]any{
		principal.CodeInvalid: {flatTags + "aws:x": "1"}, principal.CodeValidation: {claimIdentity: "a b"},
	} {
		if _, _, err := k.assume(all, k.sign(k.key, k.claims(bad))); fault.From(err).Code != code {
			t.Errorf("%v: %v, want %s", bad, err, code)
		}
	}
}

// FuzzSessionClaims: whatever a token says, what comes of it is tags or a refusal.
func FuzzSessionClaims(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"https://aws.amazon.com/tags":{"principal_tags":{"a":["b"]},"transitive_tag_keys":["a"]}}`, `{"https://aws.amazon.com/tags/principal_tags/a":"b"}`,
		`{"https://aws.amazon.com/tags/transitive_tag_keys":"a","https://aws.amazon.com/source_identity":"x"}`, `{"https://aws.amazon.com/tags":null}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var claims map[string]any
		if json.Unmarshal([]byte(text), &claims) != nil {
			return
		}
		var w principal.WebIdentity
		if err := session(claims, &w); err != nil {
			if fault.From(err).Code != codeToken {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		keys := map[string]bool{}
		for _, tag := range w.Tags {
			if keys[tag.Key] {
				t.Errorf("%s: %q is there twice", text, tag.Key)
			}
			keys[tag.Key] = true
		}
	})
}

// TestStanding: a token of an issuer here whose sign-in is over is refused, and nothing is
// told of what went wrong here.
func TestStanding(t *testing.T) {
	k := newKit(t)
	role := k.role("app", assumes, "")
	for want, standing := range map[string]error{
		"": nil, codeRejected: fault.New("NotAuthorizedException", http.StatusBadRequest, "User is disabled."), "InternalServerException": io.ErrUnexpectedEOF,
	} {
		k.cfg.Standing = func(_ context.Context, token *jwt.Token) error {
			if token.Subject != "ann" {
				t.Errorf("asked about %s", token.Subject)
			}
			return standing
		}
		_, _, err := k.assume(role, k.sign(k.key, k.claims(nil)))
		if f := fault.From(err); want == "" && err != nil || want != "" && (f.Code != want || want == codeRejected && (f.Status != 403 || !strings.Contains(f.Message, "User is disabled."))) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
