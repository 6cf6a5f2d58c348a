package jwt

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// Token is a verified token.
type Token struct {
	Issuer  string
	Subject string // may be empty: sub is not required
	// ClientID is the claim client_id or, if the Rules are lenient, azp or appid. A
	// token whose token_use is id has none, and no Scopes.
	ClientID string
	Audience []string
	// Scopes are those of scope and of scp.
	Scopes  []string
	Expires time.Time
	// Claims are all of them, as JSON has them. They are shared: do not change them.
	Claims map[string]any
	Raw    Bearer

	conditions map[string][]string
}

// Conditions are what conditions of a policy can ask about the token, by the names of
// AgentCore's keys (spec/identity.md 10.2): iss, sub, client_id, aud and scope. They are
// shared: do not change them.
func (t *Token) Conditions() map[string][]string { return t.conditions }

func (t *Token) asked() map[string][]string {
	out := map[string][]string{}
	for name, values := range map[string][]string{
		"iss": {t.Issuer}, "sub": {t.Subject}, "client_id": {t.ClientID}, "aud": t.Audience, "scope": t.Scopes,
	} {
		if len(values) > 0 && values[0] != "" {
			out[name] = values
		}
	}
	return out
}

// Bearer is a token's text, which no encoder shows. The zero value is empty.
type Bearer struct{ p *string }

// NewBearer returns a token's text as a Bearer.
func NewBearer(text string) Bearer { return Bearer{&text} }

// Reveal returns the text. It is the only way to it.
func (b Bearer) Reveal() string {
	if b.p == nil {
		return ""
	}
	return *b.p
}

const redacted = "[redacted]"

func (Bearer) String() string               { return redacted }
func (Bearer) GoString() string             { return redacted }
func (Bearer) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (Bearer) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Bearer) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Bearer) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// algorithms are those of spec/identity.md 7.2: asymmetric ones alone.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// parsed is a token that was read. What it says counts once verify has passed.
type parsed struct {
	jws *jose.JSONWebSignature // nil once it was verified
	alg string
	kid string

	issuer, subject string
	expires         time.Time
	notBefore       time.Time // the later of nbf and iat; zero without either
	claims          map[string]any

	// strict and lenient are what the token says by Rules.Lenient, once it was verified.
	strict, lenient Token
}

// parse reads a token in compact form. Its errors are *Invalid, and hold nothing
// of the token.
func parse(token string, maxBytes int) (*parsed, error) {
	switch {
	case len(token) > maxBytes:
		return nil, invalid(TooLarge, nil)
	case !compact(token):
		return nil, invalid(Malformed, errForm)
	}
	jws, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil {
		if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
			return nil, invalid(Algorithm, nil)
		}
		return nil, invalid(Malformed, errHeader)
	}
	header := jws.Signatures[0].Protected
	for _, name := range [...]jose.HeaderKey{"crit", "b64"} {
		if _, there := header.ExtraHeaders[name]; there {
			return nil, invalid(Malformed, errExtension)
		}
	}
	p := &parsed{jws: jws, alg: header.Algorithm, kid: header.KeyID}
	// Of two members of one name different readers take different ones, so
	// neither is taken; the same goes for text that is not UTF-8.
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &p.claims); err != nil || p.claims == nil {
		return nil, invalid(Malformed, errClaims)
	}
	if err := p.readClaims(); err != nil {
		return nil, err
	}
	return p, nil
}

// The causes of Malformed.
var (
	errForm      = errors.New("it is not three parts of base64url")
	errHeader    = errors.New("its header or encoding cannot be read")
	errExtension = errors.New("it has critical extensions")
	errClaims    = errors.New("its payload is not one JSON object of distinct members")
	errType      = errors.New("a registered claim has the wrong type")
)

// compact tells whether text has three parts of the letters of base64url. Decoders
// would skip line breaks.
func compact(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return strings.Count(text, ".") == 2
}

// verify checks the signature with the keys of a set.
func (p *parsed) verify(set *keySet) *Invalid {
	candidates := set.candidates(p.alg, p.kid)
	if len(candidates) == 0 {
		return invalid(UnknownKey, nil)
	}
	for _, k := range candidates {
		if _, err := p.jws.Verify(k.public); err == nil {
			return nil
		}
	}
	return invalid(BadSignature, nil)
}

// token is all but the text, which is the caller's alone.
func (p *parsed) token() Token {
	t := Token{
		Issuer: p.issuer, Subject: p.subject, Audience: words(p.claims["aud"], false),
		Scopes:  append(words(p.claims["scope"], true), words(p.claims["scp"], true)...),
		Expires: p.expires, Claims: p.claims,
	}
	if t.identity() {
		// It tells who a user is, and is no client's leave to call: what it says of
		// client_id and scope may be the user's own words.
		t.Scopes = nil
	} else {
		t.ClientID, _ = p.claims["client_id"].(string)
	}
	t.conditions = t.asked()
	return t
}

// identity reports whether it is an ID token.
func (t *Token) identity() bool { return t.Claims["token_use"] == "id" }

// lenient is the token for Rules that are.
func (t Token) lenient() Token {
	for _, name := range [...]string{"azp", "appid"} {
		if id, _ := t.Claims[name].(string); t.ClientID == "" && !t.identity() && id != "" {
			t.ClientID = id
			t.conditions = t.asked()
		}
	}
	return t
}
