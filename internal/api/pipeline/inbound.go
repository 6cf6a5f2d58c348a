package pipeline

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/auth/sigv4"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Inbound is the door of resources that say themselves who calls them: with a token
// of an issuer that they trust, in place of a signature (spec/identity.md 7.2). A
// resource has one way in or the other, never both.
type Inbound interface {
	// Admit tells who calls a resource without a signature, or refuses. It is
	// ErrSign where nothing but a signature helps. Beside another refusal the
	// Admission has what is known for the record: whose resource it is, and the ARN
	// of who came with a token that is valid and not allowed.
	Admit(ctx context.Context, k Knock) (Admission, error)
	// Signed refuses a caller whose signature for scope is good, where a token is
	// wanted.
	Signed(ctx context.Context, k Knock, scope store.Scope) error
}

// ErrSign says that a caller must sign.
var ErrSign = errors.New("the call must be signed")

// Knock is what a call of a Bearer operation says of its resource.
type Knock struct {
	// Label returns a label of the path by its name.
	Label  func(name string) string
	Query  url.Values
	Header http.Header
	// Token is empty where there is none.
	Token secret.String
	// BaseURL is how the caller reached the server: scheme and host.
	BaseURL string
	// Host is the name the caller asked for, without a port, and Path the path, as escaped
	// as it came.
	Host, Path string
}

// Admission is who was let in with a token.
type Admission struct {
	Principal auth.Principal
	// Scope is the account and region of the resource.
	Scope store.Scope
	// Resource is the ARN of what was not opened, beside a refusal.
	Resource string
	// Keys are what conditions of the resource's policy can ask about the token.
	Keys map[string][]string
	// User is whom the token speaks for.
	User User
	// Stranger: the resource asks nobody who they are.
	Stranger bool
}

// User is the user whom a verified token speaks for. The zero value is nobody.
type User struct {
	Issuer, Subject string
	// Token is what was verified, and Expires when it ends.
	Token   secret.String
	Expires time.Time
}

// admit lets a caller in who has a token, or none, for a resource that says itself
// whom it wants. It reports false where nobody but the signature decides. Authorization of
// any other scheme, such as Basic, is no token.
func (e *exchange) admit(token string) (bool, error) {
	op := e.match.op
	if op == nil || !op.Bearer || e.p.cfg.Inbound == nil || token == "" && strings.HasPrefix(e.r.Header.Get("Authorization"), "AWS") {
		return false, nil
	}
	k := e.knock()
	k.Token = secret.NewString(token)
	in, err := e.p.cfg.Inbound.Admit(e.r.Context(), k)
	if errors.Is(err, ErrSign) {
		return false, nil
	}
	if err != nil {
		e.turnedAway(in)
		return true, err
	}
	e.call.Principal, e.call.Scope, e.call.User, e.keys, e.stranger = in.Principal, in.Scope, in.User, in.Keys, in.Stranger
	most := maxBody(e.match.svc, op)
	if e.stranger {
		e.hurryStranger(most)
	}
	if e.r.Body != nil {
		e.r.Body = sigv4.Bounded(e.family(), e.r.Body, most)
	}
	return true, nil
}

// turnedAway says in the record whose door it was, and who was not let in. The caller
// stays nobody for all else.
func (e *exchange) turnedAway(in Admission) {
	if in.Resource == "" {
		return // there is no such resource
	}
	e.call.Scope, e.call.Principal = in.Scope, auth.Principal{ARN: in.Principal.ARN}
	e.call.About(in.Resource)
}

// knock says what is called.
func (e *exchange) knock() Knock {
	labels := e.match.labels
	return Knock{
		Label: func(name string) string {
			if i := slices.IndexFunc(labels, func(l protocol.Label) bool { return l.Name == name }); i >= 0 {
				return labels[i].Value
			}
			return ""
		},
		Query: e.r.URL.Query(), Header: e.r.Header, BaseURL: e.call.BaseURL, Host: e.call.Host(), Path: e.call.Path,
	}
}

// bearer returns the token of the request: that of its header (RFC 6750), or the one
// that pages put among the protocols of a WebSocket, because browsers let them set
// nothing else (spec/runtime.md 9.1).
func (e *exchange) bearer() string {
	if token, ok := jwt.FromHeader(e.r.Header); ok {
		return token
	}
	if e.match.op == nil || !e.match.op.Upgrade {
		return ""
	}
	for _, offered := range SocketProtocols(e.r.Header) {
		if encoded, ok := strings.CutPrefix(offered, BearerProtocol+"."); ok && len(encoded) <= maxProtocolToken {
			token, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
			if err == nil {
				return string(token)
			}
		}
	}
	return ""
}

// BearerProtocol is the protocol that a page offers beside the one that holds its
// token, and that the server selects.
const BearerProtocol = "base64UrlBearerAuthorization"

// maxProtocolToken bounds a token among the protocols, in characters as encoded.
const maxProtocolToken = 4096

// SocketProtocols are those that a WebSocket's client offers.
func SocketProtocols(h http.Header) []string {
	var out []string
	for _, line := range h.Values("Sec-Websocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return out
}
