package principal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/secret"
)

// A session token is the sealed record of the credentials it belongs to, bound
// to their access key id: no store is written when they are made or read when
// they are used, any process with the same key file knows them, and none can be
// made up or moved to another key.

// maxToken bounds a session token, in characters; ours have some 500.
const maxToken = 4096

// sealedCredentials is what a token holds. Its size is the token's, hence the
// short names.
type sealedCredentials struct {
	Version int    `json:"v"`
	Secret  string `json:"s"`
	Role    string `json:"r"`
	Name    string `json:"n"` // of the session
	Issued  int64  `json:"i"` // nanoseconds of Unix time
	Expires int64  `json:"e"` // seconds
}

const tokenVersion = 1

func (d *Directory) tokenOwner(keyID string) secret.Owner {
	return secret.Owner{Scope: d.account.ID, Kind: "session-token", ID: keyID}
}

// mint makes credentials of a session.
func (d *Directory) mint(ctx context.Context, session sessionKey, life time.Duration) (Credentials, error) {
	id, err := newAccessKeyID(d.cfg.Rand, prefixTemporary)
	if err != nil {
		return Credentials{}, err
	}
	key, err := newSecretKey(d.cfg.Rand)
	if err != nil {
		return Credentials{}, err
	}
	issued := d.cfg.Now().UTC()
	expires := issued.Add(life).Truncate(time.Second) // SDKs read no more
	plain, err := json.Marshal(sealedCredentials{
		Version: tokenVersion, Secret: key.Reveal(), Role: session.role, Name: session.name, Issued: issued.UnixNano(), Expires: expires.Unix(),
	})
	if err != nil {
		return Credentials{}, err
	}
	sealed, err := d.cfg.Box.Seal(ctx, d.tokenOwner(id), secret.NewBytes(plain))
	if err != nil {
		return Credentials{}, err
	}
	token := secret.NewString(base64.StdEncoding.EncodeToString(sealed))
	return Credentials{AccessKeyID: id, Secret: key, SessionToken: token, Issued: issued, Expires: expires}, nil
}

// temporary returns the key of temporary credentials from their token.
func (d *Directory) temporary(ctx context.Context, id, token string) (sigv4.Key, error) {
	if token == "" {
		return sigv4.Key{}, sigv4.ErrUnknownKey // without its token the key is nothing
	}
	c, err := d.openToken(ctx, id, token)
	if err != nil {
		return sigv4.Key{}, err
	}
	p, alive := d.sessions.find(sessionKey{c.Role, c.Name}, time.Unix(0, c.Issued))
	if d.cfg.Now().Unix() >= c.Expires || !alive {
		return sigv4.Key{}, sigv4.ErrExpiredToken
	}
	p.ID = id
	return sigv4.Key{Principal: p, Secret: c.Secret}, nil
}

// openToken reads a token of the key with that id. A token that is not ours,
// or another key's, is sigv4.ErrBadToken.
func (d *Directory) openToken(ctx context.Context, id, token string) (c sealedCredentials, err error) {
	if len(token) > maxToken {
		return c, sigv4.ErrBadToken
	}
	// The decoder passes over line ends and stray bits; one token has one text.
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil || base64.StdEncoding.EncodeToString(sealed) != token {
		return c, sigv4.ErrBadToken
	}
	plain, err := d.cfg.Box.Open(ctx, d.tokenOwner(id), sealed)
	switch {
	case errors.Is(err, secret.ErrUnreadable):
		return c, fmt.Errorf("%w: %w", sigv4.ErrBadToken, err)
	case err != nil:
		return c, err
	}
	if err := json.Unmarshal(plain.Reveal(), &c); err != nil {
		return c, fmt.Errorf("read session token of %s: %w", id, err)
	}
	if c.Version != tokenVersion || c.Secret == "" {
		return c, sigv4.ErrBadToken // of a newer program
	}
	return c, nil
}
