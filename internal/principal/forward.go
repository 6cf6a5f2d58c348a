package principal

import (
	"context"
	"fmt"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
)

// ForwardLife is how long credentials of Forward are good, at most: the server makes one
// request with them.
const ForwardLife = 5 * time.Minute

// Forward returns credentials of somebody who has signed a request to this server, with
// which the server itself signs another one to this server that follows from it: with the
// rights, the limits and the end of the session that signed. Nobody else has use of them.
//
// For the root and for users they are those of a session, which may not ask for other
// credentials. Errors: ErrEnded.
func (d *Directory) Forward(ctx context.Context, p auth.Principal) (Credentials, error) {
	record, life, err := d.forwarded(p)
	record.Forwarded = true
	if err == nil && life <= 0 {
		err = ErrEnded
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("sign on as %s: %w", p.ARN, err)
	}
	return d.mint(ctx, record, life)
}

func (d *Directory) forwarded(p auth.Principal) (sealedCredentials, time.Duration, error) {
	life := ForwardLife
	switch {
	case p.Session == nil && (p.Kind == auth.Root || p.Kind == auth.User && p.Entity != ""):
		packed, _, err := pack(auth.Session{User: true})
		return sealedCredentials{Kind: ofUser, Entity: p.Entity, Packed: packed}, life, err
	case p.Session == nil:
		return sealedCredentials{}, 0, ErrEnded
	case !p.Session.Expires.IsZero():
		life = min(life, p.Session.Expires.Sub(d.cfg.Now()))
	}
	if !p.Session.Guest {
		record, err := recordOf(p)
		return record, life, err
	}
	key, ok := d.sessions.named(p.ARN)
	if !ok {
		return sealedCredentials{}, 0, ErrEnded
	}
	return sealedCredentials{Role: key.role, Name: key.name, Entity: p.Entity, Issued: p.Session.Issued.UnixNano()}, life, nil
}
