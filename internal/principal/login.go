package principal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/secret"
)

// LoginLife is how long a password for the image registry is good, as at AWS.
const LoginLife = 12 * time.Hour

// ErrLogin says that a password is none of ours, has run out, or that its owner
// may not log in any more.
var ErrLogin = errors.New("the password is not valid, or has expired")

// Login is who logged in with a password.
type Login struct {
	Principal auth.Principal
	// Region is the one that the password was asked for in. It is good there.
	Region  string
	Expires time.Time
}

// sealedLogin is a password before it is sealed. It holds no right: whose it is,
// and whether they are still there, is asked at each use.
type sealedLogin struct {
	Version int    `json:"v"`
	Key     string `json:"k,omitempty"` // an access key id, or else
	Role    string `json:"r,omitempty"` // a guest's session of a role
	Name    string `json:"n,omitempty"`
	Entity  string `json:"d,omitempty"`
	// Session is another session, but for its secret.
	Session *sealedCredentials `json:"t,omitempty"`
	Region  string             `json:"g"`
	Issued  int64              `json:"i"` // nanoseconds of Unix time
	Expires int64              `json:"e"` // seconds
}

const loginVersion = 1

func (d *Directory) loginOwner() secret.Owner {
	return secret.Owner{Scope: d.account.ID, Kind: "registry-login", ID: d.account.ID}
}

// MakeLogin makes a password with which p logs in to the image registry of a
// region. It has no colon, at which clients take it apart.
func (d *Directory) MakeLogin(ctx context.Context, p auth.Principal, region string) (secret.String, time.Time, error) {
	issued := d.cfg.Now().UTC()
	expires := issued.Add(LoginLife).Truncate(time.Second)
	l := sealedLogin{Version: loginVersion, Key: p.ID, Region: region, Issued: issued.UnixNano(), Expires: expires.Unix()}
	switch {
	case p.Session == nil:
	case p.Session.Guest:
		session, ok := d.sessions.named(p.ARN)
		if !ok {
			return secret.String{}, expires, fmt.Errorf("make login of %s: %w", p.ARN, ErrEnded)
		}
		l.Key, l.Role, l.Name, l.Entity = "", session.role, session.name, p.Entity
	default:
		record, err := recordOf(p)
		if err != nil {
			return secret.String{}, expires, fmt.Errorf("make login of %s: %w", p.ARN, err)
		}
		l.Key, l.Session = "", &record
	}
	plain, err := json.Marshal(l)
	if err != nil {
		return secret.String{}, expires, err
	}
	sealed, err := d.cfg.Box.Seal(ctx, d.loginOwner(), secret.NewBytes(plain))
	if err != nil {
		return secret.String{}, expires, fmt.Errorf("make login of %s: %w", p.ARN, err)
	}
	return secret.NewString(base64.RawURLEncoding.EncodeToString(sealed)), expires, nil
}

// Login tells who has a password. Errors: ErrLogin, or that of the store.
func (d *Directory) Login(ctx context.Context, password string) (Login, error) {
	if len(password) > maxToken {
		return Login{}, ErrLogin
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(password)
	if err != nil {
		return Login{}, ErrLogin
	}
	plain, err := d.cfg.Box.Open(ctx, d.loginOwner(), sealed)
	switch {
	case errors.Is(err, secret.ErrUnreadable):
		return Login{}, fmt.Errorf("%w: %w", ErrLogin, err)
	case err != nil:
		return Login{}, err
	}
	var l sealedLogin
	if err := json.Unmarshal(plain.Reveal(), &l); err != nil {
		return Login{}, fmt.Errorf("read login: %w", err)
	}
	if l.Version != loginVersion || d.cfg.Now().Unix() >= l.Expires {
		return Login{}, ErrLogin
	}
	login := Login{Region: l.Region, Expires: time.Unix(l.Expires, 0).UTC()}
	if l.Key == "" {
		record := sealedCredentials{Role: l.Role, Name: l.Name, Entity: l.Entity, Issued: l.Issued}
		if l.Session != nil {
			record = *l.Session
		}
		p, err := d.holderOf(ctx, record)
		if errors.Is(err, sigv4.ErrExpiredToken) || errors.Is(err, sigv4.ErrBadToken) {
			return Login{}, fmt.Errorf("%w: %w", ErrLogin, err)
		}
		login.Principal = p
		return login, err
	}
	k, err := d.Key(ctx, l.Key, "")
	if errors.Is(err, sigv4.ErrUnknownKey) {
		return Login{}, fmt.Errorf("%w: %w", ErrLogin, err)
	}
	login.Principal = k.Principal
	return login, err
}

// recordOf is what a token says of a session, but for its secret and its end.
func recordOf(p auth.Principal) (c sealedCredentials, err error) {
	c = sealedCredentials{Kind: ofUser, Entity: p.Entity, Issued: p.Session.Issued.UnixNano(), Name: p.ARN[strings.LastIndexByte(p.ARN, '/')+1:]}
	switch p.Kind {
	case auth.AssumedRole:
		c.Kind = ofRole
	case auth.FederatedUser:
		c.Kind = ofFederated
	}
	c.Packed, _, err = pack(*p.Session)
	return c, err
}
