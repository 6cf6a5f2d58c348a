package principal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/secret"
)

// A session token is the sealed record of the credentials it belongs to, bound
// to their access key id: no store is written when they are made, any process with
// the same key file knows them, and none can be made up or moved to another key.
// What it says of its user or role counts for as long as that is there.

// maxToken bounds a session token, in characters; most have some 600.
const maxToken = 8192

// sessionKind says how credentials were asked for.
type sessionKind string

// The kinds. What older versions made has none, and is a guest's.
const (
	ofGuest     sessionKind = ""  // BeginRoleSession
	ofRole      sessionKind = "r" // AssumeRole and its like
	ofUser      sessionKind = "u" // GetSessionToken
	ofFederated sessionKind = "f" // GetFederationToken
)

// sealedCredentials is what a token holds. Its size is the token's, hence the
// short names.
type sealedCredentials struct {
	Version int         `json:"v"`
	Secret  string      `json:"s"`
	Kind    sessionKind `json:"k,omitempty"`
	// Entity is the unique id of the user or role; empty for the root, and for a
	// guest whose role did not exist.
	Entity string `json:"d,omitempty"`
	Role   string `json:"r,omitempty"` // ARN, of a guest's
	Name   string `json:"n,omitempty"` // of the session
	// Template: a guest's that others are copied from, see RoleUse.
	Template bool `json:"t,omitempty"`
	// Forwarded: see Forward.
	Forwarded bool  `json:"w,omitempty"`
	Issued    int64 `json:"i"` // nanoseconds of Unix time
	Expires   int64 `json:"e"` // seconds
	// Packed is what else is fixed of the session, see pack.
	Packed []byte `json:"p,omitempty"`
}

const tokenVersion = 1

func (d *Directory) tokenOwner(keyID string) secret.Owner {
	return secret.Owner{Scope: d.account.ID, Kind: "session-token", ID: keyID}
}

// mint makes credentials of a session, whose record wants nothing but a secret and
// times. One that says when it was issued stays of that time for policies.
func (d *Directory) mint(ctx context.Context, c sealedCredentials, life time.Duration) (Credentials, error) {
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
	if c.Issued == 0 {
		c.Issued = issued.UnixNano()
	}
	c.Version, c.Secret, c.Expires = tokenVersion, key.Reveal(), expires.Unix()
	plain, err := json.Marshal(c)
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
	if d.cfg.Now().Unix() >= c.Expires {
		return sigv4.Key{}, sigv4.ErrExpiredToken
	}
	p, err := d.holderOf(ctx, c)
	if err != nil {
		return sigv4.Key{}, err
	}
	p.ID = id
	if p.Session != nil { // made for this call alone
		p.Session.Expires, p.Session.Forwarded = time.Unix(c.Expires, 0).UTC(), c.Forwarded
	}
	return sigv4.Key{Principal: p, Secret: c.Secret}, nil
}

// holderOf returns who has credentials: sigv4.ErrExpiredToken when a guest's session
// is over, sigv4.ErrBadToken when the user or role is gone.
func (d *Directory) holderOf(ctx context.Context, c sealedCredentials) (auth.Principal, error) {
	issued := time.Unix(0, c.Issued).UTC()
	if c.Kind == ofGuest {
		return d.guest(ctx, c, issued)
	}
	p := auth.Principal{Account: d.account.ID, Entity: c.Entity}
	s, err := unpack(c.Packed)
	if err != nil {
		return p, err
	}
	s.Issued = issued
	p.Session = &s
	var k *known
	if c.Entity != "" {
		if k, err = d.entity(ctx, c.Entity); err != nil {
			return p, err
		}
		if k == nil {
			return p, sigv4.ErrBadToken
		}
		s.Source = k.arn
	}
	switch {
	case c.Kind == ofRole && k != nil:
		p.Kind, p.ARN, p.UserID = auth.AssumedRole, d.sessionARN(k.name, c.Name), k.id+":"+c.Name
	case c.Kind == ofUser && k != nil:
		p.Kind, p.ARN, p.UserID = auth.User, k.arn, k.id
	case c.Kind == ofUser:
		p.Kind, p.ARN, p.UserID = auth.Root, auth.RootARN(d.account.ID), d.account.ID
	case c.Kind == ofFederated:
		p.Kind, p.ARN, p.UserID = auth.FederatedUser, "arn:aws:sts::"+d.account.ID+":federated-user/"+c.Name, d.account.ID+":"+c.Name
	default:
		return p, sigv4.ErrBadToken // of a newer program
	}
	return p, nil
}

// sessionARN names a session of a role.
func (d *Directory) sessionARN(role, session string) string {
	return "arn:aws:sts::" + d.account.ID + ":assumed-role/" + role + "/" + session
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
