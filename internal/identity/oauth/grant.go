package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/secret"
)

// Wish is what is asked of any grant.
type Wish struct {
	Scopes              []string
	Audiences           []string
	Resources           []string // RFC 8707
	Parameters          map[string]string
	ChangeableParameter string // one that a grant sets, and that Parameters may replace; or none
}

// reserved are the parameters that no caller sets: they are what makes a request
// ours, or belong to the proof of the client.
var reserved = []string{
	"actor_token", "actor_token_type", "assertion", "client_assertion", "client_assertion_type", "client_id", "client_secret", "code", "code_challenge",
	"code_challenge_method", "code_verifier", "grant_type", "redirect_uri", "refresh_token", "request", "request_uri", "requested_token_use", "response_mode",
	"response_type", "scope", "state", "subject_token", "subject_token_type",
}

// fill adds a wish to a form; what the form has stays (spec/identity.md 5.1).
func (w Wish) fill(form url.Values) url.Values {
	if len(w.Scopes) > 0 {
		form.Set("scope", strings.Join(w.Scopes, " "))
	}
	for _, v := range w.Audiences {
		form.Add("audience", v)
	}
	for _, v := range w.Resources {
		form.Add("resource", v)
	}
	for name, value := range w.Parameters {
		if name == w.ChangeableParameter && name != "" {
			form.Set(name, value)
		} else if !slices.Contains(reserved, name) && !form.Has(name) {
			form.Set(name, value)
		}
	}
	return form
}

// again adds the resources to a form whose grant has the rest of the wish already: those
// must be named wherever a token is asked for (RFC 8707 2.2).
func (w Wish) again(form url.Values) url.Values {
	for _, v := range w.Resources {
		form.Add("resource", v)
	}
	if v := w.Parameters["resource"]; v != "" && !form.Has("resource") {
		form.Set("resource", v)
	}
	return form
}

// ClientCredentials is the grant of RFC 6749 4.4.
func ClientCredentials(w Wish) url.Values {
	return w.fill(url.Values{"grant_type": {"client_credentials"}})
}

// Code is the grant of RFC 6749 4.1.3 with RFC 7636. The wish went with the user.
func Code(code secret.String, redirect string, verifier secret.String, w Wish) url.Values {
	return w.again(url.Values{"grant_type": {"authorization_code"}, "code": {code.Reveal()}, "redirect_uri": {redirect}, "code_verifier": {verifier.Reveal()}})
}

// Refresh is the grant of RFC 6749 6; the scopes are those that were granted.
func Refresh(token secret.String, w Wish) url.Values {
	return w.again(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.Reveal()}})
}

// The types of tokens (RFC 8693 3).
const (
	typeJWT    = "urn:ietf:params:oauth:token-type:jwt"
	typeAccess = "urn:ietf:params:oauth:token-type:access_token"
)

// Actor is who exchanges a token: nobody is named by the zero value.
type Actor struct {
	Token secret.String
	JWT   bool // rather than an access token of the service's
}

// Exchange is the grant of RFC 8693 with a JWT as the subject. Parameters may say that
// the subject is of another type.
func Exchange(subject secret.String, actor Actor, w Wish) url.Values {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {subject.Reveal()}, "subject_token_type": {typeJWT}}
	if !actor.Token.Empty() {
		form.Set("actor_token", actor.Token.Reveal())
		form.Set("actor_token_type", typeAccess)
		if actor.JWT {
			form.Set("actor_token_type", typeJWT)
		}
	}
	w.ChangeableParameter = "subject_token_type"
	return w.fill(form)
}

// Bearer is the grant of RFC 7523 2.1 with the user's JWT. Microsoft's services want to
// be told that it is used on somebody's behalf.
func Bearer(assertion secret.String, microsoft bool, w Wish) url.Values {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion.Reveal()}}
	if microsoft {
		form.Set("requested_token_use", "on_behalf_of")
	}
	return w.fill(form)
}

// Authorization is what a user is sent to an authorization endpoint with.
type Authorization struct {
	Endpoint, ClientID, Redirect string
	State, Verifier              secret.String
	// Nonce comes back in the identity token (OpenID Connect Core 3.1.2.1), and Prompt says
	// what the user is shown; both may be empty.
	Nonce  secret.String
	Prompt string
	Wish   Wish
}

// URL is where the user's browser is sent. What the endpoint itself has in its query
// stays, but for what is ours.
func (a Authorization) URL() (string, error) {
	u, err := url.Parse(a.Endpoint)
	if err != nil {
		return "", err
	}
	ours := url.Values{
		"response_type": {"code"}, "client_id": {a.ClientID}, "redirect_uri": {a.Redirect}, "state": {a.State.Reveal()},
		"code_challenge": {challenge(a.Verifier)}, "code_challenge_method": {"S256"},
	}
	if !a.Nonce.Empty() {
		ours.Set("nonce", a.Nonce.Reveal())
	}
	if a.Prompt != "" {
		ours.Set("prompt", a.Prompt)
	}
	query := u.Query()
	maps.Copy(query, ours)
	u.RawQuery = a.Wish.fill(query).Encode()
	return u.String(), nil
}

// challenge is RFC 7636 4.2, S256.
func challenge(verifier secret.String) string {
	sum := sha256.Sum256([]byte(verifier.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
