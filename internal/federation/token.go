package federation

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
)

// The bounds of a token's life, and how long it lasts when nobody says.
const (
	MinLife     = time.Minute
	MaxLife     = time.Hour
	DefaultLife = 5 * time.Minute
)

// MaxPayload bounds what a token says, in bytes: it has to fit into a header. AWS does
// not tell its own bound.
const MaxPayload = 8192

// Namespace is the claim under which everything is that is not OpenID Connect's (IAM
// guide, "Understanding token claims").
const Namespace = "https://sts.amazonaws.com/"

// Request is what a token is asked for with.
type Request struct {
	Principal auth.Principal
	Region    string
	Audience  []string // at least one
	Algorithm string   // RS256 or ES384
	// Life is how long the token is good; 0 is DefaultLife, or what is left of a
	// session that ends sooner.
	Life time.Duration
	Tags map[string]string
}

// Token is a signed token.
type Token struct {
	Text    secret.String
	Expires time.Time
}

// claims are those of a token.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Issued   int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	ID       string   `json:"jti"`
	AWS      own      `json:"https://sts.amazonaws.com/"`
}

// own are the claims of the Namespace.
type own struct {
	Account        string            `json:"aws_account"`
	Region         string            `json:"source_region,omitempty"`
	PrincipalTags  map[string]string `json:"principal_tags,omitempty"`
	RequestTags    map[string]string `json:"request_tags,omitempty"`
	SourceIdentity string            `json:"source_identity,omitempty"`
	Provider       string            `json:"federated_provider,omitempty"`
	SessionEnds    string            `json:"original_session_exp,omitempty"`
}

// audience is written as one string where it is one (RFC 7519 4.1.3).
type audience []string

// MarshalJSON writes it.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// Subject is how tokens name a principal: the ARN of its role, for a session of one.
func Subject(p auth.Principal) string {
	if p.Kind == auth.AssumedRole && p.Session != nil && p.Session.Source != "" {
		return p.Session.Source
	}
	return p.ARN
}

// Bearer tells apart the callers whose tokens say something different: by the subject, and
// of a session by what it was given. What a service gives one of them by such a token, as
// it may decide by any claim, is not another's.
func Bearer(p auth.Principal) (string, error) {
	who := own{}
	if s := p.Session; s != nil {
		who.PrincipalTags, who.SourceIdentity, who.Provider = s.Tags, s.SourceIdentity, s.Provider
	}
	text, err := json.Marshal([]any{Subject(p), who})
	return string(text), err
}

// Token signs a token for a principal, who is allowed to have one. It refuses with the
// codes of STS.
func (i *Issuer) Token(ctx context.Context, r Request) (Token, error) {
	s, err := i.read(ctx)
	if err != nil {
		return Token{}, err
	}
	if !s.Enabled {
		return Token{}, fault.New("OutboundWebIdentityFederationDisabledException", http.StatusForbidden,
			"Outbound web identity federation is not enabled for this account; enable it with iam:EnableOutboundWebIdentityFederation")
	}
	keys := i.keys[r.Algorithm]
	if keys == nil {
		return Token{}, fault.New("ValidationError", http.StatusBadRequest, "The SigningAlgorithm must be %s or %s", ES384, RS256)
	}
	now := i.cfg.Now().UTC()
	life, err := lifeOf(r, now)
	if err != nil {
		return Token{}, err
	}
	who, err := i.cfg.Identities.Identity(ctx, r.Principal)
	if err != nil {
		return Token{}, fmt.Errorf("read tags of %s: %w", r.Principal.ARN, err)
	}
	id, err := uuid.NewRandomFromReader(i.cfg.Rand)
	if err != nil {
		return Token{}, fmt.Errorf("name token: %w", err)
	}
	expires := now.Add(life).Truncate(time.Second)
	c := claims{
		Issuer: i.url(s.ID), Subject: Subject(r.Principal), Audience: r.Audience, Issued: now.Unix(), Expires: expires.Unix(), ID: id.String(),
		AWS: own{Account: i.cfg.Account, Region: r.Region, PrincipalTags: who.Tags, RequestTags: r.Tags},
	}
	if from := r.Principal.Session; from != nil {
		c.AWS.SourceIdentity, c.AWS.Provider = from.SourceIdentity, from.Provider
		if r.Principal.Kind == auth.AssumedRole && !from.Expires.IsZero() {
			c.AWS.SessionEnds = from.Expires.UTC().Format(time.RFC3339)
		}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return Token{}, fmt.Errorf("write token: %w", err)
	}
	if len(body) > MaxPayload {
		return Token{}, fault.New("JWTPayloadSizeExceededException", http.StatusBadRequest,
			"The token would say %d bytes, of at most %d: ask for it with fewer or shorter tags and audiences", len(body), MaxPayload)
	}
	text, err := keys.Sign(ctx, i.scope(), i.cfg.Account, body)
	return Token{Text: text, Expires: expires}, err
}

// lifeOf holds the bounds of a token's life: its session's end is one.
func lifeOf(r Request, now time.Time) (time.Duration, error) {
	life := r.Life
	if life == 0 {
		life = DefaultLife
	}
	if life < MinLife || life > MaxLife {
		return 0, fault.New("ValidationError", http.StatusBadRequest, "DurationSeconds must be from %d to %d", int(MinLife/time.Second), int(MaxLife/time.Second))
	}
	s := r.Principal.Session
	if s == nil || s.Expires.IsZero() || !now.Add(life).After(s.Expires) {
		return life, nil
	}
	if r.Life == 0 {
		if left := s.Expires.Sub(now); left >= time.Second {
			return left, nil
		}
	}
	return 0, fault.New("SessionDurationEscalationException", http.StatusForbidden,
		"The token would outlive the session of its principal, which ends at %s: ask for a shorter one, or with newer credentials", s.Expires.UTC().Format(time.RFC3339))
}
