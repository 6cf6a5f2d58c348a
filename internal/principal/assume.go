package principal

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// The bounds of sessions of users, and how long they last when nobody says.
const (
	MaxUserSession     = 36 * time.Hour
	DefaultUserSession = 12 * time.Hour
	// A chained session, and those of the root, last an hour at most.
	maxChained = time.Hour
)

// MaxSessionARNs bounds the managed policies of one session.
const MaxSessionARNs = 10

// maxSessionPolicy bounds the text of a session policy, in characters.
const maxSessionPolicy = 2048

// Limits are what whoever asks for a session makes of it.
type Limits struct {
	// Duration is how long it lasts; 0 is the default.
	Duration time.Duration
	// Policy is the text of a session policy, and PolicyARNs are managed ones: a
	// session may do what they and its role's policies both allow.
	Policy     string
	PolicyARNs []string
	// Tags are session tags, and Transitive the keys of those that go on to
	// sessions that this one makes.
	Tags       []Tag
	Transitive []string
}

// Assumption is what AssumeRole takes; Role and Name are required.
type Assumption struct {
	Role           string // ARN
	Name           string // of the session
	SourceIdentity string
	Limits
}

// Temporary are the credentials of a new session.
type Temporary struct {
	Credentials
	// ARN and ID name the session: AROA...:NAME or 123456789012:NAME.
	ARN, ID string
	// Packed is how much of the room for policies and tags is used, in per cent.
	Packed         int
	SourceIdentity string
}

// AssumeRole makes a session of a role for a caller. That both may is decided
// before, by sts:AssumeRole on the role (and sts:TagSession, sts:SetSourceIdentity
// for what those are for): an auth.Authorizer holds the role's trust policy to it,
// by Directory.ResourcePolicies.
func (d *Directory) AssumeRole(ctx context.Context, caller auth.Principal, in Assumption) (Temporary, error) {
	k, err := d.assumable(ctx, caller, in.Role, in.Name)
	if err != nil {
		return Temporary{}, err
	}
	most, s := k.maxSession, auth.Session{SourceIdentity: in.SourceIdentity}
	if caller.Kind == auth.AssumedRole {
		if in.Duration > maxChained {
			return Temporary{}, validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
		}
		most = min(most, maxChained)
	}
	if err := inherit(&s, caller.Session, in); err != nil {
		return Temporary{}, err
	}
	return d.sessionOf(ctx, k, in.Name, s, in.Limits, most)
}

// assumable finds a role that is to be assumed. One that is not there is refused as
// one that may not be.
func (d *Directory) assumable(ctx context.Context, caller auth.Principal, role, name string) (*known, error) {
	if !sessionName.MatchString(name) {
		return nil, validation("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must have 2 to 64 letters, digits or the characters +=,.@_-", name)
	}
	k, err := d.roleAt(ctx, role)
	if err == nil && k == nil {
		err = denied("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller.ARN, role)
	}
	return k, err
}

func denied(format string, args ...any) error {
	return fault.New(CodeDenied, http.StatusForbidden, format, args...)
}

// inherit gives a chained session what stays of the one that makes it.
func inherit(s, from *auth.Session, in Assumption) error {
	if from == nil {
		return nil
	}
	if from.SourceIdentity != "" {
		if in.SourceIdentity != "" && in.SourceIdentity != from.SourceIdentity {
			return denied("The source identity '%s' of a session cannot be changed", from.SourceIdentity)
		}
		s.SourceIdentity = from.SourceIdentity
	}
	for _, key := range from.Transitive {
		for _, t := range in.Tags {
			if strings.EqualFold(t.Key, key) {
				return invalid("The session tag '%s' is transitive and cannot be changed", key)
			}
		}
		if s.Tags == nil {
			s.Tags = map[string]string{}
		}
		s.Tags[key] = from.Tags[key]
	}
	s.Transitive = slices.Clone(from.Transitive)
	return nil
}

// sessionOf makes a session of a role that may be assumed.
func (d *Directory) sessionOf(ctx context.Context, k *known, name string, s auth.Session, in Limits, most time.Duration) (Temporary, error) {
	life, err := lifeOf(in.Duration, DefaultSession, most, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	if err != nil {
		return Temporary{}, err
	}
	if err := d.limit(ctx, &s, in); err != nil {
		return Temporary{}, err
	}
	out := Temporary{ARN: d.sessionARN(k.name, name), ID: k.id + ":" + name, SourceIdentity: s.SourceIdentity}
	return d.issue(ctx, out, sealedCredentials{Kind: ofRole, Entity: k.id, Name: name}, s, life)
}

// issue makes the credentials of a session.
func (d *Directory) issue(ctx context.Context, out Temporary, c sealedCredentials, s auth.Session, life time.Duration) (_ Temporary, err error) {
	if c.Packed, out.Packed, err = pack(s); err != nil {
		return Temporary{}, err
	}
	out.Credentials, err = d.mint(ctx, c, life)
	return out, err
}

// lifeOf holds the bounds of a duration.
func lifeOf(asked, usual, most time.Duration, tooLong string) (time.Duration, error) {
	switch {
	case asked == 0:
		return min(usual, most), nil
	case asked < MinSession:
		return 0, validation("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to %d", int(asked/time.Second), int(MinSession/time.Second))
	case asked > most:
		return 0, validation("%s", tooLong)
	}
	return asked, nil
}

// sourceIdentity is what AWS STS allows as one.
var sourceIdentity = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// limit adds policies and tags to a session.
func (d *Directory) limit(ctx context.Context, s *auth.Session, in Limits) error {
	if s.SourceIdentity != "" && (!sourceIdentity.MatchString(s.SourceIdentity) || strings.HasPrefix(strings.ToLower(s.SourceIdentity), "aws:")) {
		return validation("The source identity must have 2 to 64 letters, digits or the characters +=,.@_-, and not begin with aws:")
	}
	tags, err := retag(nil, in.Tags)
	if err != nil {
		return err
	}
	for _, t := range tags {
		if s.Tags == nil {
			s.Tags = map[string]string{}
		}
		s.Tags[t.Key] = t.Value
	}
	for _, key := range in.Transitive {
		if _, there := s.Tags[key]; !there {
			return invalid("The transitive tag key '%s' is none of the session tags", key)
		}
		if !slices.Contains(s.Transitive, key) {
			s.Transitive = append(s.Transitive, key)
		}
	}
	if len(s.Tags) > MaxTags {
		return limit("A session may have at most %d tags", MaxTags)
	}
	if in.Policy != "" {
		if length(in.Policy) > maxSessionPolicy {
			return fault.BadRequest(CodeTooLarge, "The session policy has more than %d characters", maxSessionPolicy)
		}
		if err := checkDocument(in.Policy, policy.Session); err != nil {
			return err
		}
		s.Policies, s.Limited = []string{in.Policy}, true
	}
	if len(in.PolicyARNs) == 0 {
		return nil
	}
	if len(in.PolicyARNs) > MaxSessionARNs {
		return validation("A session may have at most %d managed policies", MaxSessionARNs)
	}
	s.PolicyARNs, s.Limited = in.PolicyARNs, true
	return d.view(ctx, func(r store.Reader) error {
		for _, arn := range in.PolicyARNs {
			if arn == "" {
				return noPolicy(arn)
			}
			if err := d.attachable(r, arn); err != nil {
				return err
			}
		}
		return nil
	})
}

// SessionToken makes a session of a user, or of the root, with the same rights but
// those of other credentials.
func (d *Directory) SessionToken(ctx context.Context, caller auth.Principal, duration time.Duration) (Temporary, error) {
	usual, most, err := lasting(caller, "GetSessionToken")
	if err != nil {
		return Temporary{}, err
	}
	life, err := lifeOf(duration, usual, most, "The requested DurationSeconds exceeds what a session of this principal may last.")
	if err != nil {
		return Temporary{}, err
	}
	out := Temporary{ARN: caller.ARN, ID: caller.UserID}
	return d.issue(ctx, out, sealedCredentials{Kind: ofUser, Entity: caller.Entity}, auth.Session{User: true}, life)
}

// lasting refuses who has no credentials that last.
func lasting(caller auth.Principal, operation string) (usual, most time.Duration, err error) {
	switch {
	case caller.Session != nil:
		return 0, 0, denied("Cannot call %s with session credentials", operation)
	case caller.Kind == auth.Root:
		return maxChained, maxChained, nil
	case caller.Kind != auth.User:
		return 0, 0, denied("Cannot call %s with these credentials", operation)
	}
	return DefaultUserSession, MaxUserSession, nil
}

// federatedName is what AWS STS allows as the name of a federated user.
var federatedName = regexp.MustCompile(`^[\w+=,.@-]{2,32}$`)

// FederationToken makes a session for somebody whom a user vouches for: it may do
// what both the user's policies and its own allow, and nothing without its own.
func (d *Directory) FederationToken(ctx context.Context, caller auth.Principal, name string, in Limits) (Temporary, error) {
	usual, most, err := lasting(caller, "GetFederationToken")
	if err != nil {
		return Temporary{}, err
	}
	if !federatedName.MatchString(name) {
		return Temporary{}, validation("The name of a federated user must have 2 to 32 letters, digits or the characters +=,.@_-")
	}
	life, err := lifeOf(in.Duration, usual, most, "The requested DurationSeconds exceeds what a session of this principal may last.")
	if err != nil {
		return Temporary{}, err
	}
	s := auth.Session{User: true, Limited: true}
	if err := d.limit(ctx, &s, in); err != nil {
		return Temporary{}, err
	}
	out := Temporary{ARN: "arn:aws:sts::" + d.account.ID + ":federated-user/" + name, ID: d.account.ID + ":" + name}
	return d.issue(ctx, out, sealedCredentials{Kind: ofFederated, Entity: caller.Entity, Name: name}, s, life)
}
