// Package oauth is the client's side of OAuth 2: it asks the token endpoints of
// services for tokens, and knows where these are.
//
// It is our own and no library because an agent's token may be asked for in eight
// ways and a client may prove itself in five, and all of them go through the one
// request below: golang.org/x/oauth2 has neither token exchange (RFC 8693) nor
// private keys (RFC 7523), and where it is not told how a service wants the client's
// secret it tries both, which burns a code that is good once.
//
// It keeps nothing but the documents of authorization servers. What it is given to
// call with guards the network (package outbound).
package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
)

// Method is how a client proves who it is.
type Method string

// The methods (spec/identity.md 5.4).
const (
	Nobody  Method = ""                    // a public client: its id alone, if it has one
	Basic   Method = "CLIENT_SECRET_BASIC" // RFC 6749 2.3.1
	Post    Method = "CLIENT_SECRET_POST"
	Private Method = "PRIVATE_KEY_JWT" // RFC 7523 2.2
	// ByCaller is the same with a token of whoever calls, which says who that is.
	ByCaller Method = "AWS_IAM_ID_TOKEN_JWT"
)

// Client is who asks.
type Client struct {
	ID     string
	Method Method
	Secret secret.String // for Basic and Post
	// Assert makes the assertion for the audience; for Private and ByCaller.
	Assert func(ctx context.Context, audience string) (secret.String, error)
}

// Token is what a token endpoint gives.
type Token struct {
	Access, Refresh secret.String
	// ID says who the user is, where the service speaks OpenID Connect and was asked.
	ID secret.String
	// Expires is the zero time where the service does not say.
	Expires time.Time
}

// Failure is a token endpoint's refusal. Its words are the service's, cut to what
// RFC 6749 5.2 allows; no secret of ours is in them.
type Failure struct {
	Status      int    // of HTTP
	Code        string // such as invalid_grant; empty where the answer is no refusal of OAuth
	Description string
}

func (f *Failure) Error() string {
	switch {
	case f.Code == "":
		return fmt.Sprintf("the token endpoint answered with status %d", f.Status)
	case f.Description == "":
		return "the token endpoint answered: " + f.Code
	}
	return "the token endpoint answered: " + f.Code + ": " + f.Description
}

// HTTPStatus is the status of the answer.
func (f *Failure) HTTPStatus() int { return f.Status }

// Refused tells whether the service has judged the grant, rather than been out of
// order: asking again will not help.
func (f *Failure) Refused() bool { return f.Code != "" && f.Status < http.StatusInternalServerError }

// errNoToken is an answer of success that holds nothing.
var errNoToken = errors.New("the token endpoint answered without an access_token")

// ErrToken is an access_token that is none (RFC 6749, A.12), and that no request can carry.
var ErrToken = errors.New("its access_token has characters that no header can carry; a token has visible ASCII and spaces alone")

// Caller asks token endpoints.
type Caller struct {
	HTTP *http.Client // guarded, with a bound on bodies and a time
	Now  func() time.Time
}

// Ask sends a form to a token endpoint as a client. Errors: a *Failure, or ErrToken, or
// that of the network.
func (c Caller) Ask(ctx context.Context, endpoint string, client Client, form url.Values) (Token, error) {
	r, err := request(ctx, endpoint, client, form)
	if err != nil {
		return Token{}, err
	}
	asked := c.Now()
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return Token{}, fmt.Errorf("ask token endpoint: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return Token{}, fmt.Errorf("read answer of token endpoint: %w", err)
	}
	t, err := parse(answer.StatusCode, answer.Header.Get("Content-Type"), body, asked)
	if f, ok := errors.AsType[*Failure](err); ok {
		f.conceal(body, secrets(client, form))
	}
	return t, err
}

// secrets are what nobody but the token endpoint may read of a request.
func secrets(client Client, form url.Values) []string {
	out := []string{client.Secret.Reveal()}
	for _, field := range [...]string{"actor_token", "assertion", "client_assertion", "client_secret", "code", "code_verifier", "refresh_token", "subject_token"} {
		out = append(out, form.Get(field))
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// conceal drops a service's words where they say again what was secret in the request: they
// are shown to others.
func (f *Failure) conceal(body []byte, secrets []string) {
	said := string(body)
	var text any
	if json.Unmarshal(body, &text) == nil {
		said += fmt.Sprint(text) // without JSON's escapes
	} else if plain, err := url.QueryUnescape(said); err == nil {
		said += plain
	}
	for _, s := range secrets {
		if strings.Contains(said, s) {
			f.Description = ""
		}
		if strings.Contains(f.Code, s) {
			f.Code = "refused"
		}
	}
}

// Revoke has a service forget a token (RFC 7009), which says nothing of those that it does
// not know. Errors: a *Failure, or that of the network.
func (c Caller) Revoke(ctx context.Context, endpoint string, client Client, token secret.String, hint string) error {
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {hint}}
	r, err := request(ctx, endpoint, client, form)
	if err != nil {
		return err
	}
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return fmt.Errorf("ask revocation endpoint: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return &Failure{Status: answer.StatusCode}
	}
	return nil
}

func request(ctx context.Context, endpoint string, client Client, form url.Values) (*http.Request, error) {
	switch client.Method {
	case Post:
		form.Set("client_id", client.ID)
		form.Set("client_secret", client.Secret.Reveal())
	case Private, ByCaller:
		assertion, err := client.Assert(ctx, endpoint)
		if err != nil {
			return nil, fmt.Errorf("prove client to token endpoint: %w", err)
		}
		if client.ID != "" {
			form.Set("client_id", client.ID)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion.Reveal())
	case Nobody:
		if client.ID != "" {
			form.Set("client_id", client.ID)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("ask token endpoint: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json") // GitHub answers in a form otherwise
	if client.Method == Basic {
		r.SetBasicAuth(url.QueryEscape(client.ID), url.QueryEscape(client.Secret.Reveal()))
	}
	return r, nil
}

// answer is the JSON of both outcomes. Numbers come as text from some services.
type answer struct {
	Access      string          `json:"access_token"`
	Refresh     string          `json:"refresh_token"`
	ID          string          `json:"id_token"`
	Expires     json.RawMessage `json:"expires_in"`
	Code        json.RawMessage `json:"error"`
	Description string          `json:"error_description"`
}

// maxLife bounds what a service may say of a token's life: beyond it a number is a
// mistake, and would overflow.
const maxLife = 10 * 365 * 24 * time.Hour

// parse reads an answer. Some services refuse with status 200, so that what it says
// counts first.
func parse(status int, contentType string, body []byte, asked time.Time) (Token, error) {
	var a answer
	if kind, _, err := mime.ParseMediaType(contentType); err == nil && kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return Token{}, &Failure{Status: status}
		}
		a = answer{Access: form.Get("access_token"), Refresh: form.Get("refresh_token"), Expires: json.RawMessage(form.Get("expires_in")), Description: form.Get("error_description")}
		if code := form.Get("error"); code != "" {
			a.Code = json.RawMessage(strconv.Quote(code))
		}
	} else if err := json.Unmarshal(body, &a); err != nil {
		if status/100 == 2 {
			return Token{}, errNoToken
		}
		return Token{}, &Failure{Status: status}
	}
	var code string
	if json.Unmarshal(a.Code, &code) == nil && code != "" || status/100 != 2 {
		return Token{}, &Failure{Status: status, Code: plain(code, 128), Description: plain(a.Description, 512)}
	}
	if a.Access == "" {
		return Token{}, errNoToken
	}
	if strings.ContainsFunc(a.Access, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return Token{}, ErrToken
	}
	t := Token{Access: secret.NewString(a.Access), Refresh: secret.NewString(a.Refresh), ID: secret.NewString(a.ID)}
	if seconds, err := strconv.ParseFloat(strings.Trim(string(a.Expires), `"`), 64); err == nil && seconds > 0 {
		t.Expires = asked.Add(min(time.Duration(min(seconds, maxLife.Seconds()))*time.Second, maxLife))
	}
	return t, nil
}

// plain keeps of a service's words what can be shown in a line.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
