package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
)

func encodedURL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func isGone(err error) bool { return fault.Is(err, CodeNotFound) }

func isAbsent(err error) bool { return fault.Is(err, CodeUserNotFound) }

// Issuer is the name that a pool has at AWS.
func Issuer(poolID string) string {
	region := RegionOf(poolID)
	host := "cognito-idp." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	return "https://" + host + "/" + poolID
}

// SignIn is what tokens are minted for. A user's tokens all name the sign-in that
// they come from, and end with it.
type SignIn struct {
	// Issuer is the name of the pool that the tokens bear.
	Issuer string
	// Scopes are the access token's; openid among them asks for an id token.
	Scopes []string
	// Audience are the resources that the access token is for (RFC 8707).
	Audience []string
	// Nonce goes into the id token.
	Nonce string
	// At is when the user signed in, and Origin names that sign-in; empty makes one.
	At     time.Time
	Origin string
}

// Tokens are what a sign-in yields.
type Tokens struct {
	Access, ID, Refresh secret.String
	Scopes              []string
	// Life is the access token's.
	Life time.Duration
}

// accessClaims are those of Cognito's access tokens (developer guide, "Understanding
// the access token").
type accessClaims struct {
	Subject  string   `json:"sub"`
	Device   string   `json:"device_key,omitempty"`
	Issuer   string   `json:"iss"`
	Version  int      `json:"version,omitempty"`
	ClientID string   `json:"client_id"`
	Audience audience `json:"aud,omitempty"`
	Origin   string   `json:"origin_jti,omitempty"`
	Event    string   `json:"event_id,omitempty"`
	Use      string   `json:"token_use"`
	Scope    string   `json:"scope,omitempty"`
	AuthTime int64    `json:"auth_time"`
	Expires  int64    `json:"exp"`
	Issued   int64    `json:"iat"`
	ID       string   `json:"jti"`
	Username string   `json:"username,omitempty"`
	Groups   []string `json:"cognito:groups,omitempty"`
}

// audience is written as one string where it is one.
type audience []string

// MarshalJSON writes a single value as a string (RFC 7519 4.1.3).
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON reads both forms.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// sign returns claims as a JWS in its compact form.
func (p *Pools) sign(ctx context.Context, in Pool, claims any) (secret.String, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return secret.String{}, fmt.Errorf("write token of %s: %w", in.ID, err)
	}
	return p.keys.Sign(ctx, in.Scope, in.ID, body)
}

// MintMachine makes the access token of a client that signs in by itself.
func (p *Pools) MintMachine(ctx context.Context, in Pool, c Client, s SignIn) (Tokens, error) {
	jti, err := newUUID(p.cfg.Rand)
	if err != nil {
		return Tokens{}, err
	}
	now := p.cfg.Now()
	token, err := p.sign(ctx, in, accessClaims{
		Subject: c.ID, Issuer: s.Issuer, Version: 2, ClientID: c.ID, Audience: s.Audience, Use: "access", Scope: strings.Join(s.Scopes, " "),
		AuthTime: now.Unix(), Issued: now.Unix(), Expires: now.Add(c.AccessLife()).Unix(), ID: jti,
	})
	return Tokens{Access: token, Scopes: s.Scopes, Life: c.AccessLife()}, err
}

// Mint makes the access and id tokens of a user's sign-in; refresh adds a token
// that yields others later.
func (p *Pools) Mint(ctx context.Context, in Pool, c Client, u User, s SignIn, refresh bool) (Tokens, error) {
	var ids [4]string
	for i := range ids {
		var err error
		if ids[i], err = newUUID(p.cfg.Rand); err != nil {
			return Tokens{}, err
		}
	}
	list, err := p.GroupsOf(ctx, in, u.Sub)
	if err != nil {
		return Tokens{}, err
	}
	inGroups, roles, preferred := groupClaims(list)
	now := p.cfg.Now()
	if s.At.IsZero() {
		s.At = now
	}
	if s.Origin == "" {
		s.Origin = ids[0]
	}
	access := accessClaims{
		Subject: u.Sub, Issuer: s.Issuer, ClientID: c.ID, Audience: s.Audience, Origin: s.Origin, Event: ids[1], Use: "access",
		Scope: strings.Join(s.Scopes, " "), AuthTime: s.At.Unix(), Issued: now.Unix(), Expires: now.Add(c.AccessLife()).Unix(), ID: ids[2],
		Username: u.Username, Groups: inGroups,
	}
	if slices.Contains(s.Scopes, "openid") && len(s.Audience) == 0 {
		access.Version = 2 // as those of its authorization server
	}
	if c.NoRevocation {
		access.Origin = ""
	}
	out := Tokens{Scopes: s.Scopes, Life: c.AccessLife()}
	if out.Access, err = p.sign(ctx, in, access); err != nil {
		return Tokens{}, err
	}
	if slices.Contains(s.Scopes, "openid") || slices.Contains(s.Scopes, ScopeUser) {
		claims := idClaims(in, c, u, s)
		claims["event_id"], claims["jti"] = ids[1], ids[3]
		claims["iat"], claims["exp"] = now.Unix(), now.Add(c.IDLife()).Unix()
		if slices.Contains(s.Scopes, "openid") {
			// As at Cognito not in those of InitiateAuth, at which pycognito fails.
			claims["at_hash"] = atHash(out.Access)
		}
		for name, list := range map[string][]string{"cognito:groups": inGroups, "cognito:roles": roles} {
			if len(list) > 0 {
				claims[name] = list
			}
		}
		if preferred != "" {
			claims["cognito:preferred_role"] = preferred
		}
		if !c.NoRevocation {
			claims["origin_jti"] = s.Origin
		}
		if out.ID, err = p.sign(ctx, in, claims); err != nil {
			return Tokens{}, err
		}
	}
	if refresh {
		out.Refresh, err = p.keepGrant(ctx, in, c, u, s)
	}
	return out, err
}

// idClaims are those of Cognito's id tokens: the user's attributes, as the scopes
// allow, with the booleans as such.
func idClaims(in Pool, c Client, u User, s SignIn) map[string]any {
	claims := Claims(in, c, u, s.Scopes)
	claims["sub"], claims["aud"], claims["iss"] = u.Sub, c.ID, s.Issuer
	claims["cognito:username"] = u.Username
	claims["token_use"], claims["auth_time"] = "id", s.At.Unix()
	if s.Nonce != "" {
		claims["nonce"] = s.Nonce
	}
	return claims
}

// Claims are the attributes of a user that some scopes open: email and phone those
// of their name, profile and the user's own scope all, of those that the client may
// read. What is no attribute of the
// pool is no claim, however it came to be stored.
func Claims(in Pool, c Client, u User, scopes []string) map[string]any {
	out := map[string]any{}
	has := func(scope string) bool { return slices.Contains(scopes, scope) }
	for name, value := range u.Attributes {
		open := has("profile") || has(ScopeUser)
		switch name {
		case "email", "email_verified":
			open = has("email") || has(ScopeUser)
		case "phone_number", "phone_number_verified":
			open = has("phone") || has(ScopeUser)
		}
		switch {
		case !open || !in.has(name) || !c.MayRead(name):
		case strings.HasSuffix(name, "_verified"):
			out[name] = value == "true"
		default:
			out[name] = value
		}
	}
	return out
}

// atHash binds an id token to an access token (OpenID Connect Core 3.1.3.6).
func atHash(access secret.String) string {
	sum := sha256.Sum256(access.Bytes().Reveal())
	return encodedURL(sum[:len(sum)/2])
}
