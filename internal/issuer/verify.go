package issuer

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// maxToken bounds an access token, in characters.
const maxToken = 16 << 10

func errToken() error { return NotAuthorized("Invalid Access Token") }

// Bearer is who an access token of a pool stands for.
type Bearer struct {
	Pool   Pool
	User   User
	Client Client
	Scopes []string
}

// Verify returns the user of an access token that has a scope. One for a resource
// (aud) is good there alone. A token is refused once
// its sign-in has been revoked, which those who only know the keys do not see.
func (p *Pools) Verify(ctx context.Context, token secret.String, scope string) (Bearer, error) {
	text := token.Reveal()
	if len(text) > maxToken {
		return Bearer{}, errToken()
	}
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return Bearer{}, errToken()
	}
	var claims accessClaims
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return Bearer{}, errToken()
	}
	poolID := claims.Issuer[strings.LastIndexByte(claims.Issuer, '/')+1:]
	if !IsPoolID(poolID) {
		return Bearer{}, errToken()
	}
	keys, err := p.Keys(ctx, poolID)
	if isGone(err) {
		return Bearer{}, errToken()
	}
	if err != nil {
		return Bearer{}, err
	}
	known := keys.Key(signed.Signatures[0].Header.KeyID)
	if len(known) != 1 {
		return Bearer{}, errToken()
	}
	if _, err := signed.Verify(known[0]); err != nil {
		return Bearer{}, errToken()
	}
	scopes := strings.Fields(claims.Scope)
	switch {
	case claims.Use != "access" || claims.Username == "":
		return Bearer{}, errToken()
	case len(claims.Audience) > 0:
		// It was made for a resource, which has seen it (RFC 8707 2): what that may do
		// is not to be the user here.
		return Bearer{}, errToken()
	case p.cfg.Now().Unix() >= claims.Expires:
		return Bearer{}, NotAuthorized("Access Token has expired")
	case !slices.Contains(scopes, scope):
		return Bearer{}, NotAuthorized("Access Token does not have required scopes")
	}
	out := Bearer{Scopes: scopes}
	if out.Pool, out.User, err = p.alive(ctx, poolID, claims); err != nil {
		return Bearer{}, err
	}
	out.Client, err = p.ClientOf(ctx, out.Pool.Scope, poolID, claims.ClientID)
	if isGone(err) {
		return Bearer{}, errToken()
	}
	return out, err
}

// CheckStanding refuses a verified token of a pool with whose user, client or sign-in it is
// over: those who only know the keys do not see that. The issuer is any name that such a
// token bears: a pool signs under that by which it was reached, such as one of a proxy's.
// One that is no pool's here is not refused.
func (p *Pools) CheckStanding(ctx context.Context, name string, token map[string]any) error {
	poolID := name[strings.LastIndexByte(name, '/')+1:]
	if !IsPoolID(poolID) {
		return nil
	}
	in, err := p.Pool(ctx, poolID)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	text := func(name string) string { s, _ := token[name].(string); return s }
	client := text("client_id")
	if text("token_use") == "id" {
		client = text("aud")
	}
	if _, err := p.ClientOf(ctx, in.Scope, poolID, client); isGone(err) {
		return NotAuthorized("The client of the token is no more")
	} else if err != nil {
		return err
	}
	if text("token_use") != "id" && text("username") == "" {
		return nil // of a client that signs in by itself
	}
	at, _ := token["auth_time"].(float64)
	_, _, err = p.alive(ctx, poolID, accessClaims{Subject: text("sub"), Origin: text("origin_jti"), AuthTime: int64(at)})
	return err
}

// alive refuses a token whose user or sign-in is gone.
func (p *Pools) alive(ctx context.Context, poolID string, claims accessClaims) (in Pool, u User, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		var err error
		if in, err = findPool(r, poolID); err != nil {
			return errToken()
		}
		doc, err := users().Get(r, in.Scope, userID(poolID, claims.Subject))
		if err != nil {
			return missing(err, noUser())
		}
		u = user(doc)
		var gone struct{}
		revoked, err := get(r, row(poolID, "revoked", claims.Origin), &gone)
		switch {
		case err != nil:
			return err
		case revoked || claims.AuthTime < doc.State.SignedOut.Unix():
			return NotAuthorized("Access Token has been revoked")
		case u.Disabled:
			return NotAuthorized("User is disabled.")
		}
		return nil
	})
	return in, u, err
}

// Local is what verifies a pool's tokens in this process.
type Local struct {
	// Keys are as the pool publishes them now.
	Keys jose.JSONWebKeySet
	// Issuers are the names that tokens of the pool may bear: first the one that the
	// document at the discovery URL has, then those of AWS and of this server's addresses.
	Issuers []string
}

// discoveryPath ends every discovery URL (OpenID Connect Discovery 4).
const discoveryPath = "/.well-known/openid-configuration"

// MayBe reports whether a discovery URL has the form of a pool's.
func MayBe(discoveryURL string) bool {
	_, _, ok := poolOf(discoveryURL)
	return ok
}

func poolOf(discoveryURL string) (issuer, poolID string, ok bool) {
	issuer, ok = strings.CutSuffix(discoveryURL, discoveryPath)
	poolID = issuer[strings.LastIndexByte(issuer, '/')+1:]
	return issuer, poolID, ok && IsPoolID(poolID)
}

// Local returns the keys of the pool that a discovery URL is of: one at AWS's name,
// or at one of this server's own, as ours says by the scheme and host. It is false
// for the URL of anybody else's issuer, and for that of a pool that is not here.
func (p *Pools) Local(ctx context.Context, discoveryURL string, ours func(base string) bool, bases []string) (Local, bool, error) {
	issuer, poolID, ok := poolOf(discoveryURL)
	if !ok {
		return Local{}, false, nil
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Path != "/"+poolID || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return Local{}, false, nil
	}
	base := u.Scheme + "://" + u.Host
	if issuer != Issuer(poolID) && !ours(base) {
		return Local{}, false, nil
	}
	keys, err := p.Keys(ctx, poolID)
	if isGone(err) {
		return Local{}, false, nil
	}
	if err != nil {
		return Local{}, false, err
	}
	out := Local{Keys: keys, Issuers: []string{base + "/" + poolID}}
	names := []string{Issuer(poolID)}
	for _, b := range bases {
		names = append(names, strings.TrimSuffix(b, "/")+"/"+poolID)
	}
	for _, name := range names {
		if !slices.Contains(out.Issuers, name) {
			out.Issuers = append(out.Issuers, name)
		}
	}
	return out, true, nil
}
