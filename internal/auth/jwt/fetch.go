package jwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/outcrop/outcrop/internal/outbound"
)

// maxDocument bounds a document or key set, in bytes (spec/identity.md 12.6),
// whatever the client's own bound is.
const maxDocument = 1 << 20

// document is what is used of a discovery document (OpenID Connect Discovery 1.0 3,
// RFC 8414 2).
type document struct {
	Issuer  string `json:"issuer"`
	JWKSURI string `json:"jwks_uri"`
}

// discover fetches a discovery document. Its issuer need not be of its own host:
// Cognito's and others' is not. It is iss that must be equal to it.
func discover(ctx context.Context, client *http.Client, discoveryURL string) (document, error) {
	var d document
	body, _, err := fetch(ctx, client, discoveryURL)
	if err != nil {
		return d, fmt.Errorf("fetch discovery document: %w", err)
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, fmt.Errorf("read discovery document: %w", &DocumentError{errNotJSON})
	}
	keys, err := url.Parse(d.JWKSURI)
	switch {
	case d.Issuer == "":
		return d, fmt.Errorf("read discovery document: %w", &DocumentError{errNoIssuer})
	case err != nil || !keys.IsAbs() || keys.Hostname() == "":
		return d, fmt.Errorf("read discovery document: %w", &DocumentError{errNoURI})
	}
	return d, nil
}

// DocumentError says that what is there, at the URL of a discovery document, is none.
// What cannot be had now may be one later.
type DocumentError struct{ Err error }

func (e *DocumentError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong with it.
func (e *DocumentError) Unwrap() error { return e.Err }

var (
	errNotJSON = errors.New("it is not a JSON object of distinct members")
	errNoURI   = errors.New("its jwks_uri is not a URL")
)

// fetchKeys fetches an issuer's keys and says how long they are fresh, within what is
// taken.
func fetchKeys(ctx context.Context, client *http.Client, d document, now time.Time) (*keySet, time.Duration, error) {
	body, header, err := fetch(ctx, client, d.JWKSURI)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch keys: %w", err)
	}
	set, err := parseKeys(d.Issuer, body)
	if err != nil {
		return nil, 0, fmt.Errorf("read keys at %s: %w", d.JWKSURI, err)
	}
	life, _ := outbound.Freshness(header, now)
	return set, min(max(life, minFresh), maxFresh), nil
}

// fetch returns the body and header of what must be answered with 200.
func fetch(ctx context.Context, client *http.Client, from string) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("get %s: %w", from, err)
	}
	r.Header.Set("Accept", "application/json, application/jwk-set+json")
	answer, err := client.Do(r)
	if err != nil {
		return nil, nil, err // names the method and the URL
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("get %s: status %d", from, answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read %s: %w", from, err)
	case len(body) > maxDocument:
		return nil, nil, fmt.Errorf("read %s: it is larger than %d bytes", from, maxDocument)
	}
	return body, answer.Header, nil
}
