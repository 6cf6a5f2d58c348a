package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/signingkey"
	"github.com/outcrop/outcrop/internal/store"
)

// grant is what a refresh token stands for, kept under the token's digest.
type grant struct {
	Expires int64     `json:"expires"` // seconds of Unix time
	Client  string    `json:"client"`
	Sub     string    `json:"sub"`
	Issuer  string    `json:"issuer"`
	Scopes  []string  `json:"scopes,omitempty"`
	Aud     []string  `json:"aud,omitempty"`
	Nonce   string    `json:"nonce,omitempty"`
	At      time.Time `json:"at"`
	Origin  string    `json:"origin"`
	// Used is when a token that is good once was used.
	Used time.Time `json:"used,omitzero"`
	// Revoked says that the sign-in is over. Of it only the client is left then.
	Revoked bool `json:"revoked,omitempty"`
}

// newToken makes an opaque token; it is stored as its digest.
func (p *Pools) newToken() (token secret.String, digest string, err error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(p.cfg.Rand, raw); err != nil {
		return token, "", fmt.Errorf("make token: %w", err)
	}
	token = secret.NewString(encodedURL(raw))
	return token, digestOf(token), nil
}

func digestOf(token secret.String) string {
	sum := sha256.Sum256(token.Bytes().Reveal())
	return hex.EncodeToString(sum[:])
}

// The keys of rows, after the pool's id and a slash: grant/DIGEST, user/SUB/DIGEST
// (which finds a user's), code/DIGEST, session/DIGEST, revoked/ORIGIN.
func row(poolID, kind, name string) []byte { return []byte(poolID + "/" + kind + "/" + name) }

func put(tx store.Tx, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.PutRow(grants, key, b)
}

// get reads a row; none is false.
func get(r store.Reader, key []byte, v any) (bool, error) {
	b, err := r.Row(grants, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal(b, v)
}

// keepGrant stores what a new refresh token stands for.
func (p *Pools) keepGrant(ctx context.Context, in Pool, c Client, u User, s SignIn) (secret.String, error) {
	token, digest, err := p.newToken()
	if err != nil {
		return token, err
	}
	g := grant{
		Expires: s.At.Add(c.RefreshLife()).Unix(), Client: c.ID, Sub: u.Sub, Issuer: s.Issuer, Scopes: s.Scopes, Aud: s.Audience,
		Nonce: s.Nonce, At: s.At.UTC(), Origin: s.Origin,
	}
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		// The user may have been deleted or signed out while this was made.
		doc, err := users().Get(tx, in.Scope, userID(in.ID, u.Sub))
		if err != nil {
			return missing(err, noUser())
		}
		// Somebody may have shown the sign-in's code a second time meanwhile.
		var gone struct{}
		over, err := get(tx, row(in.ID, "revoked", s.Origin), &gone)
		if err != nil {
			return err
		}
		if over || s.At.Before(doc.State.SignedOut) {
			return errRevoked()
		}
		return putGrant(tx, in.ID, digest, g)
	})
	return token, err
}

func putGrant(tx store.Tx, poolID, digest string, g grant) error {
	if err := put(tx, row(poolID, "grant", digest), g); err != nil {
		return err
	}
	return put(tx, row(poolID, "user", g.Sub+"/"+digest), struct {
		Expires int64  `json:"expires"`
		Kind    string `json:"kind"`
		Origin  string `json:"origin"`
	}{g.Expires, "grant", g.Origin})
}

// errRefresh is the one refusal of a refresh token that never was the client's.
func errRefresh() error { return NotAuthorized("Invalid Refresh Token") }

func errRevoked() error { return NotAuthorized("Refresh Token has been revoked") }

// Refresh mints tokens again from a refresh token. A client whose tokens rotate gets
// another; the old one, shown once more after the grace, ends the whole sign-in. proof,
// unless nil, may refuse the user that the token is of, before anything is done.
func (p *Pools) Refresh(ctx context.Context, in Pool, c Client, token secret.String, scopes []string, proof func(User) error) (Tokens, User, error) {
	var g grant
	var u User
	digest := digestOf(token)
	fresh, freshDigest, err := p.newToken()
	if err != nil {
		return Tokens{}, u, err
	}
	reused := false
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		g, reused = grant{}, false
		found, err := get(tx, row(in.ID, "grant", digest), &g)
		if err != nil {
			return err
		}
		now := p.cfg.Now()
		if !found || g.Client != c.ID || now.Unix() >= g.Expires {
			return errRefresh()
		}
		if g.Revoked {
			return errRevoked()
		}
		doc, err := users().Get(tx, in.Scope, userID(in.ID, g.Sub))
		if err != nil {
			return missing(err, NotAuthorized("Invalid Refresh Token"))
		}
		u = user(doc)
		if u.Disabled {
			return NotAuthorized("User is disabled.")
		}
		if proof != nil {
			if err := proof(u); err != nil {
				return err
			}
		}
		if !c.Rotates {
			return nil
		}
		if !g.Used.IsZero() && now.Sub(g.Used) >= c.Grace {
			reused = true
			return dropOrigin(tx, in.ID, g, p.cfg.Now())
		}
		next := g
		next.Used = time.Time{}
		if g.Used.IsZero() {
			g.Used = now.UTC()
		}
		if err := put(tx, row(in.ID, "grant", digest), g); err != nil {
			return err
		}
		return putGrant(tx, in.ID, freshDigest, next)
	})
	if err == nil && reused {
		err = fault.BadRequest(CodeRefreshTokenReuse, "Refresh token reuse detected")
	}
	if err != nil {
		return Tokens{}, u, err
	}
	if len(scopes) == 0 {
		scopes = g.Scopes
	}
	for _, s := range scopes {
		if !slices.Contains(g.Scopes, s) {
			return Tokens{}, u, fault.BadRequest(CodeScopeUnknown, "The sign-in does not have the scope %q", s)
		}
	}
	out, err := p.Mint(ctx, in, c, u, SignIn{Issuer: g.Issuer, Scopes: scopes, Audience: g.Aud, Nonce: g.Nonce, At: g.At, Origin: g.Origin}, false)
	if err == nil && c.Rotates {
		out.Refresh = fresh
	}
	return out, u, err
}

// Revoke ends the sign-in that a client's refresh token comes from. A token that is
// not there is no error (RFC 7009 2.2); another client's is refused.
func (p *Pools) Revoke(ctx context.Context, in Pool, c Client, token secret.String) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		var g grant
		found, err := get(tx, row(in.ID, "grant", digestOf(token)), &g)
		if err != nil || !found || g.Revoked {
			return err
		}
		if g.Client != c.ID {
			return fault.BadRequest(CodeUnauthorized, "The token was issued to another client")
		}
		return dropOrigin(tx, in.ID, g, p.cfg.Now())
	})
}

// revokeGrant leaves of a refresh token, until it would have expired, that it was revoked:
// who shows it is told so, as at Cognito.
func revokeGrant(tx store.Tx, poolID, digest string) error {
	var g grant
	found, err := get(tx, row(poolID, "grant", digest), &g)
	if err != nil || !found {
		return err
	}
	return put(tx, row(poolID, "grant", digest), grant{Expires: g.Expires, Client: g.Client, Revoked: true})
}

// dropOrigin revokes the refresh tokens of one sign-in, and notes that its access
// tokens are good for no call here.
func dropOrigin(tx store.Tx, poolID string, g grant, now time.Time) error {
	for r, err := range tx.Rows(grants, store.Prefix(row(poolID, "user", g.Sub+"/"))) {
		if err != nil {
			return err
		}
		var ref struct{ Origin string }
		if err := json.Unmarshal(r.Value, &ref); err != nil {
			return err
		}
		if ref.Origin != g.Origin {
			continue
		}
		digest := string(r.Key[len(row(poolID, "user", g.Sub+"/")):])
		if err := revokeGrant(tx, poolID, digest); err != nil {
			return err
		}
		if err := tx.DeleteRow(grants, r.Key); err != nil {
			return err
		}
	}
	return putRevoked(tx, poolID, g.Origin, now)
}

// dropGrants ends all that a user is signed in by, and notes each sign-in as over.
func dropGrants(tx store.Tx, poolID, sub string, now time.Time) error {
	for r, err := range tx.Rows(grants, store.Prefix(row(poolID, "user", sub+"/"))) {
		if err != nil {
			return err
		}
		var ref struct{ Origin string }
		if err := json.Unmarshal(r.Value, &ref); err != nil {
			return err
		}
		if ref.Origin != "" {
			if err := putRevoked(tx, poolID, ref.Origin, now); err != nil {
				return err
			}
		}
		digest := string(r.Key[len(row(poolID, "user", sub+"/")):])
		if err := revokeGrant(tx, poolID, digest); err != nil {
			return err
		}
		if err := tx.DeleteRow(grants, row(poolID, "session", digest)); err != nil {
			return err
		}
		if err := tx.DeleteRow(grants, r.Key); err != nil {
			return err
		}
	}
	return nil
}

// putRevoked notes that a sign-in is over, for as long as its access tokens last.
func putRevoked(tx store.Tx, poolID, origin string, now time.Time) error {
	return put(tx, row(poolID, "revoked", origin), struct {
		Expires int64 `json:"expires"`
	}{now.Add(signingkey.KeepRetired).Unix()})
}

// dropExpired deletes the rows whose time is over, some at a time.
func (p *Pools) dropExpired(ctx context.Context) error {
	now := p.cfg.Now().Unix()
	var over [][]byte
	flush := func() error {
		if len(over) == 0 {
			return nil
		}
		err := p.cfg.Store.Update(ctx, func(tx store.Tx) error {
			for _, key := range over {
				if err := tx.DeleteRow(grants, key); err != nil {
					return err
				}
			}
			return nil
		})
		over = nil
		return err
	}
	err := store.EachRow(ctx, p.cfg.Store, grants, func(r store.Row) error {
		var at struct{ Expires int64 }
		if err := json.Unmarshal(r.Value, &at); err != nil {
			return fmt.Errorf("read %s: %w", r.Key, err)
		}
		if at.Expires > now {
			return nil
		}
		if over = append(over, r.Key); len(over) < purgeBatch {
			return nil
		}
		return flush()
	})
	return errors.Join(err, flush())
}
