package principal

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
)

// Lifetime is how long temporary credentials live, as on AWS by default. They
// end before when their session does.
const Lifetime = time.Hour

// TemplateLifetime is how long those live that a guest is given which others
// will be copied from. Copies use them until their SDK asks for their own: at
// most 20 minutes, by which boto3 puts off the end of what is nearly over
// (package metadata, Config.Copied).
const TemplateLifetime = 30 * time.Minute

// ErrEnded says that a role session is over and gets no more credentials.
var ErrEnded = errors.New("the role session has ended")

// errRole says that something is not the ARN of a role that the account has.
var errRole = errors.New("it is not the ARN of a role of this account")

// RoleSession is a session of a role, alive until End. Its credentials are
// sealed into their own tokens and stored nowhere; they are good for as long as
// the session is alive, so that nothing has to be remembered of those that were
// handed out.
//
// Its holder ends it, or retires it when the guest was saved and comes back with
// what it was given. A session that goes on, after a restart too, is begun again
// under its name, and what it was given before is good again; after an end in
// this process it is not.
type RoleSession struct {
	d         *Directory
	key       sessionKey
	principal auth.Principal

	mu     sync.Mutex
	ended  bool
	latest time.Time
}

// sessionName is what AWS STS allows as the name of a role session.
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// BeginRoleSession begins a session of the role with that ARN, which is of the
// directory's account. name tells it from the role's other sessions; sessions of
// one name are one principal, and alive while any of them is.
func (d *Directory) BeginRoleSession(role, name string) (*RoleSession, error) {
	p, err := d.assumed(role, name)
	if err != nil {
		return nil, fmt.Errorf("begin session %s of role %s: %w", name, role, err)
	}
	key := sessionKey{role, name}
	d.sessions.add(key, p, d.cfg.Now())
	return &RoleSession{d: d, key: key, principal: p}, nil
}

// ARN names the session as a principal.
func (s *RoleSession) ARN() string { return s.principal.ARN }

// Credentials returns new credentials that live for as long as given, or
// ErrEnded.
func (s *RoleSession) Credentials(ctx context.Context, life time.Duration) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return Credentials{}, fmt.Errorf("make credentials of %s: %w", s.principal.ARN, ErrEnded)
	}
	c, err := s.d.mint(ctx, s.key, life)
	if err != nil {
		return Credentials{}, fmt.Errorf("make credentials of %s: %w", s.principal.ARN, err)
	}
	if c.Expires.After(s.latest) {
		s.latest = c.Expires
	}
	return c, nil
}

// End ends the session; its credentials are refused from now on.
func (s *RoleSession) End() { s.leave(false) }

// Retire ends the session and leaves its credentials good until they expire.
func (s *RoleSession) Retire() { s.leave(true) }

func (s *RoleSession) leave(keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	s.d.sessions.remove(s.key, keep, s.d.cfg.Now(), s.latest)
}

// assumed returns who a session of a role is.
func (d *Directory) assumed(role, name string) (auth.Principal, error) {
	part := strings.SplitN(role, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[2] != "iam" || part[3] != "" || part[4] != d.account.ID {
		return auth.Principal{}, errRole
	}
	path, ok := strings.CutPrefix(part[5], "role/")
	short := path[strings.LastIndexByte(path, '/')+1:]
	if !ok || short == "" {
		return auth.Principal{}, errRole
	}
	if !sessionName.MatchString(name) {
		return auth.Principal{}, errors.New("its name has other characters than a session's, or another length")
	}
	return auth.Principal{
		Account: d.account.ID, Kind: auth.AssumedRole,
		ARN:    "arn:" + part[1] + ":sts::" + d.account.ID + ":assumed-role/" + short + "/" + name,
		UserID: RoleID(role) + ":" + name,
	}, nil
}

// RoleID returns the unique id of the role with that ARN: AROA and 17 letters
// of base32, the same for the same role always.
func RoleID(arn string) string {
	sum := sha256.Sum256([]byte("outcrop role id 1 " + arn))
	return "AROA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// sessionKey names a session.
type sessionKey struct{ role, name string }

// living are the sessions alive. The zero value has none.
type living struct {
	mu   sync.RWMutex
	sets map[sessionKey]*liveSet
}

// liveSet are the sessions of one name, which are one principal.
type liveSet struct {
	principal auth.Principal
	n         int       // alive
	kept      bool      // the last of them retired
	ended     time.Time // what was issued before is void
	expiry    time.Time // of all credentials of those that have left
}

// add counts one more session, and forgets those that left nothing behind.
func (l *living) add(k sessionKey, p auth.Principal, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.sets, func(_ sessionKey, s *liveSet) bool { return s.n == 0 && !now.Before(s.expiry) })
	if l.sets == nil {
		l.sets = map[sessionKey]*liveSet{}
	}
	if l.sets[k] == nil {
		l.sets[k] = &liveSet{principal: p}
	}
	l.sets[k].n++
}

// remove counts one less, whose credentials are over at expiry. With keep they
// are good until then; else, after the last one, no credentials of that name are.
func (l *living) remove(k sessionKey, keep bool, now, expiry time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sets[k]
	s.n--
	if expiry.After(s.expiry) {
		s.expiry = expiry
	}
	switch {
	case keep:
		s.kept = true
	case s.n == 0:
		s.kept, s.ended = false, now
	}
}

// named returns the sessions with an ARN, if one is alive or retired.
func (l *living) named(arn string) (sessionKey, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for k, s := range l.sets {
		if s.principal.ARN == arn && (s.n > 0 || s.kept) {
			return k, true
		}
	}
	return sessionKey{}, false
}

// find returns who holds credentials that were issued at a time, if their
// session is alive.
func (l *living) find(k sessionKey, issued time.Time) (auth.Principal, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.sets[k]
	if s == nil || s.n == 0 && !s.kept || issued.Before(s.ended) {
		return auth.Principal{}, false
	}
	return s.principal, true
}
