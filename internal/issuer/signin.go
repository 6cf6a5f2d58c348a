package issuer

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// SecretHash is what a client with a secret proves itself by in calls about a user.
func SecretHash(clientSecret secret.String, clientID, username string) string {
	h := hmac.New(sha256.New, clientSecret.Bytes().Reveal())
	h.Write([]byte(username + clientID))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// CheckSecretHash refuses a call that does not prove the client's secret.
func (p *Pools) CheckSecretHash(ctx context.Context, c Client, username, hash string) error {
	if c.Public() {
		return nil
	}
	if hash == "" {
		return NotAuthorized("Client %s is configured with secret but SECRET_HASH was not received", c.ID)
	}
	key, err := p.Secret(ctx, c)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(SecretHash(key, c.ID, username)), []byte(hash)) != 1 {
		return NotAuthorized("Unable to verify secret hash for client %s", c.ID)
	}
	return nil
}

// CheckSecret reports whether a secret is the client's; a public client has none.
func (p *Pools) CheckSecret(ctx context.Context, c Client, given secret.String) (bool, error) {
	if c.Public() {
		return given.Empty(), nil
	}
	key, err := p.Secret(ctx, c)
	return err == nil && key.Equal(given), err
}

// Authenticate returns the user with a name and password. All that is wrong with
// either is one refusal, after one time; only who has the password is told what else
// stands in the way. A user who MustChange is returned as such. With a refusal comes
// whom the name is of, as far as it is anybody's: for records, never for the caller.
func (p *Pools) Authenticate(ctx context.Context, in Pool, name string, password secret.String) (User, error) {
	u, err := p.User(ctx, in, name)
	if err != nil && !fault.Is(err, CodeUserNotFound) {
		return User{}, err
	}
	absent, key := err, attemptKey(in, u, name)
	if !p.attempts.try(key, p.cfg.Now()) {
		return u, NotAuthorized("Password attempts exceeded")
	}
	ok, err := p.matches(ctx, u.state.Hash, password)
	switch {
	case err != nil:
		p.attempts.uncount(key)
		return u, err
	case absent != nil:
		return User{}, wrongPassword().Because(absent)
	case !ok:
		return u, wrongPassword()
	}
	p.attempts.forgive(key)
	if err := p.admitted(u); err != nil {
		return u, err
	}
	return p.keepVerifier(ctx, in, u, password), nil
}

// admitted refuses a user who is known by the password and may not come in.
func (p *Pools) admitted(u User) error {
	switch {
	case u.Disabled:
		return NotAuthorized("User is disabled.")
	case u.Status == Unconfirmed:
		return fault.BadRequest(CodeUserNotConfirmed, "User is not confirmed.")
	case u.Status == MustChange && !p.cfg.Now().Before(u.state.TemporaryUntil):
		return NotAuthorized("Temporary password has expired and must be reset by an administrator.")
	}
	return nil
}

// Absent reports whether a refusal of Authenticate came from a user who is not
// there; clients with TellsUsers are told.
func Absent(err error) (*fault.Error, bool) {
	f := fault.From(err)
	if f.Code == CodeNotAuthorized && fault.Is(f.Unwrap(), CodeUserNotFound) {
		return noUser(), true
	}
	return nil, false
}

// challenge is what the session of a challenge holds, sealed. The user's revision
// makes it good once: the answer changes the user.
type challenge struct {
	Client   string `json:"client"`
	Sub      string `json:"sub"`
	Revision int64  `json:"revision"`
	Expires  int64  `json:"expires"`
}

func challengeOwner(in Pool) secret.Owner {
	return secret.Owner{Scope: in.Scope.String(), Kind: "user-pool-challenge", ID: in.ID}
}

// Challenge returns the session in which a user has to give themselves a password.
func (p *Pools) Challenge(ctx context.Context, in Pool, c Client, u User) (secret.String, error) {
	plain, err := json.Marshal(challenge{c.ID, u.Sub, u.revision, p.cfg.Now().Add(c.SessionLife()).Unix()})
	if err != nil {
		return secret.String{}, err
	}
	sealed, err := p.cfg.Box.Seal(ctx, challengeOwner(in), secret.NewBytes(plain))
	return secret.NewString(encodedURL(sealed)), err
}

// maxSession bounds the session of a challenge, in characters (cognito-idp's model).
const maxSession = 2048

func errSession() error {
	return NotAuthorized("Invalid session for the user, session is expired.")
}

// AnswerNewPassword gives the user of a challenge their own password, and
// attributes, and signs them in. With a refusal comes the challenge's user, if it has one.
func (p *Pools) AnswerNewPassword(ctx context.Context, in Pool, c Client, session secret.String, name string, password secret.String, attributes map[string]string) (User, error) {
	held, err := p.openChallenge(ctx, in, c, session)
	if err != nil {
		return User{}, err
	}
	u, err := p.User(ctx, in, held.Sub)
	if err != nil || u.revision != held.Revision || u.Disabled || u.Status != MustChange {
		return u, errSession()
	}
	if named, err := p.User(ctx, in, name); err != nil || named.Sub != u.Sub {
		return u, errSession()
	}
	if err := in.Password.Accept(password); err != nil {
		return u, err
	}
	if err := cmp.Or(in.checkAttributes(attributes), in.checkValues(attributes)); err != nil {
		return u, err
	}
	kept, err := p.credentials(ctx, in, u.Sub, u.Username, password)
	if err != nil {
		return u, err
	}
	return p.change(ctx, in, u.Sub, func(r *store.Resource[userSpec, userState]) error {
		if r.Revision != held.Revision {
			return errSession()
		}
		for k, v := range attributes {
			if v != r.Spec.Attributes[k] && in.signedInBy(r.Spec) == k {
				return Invalid("Attribute %s cannot be updated.", k)
			}
		}
		next := altered(r.Spec.Attributes, attributes, nil)
		if err := in.keepsFixed(r.Spec.Attributes, next); err != nil {
			return err
		}
		r.Spec.Attributes = next
		kept.into(&r.State)
		r.State.Status, r.State.TemporaryUntil = Confirmed, time.Time{}
		return in.checkAttributes(r.Spec.Attributes)
	})
}

func (p *Pools) openChallenge(ctx context.Context, in Pool, c Client, session secret.String) (held challenge, err error) {
	if len(session.Reveal()) > maxSession {
		return held, errSession()
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(session.Reveal())
	if err != nil {
		return held, errSession()
	}
	plain, err := p.cfg.Box.Open(ctx, challengeOwner(in), sealed)
	if err != nil {
		return held, NotAuthorized("Invalid session for the user.").Because(err)
	}
	if err := json.Unmarshal(plain.Reveal(), &held); err != nil {
		return held, err
	}
	if held.Client != c.ID || p.cfg.Now().Unix() >= held.Expires {
		return held, errSession()
	}
	return held, nil
}

// ChangePassword changes the password of a user who knows the old one.
func (p *Pools) ChangePassword(ctx context.Context, in Pool, u User, old, next secret.String) error {
	if _, err := p.Authenticate(ctx, in, u.Sub, old); err != nil {
		return err
	}
	return p.SetPassword(ctx, in, u.Sub, next, true)
}
