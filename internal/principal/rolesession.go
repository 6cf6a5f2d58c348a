package principal

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
)

// Lifetime is how long temporary credentials live, as on AWS by default. They
// end before when their session does.
const Lifetime = time.Hour

// ErrEnded says that a role session is over and gets no more credentials.
var ErrEnded = errors.New("the role session has ended")

// errRole says that something is not the ARN of a role that the account has.
var errRole = errors.New("it is not the ARN of a role of this account")

// RoleSession is a session of a role, alive until End. Its credentials are
// sealed into their own tokens and stored nowhere; they are good for as long as
// the session is alive, so that nothing has to be remembered of those that were
// handed out. A session that goes on elsewhere or after a restart is begun again
// under its name, and what it was given before is good again.
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
	d.sessions.add(key, p)
	return &RoleSession{d: d, key: key, principal: p}, nil
}

// ARN names the session as a principal.
func (s *RoleSession) ARN() string { return s.principal.ARN }

// Credentials returns new credentials that live for Lifetime, or ErrEnded.
func (s *RoleSession) Credentials(ctx context.Context) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return Credentials{}, fmt.Errorf("make credentials of %s: %w", s.principal.ARN, ErrEnded)
	}
	c, err := s.d.mint(ctx, s.key)
	if err != nil {
		return Credentials{}, fmt.Errorf("make credentials of %s: %w", s.principal.ARN, err)
	}
	s.latest = c.Expires
	return c, nil
}

// Latest is when the last of the session's credentials expires, and zero if it
// was given none. A copy of whoever holds them has nothing better after that.
func (s *RoleSession) Latest() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}

// End ends the session; its credentials are refused from now on.
func (s *RoleSession) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		s.d.sessions.remove(s.key)
	}
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

// liveSet is how many sessions have one name, and the principal that they are.
type liveSet struct {
	principal auth.Principal
	n         int
}

func (l *living) add(k sessionKey, p auth.Principal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sets == nil {
		l.sets = map[sessionKey]*liveSet{}
	}
	if l.sets[k] == nil {
		l.sets[k] = &liveSet{principal: p}
	}
	l.sets[k].n++
}

func (l *living) remove(k sessionKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sets[k]; s != nil {
		if s.n--; s.n == 0 {
			delete(l.sets, k)
		}
	}
}

func (l *living) find(k sessionKey) (auth.Principal, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.sets[k]
	if s == nil {
		return auth.Principal{}, false
	}
	return s.principal, true
}
