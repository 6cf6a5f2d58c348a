package jwt

import (
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

// Reason is why a token is not valid, in words that may be shown to who sent it.
type Reason string

// The reasons.
const (
	Malformed    Reason = "The token is not a signed JWT in compact form"
	TooLarge     Reason = "The token is too large"
	Algorithm    Reason = "The token's algorithm is not accepted"
	UnknownKey   Reason = "The token's key is not one of its issuer's"
	BadSignature Reason = "The token's signature is not its issuer's"
	NoText       Reason = "The token's claim sub must be text, a JSON string (RFC 7519, 4.1.2). Have its issuer write it so"
	WrongIssuer  Reason = "The token's issuer is not the configured one"
	Untrusted    Reason = "The token's issuer is not trusted"
	NoExpiry     Reason = "The token has no expiry"
	Expired      Reason = "The token has expired"
	NotYet       Reason = "The token is not valid yet"
	Unavailable  Reason = "The keys of the token's issuer cannot be had"
)

// Invalid says that a token is not valid: 401.
type Invalid struct {
	Reason Reason
	cause  error
}

func invalid(r Reason, cause error) *Invalid { return &Invalid{r, cause} }

// Error has the cause, which is for logs.
func (e *Invalid) Error() string {
	if e.cause == nil {
		return "verify token: " + string(e.Reason)
	}
	return "verify token: " + string(e.Reason) + ": " + e.cause.Error()
}

// Unwrap returns what lies behind it, or nil.
func (e *Invalid) Unwrap() error { return e.cause }

// Fault is the error a caller reads, without WWW-Authenticate.
func (e *Invalid) Fault() *fault.Error {
	return fault.New("UnauthorizedException", http.StatusUnauthorized, "%s", string(e.Reason)).Because(e)
}

// Forbidden says that a token is valid and a claim of it is not allowed: 403.
type Forbidden struct {
	// Texts are the sentences of spec/identity.md 7.2, one for each claim.
	Texts []string
	// Token is what was verified, for the record of whom it was that was refused.
	Token *Token
}

// The texts of Forbidden.
const (
	textClient   = "Claim 'client_id' value mismatch with configuration."
	textAudience = "Claim 'aud' value mismatch with configuration"
	textScope    = "Claim 'scope' value mismatch with configuration."
	textCustom   = "Claim '%s' value mismatch with configuration (customClaims)."
)

// Message joins the texts.
func (e *Forbidden) Message() string {
	var b strings.Builder
	for i, text := range e.Texts {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(text)
		if i < len(e.Texts)-1 && !strings.HasSuffix(text, ".") {
			b.WriteByte('.')
		}
	}
	return b.String()
}

// Scope reports whether nothing is missing but a scope, which another token may have.
func (e *Forbidden) Scope() bool { return len(e.Texts) == 1 && e.Texts[0] == textScope }

func (e *Forbidden) Error() string { return "check token's claims: " + e.Message() }

// Fault is the error a caller reads.
func (e *Forbidden) Fault() *fault.Error { return fault.Denied("%s", e.Message()).Because(e) }
