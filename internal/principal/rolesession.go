package principal

import (
	"cmp"
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
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
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

// ErrTrust says that a role's trust policy does not let the service assume it.
var ErrTrust = errors.New("its trust policy does not let the service assume it")

// The principals that assume roles for guests.
const (
	AgentService    = "bedrock-agentcore.amazonaws.com" // the roles of agents
	FunctionService = "lambda.amazonaws.com"            // those of Lambda's functions
)

// ErrRole says that something is not the ARN of a role of the account.
var ErrRole = errors.New("it is not the ARN of a role of this account")

// RoleUse is what a role is assumed for.
type RoleUse struct {
	// Role is the ARN of the role, and Name tells the session from its others.
	Role, Name string
	// Source is the ARN of the resource that it is assumed for, which trust
	// policies ask about (aws:SourceArn) so that nobody else's can have it.
	Source string
	// Service assumes it; empty is AgentService.
	Service string
	// Template: others are copied from the guest, with what it was given. That is good
	// until it expires then, whatever becomes of the guest and of the server.
	Template bool
}

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
	use       RoleUse
	key       sessionKey
	principal auth.Principal
	exists    bool

	mu     sync.Mutex
	ended  bool
	latest time.Time
}

// sessionName is what AWS STS allows as the name of a role session.
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// BeginRoleSession begins a session of a role of the directory's account, for an
// agent. Sessions of one name are one principal, and alive while any of them is.
//
// A role that does not exist is let in, and its session allowed nothing, so that
// what was deployed with roles that are elsewhere runs (docs/iam.md); see Exists. One
// that exists must trust the service, or it is ErrTrust.
func (d *Directory) BeginRoleSession(ctx context.Context, use RoleUse) (*RoleSession, error) {
	p, err := d.assumed(use)
	if err != nil {
		return nil, fmt.Errorf("begin session %s of role %s: %w", use.Name, use.Role, err)
	}
	s := &RoleSession{d: d, use: use, key: sessionKey{use.Role, use.Name}, principal: p}
	if s.exists, err = d.CheckRole(ctx, use); err != nil {
		return nil, fmt.Errorf("begin session %s of role %s: %w", use.Name, use.Role, err)
	}
	d.sessions.add(s.key, p, use, d.cfg.Now())
	return s, nil
}

// CheckRole reports whether a role exists; one that does must trust the service for what
// it is used for, or it is ErrTrust. What is no role of this account is ErrRole. The use's
// Name is not looked at.
func (d *Directory) CheckRole(ctx context.Context, use RoleUse) (exists bool, err error) {
	if _, _, err := d.split(use.Role); err != nil {
		return false, err
	}
	k, err := d.roleAt(ctx, use.Role)
	if err != nil || k == nil {
		return false, err
	}
	if !d.trustsService(k, use) {
		return true, ErrTrust
	}
	return true, nil
}

// trustsService reports whether a role may be assumed for a resource of its account.
func (d *Directory) trustsService(k *known, use RoleUse) bool {
	source, service, region := use.Source, cmp.Or(use.Service, AgentService), ""
	if part := strings.SplitN(source, ":", 6); len(part) == 6 {
		region = part[3]
	}
	return d.trusts(k, policy.Principal{Kind: policy.Service, Names: []string{service}}, policy.Map{
		"aws:sourceaccount": {d.account.ID}, "aws:sourcearn": {source}, "aws:requestedregion": {region},
		"aws:principalisawsservice": {"true"}, "aws:principalservicename": {service},
		"aws:currenttime": {d.cfg.Now().UTC().Format("2006-01-02T15:04:05Z")},
	})
}

// trusts reports whether a role's trust policy lets somebody assume it.
func (d *Directory) trusts(k *known, who policy.Principal, keys policy.Map) bool {
	r := policy.Evaluate(policy.Policies{Resource: []*policy.Document{k.trust}, ResourceMustAllow: true}, policy.Request{
		Principal: who, Action: "sts:AssumeRole", Resource: k.arn, Owner: d.account.ID, Keys: keys,
	})
	return r.Effect == policy.Allow
}

// ARN names the session as a principal.
func (s *RoleSession) ARN() string { return s.principal.ARN }

// Exists reports whether the role existed when the session began.
func (s *RoleSession) Exists() bool { return s.exists }

// Credentials returns new credentials that live for as long as given, of the role
// as it is now. Errors: ErrEnded, ErrTrust.
func (s *RoleSession) Credentials(ctx context.Context, life time.Duration) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return Credentials{}, fmt.Errorf("make credentials of %s: %w", s.principal.ARN, ErrEnded)
	}
	record := sealedCredentials{Role: s.use.Role, Name: s.use.Name, Template: s.use.Template}
	k, err := s.d.roleAt(ctx, s.use.Role)
	switch {
	case err != nil:
	case k == nil:
	case !s.d.trustsService(k, s.use):
		err = ErrTrust
	default:
		record.Entity = k.id
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("make credentials of %s: %w", s.principal.ARN, err)
	}
	c, err := s.d.mint(ctx, record, life)
	if err != nil {
		return Credentials{}, fmt.Errorf("make credentials of %s: %w", s.principal.ARN, err)
	}
	if c.Expires.After(s.latest) {
		s.latest = c.Expires
	}
	return c, nil
}

// Principal is who the session is now, for what the server itself does for it: with the
// rights of its role, or none where that does not exist. Errors: ErrEnded, ErrTrust.
func (s *RoleSession) Principal(ctx context.Context) (auth.Principal, error) {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	p := s.principal
	if ended {
		return auth.Principal{}, fmt.Errorf("be %s: %w", p.ARN, ErrEnded)
	}
	k, err := s.d.roleAt(ctx, s.use.Role)
	if err == nil && k != nil && !s.d.trustsService(k, s.use) {
		err = ErrTrust
	}
	if err != nil {
		return auth.Principal{}, fmt.Errorf("be %s: %w", p.ARN, err)
	}
	p.Session = &auth.Session{Issued: s.d.cfg.Now().UTC(), Guest: true}
	if k != nil {
		p.Entity, p.UserID, p.Session.Source = k.id, k.id+":"+s.use.Name, k.arn
	}
	return p, nil
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

// assumed returns who a guest's session of a role is, as far as names go.
func (d *Directory) assumed(use RoleUse) (auth.Principal, error) {
	partition, short, err := d.split(use.Role)
	if err != nil {
		return auth.Principal{}, err
	}
	if !sessionName.MatchString(use.Name) {
		return auth.Principal{}, errors.New("its name has other characters than a session's, or another length")
	}
	return auth.Principal{
		Account: d.account.ID, Kind: auth.AssumedRole, UserID: RoleID(use.Role) + ":" + use.Name,
		ARN: "arn:" + partition + ":sts::" + d.account.ID + ":assumed-role/" + short + "/" + use.Name,
	}, nil
}

// split reads the ARN of a role of this account: its partition, and its name without the path.
func (d *Directory) split(arn string) (partition, name string, err error) {
	part := strings.SplitN(arn, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[2] != "iam" || part[3] != "" || part[4] != d.account.ID {
		return "", "", ErrRole
	}
	path, ok := strings.CutPrefix(part[5], "role/")
	name = path[strings.LastIndexByte(path, '/')+1:]
	if !ok || name == "" {
		return "", "", ErrRole
	}
	return part[1], name, nil
}

// guest returns who has credentials that a guest was given. Their entity is the role's
// unique id then, empty where it did not exist: one that was made since counts, and
// one that was made anew under the same name is another.
func (d *Directory) guest(ctx context.Context, c sealedCredentials, issued time.Time) (auth.Principal, error) {
	role, name, entity := c.Role, c.Name, c.Entity
	p, use, alive := d.sessions.find(sessionKey{role, name}, issued)
	if !alive && c.Template {
		var err error
		if p, err = d.assumed(RoleUse{Role: role, Name: name}); err != nil {
			return p, sigv4.ErrBadToken
		}
		alive = true
	}
	if !alive {
		return p, sigv4.ErrExpiredToken
	}
	k, err := d.roleAt(ctx, role)
	if err != nil {
		return p, err
	}
	if entity != "" && (k == nil || k.id != entity) {
		return p, sigv4.ErrBadToken
	}
	p.Session = &auth.Session{Issued: issued, Guest: true}
	if k != nil && (entity != "" || d.trustsService(k, use)) {
		p.Entity, p.UserID, p.Session.Source = k.id, k.id+":"+name, k.arn
	}
	return p, nil
}

// RoleID returns what stands for the unique id of a role that does not exist: AROA
// and 17 letters of base32, the same for the same ARN always.
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
	use       RoleUse   // what the role was assumed for
	n         int       // alive
	kept      bool      // the last of them retired
	ended     time.Time // what was issued before is void
	expiry    time.Time // of all credentials of those that have left
}

// add counts one more session, and forgets those that left nothing behind.
func (l *living) add(k sessionKey, p auth.Principal, use RoleUse, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.sets, func(_ sessionKey, s *liveSet) bool { return s.n == 0 && !now.Before(s.expiry) })
	if l.sets == nil {
		l.sets = map[sessionKey]*liveSet{}
	}
	if l.sets[k] == nil {
		l.sets[k] = &liveSet{principal: p}
	}
	l.sets[k].use = use
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

// find returns who holds credentials that were issued at a time, and what for, if
// their session is alive.
func (l *living) find(k sessionKey, issued time.Time) (p auth.Principal, use RoleUse, alive bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.sets[k]
	if s == nil || s.n == 0 && !s.kept || issued.Before(s.ended) {
		return auth.Principal{}, RoleUse{}, false
	}
	return s.principal, s.use, true
}
