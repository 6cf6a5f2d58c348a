// Package jwt verifies the bearer tokens of callers: those that a runtime's or a
// gateway's customJWTAuthorizer describes, and those that stand for a user of a
// workload (spec/identity.md 4.2, 7.2).
//
// A token is taken when a key of its issuer signed it, with an asymmetric
// algorithm that fits the key, when its iss is the issuer of the discovery
// document, when it is within its time, and when the Rules find the claims they
// ask for. Nothing that a token says of its own keys (jwk, jku, x5u, x5c) is
// followed. Where the keys cannot be had nobody is let in.
//
// Documents and keys are fetched through the client that Config names, which
// decides what may be reached (internal/outbound), and kept per discovery URL: at
// least 5 minutes, at most an hour, as their Cache-Control says. A key that is not
// known has them fetched again, at most every 30 seconds however many such tokens
// come. While an issuer does not answer its last keys serve for an hour more. A token
// that was verified is remembered with the keys that did it; its time and the Rules
// are looked at each time.
package jwt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/outbound"
)

// The bounds of what is kept, and of tokens.
const (
	// DefaultMaxBytes is the largest token of an authorizer, in bytes.
	DefaultMaxBytes = 16 << 10
	// MaxUserToken is the largest token of GetWorkloadAccessTokenForJWT (4.1).
	MaxUserToken = 131072

	defaultIssuers = 512
	// claimedFetches are under way at once to issuers that only a token names.
	claimedFetches = 16
	cachedTokens   = 2048
	// cachedBytes is the largest token whose verification is remembered: with
	// cachedTokens it bounds their memory.
	cachedBytes = 4 << 10
)

// Config is what a Verifier is made with.
type Config struct {
	// HTTP fetches documents and keys; it must be guarded (internal/outbound). Nil
	// is a client that reaches the public internet alone.
	HTTP *http.Client
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log hears of issuers that do not answer; nil is silence.
	Log *slog.Logger
	// Local answers for the issuers that this very server is, by discovery URL. It
	// is asked for each token, before anything else. Nil is none.
	Local func(ctx context.Context, discoveryURL string) (Local, bool, error)
	// MaxIssuers bounds the issuers whose keys are kept; those used least recently
	// go first. Zero is 512.
	MaxIssuers int
}

// Local is an issuer of this server.
type Local struct {
	Issuer string
	// Also are further names that the issuer signs tokens under.
	Also []string
	// Keys is its JSON Web Key Set, as it is published.
	Keys []byte
}

// Verifier verifies tokens. It is safe for concurrent use. Close ends it.
type Verifier struct {
	cfg Config
	// named are the issuers that resources, providers or the operator name. claimed
	// are those that tokens alone name: whoever makes these up displaces none of the
	// others, and keeps nobody waiting for their keys.
	named, claimed *group
	tokens         *lru[verifiedKey, *parsed]
	locals         *lru[string, *keySet]

	ctx    context.Context // of fetches, which serve more than one caller
	cancel context.CancelFunc
	mu     sync.Mutex // orders closing and fetches
	work   sync.WaitGroup
}

// verifiedKey is a token and the keys it was verified with: with others it is
// verified anew.
type verifiedKey struct {
	sum [sha256.Size]byte
	set *keySet
}

// New returns a Verifier.
func New(cfg Config) *Verifier {
	if cfg.HTTP == nil {
		cfg.HTTP = outbound.New(outbound.Config{})
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxIssuers <= 0 {
		cfg.MaxIssuers = defaultIssuers
	}
	v := &Verifier{cfg: cfg, tokens: newLRU[verifiedKey, *parsed](cachedTokens), locals: newLRU[string, *keySet](cfg.MaxIssuers)}
	v.named = newGroup(v, cfg.MaxIssuers, cfg.MaxIssuers)
	v.claimed = newGroup(v, cfg.MaxIssuers, claimedFetches)
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v
}

// Close ends the fetches that are under way and waits for them. Afterwards no more
// are made.
func (v *Verifier) Close() {
	v.mu.Lock()
	v.cancel()
	v.mu.Unlock()
	v.work.Wait()
}

// start runs a fetch, and reports whether it does.
func (v *Verifier) start(fetch func(context.Context)) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ctx.Err() != nil {
		return false
	}
	v.work.Go(func() { fetch(v.ctx) })
	return true
}

// Verify verifies a token of the issuer that a discovery URL describes. The error
// is an *Invalid (401) or, for a token that is valid, a *Forbidden (403), or ctx's.
func (v *Verifier) Verify(ctx context.Context, discoveryURL, token string, rules Rules) (*Token, error) {
	return v.verify(ctx, v.named, discoveryURL, token, rules)
}

// FromHeader returns the bearer token of a request (RFC 6750 2.1). There is none
// where there is no Authorization header, more than one, or one of another scheme.
func FromHeader(h http.Header) (token string, ok bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimLeft(token, " "), true
}

// Trust says whether tokens of an issuer are taken at all, and where its discovery
// document is.
type Trust func(issuer string) (discoveryURL string, ok bool)

// VerifyIssued verifies a token of the issuer that it names itself in iss, as far
// as trust goes. Nil trusts every issuer that has a document at its DiscoveryURL.
// Errors are as Verify's.
func (v *Verifier) VerifyIssued(ctx context.Context, token string, trust Trust, rules Rules) (*Token, error) {
	from := v.named // whom trust knows, somebody has named
	if trust == nil {
		trust, from = DiscoveryURL, v.claimed
	}
	p, err := parse(token, rules.maxBytes())
	if err != nil {
		return nil, err
	}
	at, ok := trust(p.issuer)
	if !ok || p.issuer == "" {
		return nil, invalid(Untrusted, nil)
	}
	return v.verify(ctx, from, at, token, rules)
}

// Claimed is what a token says that nobody has verified, for whoever decides by it before
// the issuer is asked: a caller who may not come with such a user need not have fetched
// keys for him. It counts for nothing unless the same text is verified afterwards. Errors
// are *Invalid.
func Claimed(token string) (*Token, error) {
	p, err := parse(token, MaxUserToken)
	if err != nil {
		return nil, err
	}
	t := p.token()
	t.Raw = NewBearer(token)
	return &t, nil
}

func (v *Verifier) verify(ctx context.Context, g *group, discoveryURL, token string, rules Rules) (*Token, error) {
	if len(token) > rules.maxBytes() {
		return nil, invalid(TooLarge, nil)
	}
	keys, err := v.keysOf(ctx, g, discoveryURL)
	if err != nil {
		return nil, err
	}
	p, err := v.signed(ctx, keys, token, rules.maxBytes())
	if err != nil {
		return nil, err
	}
	if err := p.inTime(v.cfg.Now()); err != nil {
		return nil, err
	}
	t := p.strict
	if rules.Lenient {
		t = p.lenient
	}
	t.Raw = NewBearer(token)
	if err := rules.check(&t); err != nil {
		return nil, err
	}
	return &t, nil
}

// keysOf returns who has an issuer's keys.
func (v *Verifier) keysOf(ctx context.Context, g *group, discoveryURL string) (keyring, error) {
	if v.cfg.Local != nil {
		l, ok, err := v.cfg.Local(ctx, discoveryURL)
		if err != nil {
			return nil, fmt.Errorf("find local issuer %s: %w", discoveryURL, err)
		}
		if ok {
			set, err := v.local(discoveryURL, l)
			if err != nil {
				return nil, invalid(Unavailable, err)
			}
			return set, nil
		}
	}
	if s, ok := g.sources.get(discoveryURL); ok {
		return s, nil
	}
	if err := CheckDiscoveryURL(discoveryURL); err != nil {
		return nil, invalid(Unavailable, err)
	}
	return g.source(discoveryURL), nil
}

// local returns the keys of an issuer of this server, parsed once.
func (v *Verifier) local(discoveryURL string, l Local) (*keySet, error) {
	if set, ok := v.locals.get(discoveryURL); ok && set.is(l.Issuer, l.Keys) && slices.Equal(set.also, l.Also) {
		return set, nil
	}
	set, err := parseKeys(l.Issuer, l.Keys)
	if err != nil {
		return nil, fmt.Errorf("parse keys of local issuer %s: %w", l.Issuer, err)
	}
	set.also = slices.Clone(l.Also)
	v.locals.put(discoveryURL, set)
	return set, nil
}

// keyring is where the keys of an issuer are had: a *source or a *keySet.
type keyring interface {
	// current returns the keys, fetched where they must be.
	current(ctx context.Context) (*keySet, error)
	// renewed returns keys newer than seen if they can be had, and otherwise seen.
	renewed(ctx context.Context, seen *keySet) (*keySet, error)
}

// signed returns what a token says once its issuer's signature is verified. The
// checks that need no key come first, so that only what could be valid has keys
// fetched anew.
func (v *Verifier) signed(ctx context.Context, keys keyring, token string, maxBytes int) (*parsed, error) {
	set, err := keys.current(ctx)
	if err != nil {
		return nil, err
	}
	at := verifiedKey{sha256.Sum256([]byte(token)), set}
	if p, ok := v.tokens.get(at); ok {
		return p, nil
	}
	p, err := parse(token, maxBytes)
	if err != nil {
		return nil, err
	}
	if err := p.inTime(v.cfg.Now()); err != nil {
		return nil, err
	}
	if !set.named(p.issuer) {
		return nil, invalid(WrongIssuer, nil)
	}
	bad := p.verify(set)
	if bad != nil && (bad.Reason == UnknownKey || p.kid == "") {
		newer, err := keys.renewed(ctx, set)
		if err != nil {
			return nil, err
		}
		if !newer.named(p.issuer) {
			return nil, invalid(WrongIssuer, nil)
		}
		if newer != set {
			bad, at.set = p.verify(newer), newer
		}
	}
	if bad != nil {
		return nil, bad
	}
	p.jws = nil
	p.strict = p.token()
	p.lenient = p.strict.lenient()
	if len(token) <= cachedBytes {
		v.tokens.put(at, p)
	}
	return p, nil
}

// Issuer returns the issuer of a discovery document, fetched unless it is known.
// Services ask for it when a resource is made, to tell early what will not work: the
// error says why and may be shown.
func (v *Verifier) Issuer(ctx context.Context, discoveryURL string) (string, error) {
	names, err := v.Names(ctx, discoveryURL)
	if err != nil {
		return "", err
	}
	return names[0], nil
}

// Names returns the issuer of a discovery document, as Issuer does, and after it the
// further names that it has if this very server is it.
func (v *Verifier) Names(ctx context.Context, discoveryURL string) ([]string, error) {
	keys, err := v.keysOf(ctx, v.named, discoveryURL)
	if err == nil {
		var set *keySet
		if set, err = keys.current(ctx); err == nil {
			return append([]string{set.issuer}, set.also...), nil
		}
	}
	if bad := (*Invalid)(nil); errors.As(err, &bad) && bad.cause != nil {
		err = bad.cause
	}
	return nil, fmt.Errorf("find issuer of %s: %w", discoveryURL, err)
}

// The forms of a discovery URL's end.
const (
	wellKnownOpenID = "/.well-known/openid-configuration"
	wellKnownOAuth  = "/.well-known/oauth-authorization-server"
)

// CheckDiscoveryURL says what is wrong with a discovery URL's form.
func CheckDiscoveryURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errNotURL
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errExtras
	case !strings.HasSuffix(u.Path, wellKnownOpenID) && !strings.HasSuffix(u.Path, wellKnownOAuth):
		return errEnd
	}
	return nil
}

var (
	errNotURL = errors.New("check discovery URL: it is not an https URL")
	errExtras = errors.New("check discovery URL: it has a user, a query or a fragment")
	errEnd    = errors.New("check discovery URL: it ends neither in " + wellKnownOpenID + " nor in " + wellKnownOAuth)
)

// DiscoveryURL returns where OpenID Connect Discovery 1.0 (4) has an issuer's
// document, if its name has the form for that. It is a Trust of any issuer.
func DiscoveryURL(issuer string) (string, bool) {
	at := strings.TrimSuffix(issuer, "/") + wellKnownOpenID
	return at, CheckDiscoveryURL(at) == nil
}
