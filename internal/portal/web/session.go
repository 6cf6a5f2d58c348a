package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/inbound"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// sessionLife bounds a session; the token with which its user came ends it sooner. A user
// signs in again then, often without a page of the identity provider.
const sessionLife = 8 * time.Hour

// sessionCookie holds the name of a browser's session.
const sessionCookie = "outcrop-portal"

// sessionCookie is that of a portal. A portal with a host of its own has one that no other
// host of the same domain can plant (RFC 6265bis 4.1.3.2): with somebody else's session, a
// user would agree for them.
func (v *visit) sessionCookie() string {
	if v.secure && v.base == "" {
		return "__Host-" + sessionCookie
	}
	return sessionCookie
}

// session is one browser of one user. The zero value is nobody's.
type session struct {
	// Portal is the id of the portal; a session is good there alone.
	Portal  string
	Expires time.Time
	// Issuer and Subject are of the token, Name is how the identity provider calls the user.
	Issuer, Subject, Name string

	// Access is the token by which the gateway knows the user, CSRF what its own forms say.
	Access, CSRF secret.String
	digest       []byte // of its name
}

// User is who is signed in.
type User struct {
	// Issuer and Subject are those of the token that the gateway takes.
	Issuer, Subject string
	// Name is what they are called on pages.
	Name string
	// Expires is when the token ends; the zero time is never.
	Expires time.Time
}

// principal is how the audit names a user.
func (u User) principal() string {
	if u.Issuer == "" {
		return ""
	}
	return inbound.Name(u.Issuer, u.Subject)
}

// sessions are those of all portals, sealed in the store: they outlive the server.
type sessions struct {
	store store.Store
	box   *secret.Box
	now   func() time.Time
}

const (
	sessionTable = "consent-portal-session"
	// sessionEnds orders them by when they can be forgotten.
	sessionEnds = "consent-portal-session-ends"
	// swept bounds what one sign-in does for those before it.
	swept = 16
)

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest hides a session's name: who reads the database cannot go on with a session.
func digest(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:]
}

func sessionOwner(key []byte) secret.Owner {
	return secret.Owner{Scope: store.Global, Kind: sessionTable, ID: base64.RawURLEncoding.EncodeToString(key)}
}

// sessionDocument is a session with what is secret in it, for the box alone.
type sessionDocument struct {
	session
	Access, CSRF string
}

// start adds a session and returns its name.
func (a sessions) start(ctx context.Context, s session) (string, error) {
	name := random()
	s.digest, s.CSRF = digest(name), secret.NewString(random())
	if most := a.now().Add(sessionLife); s.Expires.IsZero() || s.Expires.After(most) {
		s.Expires = most
	}
	plain, err := json.Marshal(sessionDocument{s, s.Access.Reveal(), s.CSRF.Reveal()})
	if err != nil {
		return "", err
	}
	sealed, err := a.box.Seal(ctx, sessionOwner(s.digest), secret.NewBytes(plain))
	if err != nil {
		return "", fmt.Errorf("seal portal session: %w", err)
	}
	end := binary.BigEndian.AppendUint64(nil, uint64(s.Expires.Unix()))
	return name, a.store.Update(ctx, func(tx store.Tx) error {
		if err := sweep(tx); err != nil {
			return err
		}
		return errors.Join(tx.PutRow(sessionTable, s.digest, sealed), tx.PutRow(sessionEnds, append(end, s.digest...), []byte{1}))
	})
}

// find returns the session with a name at a portal, if there is one that is not over.
func (a sessions) find(ctx context.Context, portal, name string) (s session, ok bool, err error) {
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(name); err != nil || len(raw) != 32 {
		return s, false, nil
	}
	key := digest(name)
	var sealed []byte
	err = a.store.View(ctx, func(r store.Reader) (err error) {
		sealed, err = r.Row(sessionTable, key)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	plain, err := a.box.Open(ctx, sessionOwner(key), sealed)
	if err != nil {
		return s, false, fmt.Errorf("read portal session: %w", err)
	}
	var d sessionDocument
	if err := json.Unmarshal(plain.Reveal(), &d); err != nil {
		return s, false, fmt.Errorf("read portal session: %w", err)
	}
	s = d.session
	s.Access, s.CSRF, s.digest = secret.NewString(d.Access), secret.NewString(d.CSRF), key
	return s, s.Portal == portal && a.now().Before(s.Expires), nil
}

// end forgets a session.
func (a sessions) end(ctx context.Context, s session) error {
	return a.store.Update(ctx, func(tx store.Tx) error { return tx.DeleteRow(sessionTable, s.digest) })
}

// sweep forgets sessions that are over.
func sweep(tx store.Tx) error {
	due := store.Range{To: binary.BigEndian.AppendUint64(nil, uint64(tx.Now().Unix())), Limit: swept}
	var over [][]byte
	for row, err := range tx.Rows(sessionEnds, due) {
		if err != nil {
			return err
		}
		over = append(over, row.Key)
	}
	for _, k := range over {
		if err := errors.Join(tx.DeleteRow(sessionTable, k[8:]), tx.DeleteRow(sessionEnds, k)); err != nil {
			return err
		}
	}
	return nil
}

// cookie reads a cookie of a request.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie sets a cookie that no script reads, that no other site's form sends, and that
// goes to this portal alone; to less than that below a path.
func (v *visit) setCookie(name, value, path string, seconds int) {
	path = v.base + path
	if path == "" {
		path = "/"
	}
	http.SetCookie(v.w, &http.Cookie{Name: name, Value: value, Path: path, MaxAge: seconds, HttpOnly: true, Secure: v.secure, SameSite: http.SameSiteLaxMode})
}

// current returns the browser's session, if its user is one whom the gateway serves still.
func (h *Handler) current(v *visit) (session, bool, error) {
	name := cookie(v.r, v.sessionCookie())
	if name == "" {
		return session{}, false, nil
	}
	s, ok, err := h.sessions.find(v.r.Context(), v.ID, name)
	if err != nil || !ok {
		return session{}, false, err
	}
	u, err := h.cfg.SignIns.Verify(v.r.Context(), v.Portal, s.Access)
	if isRefusal(err) || err == nil && (u.Issuer != s.Issuer || u.Subject != s.Subject) {
		return session{}, false, h.sessions.end(v.r.Context(), s)
	}
	if err != nil {
		return session{}, false, err
	}
	v.user = u
	v.user.Name = s.Name
	return s, true, nil
}

// signed returns the browser's session, or reports false when it has answered that there is
// none.
func (h *Handler) signed(v *visit) (session, bool) {
	s, ok, err := h.current(v)
	switch {
	case err != nil:
		h.broken(v, err)
	case !ok:
		v.status = http.StatusUnauthorized
		h.show(v, page{Kind: kindSignIn, Problem: "You are not signed in any more."})
	}
	return s, ok && err == nil
}
