package issuer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Code is what an authorization code stands for.
type Code struct {
	Client   string    `json:"client"`
	Redirect string    `json:"redirect"`
	Sub      string    `json:"sub"`
	Issuer   string    `json:"issuer"`
	Scopes   []string  `json:"scopes,omitempty"`
	Audience []string  `json:"aud,omitempty"`
	Nonce    string    `json:"nonce,omitempty"`
	At       time.Time `json:"at"`
	// Challenge is PKCE's, by S256 (RFC 7636); empty where none was sent.
	Challenge string `json:"challenge,omitempty"`
}

type storedCode struct {
	Code
	Expires int64 `json:"expires"`
	// Origin is set once the code has been used, and names the sign-in it became.
	Origin string `json:"origin,omitempty"`
}

// codeLife is how long a code is good; keepCode is how long a used one is known.
const (
	codeLife = 5 * time.Minute
	keepCode = 25 * time.Hour
)

// errCode is the one refusal of a code, whatever is wrong with it.
func errCode() error { return NotAuthorized("The authorization code is not good") }

// NewCode makes an authorization code.
func (p *Pools) NewCode(ctx context.Context, in Pool, c Code) (secret.String, error) {
	token, digest, err := p.newToken()
	if err != nil {
		return token, err
	}
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := getPool(tx, in.Scope, in.ID); err != nil {
			return err
		}
		return put(tx, row(in.ID, "code", digest), storedCode{Code: c, Expires: p.cfg.Now().Add(codeLife).Unix()})
	})
	return token, err
}

// Redeem mints the tokens of a code, once: who shows it again ends the sign-in that
// it became (RFC 6749 4.1.2). A wrong verifier spends the code too.
func (p *Pools) Redeem(ctx context.Context, in Pool, c Client, code secret.String, redirect, verifier string) (Tokens, User, error) {
	origin, err := newUUID(p.cfg.Rand)
	if err != nil {
		return Tokens{}, User{}, err
	}
	var held storedCode
	var u User
	good := false
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		held, good = storedCode{}, false
		key := row(in.ID, "code", digestOf(code))
		found, err := get(tx, key, &held)
		now := p.cfg.Now()
		switch {
		case err != nil:
			return err
		case !found || held.Client != c.ID:
			return errCode()
		case held.Origin != "":
			return dropOrigin(tx, in.ID, grant{Sub: held.Sub, Origin: held.Origin}, now)
		case now.Unix() >= held.Expires:
			return errCode()
		}
		spent := held
		spent.Origin, spent.Expires = origin, now.Add(keepCode).Unix()
		if err := put(tx, key, spent); err != nil {
			return err
		}
		doc, err := users().Get(tx, in.Scope, userID(in.ID, held.Sub))
		if err != nil {
			return missing(err, NotAuthorized("The authorization code is not good"))
		}
		u = user(doc)
		good = held.Redirect == redirect && held.proven(verifier) && !u.Disabled && !held.At.Before(doc.State.SignedOut)
		if !good {
			return nil
		}
		return signedInBy(tx, in, c, now)
	})
	if err == nil && !good {
		err = errCode()
	}
	if err != nil {
		return Tokens{}, User{}, err
	}
	t, err := p.Mint(ctx, in, c, u, SignIn{
		Issuer: held.Issuer, Scopes: held.Scopes, Audience: held.Audience, Nonce: held.Nonce, At: held.At, Origin: origin,
	}, true)
	return t, u, err
}

// proven holds a verifier against the challenge. A verifier without a challenge is
// refused: somebody has taken the challenge out of the request.
func (c Code) proven(verifier string) bool {
	if c.Challenge == "" || verifier == "" {
		return c.Challenge == verifier
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(encodedURL(sum[:])), []byte(c.Challenge)) == 1
}

// Session is a browser's, by which its user need not sign in again.
type Session struct {
	Sub string    `json:"sub"`
	At  time.Time `json:"at"`
}

type storedSession struct {
	Session
	Expires int64 `json:"expires"`
}

// SessionLife is how long a browser's session lasts, as at Cognito.
const SessionLife = time.Hour

// NewSession starts the session of a user who has just signed in.
func (p *Pools) NewSession(ctx context.Context, in Pool, u User) (secret.String, Session, error) {
	token, digest, err := p.newToken()
	s := Session{Sub: u.Sub, At: p.cfg.Now().UTC()}
	if err != nil {
		return token, s, err
	}
	expires := s.At.Add(SessionLife).Unix()
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := users().Get(tx, in.Scope, userID(in.ID, u.Sub)); err != nil {
			return missing(err, noUser())
		}
		if err := put(tx, row(in.ID, "session", digest), storedSession{s, expires}); err != nil {
			return err
		}
		return put(tx, row(in.ID, "user", u.Sub+"/"+digest), struct {
			Expires int64 `json:"expires"`
		}{expires})
	})
	return token, s, err
}

// Session returns the user of a browser's session; none, one that is over, and that
// of a user who may not sign in is false.
func (p *Pools) Session(ctx context.Context, in Pool, token secret.String) (u User, s Session, found bool, err error) {
	if token.Empty() {
		return u, s, false, nil
	}
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		var held storedSession
		found, err = get(r, row(in.ID, "session", digestOf(token)), &held)
		if err != nil || !found {
			return err
		}
		doc, err := users().Get(r, in.Scope, userID(in.ID, held.Sub))
		if err != nil {
			found = false
			return missing(err, noUser())
		}
		u, s = user(doc), held.Session
		found = p.cfg.Now().Unix() < held.Expires && !u.Disabled && u.Status == Confirmed && !s.At.Before(doc.State.SignedOut)
		return nil
	})
	if isAbsent(err) {
		err = nil
	}
	return u, s, found && err == nil, err
}

// EndSession ends a browser's session; one that is not there is no error.
func (p *Pools) EndSession(ctx context.Context, in Pool, token secret.String) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		var held storedSession
		digest := digestOf(token)
		found, err := get(tx, row(in.ID, "session", digest), &held)
		if err != nil || !found {
			return err
		}
		if err := tx.DeleteRow(grants, row(in.ID, "user", held.Sub+"/"+digest)); err != nil {
			return err
		}
		return tx.DeleteRow(grants, row(in.ID, "session", digest))
	})
}
